//! A statement runs: what it changes, and what the next ones may ask about it.

use std::borrow::Cow;
use std::sync::Arc;

use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::status::Status;

use super::{Knowledge, LOG_BYTES, LOG_STATEMENTS, Last, Session};
use crate::aftermath;
use crate::effects::words::{may_change_parsing, names_double_bytes};
use crate::effects::{Effects, Kind, Replay};
use crate::lexer::{Lexer, Mode, Token, begins_with, contains};
use crate::literal::quoted_name;
use crate::sequence_name;

/// `ER_PARSE_ERROR`.
const SYNTAX: u16 = 1064;
/// Errors of statements that began no transaction: a syntax error, a missing table or column, a change
/// where a transaction may only read.
const BEFORE_RUNNING: [u16; 4] = [SYNTAX, 1146, 1054, 1792];

impl Session {
    /// A statement with these effects is about to run: its own reply may already tell what it asks
    /// to be told.
    pub fn will_run(&mut self, text: &[u8], effects: Effects) {
        let sets = matches!(effects, Effects::Replay(_) | Effects::Unknown);
        self.tracks_state |= sets && sets_tracking(text, self.mode());
    }

    /// Something other than a statement has run for the client; `text` is what was prepared, if
    /// that is what it did.
    pub fn ran_command(&mut self, text: &[u8], end: &ReplyEnd) {
        self.ended(text, Effects::Counted, Kind::Other, end);
        self.mode = self.status.into();
    }

    /// Notes what a statement leaves for the next to ask.
    pub(super) fn ended(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        let left = self.aftermath.take().filter(|_| end.error.is_none());
        let told = !matches!(effects, Effects::Counted | Effects::Unknown);
        self.aftermath = left
            .and_then(|aftermath| aftermath.after(text, self.mode, end, told))
            .map(Box::new);
        let settings = matches!(
            effects,
            Effects::Replay(_) | Effects::NextTransaction | Effects::Timestamp | Effects::Savepoint
        );
        if effects == Effects::Unknown || kind != Kind::Select && !settings {
            self.sequences.may_have_advanced();
        }
        if end.last_insert_id != 0 {
            // or it was given, and then LAST_INSERT_ID() is what it was
            self.last_insert_id = end.last_insert_id;
            self.id_unsure = true;
        }
        self.id_unsure |= matches!(effects, Effects::Counted | Effects::Unknown);
        self.last_failed = end.error.is_some();
        if self.last_failed || end.warnings > 0 || !aftermath::keeps_warnings(text, self.mode) {
            self.conditions = end.warnings.max(u16::from(self.last_failed));
        }
        let certain =
            self.conditions == 0 && !matches!(effects, Effects::Counted | Effects::Unknown);
        let affected = i64::try_from(end.affected).unwrap_or(-1);
        self.last = match (kind, end.rows, self.last) {
            (Kind::Select, Some(found_rows), _) if certain => Last::Is {
                row_count: -1,
                found_rows,
            },
            (Kind::Change, None, Last::Is { found_rows, .. }) if certain => Last::Is {
                row_count: affected,
                found_rows,
            },
            _ => Last::Ask,
        };
    }

    /// Notes that a statement with these effects has ended.
    pub fn ran(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        let schema = self.schema.clone();
        self.ran_within(schema.as_deref(), text, effects, kind, end);
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
        // what the text may have changed holds for the next one
        self.mode = self.status.into();
    }

    fn changed(&mut self, schema: Option<&[u8]>, text: &[u8], effects: Effects, end: &ReplyEnd) {
        let failed = end.error.is_some();
        self.noted(text, schema, failed);
        self.profiled |= effects != Effects::None && names_profiling(text);
        if !self.next_transaction.is_empty() {
            self.may_have_begun(text, effects, end);
        }
        match effects {
            Effects::None | Effects::Counted | Effects::Savepoint if failed => self.failed(end),
            // stored code has changed something
            Effects::None | Effects::Counted | Effects::Savepoint if end.session_changes => {
                self.unknown(text);
            }
            Effects::None | Effects::Counted | Effects::Savepoint => {
                if self.temporaries.may_exist() {
                    self.temporaries
                        .ran(text, self.mode, self.schema.as_deref());
                    self.unknown(text);
                }
            }
            // the error may be that of an empty statement behind a semicolon
            Effects::NextTransaction | Effects::Timestamp
                if failed && ends_early(text, self.mode) =>
            {
                self.hidden_variable = true;
                self.unknown(text);
            }
            Effects::NextTransaction | Effects::Timestamp if failed => {}
            Effects::Replay(replay) if failed && replay.schema && !ends_early(text, self.mode) => {}
            // a SET that fails half way may have changed something
            Effects::Replay(_) if failed => self.unknown(text),
            Effects::Replay(replay) => self.replayable(text, replay),
            Effects::NextTransaction => {
                self.next_transaction.retain(|former| **former != *text);
                self.next_transaction.push(text.into());
                if self.next_transaction.len() > LOG_STATEMENTS {
                    self.hidden_variable = true;
                }
                self.tainted = true;
            }
            Effects::Timestamp => self.timestamp = Some(text.into()),
            Effects::HiddenVariable => {
                self.hidden_variable = true;
                self.unknown(text);
            }
            Effects::Unknown => {
                if failed {
                    self.texts.failed(text, self.mode);
                } else {
                    self.locks.succeeded(text, self.mode);
                    let context = self.statements.context();
                    self.temporaries
                        .ran(text, self.mode, self.schema.as_deref());
                    self.texts
                        .ran(text, self.mode, self.schema.as_ref(), context);
                }
                self.unknown(text);
            }
        }
    }

    /// Notes what a text has done to savepoints and sequences.
    fn noted(&mut self, text: &[u8], schema: Option<&[u8]>, failed: bool) {
        if sequence_name::mentions(text) {
            self.sequences.ran(text, self.mode, schema, failed);
            self.tainted |= self.sequences.any();
        }
        if self.status.contains(Status::AUTOCOMMIT) || self.in_transaction() {
            return;
        }
        let mut savepoints = std::mem::take(&mut self.savepoints);
        savepoints.ran(text, self.mode, failed, &|name| {
            self.prepared_text(name).map(Cow::Owned)
        });
        self.savepoints = savepoints;
    }

    /// A server says nothing of changes in the reply to a statement that failed. A syntax error
    /// has changed nothing; a missing table may be one that a function, half way through, asks for.
    fn failed(&mut self, end: &ReplyEnd) {
        if end.error.is_some_and(|error| error != SYNTAX) {
            self.doubtful = true;
            self.tainted = true;
        }
    }

    /// Whether a statement has used up what `SET TRANSACTION` had set. In doubt it pins: it can be
    /// neither read back nor set again.
    fn may_have_begun(&mut self, text: &[u8], effects: Effects, end: &ReplyEnd) {
        let control = begins_with(text, &["BEGIN", "START", "COMMIT", "ROLLBACK"]);
        if text.is_empty() || aftermath::keeps_warnings(text, self.mode) && !control {
            return;
        }
        match (effects, end.error) {
            (_, Some(error)) if BEFORE_RUNNING.contains(&error) => {}
            (Effects::None | Effects::Counted, None) if begins(text) => {
                self.next_transaction.clear();
            }
            (Effects::Replay(_) | Effects::NextTransaction | Effects::Timestamp, _) => {}
            _ => self.hidden_variable = true,
        }
    }

    fn unknown(&mut self, text: &[u8]) {
        self.knowledge = Knowledge::Unknown;
        self.tainted = true;
        let (texts, context) = (&self.texts, self.statements.context());
        self.locks
            .ran(text, self.mode, |name| texts.find(name, context));
        if may_change_parsing(text, self.mode) {
            self.double_bytes |= names_double_bytes(text);
            self.statements.new_context();
        }
    }

    fn replayable(&mut self, text: &[u8], replay: Replay) {
        if replay.parsing {
            self.double_bytes |= names_double_bytes(text);
            self.statements.new_context();
        }
        if replay.schema {
            match schema_of_use(text, self.mode) {
                Some(schema) => self.schema = Some(schema),
                None => return self.unknown(text),
            }
        }
        if !replay.relative
            && let Some(at) = self.log.iter().position(|entry| **entry == *text)
            && self.log.iter().skip(at).all(|entry| stands_alone(entry))
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

    /// The session begins as if its client had switched autocommit on, where it is not.
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

fn names_profiling(text: &[u8]) -> bool {
    contains(text, "PROFILING")
}

/// Whether a text that succeeds has begun or ended a transaction.
fn begins(text: &[u8]) -> bool {
    const WORDS: [&str; 8] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN", "COMMIT", "ROLLBACK",
    ];
    begins_with(text, &WORDS)
}

/// Whether a semicolon ends it. What follows may be a comment, which is a statement to a server, and an
/// error: an empty one.
fn ends_early(text: &[u8], mode: Mode) -> bool {
    Lexer::new(text, mode).any(|token| token == Token::Semicolon)
}

/// Whether a `SET` means the same whatever was set before: it reads no variable, and no SQL mode or
/// character set matters to it.
fn stands_alone(text: &[u8]) -> bool {
    text.is_ascii() && !text.iter().any(|byte| b"@\"\\".contains(byte))
}

fn sets_tracking(text: &[u8], mode: Mode) -> bool {
    Lexer::new(text, mode).any(|token| token.is("SESSION_TRACK_STATE_CHANGE"))
}

fn schema_of_use(text: &[u8], mode: Mode) -> Option<Arc<[u8]>> {
    let name = Lexer::new(text, mode).nth(1)?.name()?;
    Some(name.into_owned().into())
}
