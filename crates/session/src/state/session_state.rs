//! The state itself, and questions about what it is now.

use std::borrow::Cow;
use std::sync::Arc;

use dormouse_wire::status::Status;

use super::certainty::Certainty;
use super::deferred::Deferred;
use super::last_statement::LastStatement;
use super::next_transaction::NextTransaction;
use super::on_backend::{BackendState, Leftover};
use super::replay_log::ReplayLog;
use super::role::Role;
use crate::carried::Carried;
use crate::diagnostics::{Diagnostics, Format, Override, mentioned, override_for};
use crate::effects::Effects;
use crate::lexer::{Charset, Lexer, Mode, is_one_statement};
use crate::literal::{literal, quoted};
use crate::replay::TransactionLog;
use crate::restricted::is_allowed;
use crate::sequence_name;
use crate::sequences::{Put, Sequences};
use crate::statements::Statements;
use crate::text_prepared::TextPrepared;

/// The flags that last from one statement to the next.
const LASTING: Status = Status(
    Status::IN_TRANS.0
        | Status::AUTOCOMMIT.0
        | Status::NO_BACKSLASH_ESCAPES.0
        | Status::IN_TRANS_READONLY.0
        | Status::ANSI_QUOTES.0,
);

/// Collations of big5, sjis, gbk and cp932, in which a `\` or a backtick may be half a character.
const DOUBLE_BYTE_COLLATIONS: [u8; 8] = [1, 84, 13, 88, 28, 87, 95, 96];

/// A session's state.
///
/// A caller that passes statements on uses, for each: [`judge`](Self::judge) before it,
/// [`saw_status`](Self::saw_status) and [`ran`](Self::ran) after it. A caller that gives backends up uses [`needs_probe`](Self::needs_probe), [`pins`](Self::pins) and
/// [`leave`](Self::leave), and on the next backend [`restore`](Self::restore).
///
/// ```
/// use dormouse_session::{Certainty, Depth, Effects, Kind, SessionState};
/// use dormouse_wire::framer::ReplyEnd;
///
/// let mut session = SessionState::new(None);
/// let mut run = |text: &[u8]| {
///     let effects = session.judge(text, true);
///     // the server runs it, and replies with OK
///     session.ran(text, effects, Kind::of(text), &ReplyEnd::default());
///     (effects, session.certainty())
/// };
/// // running this text again makes the same change
/// let (effects, certainty) = run(b"SET time_zone = '+01:00'");
/// assert!(matches!(effects, Effects::Replay(_)));
/// assert_eq!(certainty, Certainty::Known);
/// assert!(session.is_free());
///
/// // the session moves to another backend, which these statements bring to its state
/// session.leave();
/// assert_eq!(session.restore(), [b"SET time_zone = '+01:00'".to_vec()]);
///
/// // the value of a user variable may be anything: a probe must read it from the backend
/// let text = b"SET @a = UUID()";
/// let effects = session.judge(text, true);
/// session.ran(text, effects, Kind::of(text), &ReplyEnd::default());
/// assert_eq!(session.certainty(), Certainty::Unknown);
/// assert!(session.needs_probe() && !session.is_free());
/// assert!(!session.probe(Depth::Needed, 7).questions().is_empty());
/// ```
#[derive(Debug)]
pub struct SessionState {
    /// Its prepared statements.
    pub statements: Statements,
    /// What its open transaction has done, or the one that its last backend had when it was lost.
    pub transaction: Option<Box<TransactionLog>>,
    pub(super) status: Status,
    /// The status flags of the login's answer.
    pub(super) login_status: Status,
    /// How the server reads the next text. The status flags tell, but not always the truth: see
    /// [`sql_mode`](crate::effects::sql_mode).
    pub(super) mode: Mode,
    /// Whether a reply of the backend has told the mode.
    pub(super) mode_was_told: bool,
    /// How the server read the last text that has run.
    pub(super) last_mode: Mode,
    /// Whether texts are read as the server does: not if the client's character set may be a
    /// double-byte one.
    pub(super) charset: Certainty,
    pub(super) schema: Option<Arc<[u8]>>,
    pub(super) log: ReplayLog,
    pub(super) next_transaction: NextTransaction,
    pub(super) last: LastStatement,
    pub(super) texts: TextPrepared,
    pub(super) sequences: Sequences,
    pub(super) backend: BackendState,
    /// A transaction said to be open while the server slept.
    pub(super) deferred: Option<Box<Deferred>>,
    multi_statements: Option<bool>,
    /// What is made again on the next backend.
    pub(super) carried: Option<Box<Carried>>,
    /// The session's own value of `session_track_state_change`, if it may differ from the global one: backends have
    /// Dormouse's.
    pub(super) state_tracking: Option<bool>,
    /// Whether `COM_RESET_CONNECTION` has been seen.
    pub(super) was_reset: bool,
}

impl SessionState {
    /// A session as it is right after the login.
    #[must_use]
    pub fn new(schema: Option<Arc<[u8]>>) -> Self {
        Self {
            statements: Statements::default(),
            transaction: None,
            status: Status::AUTOCOMMIT,
            login_status: Status::AUTOCOMMIT,
            mode: Mode::default(),
            mode_was_told: false,
            last_mode: Mode::default(),
            charset: Certainty::Known,
            schema,
            log: ReplayLog::default(),
            next_transaction: NextTransaction::default(),
            last: LastStatement::none(Some(0)),
            texts: TextPrepared::default(),
            sequences: Sequences::default(),
            backend: BackendState::default(),
            deferred: None,
            multi_statements: None,
            carried: None,
            state_tracking: None,
            was_reset: false,
        }
    }

    /// Notes the collation of the login.
    #[must_use]
    pub fn with_collation(mut self, collation: u8) -> Self {
        if DOUBLE_BYTE_COLLATIONS.contains(&collation) {
            self.charset = Certainty::Doubtful;
        }
        self
    }

    /// Notes the status flags that the login is answered with.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self.mode = status.into();
        self.last_mode = self.mode;
        self.login_status = status;
        self
    }

    /// What a text may do. If it cannot be read as the server reads it, or only its beginning is known, it
    /// may do anything.
    #[must_use]
    pub fn judge(&self, text: &[u8], whole: bool) -> Effects {
        if whole && self.can_read(text) {
            Effects::of(text, self.mode())
        } else {
            Effects::of_beginning(text)
        }
    }

    /// Whether a text may run on a database that must not grow nor change.
    #[must_use]
    pub fn allows_restricted(&self, text: &[u8]) -> bool {
        let context = self.statements.parsing_context();
        let find = |name: &[u8]| self.texts.find(name, context).map(Cow::Borrowed);
        self.can_read(text) && is_allowed(text, self.mode(), &find)
    }

    /// The same for a prepared statement, by the client's id.
    pub fn allows_prepared_restricted(&mut self, id: u32) -> bool {
        let context = self.statements.parsing_context();
        let statement = self.statements.get(id);
        let text = statement.and_then(|statement| {
            let text = statement.text.clone()?;
            // its quotes may have been parsed in another mode
            let same =
                statement.parsing_context == context || !text.iter().any(|b| b"\\\"".contains(b));
            same.then_some(text)
        });
        text.is_some_and(|text| self.allows_restricted(&text))
    }

    /// Whether a text can be read as the server reads it.
    #[must_use]
    pub fn can_read(&self, text: &[u8]) -> bool {
        self.charset == Certainty::Known || Charset::all_read_alike(text)
    }

    /// How the server reads the next text.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The status flags a server would put into an answer now.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.deferred {
            Some(deferred) => self.status.with(deferred.status),
            None => self.status,
        }
    }

    /// Whether a transaction is open on the server.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.status.contains(Status::IN_TRANS)
    }

    /// Whether the server may have ended the open transaction: a deadlock or a timeout does, and the error's
    /// packet has no status flags.
    #[must_use]
    pub fn may_have_lost_transaction(&self) -> bool {
        self.in_transaction() && self.last.failed()
    }

    /// The current schema, as far as known.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<[u8]>> {
        self.schema.as_ref()
    }

    /// The session's role, if it is certain.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        let known = self.backend.certainty == Certainty::Known;
        known.then(|| self.log.role()).flatten()
    }

    /// How well the state is known, values of sequences included.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        if self.asks_sequences() {
            Certainty::Unknown
        } else {
            self.backend.certainty
        }
    }

    /// The session's own value of `session_track_state_change`; `None`: the global one.
    #[must_use]
    pub fn state_tracking(&self) -> Option<bool> {
        self.state_tracking
    }

    /// Notes the session's own value of `session_track_state_change`.
    pub fn set_state_tracking(&mut self, on: bool) {
        self.state_tracking = Some(on);
    }

    /// Whether its backend may have profiles of its statements (`SHOW PROFILES`): no reset removes them.
    #[must_use]
    pub fn has_profiled(&self) -> bool {
        self.backend.leftover == Leftover::Permanent
    }

    /// What `COM_SET_OPTION` has set multi-statements to, if it was used.
    #[must_use]
    pub fn multi_statements(&self) -> Option<bool> {
        self.multi_statements
    }

    /// Notes a `COM_SET_OPTION` that succeeded.
    pub fn set_multi_statements(&mut self, on: bool) {
        self.multi_statements = Some(on);
    }

    /// Notes the status flags of a reply; those about one reply alone are dropped.
    pub fn saw_status(&mut self, status: Status) {
        let before = self.status;
        self.status = Status(status.0 & LASTING.0);
        self.next_transaction
            .saw_status(before, self.status, &mut self.backend.transaction);
        self.follow_transaction(before);
        if self.in_transaction() || self.status.contains(Status::AUTOCOMMIT) {
            // they ended with their transaction, or the flags show it now
            self.backend.savepoints.clear();
        }
    }

    /// Notes the status flags with which a server has answered `COM_RESET_CONNECTION`: those of a login now.
    pub fn begins_with_status(&mut self, status: Status) {
        self.login_status = Status(status.0 & LASTING.0);
        self.status = self.login_status;
        self.mode = self.status.into();
        self.last_mode = self.mode;
    }

    /// Keeps what an open transaction does, from its begin to its end.
    fn follow_transaction(&mut self, before: Status) {
        if !self.in_transaction() {
            self.transaction = None;
        } else if !before.contains(Status::IN_TRANS) {
            let id = format!("SET last_insert_id = {}", self.last_insert_id());
            let used = self.backend.transaction.iter().cloned();
            let before = std::iter::once(id.into_bytes().into()).chain(used);
            self.transaction = Some(Box::new(TransactionLog::begin(before)));
        }
    }

    /// Whether the next reply may be one of a transaction.
    #[must_use]
    pub fn keeps_replies(&self) -> bool {
        self.in_transaction() || !self.status.contains(Status::AUTOCOMMIT)
    }

    /// Notes that the lost transaction has been run again, and the status flags of its last reply.
    pub fn replayed(&mut self, status: Status) {
        let log = self.transaction.take();
        self.saw_status(status);
        self.transaction = log;
        // its statements may have called stored code
        self.backend.doubt(Certainty::Doubtful);
    }

    /// Whether its client has set the time that its statements see.
    #[must_use]
    pub fn has_own_time(&self) -> bool {
        self.log.has_timestamp()
    }

    /// A statement has run elsewhere than on the session's backend; this is what it left.
    pub fn ran_elsewhere(&mut self, left: Diagnostics) {
        self.last.ran_elsewhere(left);
        self.last_mode = self.mode;
    }

    /// Global variables were set while the session has a backend. It keeps the values with which it began: its backend
    /// has them and is probed before it leaves.
    pub fn globals_were_set(&mut self) {
        self.backend.doubt(Certainty::Unknown);
    }

    /// The list of warnings, which Dormouse has kept, was shown.
    pub fn showed(&mut self) {
        self.last.showed();
    }

    /// What the last statement left, if Dormouse must answer for it.
    #[must_use]
    pub fn diagnostics(&self) -> Option<&Diagnostics> {
        self.last.kept()
    }

    /// The session's `LAST_INSERT_ID()`.
    #[must_use]
    pub fn last_insert_id(&self) -> u64 {
        self.last.insert_id()
    }

    /// How the server's answer to a text must be replaced, because the present backend would answer wrongly.
    /// `executed` is the text that it [executes](Self::executed).
    #[must_use]
    pub fn override_for(
        &mut self,
        text: &[u8],
        executed: Option<&[u8]>,
        socket: &str,
        format: Format,
    ) -> Override {
        let mode = self.mode();
        let asked = executed.unwrap_or(text);
        let read = override_for(asked, mode, self.last.kept(), socket, format);
        let (new, values) = match &read {
            Override::Rewrite(new) => (Some(&**new), None),
            Override::PatchRow(values) => (None, Some(values.clone())),
            Override::None if format == Format::Text => (None, Some(Vec::new())),
            Override::None => (None, None),
            // the text itself is sent
            Override::PutBack(..) => {
                let schema = self.schema.as_deref();
                return match self.sequences.put(asked, mode, schema, None) {
                    None => read,
                    Some(_) => Override::Refuse("LASTVAL()"),
                };
            }
            Override::List(..) | Override::Refuse(_) => return read,
        };
        let schema = self.schema.as_deref();
        let read = match self
            .sequences
            .put(new.unwrap_or(asked), mode, schema, values)
        {
            None => read,
            Some(Put::Row(values)) => Override::PatchRow(values),
            Some(Put::Text(text)) => Override::Rewrite(text),
            Some(Put::Refuse(name)) => Override::Refuse(name),
        };
        match read {
            Override::Rewrite(new) if executed.is_some() => match self.can_read(&new) {
                true => Override::Rewrite(with_parameters(text, new, mode)),
                false => Override::Refuse(mentioned(asked, mode).unwrap_or("LASTVAL()")),
            },
            read => read,
        }
    }

    /// The text that this one executes, if it is an `EXECUTE` of a known one.
    #[must_use]
    pub fn executed(&self, text: &[u8]) -> Option<Vec<u8>> {
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
    pub(super) fn prepared_text(&self, name: &[u8]) -> Option<Vec<u8>> {
        let context = self.statements.parsing_context();
        let prepare = self.texts.find(&name.to_ascii_lowercase(), context)?;
        let mut tokens = Lexer::new(prepare, self.mode());
        tokens.by_ref().take(3).for_each(drop);
        literal(tokens)
    }

    /// Whether [`ran`](Self::ran) needs this text even if it has no effects.
    #[must_use]
    pub fn wants_text(&self, text: &[u8]) -> bool {
        self.last.has_conditions()
            || self.last.kept().is_some()
            || !self.next_transaction.is_empty()
            || self.backend.savepoints.any()
            || self.backend.temporaries.may_exist()
            || sequence_name::mentions(text)
    }

    /// Whether a reset leaves something that is not known without a server: the role, and a schema whose
    /// name may be in another character set than the login's.
    #[must_use]
    pub fn outlasts_reset(&self) -> bool {
        !self.has_plain_schema()
            || self.backend.certainty == Certainty::Unknown
            || self.log.may_set_role()
    }

    /// Notes a `COM_RESET_CONNECTION` that succeeded: all is as after the login except the schema, the role
    /// and the options.
    pub fn reset(&mut self) {
        let certainty = if self.outlasts_reset() {
            Certainty::Unknown
        } else {
            Certainty::Known
        };
        *self = Self {
            multi_statements: self.multi_statements,
            was_reset: true,
            charset: self.charset,
            backend: self.backend.after_reset(certainty),
            last: LastStatement::none(self.last.found_rows()),
            ..Self::new(self.schema.take()).with_status(self.login_status)
        };
    }

    /// Notes that a change of user was refused, and the backend closed: all is as after a reset except the
    /// schema, the role and the character sets (`sql/sql_parse.cc`, `COM_CHANGE_USER`). Returns whether
    /// these are known without a server.
    pub fn change_refused(&mut self) -> bool {
        let captured = self.log.take_captured();
        let known = !self.outlasts_reset() && !self.log.may_change_parsing(self.last_mode);
        self.reset();
        if let Some(captured) = captured {
            self.log.capture(captured.wiped(self.schema.clone()));
        }
        known
    }
}

/// What is sent in the place of an `EXECUTE` of another text: that text, or an `EXECUTE IMMEDIATE` of it with the same
/// parameters.
fn with_parameters(execute: &[u8], text: Vec<u8>, mode: Mode) -> Vec<u8> {
    let using = Lexer::new(execute, mode)
        .spanned()
        .find(|span| span.token.is("USING"));
    let Some(parameters) = using.and_then(|using| execute.get(using.start..)) else {
        return text;
    };
    let text = quoted(&text, mode);
    [b"EXECUTE IMMEDIATE ", &*text, b" ", parameters].concat()
}
