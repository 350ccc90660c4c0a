//! One client session's state, independent of the backend that happens to serve it.

use std::sync::Arc;

use dormouse_wire::status::Status;

use crate::effects::{Effects, Replay, may_change_parsing, may_lock};
use crate::pin::Pin;
use crate::probe::{Answer, Captured, Probe};
use crate::statements::Statements;

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

/// A session's state.
#[derive(Debug)]
pub struct Session {
    /// Its prepared statements.
    pub statements: Statements,
    status: Status,
    schema: Option<Arc<[u8]>>,
    captured: Option<Box<Captured>>,
    log: Vec<Box<[u8]>>,
    log_bytes: usize,
    knowledge: Knowledge,
    last_insert_id: Option<u64>,
    multi_statements: Option<bool>,
    next_transaction: bool,
    hidden_variable: bool,
    may_lock: bool,
    /// Whether anything unknown has been run since the last backend was taken.
    tainted: bool,
    pins: Vec<Pin>,
}

impl Session {
    /// A session as it is right after the login.
    #[must_use]
    pub fn new(schema: Option<Arc<[u8]>>) -> Self {
        Self {
            statements: Statements::default(),
            status: Status::AUTOCOMMIT,
            schema,
            captured: None,
            log: Vec::new(),
            log_bytes: 0,
            knowledge: Knowledge::Known,
            last_insert_id: None,
            multi_statements: None,
            next_transaction: false,
            hidden_variable: false,
            may_lock: false,
            tainted: false,
            pins: Vec::new(),
        }
    }

    /// The status flags a server would put into an answer now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.status.contains(Status::IN_TRANS)
    }

    /// The current schema as far as it is known.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<[u8]>> {
        self.schema.as_ref()
    }

    /// How well the state is known.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.knowledge
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
        self.status = Status(status.0 & LASTING.0);
        if self.in_transaction() {
            self.next_transaction = false;
        }
    }

    /// Notes the insert id of a reply.
    pub fn saw_insert_id(&mut self, id: u64) {
        if id != 0 {
            self.last_insert_id = Some(id);
        }
    }

    /// Notes that a statement with these effects has ended.
    pub fn ran(&mut self, text: &[u8], effects: Effects, failed: bool) {
        match effects {
            Effects::None => self.next_transaction &= failed,
            // a SET that fails half way may have changed something
            Effects::Replay(replay) if failed && !replay.schema => self.unknown(text),
            Effects::Replay(_) if failed => {}
            Effects::Replay(replay) => self.replayable(text, replay),
            Effects::NextTransaction => self.next_transaction = !failed,
            Effects::HiddenVariable => {
                self.hidden_variable = true;
                self.unknown(text);
            }
            Effects::Unknown => self.unknown(text),
        }
    }

    fn unknown(&mut self, text: &[u8]) {
        self.knowledge = Knowledge::Unknown;
        self.tainted = true;
        self.may_lock |= may_lock(text);
        if may_change_parsing(text) {
            self.statements.new_context();
        }
    }

    fn replayable(&mut self, text: &[u8], replay: Replay) {
        if replay.parsing {
            self.statements.new_context();
        }
        if replay.schema {
            self.schema = schema_of_use(text);
        }
        if !replay.relative
            && let Some(at) = self.log.iter().position(|entry| **entry == *text)
        {
            self.log_bytes -= self.log.remove(at).len();
        }
        if self.log.len() >= LOG_STATEMENTS || self.log_bytes + text.len() > LOG_BYTES {
            self.knowledge = Knowledge::Unknown;
            return;
        }
        self.log_bytes += text.len();
        self.log.push(text.into());
    }

    /// Notes a `COM_INIT_DB` that succeeded.
    pub fn changed_schema(&mut self, name: &[u8]) {
        let quoted = [b"USE `", name.escape_backticks().as_slice(), b"`"].concat();
        self.replayable(
            &quoted,
            Replay {
                parsing: false,
                relative: false,
                schema: true,
            },
        );
    }

    /// Notes a `COM_SET_OPTION` that succeeded.
    pub fn set_multi_statements(&mut self, on: bool) {
        self.multi_statements = Some(on);
    }

    /// Notes a `COM_RESET_CONNECTION` that succeeded: all but the schema, the role and the options
    /// is as after the login.
    pub fn reset(&mut self) {
        let role_may_differ = self.captured.as_ref().is_some_and(|c| c.role.is_some())
            || self
                .log
                .iter()
                .any(|text| text.windows(4).any(|w| w.eq_ignore_ascii_case(b"role")));
        *self = Self {
            multi_statements: self.multi_statements,
            knowledge: if role_may_differ {
                Knowledge::Unknown
            } else {
                Knowledge::Known
            },
            ..Self::new(self.schema.take())
        };
    }

    /// What a probe of the backend found; the log before it is no longer needed.
    pub fn captured(&mut self, answers: &[Answer]) {
        let (captured, pins) = Probe::read(answers, self.may_lock);
        self.pins = pins;
        if !self.pins.contains(&Pin::Unreadable) {
            self.schema.clone_from(&captured.schema);
            self.last_insert_id = None;
            self.captured = Some(Box::new(captured));
            self.log.clear();
            self.log_bytes = 0;
            self.knowledge = Knowledge::Known;
        }
    }

    /// Why the session cannot leave its backend, as of the last capture.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        let mut pins = self.pins.clone();
        let mut pin = |when: bool, pin| {
            if when {
                pins.push(pin);
            }
        };
        pin(self.in_transaction(), Pin::Transaction);
        pin(self.next_transaction, Pin::TransactionCharacteristics);
        pin(self.hidden_variable, Pin::HiddenVariable);
        let context = self.statements.context();
        pin(self.statements.iter().any(|s| s.cursor), Pin::Cursor);
        pin(self.statements.iter().any(|s| s.long_data), Pin::LongData);
        pin(
            self.statements.iter().any(|s| s.text.is_none()),
            Pin::PreparedText,
        );
        pin(
            self.statements.iter().any(|s| s.context != context),
            Pin::PreparedContext,
        );
        pins.sort_unstable();
        pins.dedup();
        pins
    }

    /// The backend is gone. What it held that no other can be given is returned: with any, the
    /// session cannot go on as if nothing had happened.
    pub fn lost_backend(&mut self) -> Vec<Pin> {
        let mut lost = self.pins();
        if self.knowledge == Knowledge::Unknown {
            lost.push(Pin::Unreadable);
        }
        self.statements.lose_backend();
        self.status = self
            .status
            .without(Status::IN_TRANS)
            .without(Status::IN_TRANS_READONLY);
        self.next_transaction = false;
        self.hidden_variable = false;
        self.may_lock = false;
        self.tainted = false;
        self.pins.clear();
        self.knowledge = Knowledge::Known;
        lost
    }

    /// The statements that bring a new backend to the session's state. The schema is set first, by
    /// `COM_INIT_DB` in UTF-8, to [`restore_schema`](Self::restore_schema).
    #[must_use]
    pub fn restore(&self) -> Vec<Vec<u8>> {
        let captured = self.captured.iter().flat_map(|captured| captured.restore());
        let mut all: Vec<Vec<u8>> = captured.map(String::into_bytes).collect();
        all.extend(self.log.iter().map(|text| text.to_vec()));
        if let Some(id) = self.last_insert_id {
            all.push(format!("SET last_insert_id = {id}").into_bytes());
        }
        all
    }

    /// What distinguishes this session's state from that after the login, apart from its schema
    /// and `LAST_INSERT_ID()`. Two sessions with the same overlay can follow each other on a
    /// backend without a reset.
    #[must_use]
    pub fn overlay(&self) -> Vec<Vec<u8>> {
        let captured = self.captured.iter().flat_map(|captured| captured.restore());
        let mut all: Vec<Vec<u8>> = captured.map(String::into_bytes).collect();
        let is_use = |text: &[u8]| {
            crate::lexer::Lexer::new(text)
                .next()
                .is_some_and(|t| t.is("USE"))
        };
        all.extend(
            self.log
                .iter()
                .filter(|text| !is_use(text))
                .map(|text| text.to_vec()),
        );
        all
    }

    /// Whether its backend may hold something that the overlay does not tell.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        self.tainted || self.knowledge == Knowledge::Unknown
    }

    /// Whether it could leave its backend now, without a probe.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.knowledge == Knowledge::Known && self.pins().is_empty()
    }

    /// Its `LAST_INSERT_ID()`.
    #[must_use]
    pub fn last_insert_id(&self) -> u64 {
        let captured = self
            .captured
            .as_ref()
            .map_or(0, |captured| captured.last_insert_id);
        self.last_insert_id.unwrap_or(captured)
    }

    /// The schema to set before [`restore`](Self::restore): as of the last capture or the login,
    /// since the log holds what has changed it after.
    #[must_use]
    pub fn restore_schema(&self) -> Option<&Arc<[u8]>> {
        match &self.captured {
            Some(captured) => captured.schema.as_ref(),
            None => self.schema.as_ref(),
        }
    }
}

trait EscapeBackticks {
    fn escape_backticks(&self) -> Vec<u8>;
}

impl EscapeBackticks for [u8] {
    fn escape_backticks(&self) -> Vec<u8> {
        self.iter()
            .flat_map(|&b| std::iter::repeat_n(b, 1 + usize::from(b == b'`')))
            .collect()
    }
}

fn schema_of_use(text: &[u8]) -> Option<Arc<[u8]>> {
    use crate::lexer::{Lexer, Token};
    match Lexer::new(text).nth(1)? {
        Token::Word(name) => Some(name.into()),
        Token::Quoted(name) => {
            let name = String::from_utf8_lossy(name).replace("``", "`");
            Some(name.into_bytes().into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
