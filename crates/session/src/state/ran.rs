//! Updates the state after a statement has run.

use std::borrow::Cow;
use std::sync::Arc;

use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::status::Status;

use super::certainty::Certainty;
use super::on_backend::Leftover;
use super::session_state::SessionState;
use crate::diagnostics;
use crate::effects::sql_mode::may_set_mode;
use crate::effects::words::{may_change_parsing, names_double_bytes};
use crate::effects::{Effects, Kind, Replay};
use crate::lexer::{Lexer, Mode, Token, begins_with, contains};
use crate::literal::quoted_name;
use crate::sequence_name;

/// `ER_PARSE_ERROR`.
const SYNTAX: u16 = 1064;
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const DENIED: u16 = 1227;
/// Errors of statements that began no transaction: a syntax error, a missing table, a change where a transaction may
/// only read. (Not a missing column: the table is open by then.)
const BEFORE_RUNNING: [u16; 3] = [SYNTAX, 1146, 1792];

impl SessionState {
    /// Notes that a command other than a statement has run for the client; `text` is the text that it
    /// prepared, if any.
    pub fn ran_command(&mut self, text: &[u8], end: &ReplyEnd) {
        self.ended(text, Effects::Counted, Kind::Other, end);
        self.last_mode = self.mode;
    }

    /// Notes that a text was prepared with the protocol, successfully or not.
    pub fn prepared(&mut self, text: &[u8], end: &ReplyEnd) {
        self.last.prepared(text, self.last_mode, end);
        self.last_mode = self.mode;
    }

    /// Notes what a statement leaves for later statements to ask.
    pub(super) fn ended(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        let settings = matches!(
            effects,
            Effects::Replay(_) | Effects::NextTransaction | Effects::Timestamp | Effects::Savepoint
        );
        if effects == Effects::Unknown || kind != Kind::Select && !settings {
            self.sequences.mark_stale();
        }
        self.last.ended(text, self.last_mode, effects, kind, end);
    }

    /// Notes that a statement with these effects has ended.
    pub fn ran(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        let schema = self.schema.clone();
        self.ran_within(schema.as_deref(), text, effects, kind, end);
    }

    /// Notes that the statement that has ended may have run stored code that changes the session in ways that no reply
    /// reports. `certainty`: how well the state is known then.
    pub fn ran_stored_code(&mut self, certainty: Certainty) {
        self.sequences.mark_stale();
        self.backend.doubt(certainty);
    }

    /// The same for a statement whose names were looked up in this schema when it was prepared.
    pub fn ran_within(
        &mut self,
        schema: Option<&[u8]>,
        text: &[u8],
        effects: Effects,
        kind: Kind,
        end: &ReplyEnd,
    ) {
        self.ended(text, effects, kind, end);
        self.changed(schema, text, effects, end);
        self.follow_mode(text);
        self.last_mode = self.mode;
    }

    /// Notes how the server reads the next text, as the status flags tell; but not if this text is not what has changed
    /// them.
    fn follow_mode(&mut self, text: &[u8]) {
        let told: Mode = self.status.into();
        if told == self.mode {
            self.mode_was_told = true;
            return;
        }
        let (texts, context) = (&self.texts, self.statements.parsing_context());
        let believed = !self.mode_was_told
            || !self.can_read(text)
            || may_set_mode(text, self.mode, |name| texts.find(name, context));
        if believed {
            self.mode = told;
            self.mode_was_told = true;
        }
    }

    fn changed(&mut self, schema: Option<&[u8]>, text: &[u8], effects: Effects, end: &ReplyEnd) {
        let failed = end.error.is_some();
        self.noted(text, schema, failed);
        if effects != Effects::None && contains(text, "PROFILING") {
            let switched = switches_profiling(text, self.last_mode);
            if switched != Some(false) {
                self.backend.leaves(Leftover::Permanent);
            }
            self.backend.profiling = !failed && switched == Some(true);
        }
        if !self.next_transaction.is_empty() {
            self.note_next_transaction(text, effects, end);
        }
        match effects {
            Effects::None | Effects::Counted | Effects::Savepoint if failed => self.failed(end),
            // stored code has changed something
            Effects::None | Effects::Counted | Effects::Savepoint if end.session_changes => {
                self.unknown(text);
            }
            Effects::None | Effects::Counted | Effects::Savepoint => {
                if self.backend.temporaries.may_exist() {
                    self.backend
                        .temporaries
                        .ran(text, self.last_mode, self.schema.as_deref());
                    self.unknown(text);
                }
            }
            // the SET may have succeeded, and an empty statement after a semicolon have failed
            Effects::NextTransaction | Effects::Timestamp
                if failed && ends_early(text, self.last_mode) =>
            {
                self.backend.hidden_variable = true;
                self.unknown(text);
            }
            Effects::NextTransaction | Effects::Timestamp if failed => {}
            Effects::Replay(replay)
                if failed && replay.schema && !ends_early(text, self.last_mode) => {}
            // a SET that fails half way may have changed something
            Effects::Replay(_) if failed => self.unknown(text),
            Effects::Replay(replay) => self.replayable(text, replay),
            Effects::NextTransaction => {
                if !self.next_transaction.add(text) {
                    self.backend.hidden_variable = true;
                }
                self.backend.leaves(Leftover::UntilReset);
            }
            Effects::Timestamp => self.log.set_timestamp(text),
            // a SET sets nothing if one of its variables is denied
            Effects::HiddenVariable
                if end.error == Some(DENIED) && !ends_early(text, self.last_mode) =>
            {
                self.unknown(text);
            }
            Effects::HiddenVariable => {
                self.backend.hidden_variable = true;
                self.unknown(text);
            }
            Effects::Unknown => {
                if failed {
                    self.texts.failed(text, self.last_mode);
                } else {
                    self.backend.locks.succeeded(text, self.last_mode);
                    let context = self.statements.parsing_context();
                    self.backend
                        .temporaries
                        .ran(text, self.last_mode, self.schema.as_deref());
                    self.texts
                        .ran(text, self.last_mode, self.schema.as_ref(), context);
                }
                self.unknown(text);
            }
        }
    }

    /// Notes what a text has done to savepoints and sequences.
    fn noted(&mut self, text: &[u8], schema: Option<&[u8]>, failed: bool) {
        if sequence_name::mentions(text) {
            self.sequences.ran(text, self.last_mode, schema, failed);
            if self.sequences.any() {
                self.backend.leaves(Leftover::UntilReset);
            }
        }
        if self.status.contains(Status::AUTOCOMMIT) || self.in_transaction() {
            return;
        }
        let mut savepoints = std::mem::take(&mut self.backend.savepoints);
        savepoints.ran(text, self.last_mode, failed, &|name| {
            self.prepared_text(name).map(Cow::Owned)
        });
        self.backend.savepoints = savepoints;
    }

    /// Notes an error: its reply does not report changes of state. A syntax error has changed nothing, but
    /// any other may come from a stored function that has already changed something.
    fn failed(&mut self, end: &ReplyEnd) {
        if end.error.is_some_and(|error| error != SYNTAX) {
            self.backend.doubt(Certainty::Doubtful);
        }
    }

    /// Notes whether a statement has used what `SET TRANSACTION` had set. In doubt the session is pinned,
    /// because that can be neither read nor set again.
    fn note_next_transaction(&mut self, text: &[u8], effects: Effects, end: &ReplyEnd) {
        let control = begins_with(text, &["BEGIN", "START", "COMMIT", "ROLLBACK"]);
        if text.is_empty() || diagnostics::keeps_warnings(text, self.last_mode) && !control {
            return;
        }
        match (effects, end.error) {
            (_, Some(error)) if BEFORE_RUNNING.contains(&error) => {}
            // a query of server tables alone may leave it for the next statement
            (Effects::None | Effects::Counted, None)
                if begins(text) && !contains(text, "_SCHEMA") =>
            {
                self.next_transaction.clear();
            }
            (Effects::Replay(_) | Effects::NextTransaction | Effects::Timestamp, _) => {}
            _ => self.backend.hidden_variable = true,
        }
    }

    fn unknown(&mut self, text: &[u8]) {
        self.backend.doubt(Certainty::Unknown);
        let (texts, context) = (&self.texts, self.statements.parsing_context());
        self.backend
            .locks
            .ran(text, self.last_mode, |name| texts.find(name, context));
        if may_change_parsing(text, self.last_mode) {
            self.note_charset(text);
            self.statements.new_parsing_context();
        }
    }

    fn replayable(&mut self, text: &[u8], replay: Replay) {
        if replay.parsing {
            self.note_charset(text);
            self.statements.new_parsing_context();
        }
        if replay.schema {
            match schema_of_use(text, self.last_mode) {
                Some(schema) => self.schema = Some(schema),
                None => return self.unknown(text),
            }
        }
        if !self.log.add(text, replay.relative) {
            self.backend.certainty = Certainty::Unknown;
        }
    }

    /// Notes that a text may have set the client's character set.
    fn note_charset(&mut self, text: &[u8]) {
        if names_double_bytes(text) {
            self.charset.lower_to(Certainty::Doubtful);
        }
    }

    /// Begins the session as if its client had switched autocommit on, unless it is on.
    #[must_use]
    pub fn with_autocommit(mut self) -> Self {
        if !self.status.contains(Status::AUTOCOMMIT) {
            self.status = self.status.with(Status::AUTOCOMMIT);
            let on = Replay {
                parsing: false,
                relative: false,
                schema: false,
            };
            self.replayable(b"SET autocommit = 1", on);
        }
        self
    }

    /// Begins the session as a server does for a client that logs in with `IGNORE_SPACE`. The backend is not told of it
    /// at its login: only a login sets it, and after a reset or a change of user it is gone.
    #[must_use]
    pub fn with_ignore_space(mut self) -> Self {
        let changes = Replay {
            parsing: true,
            relative: true,
            schema: false,
        };
        self.replayable(
            b"SET sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE')",
            changes,
        );
        self
    }

    /// Notes a `COM_INIT_DB` that succeeded.
    pub fn changed_schema(&mut self, name: &[u8]) {
        self.replayable(
            &[b"USE ", &*quoted_name(name)].concat(),
            Replay {
                parsing: false,
                relative: false,
                schema: true,
            },
        );
    }
}

/// Whether a text that succeeds has begun or ended a transaction.
fn begins(text: &[u8]) -> bool {
    const WORDS: [&str; 8] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN", "COMMIT", "ROLLBACK",
    ];
    begins_with(text, &WORDS)
}

/// Whether a text has a semicolon. A server takes even a comment after it as a statement: an empty one,
/// which is an error.
fn ends_early(text: &[u8], mode: Mode) -> bool {
    Lexer::new(text, mode).any(|token| token == Token::Semicolon)
}

/// What a text surely switches profiling to: it is a `SET profiling = 1` or `0` and nothing else.
fn switches_profiling(text: &[u8], mode: Mode) -> Option<bool> {
    let told = |token: &Token<'_>| {
        let scope = token.is_any(&["SESSION", "LOCAL"]);
        !scope
            && !matches!(
                token,
                Token::SystemVariable | Token::Semicolon | Token::Other(b'.' | b':')
            )
    };
    let tokens: Vec<Token<'_>> = Lexer::new(text, mode).filter(told).collect();
    match tokens.as_slice() {
        [set, name, Token::Other(b'='), value] if set.is("SET") && name.names("PROFILING") => {
            let on = *value == Token::Number(b"1") || value.is_any(&["ON", "TRUE"]);
            let off = *value == Token::Number(b"0") || value.is_any(&["OFF", "FALSE"]);
            (on || off).then_some(on)
        }
        _ => None,
    }
}

fn schema_of_use(text: &[u8], mode: Mode) -> Option<Arc<[u8]>> {
    let name = Lexer::new(text, mode).nth(1)?.name()?;
    Some(name.into_owned().into())
}
