//! The commands of an open transaction.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::status::Status;

use super::control::{Control, control};
use crate::effects::Effects;
use crate::lexer::{Mode, begins_with};
use crate::sequence_name;

/// The most bytes of commands that are kept of one transaction.
pub const MOST_BYTES: usize = 1 << 20;
/// The most commands.
const MOST_COMMANDS: usize = 10_000;
/// What a command takes beside its bytes.
const OVERHEAD: usize = 96;
/// How often a transaction is run again.
pub const ATTEMPTS: u8 = 5;
/// How many servers may end while one command runs on them: after the last of them it is not run again, since it may be
/// what ends them.
pub const SERVERS: u8 = 2;
/// For how long it is tried, from the first time on.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A command as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A text.
    Text(Box<[u8]>),
    /// An execution of a prepared statement.
    Execution {
        /// The statement's text.
        text: Arc<[u8]>,
        /// The command's payload, with parameter types.
        payload: Box<[u8]>,
    },
}

impl Command {
    /// The statement's text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Execution { text, .. } => text,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Execution { text, payload } => text.len() + payload.len(),
        }
    }
}

/// A command that has run, and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The command.
    pub command: Command,
    /// When it was sent, since 1970; zero: no matter when.
    pub sent: Duration,
    /// The digest of its reply; `None`: it began the transaction, or stands before it, and its reply was OK.
    pub digest: Option<u64>,
    /// The first id that it generated; 0 for none.
    pub insert_id: u64,
}

/// Why a transaction cannot be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoiled {
    /// It is too long.
    Long,
    /// It has a statement that may change more than rows.
    Effects,
    /// It has a statement whose reply cannot be compared.
    Uncompared,
    /// It has taken a value of a sequence.
    Sequence,
    /// Not all of its commands are known.
    Unknown,
    /// It was tried often enough.
    Attempts,
    /// It was tried for long enough.
    Patience,
    /// Servers have ended while its last command ran, and perhaps because of it.
    Suspect,
}

impl fmt::Display for Spoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Long => "it is longer than 1 MiB of statements",
            Self::Effects => "it has a statement that may have changed more than rows",
            Self::Uncompared => "it has a statement whose reply cannot be compared",
            Self::Sequence => "it has used a sequence",
            Self::Unknown => "not all of its statements are known",
            Self::Attempts => "it was run again 5 times, each time on a server that ended",
            Self::Patience => "it could not be run again within 30 s",
            Self::Suspect => "two servers have ended while this statement ran",
        };
        f.write_str(text)
    }
}

/// What a transaction has done so far.
#[derive(Debug, Default)]
pub struct TransactionLog {
    entries: Vec<Entry>,
    bytes: usize,
    spoiled: Option<Spoiled>,
    /// Whether no command has been noted yet.
    is_new: bool,
}

impl TransactionLog {
    /// A transaction that has just begun. `before`: what the session has run before it, and counts for it.
    #[must_use]
    pub fn begin(before: impl IntoIterator<Item = Box<[u8]>>) -> Self {
        let mut log = Self {
            is_new: true,
            ..Self::default()
        };
        for text in before {
            log.begun_by(&text);
        }
        log
    }

    /// Notes a command that has run in the transaction, or has begun it. `effects`: what it has done to the session;
    /// `end`: its reply.
    pub fn note(&mut self, mut entry: Entry, effects: Effects, mode: Mode, end: &ReplyEnd) {
        if !begins_with(entry.command.text(), &["INSERT", "REPLACE"]) {
            entry.insert_id = 0;
        }
        let text = entry.command.text();
        let control = control(text, mode);
        let is_new = std::mem::take(&mut self.is_new);
        if control == Control::Begins && end.error.is_none() && !is_new {
            *self = Self::default();
        }
        let harmless = matches!(
            effects,
            Effects::None | Effects::Counted | Effects::Savepoint
        );
        let special = |status: Status| {
            status.contains(Status::MORE_RESULTS) || status.contains(Status::CURSOR_EXISTS)
        };
        let spoiled = if !harmless || !matches!(control, Control::Part | Control::Begins) {
            Some(Spoiled::Effects)
        } else if sequence_name::mentions(text) {
            Some(Spoiled::Sequence)
        } else if control != Control::Begins && entry.digest.is_none()
            || end.status.is_some_and(special)
        {
            Some(Spoiled::Uncompared)
        } else {
            None
        };
        match spoiled {
            Some(why) => self.spoil(why),
            None => self.add(entry),
        }
    }

    /// Notes a statement of Dormouse's own that has begun the transaction in the client's place, or counts for it.
    pub fn begun_by(&mut self, text: &[u8]) {
        self.add(Entry {
            command: Command::Text(text.into()),
            sent: Duration::ZERO,
            digest: None,
            insert_id: 0,
        });
    }

    /// Notes that the transaction cannot be run again, and forgets what was kept for it.
    pub fn spoil(&mut self, why: Spoiled) {
        self.spoiled.get_or_insert(why);
        self.entries = Vec::new();
        self.bytes = 0;
    }

    fn add(&mut self, entry: Entry) {
        if self.spoiled.is_some() {
            return;
        }
        self.bytes += entry.command.len() + OVERHEAD;
        if self.bytes > MOST_BYTES || self.entries.len() >= MOST_COMMANDS {
            return self.spoil(Spoiled::Long);
        }
        self.entries.push(entry);
    }

    /// The commands, in order.
    ///
    /// # Errors
    /// Why they cannot be run again.
    pub fn entries(&self) -> Result<&[Entry], Spoiled> {
        match self.spoiled {
            Some(why) => Err(why),
            None if self.entries.is_empty() => Err(Spoiled::Unknown),
            None => Ok(&self.entries),
        }
    }

    /// The statement to run before this one is run again: it gives it the time at which it was sent, unless the session
    /// has a time of its own (`own_time`). `None`: none is needed.
    #[must_use]
    pub fn before(entry: &Entry, own_time: bool) -> Option<String> {
        if own_time || entry.sent.is_zero() {
            return None;
        }
        let (seconds, micros) = (entry.sent.as_secs(), entry.sent.subsec_micros());
        Some(format!("SET timestamp = {seconds}.{micros:06}"))
    }
}

/// The statement that follows the last one that is run again, if the session has no time of its own.
pub const AFTER: &str = "SET timestamp = DEFAULT";

/// The question whether an id that was given to a statement is left, and so would be the next one's; 0 if none is.
pub const LEFT: &str = "SELECT @@insert_id";

/// How often, and for how long, one command has its transaction run again.
#[derive(Debug, Default)]
pub struct Budget {
    attempts: u8,
    servers: u8,
    since: Option<Instant>,
}

impl Budget {
    /// Counts a server that has ended while the command ran.
    pub fn interrupted(&mut self) {
        self.servers = self.servers.saturating_add(1);
    }

    /// Counts another attempt.
    ///
    /// # Errors
    /// There were enough.
    pub fn spend(&mut self, now: Instant) -> Result<(), Spoiled> {
        let since = *self.since.get_or_insert(now);
        if self.servers >= SERVERS {
            return Err(Spoiled::Suspect);
        }
        if self.attempts >= ATTEMPTS {
            return Err(Spoiled::Attempts);
        }
        if now.duration_since(since) >= PATIENCE {
            return Err(Spoiled::Patience);
        }
        self.attempts += 1;
        Ok(())
    }
}
