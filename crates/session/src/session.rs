//! One client session's state, independent of the backend that happens to serve it.

mod asleep;
mod leaving;
mod ran;
mod restore;

use std::borrow::Cow;
use std::sync::Arc;

use dormouse_wire::status::Status;

use crate::aftermath::{self, Aftermath, Connection, Reading};
use crate::effects::Effects;
use crate::effects::words::may_change_parsing;
use crate::lexer::{Charset, Lexer, Mode, begins_with, contains, is_one_statement};
use crate::literal::literal;
use crate::locks::Locks;
use crate::pin::Pin;
use crate::probe::Captured;
use crate::restricted::is_allowed;
use crate::savepoints::Savepoints;
use crate::sequence_name;
use crate::sequences::Sequences;
use crate::statements::Statements;
use crate::temporary::Temporaries;
use crate::text_prepared::TextPrepared;

/// How well the session's state is known without asking its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// Known: captured, or changed since only by what the log can replay.
    Known,
    /// A statement may have changed it in ways its text does not tell.
    Unknown,
}

/// The most statements the replay log holds before it is collapsed by a probe.
const LOG_STATEMENTS: usize = 32;
/// The most bytes of them.
const LOG_BYTES: usize = 16 << 10;

/// What the last statement's reply tells of what later ones can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The server must be asked.
    Ask,
    /// There were no warnings, and this is what the two functions answer.
    Is { row_count: i64, found_rows: u64 },
}

/// A session's state.
#[derive(Debug)]
pub struct Session {
    /// Its prepared statements.
    pub statements: Statements,
    status: Status,
    /// How the server read the text that has run last.
    mode: Mode,
    /// The status flags of the login's answer.
    login_status: Status,
    schema: Option<Arc<[u8]>>,
    captured: Option<Box<Captured>>,
    log: Vec<Box<[u8]>>,
    log_bytes: usize,
    knowledge: Knowledge,
    /// `LAST_INSERT_ID()`, and whether the server must be asked if it is.
    last_insert_id: u64,
    id_unsure: bool,
    /// What the last statement left, if Dormouse must answer for it.
    aftermath: Option<Box<Aftermath>>,
    last: Last,
    /// Whether the last statement failed.
    last_failed: bool,
    /// How many warnings and errors there are to be shown.
    conditions: u16,
    multi_statements: Option<bool>,
    /// `SET TRANSACTION`, until the next transaction begins; each may set another characteristic.
    next_transaction: Vec<Box<[u8]>>,
    /// Those of the open transaction: they hold once more after it if `SET autocommit = 1` ends it
    /// (`sql/sys_vars.cc`, `fix_autocommit`).
    present_transaction: Vec<Box<[u8]>>,
    /// The last `SET timestamp`.
    timestamp: Option<Box<[u8]>>,
    temporaries: Temporaries,
    texts: TextPrepared,
    hidden_variable: bool,
    locks: Locks,
    savepoints: Savepoints,
    sequences: Sequences,
    /// Whether the client has asked to be told of changes of state.
    tracks_state: bool,
    /// Whether an error may have hidden that a statement changed something.
    doubtful: bool,
    /// Whether anything unknown has been run since the last backend was taken.
    tainted: bool,
    /// Whether profiling may have been on, on the present backend.
    profiled: bool,
    /// Whether a `\` may be half a character in the client's character set.
    double_bytes: bool,
    pins: Vec<Pin>,
    /// A transaction said to be open while the server slept.
    deferred: Option<asleep::Deferred>,
    /// Whether `COM_RESET_CONNECTION` has been seen.
    was_reset: bool,
    /// What was answered while the server slept and its backend has yet to run.
    owed: Vec<Box<[u8]>>,
}

impl Session {
    /// A session as it is right after the login.
    #[must_use]
    pub fn new(schema: Option<Arc<[u8]>>) -> Self {
        Self {
            statements: Statements::default(),
            status: Status::AUTOCOMMIT,
            mode: Mode::default(),
            login_status: Status::AUTOCOMMIT,
            schema,
            captured: None,
            log: Vec::new(),
            log_bytes: 0,
            knowledge: Knowledge::Known,
            last_insert_id: 0,
            id_unsure: false,
            // a backend may hold what another session's last statement left
            aftermath: Some(Box::default()),
            last: Last::Is {
                row_count: 0,
                found_rows: 0,
            },
            last_failed: false,
            conditions: 0,
            multi_statements: None,
            next_transaction: Vec::new(),
            present_transaction: Vec::new(),
            timestamp: None,
            temporaries: Temporaries::default(),
            texts: TextPrepared::default(),
            hidden_variable: false,
            locks: Locks::default(),
            savepoints: Savepoints::default(),
            sequences: Sequences::default(),
            tracks_state: false,
            doubtful: false,
            tainted: false,
            profiled: false,
            double_bytes: false,
            pins: Vec::new(),
            deferred: None,
            was_reset: false,
            owed: Vec::new(),
        }
    }

    /// Notes the collation of the login: those of big5, sjis, gbk and cp932 matter.
    #[must_use]
    pub fn with_collation(mut self, collation: u8) -> Self {
        self.double_bytes = matches!(collation, 1 | 84 | 13 | 88 | 28 | 87 | 95 | 96);
        self
    }

    /// Notes the status flags that the login is answered with.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self.mode = status.into();
        self.login_status = status;
        self
    }

    /// What a text may do. Where it cannot be read as the server does, it may be anything, as it may
    /// where only its beginning has been seen.
    #[must_use]
    pub fn judge(&self, text: &[u8], whole: bool) -> Effects {
        if whole && self.can_read(text) {
            Effects::of(text, self.mode())
        } else {
            Effects::of_beginning(text)
        }
    }

    /// Whether the text, as it came from the client, may run on a database that must not grow nor
    /// change.
    #[must_use]
    pub fn allows_restricted(&self, text: &[u8]) -> bool {
        let context = self.statements.context();
        let find = |name: &[u8]| self.texts.find(name, context).map(Cow::Borrowed);
        self.can_read(text) && is_allowed(text, self.mode(), &find)
    }

    /// The same for a prepared statement, by the client's id.
    pub fn allows_prepared_restricted(&mut self, id: u32) -> bool {
        let context = self.statements.context();
        let statement = self.statements.get(id);
        let text = statement.and_then(|statement| {
            let text = statement.text.clone()?;
            // other rules may have held for its quotes
            let same = statement.context == context || !text.iter().any(|b| b"\\\"".contains(b));
            same.then_some(text)
        });
        text.is_some_and(|text| self.allows_restricted(&text))
    }

    /// Whether a text can be read as the server reads it.
    fn can_read(&self, text: &[u8]) -> bool {
        !self.double_bytes || Charset::all_read_alike(text)
    }

    /// How the server reads the next text.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.status().into()
    }

    /// The status flags a server would put into an answer now.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.deferred {
            Some(deferred) => self.status.with(deferred.status()),
            None => self.status,
        }
    }

    /// Whether a transaction is open on the server.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.status.contains(Status::IN_TRANS)
    }

    /// Whether the open transaction may have been ended by the server: a deadlock or a timeout does,
    /// and the error does not say so.
    #[must_use]
    pub fn may_have_lost_transaction(&self) -> bool {
        self.in_transaction() && self.last_failed
    }

    /// The current schema as far as it is known.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<[u8]>> {
        self.schema.as_ref()
    }

    /// How well the state is known: what would be lost if the server died now counts.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        if self.asks_sequences() {
            return Knowledge::Unknown;
        }
        self.knowledge
    }

    /// Whether the client has set `session_track_state_change`; a server's default is not to tell.
    #[must_use]
    pub fn tracks_state(&self) -> bool {
        self.tracks_state
    }

    /// Whether its backend may tell of its statements (`SHOW PROFILES`): no reset makes one forget them.
    #[must_use]
    pub fn has_profiled(&self) -> bool {
        self.profiled
    }

    /// Whether `COM_SET_OPTION` has switched multi-statements, and to what.
    #[must_use]
    pub fn multi_statements(&self) -> Option<bool> {
        self.multi_statements
    }

    /// Notes the status flags of a reply; those about one reply alone are dropped.
    pub fn saw_status(&mut self, status: Status) {
        const LASTING: Status = Status(
            Status::IN_TRANS.0
                | Status::AUTOCOMMIT.0
                | Status::NO_BACKSLASH_ESCAPES.0
                | Status::IN_TRANS_READONLY.0
                | Status::ANSI_QUOTES.0,
        );
        let before = self.status;
        self.status = Status(status.0 & LASTING.0);
        let committing = !before.contains(Status::AUTOCOMMIT) && before.contains(Status::IN_TRANS);
        if !self.in_transaction() {
            let present = std::mem::take(&mut self.present_transaction);
            if committing && self.status.contains(Status::AUTOCOMMIT) {
                self.next_transaction.extend(present);
            }
        } else if !self.next_transaction.is_empty() {
            self.present_transaction = std::mem::take(&mut self.next_transaction);
        }
        if self.in_transaction() || self.status.contains(Status::AUTOCOMMIT) {
            // what the transaction has ends with it
            self.savepoints.clear();
        }
    }

    /// The list of warnings, which is Dormouse's to answer, has been shown.
    pub fn showed(&mut self) {
        if let Some(aftermath) = &mut self.aftermath {
            aftermath.row_count = -1;
        }
    }

    /// Whether this text matters when it has run, whatever its effects are.
    #[must_use]
    pub fn wants_text(&self, text: &[u8]) -> bool {
        self.conditions > 0
            || self.aftermath.is_some()
            || !self.next_transaction.is_empty()
            || self.savepoints.any()
            || sequence_name::mentions(text)
    }

    /// What a text, as it came from the client, asks that the present backend cannot tell.
    #[must_use]
    pub fn reading(&mut self, text: &[u8], connection: Connection<'_>) -> Reading {
        let mode = self.mode();
        let executed = self.executed(text);
        let asked = executed.as_deref().unwrap_or(text);
        let read = aftermath::reading(asked, mode, self.aftermath.as_deref(), connection);
        let read = match read {
            // its own parameters are where the values would be
            Reading::Rewrite(text) if executed.is_some() && !begins_with(&text, &["SHOW"]) => {
                Reading::Cannot(aftermath::mentioned(asked, mode).unwrap_or("it"))
            }
            read => read,
        };
        let values = match &read {
            Reading::Patch(values) => Some(values.clone()),
            Reading::No => None,
            _ => return read,
        };
        match self
            .sequences
            .reading(asked, mode, self.schema.as_deref(), values)
        {
            None => read,
            Some(Ok(values)) => Reading::Patch(values),
            Some(Err(name)) => Reading::Cannot(name),
        }
    }

    /// The text that this one executes, if it is an `EXECUTE` of a known one.
    fn executed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut tokens = Lexer::new(text, self.mode());
        if !tokens.next()?.is("EXECUTE") {
            return None;
        }
        let name = tokens.next()?;
        if name.is("IMMEDIATE") {
            return literal(tokens);
        }
        let name = name.name()?;
        if !is_one_statement(tokens) {
            return None;
        }
        self.prepared_text(&name)
    }

    /// What was prepared under a name with `PREPARE`, if it is read as texts are read now.
    fn prepared_text(&self, name: &[u8]) -> Option<Vec<u8>> {
        let context = self.statements.context();
        let prepare = self.texts.find(&name.to_ascii_lowercase(), context)?;
        let mut tokens = Lexer::new(prepare, self.mode());
        tokens.by_ref().take(3).for_each(drop);
        literal(tokens)
    }

    /// What the last statement left, if Dormouse must answer for it.
    #[must_use]
    pub fn aftermath(&self) -> Option<&Aftermath> {
        self.aftermath.as_deref()
    }

    /// Notes a `COM_SET_OPTION` that succeeded.
    pub fn set_multi_statements(&mut self, on: bool) {
        self.multi_statements = Some(on);
    }

    /// Whether a reset leaves more than this session can tell without a server: its role, and a schema
    /// whose name may be in another character set than that of the login.
    #[must_use]
    pub fn outlasts_reset(&self) -> bool {
        !self.has_plain_schema()
            || self.knowledge == Knowledge::Unknown
            || self.captured.as_ref().is_some_and(|c| c.role.is_some())
            || self.log.iter().any(|text| contains(text, "ROLE"))
    }

    /// Notes a `COM_RESET_CONNECTION` that succeeded: all but the schema, the role and the options
    /// is as after the login.
    pub fn reset(&mut self) {
        let unknown = self.outlasts_reset();
        // which a reset leaves
        let found_rows = match (&self.aftermath, self.last) {
            (Some(aftermath), _) => Some(aftermath.found_rows),
            (None, Last::Is { found_rows, .. }) => Some(found_rows),
            (None, Last::Ask) => None,
        };
        *self = Self {
            multi_statements: self.multi_statements,
            was_reset: true,
            double_bytes: self.double_bytes,
            profiled: self.profiled,
            knowledge: if unknown {
                Knowledge::Unknown
            } else {
                Knowledge::Known
            },
            tainted: unknown,
            aftermath: found_rows.map(|found_rows| {
                Box::new(Aftermath {
                    found_rows,
                    ..Aftermath::default()
                })
            }),
            last: found_rows.map_or(Last::Ask, |found_rows| Last::Is {
                row_count: 0,
                found_rows,
            }),
            ..Self::new(self.schema.take()).with_status(self.login_status)
        };
    }

    /// A change of user was refused, and the backend is gone: all is wiped as by a reset but for the
    /// schema, the role and the character sets (`sql/sql_parse.cc`, `COM_CHANGE_USER`). Says whether
    /// these are known without asking a server.
    pub fn change_refused(&mut self) -> bool {
        let captured = self.captured.take();
        let sets = |text: &[u8]| may_change_parsing(text, self.mode);
        let known = !self.outlasts_reset() && !self.log.iter().any(|text| sets(text));
        self.reset();
        let schema = self.schema.clone();
        self.captured = captured.map(|captured| Box::new(captured.wiped(schema)));
        known
    }
}

#[cfg(test)]
mod tests;
