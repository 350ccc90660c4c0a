//! Bringing a backend to a session's state, in one round trip.

use std::sync::Arc;

use dormouse_session::{SessionState, timeout};
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::{ErrPacket, OkPacket, Tracking};
use dormouse_wire::status::Status;
use dormouse_wire::text::TextOutcome;

use super::{Backend, BackendError, PATIENCE};
use crate::pool::Place;

/// What a backend still holds of the session that had it before.
#[derive(Debug)]
pub(crate) struct Residue {
    /// What has been run on it since its login or its last reset; `None` if that is not known.
    pub(crate) overlay: Option<Vec<Vec<u8>>>,
    /// Its schema.
    pub(crate) schema: Option<Arc<[u8]>>,
    /// Its `LAST_INSERT_ID()`.
    pub(crate) last_insert_id: u64,
    /// Whether `COM_SET_OPTION` has switched multi-statements, and to what.
    pub(crate) multi_statements: Option<bool>,
    /// The role it had after its login; outer `None`: not asked yet.
    role: Option<Option<Vec<u8>>>,
    /// What could not be prepared with `PREPARE` when it was brought to a session's state, and why.
    pub(crate) missing: Vec<(Vec<u8>, ErrPacket)>,
    /// Whether the password had expired at its login: then the server takes nothing but a new one.
    pub(crate) expired: bool,
    /// The status flags of the server's last word.
    pub(crate) status: Status,
    /// The [count](crate::pool::Place::globals) of changes of global variables at its login, or its
    /// last reset.
    globals: u64,
    /// The [count](crate::pool::Place::rights) of changes of rights at its login.
    pub(crate) rights: u64,
}

impl Residue {
    /// Nothing: it has just logged in, after so many changes, and the answer had these status flags.
    pub(super) fn of_login(status: Status, before: Before) -> Self {
        Self {
            overlay: Some(Vec::new()),
            schema: None,
            last_insert_id: 0,
            multi_statements: None,
            role: None,
            missing: Vec::new(),
            expired: false,
            status,
            globals: before.globals,
            rights: before.rights,
        }
    }
}

/// How often what a login depends on had been changed before it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    globals: u64,
    rights: u64,
}

impl Before {
    /// As it is now.
    pub(crate) fn now(place: &Place) -> Self {
        Self {
            globals: place.globals(),
            rights: place.rights(),
        }
    }
}

/// What a schema that does not exist means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The login fails: the client has just named it.
    Required,
    /// The session goes on without one, as it does when its schema is dropped.
    IfThere,
}

/// `ER_MUST_CHANGE_PASSWORD`.
const MUST_CHANGE_PASSWORD: u16 = 1820;

enum Step {
    /// A statement whose failure ends the attempt.
    Run(Vec<u8>),
    /// A `PREPARE`, with its statement's name: that may wait.
    Prepare(Vec<u8>, Vec<u8>),
    Reset,
    Use(Arc<[u8]>),
    SetOption(bool),
    AskRole,
}

impl Step {
    fn packet(&self) -> (Command, Vec<u8>) {
        match self {
            Self::Run(statement) | Self::Prepare(_, statement) => {
                (Command::Query, statement.clone())
            }
            Self::Reset => (Command::ResetConnection, Vec::new()),
            Self::Use(schema) => (Command::InitDb, schema.to_vec()),
            // enum_mysql_set_option: 0 switches on, 1 off
            Self::SetOption(on) => (Command::SetOption, u16::from(!on).to_le_bytes().to_vec()),
            Self::AskRole => (
                Command::Query,
                b"SELECT CONVERT(CURRENT_ROLE() USING utf8mb4)".to_vec(),
            ),
        }
    }
}

impl Backend {
    /// Brings the backend to the session's state.
    pub(crate) async fn assume(
        mut self: Box<Self>,
        session: &SessionState,
        missing: Schema,
    ) -> Result<Box<Self>, BackendError> {
        let globals = self.place.globals();
        if self.residue.globals != globals {
            self.residue.globals = globals;
            // a reset brings the new ones
            self.residue.overlay = None;
        }
        let steps = self.steps(session);
        if !steps.is_empty() {
            self = self.take(&steps, missing).await?;
        }
        let same = as_told(self.residue.status, session.status());
        if !same.is_empty() {
            self = self.take(&same, missing).await?;
        }
        for (name, error) in &self.residue.missing.clone() {
            (self, _) = self.ask(&SessionState::stand_in(name, error)).await?;
        }
        self.residue.overlay = Some(session.overlay());
        self.residue.schema = session.schema().cloned();
        self.residue.last_insert_id = session.last_insert_id();
        self.residue.multi_statements = session.multi_statements();
        Ok(self)
    }

    fn steps(&mut self, session: &SessionState) -> Vec<Step> {
        let mut steps = Vec::new();
        if session.wants_reset() {
            self.residue.overlay = None;
        }
        if self.residue.role.is_none() {
            steps.push(Step::AskRole);
        }
        let overlay = session.overlay();
        let schema = session.schema();
        // a name is read in the session's character set
        let same_name = schema == self.residue.schema.as_ref()
            || schema.is_some_and(|schema| schema.is_ascii());
        if self.residue.overlay.as_ref() == Some(&overlay) && same_name {
            if schema != self.residue.schema.as_ref() {
                steps.extend(schema.cloned().map(Step::Use));
            }
            let id = session.last_insert_id();
            if id != self.residue.last_insert_id {
                steps.push(Step::Run(format!("SET last_insert_id = {id}").into_bytes()));
            }
        } else {
            self.steps_from_start(session, &mut steps);
        }
        let handshake_multi = self
            .identity
            .capabilities
            .contains(dormouse_wire::caps::Capabilities::MULTI_STATEMENTS);
        let multi = |option: Option<bool>| option.unwrap_or(handshake_multi);
        let wanted = multi(session.multi_statements());
        if wanted != multi(self.residue.multi_statements) {
            steps.push(Step::SetOption(wanted));
        }
        steps
    }

    fn steps_from_start(&mut self, session: &SessionState, steps: &mut Vec<Step>) {
        if self.residue.overlay.as_ref().is_some_and(Vec::is_empty) {
            self.shelf.retire();
            if self.residue.last_insert_id != 0 {
                steps.push(Step::Run(b"SET last_insert_id = 0".to_vec()));
            }
        } else {
            steps.push(Step::Reset);
            self.shelf.clear();
            // which leaves the role (sql/sql_class.cc, THD::change_user)
            let role = self.residue.role.as_ref().and_then(Option::as_ref);
            steps.push(Step::Run(set_role(role)));
        }
        let outside = session.restore();
        let inside = session.restore_inside();
        let timed = outside.iter().any(|text| timeout::is_named(text));
        if session.has_plain_schema() {
            steps.extend(outside.into_iter().map(Step::Run));
            steps.extend(session.schema().cloned().map(Step::Use));
        } else {
            if let Some(schema) = session.restore_schema() {
                if session.is_captured() {
                    // then it is in UTF-8; what follows sets the session's own character set
                    steps.push(Step::Run(b"SET character_set_client = utf8mb4".to_vec()));
                }
                steps.push(Step::Use(Arc::clone(schema)));
            }
            steps.extend(outside.into_iter().map(Step::Run));
        }
        if timed {
            let highest = timeout::HIGHEST;
            steps.push(Step::Run(
                format!("SET SESSION wait_timeout = {highest}").into_bytes(),
            ));
        }
        let texts = session.restore_texts();
        steps.extend(texts.map(|(name, text)| Step::Prepare(name.to_vec(), text.to_vec())));
        steps.extend(inside.into_iter().map(Step::Run));
    }

    /// Sends all steps at once and reads all replies.
    async fn take(
        self: Box<Self>,
        steps: &[Step],
        missing: Schema,
    ) -> Result<Box<Self>, BackendError> {
        let mut bytes = Vec::new();
        let mut kinds = Vec::with_capacity(steps.len());
        for step in steps {
            let (command, argument) = step.packet();
            write_packet(&mut bytes, 0, &[&[command as u8], &*argument].concat());
            kinds.push(command.reply());
        }
        let mut speaking = self.speak();
        speaking.send(&bytes, PATIENCE).await?;
        let mut listening = speaking.sent_all(kinds);
        for step in steps {
            let reply = listening.reply(Tracking::All).await?;
            let outcome = match step {
                Step::Run(_) | Step::Prepare(..) | Step::AskRole => listening.outcome_of(&reply)?,
                Step::Reset | Step::Use(_) | Step::SetOption(_) => match reply.error()? {
                    Some(error) => TextOutcome::Err(error),
                    None => TextOutcome::Ok(OkPacket::default()),
                },
            };
            let backend = listening.backend();
            if let Some(status) = reply.end.status {
                backend.residue.status = status;
            }
            match (step, outcome) {
                (Step::AskRole, TextOutcome::Rows { rows, .. }) => {
                    let role = rows
                        .into_iter()
                        .next()
                        .and_then(|row| row.into_iter().next());
                    backend.residue.role = Some(role.flatten());
                }
                (_, TextOutcome::Ok(_) | TextOutcome::Rows { .. }) => {}
                // the client hears of it with its next statement
                (Step::AskRole | Step::Use(_), TextOutcome::Err(error))
                    if error.code == MUST_CHANGE_PASSWORD =>
                {
                    backend.residue.expired = true;
                }
                (Step::Use(_), TextOutcome::Err(error)) => backend.no_schema(error, missing)?,
                (Step::Prepare(name, _), TextOutcome::Err(error)) => {
                    backend.residue.missing.push((name.clone(), error));
                }
                (Step::Run(statement), TextOutcome::Err(error)) => {
                    let statement = statement.clone();
                    return Err(BackendError::Restore { statement, error });
                }
                (_, TextOutcome::Err(error)) => return Err(BackendError::Refused(error)),
            }
        }
        listening.answered(()).map(|(backend, ())| backend)
    }

    fn no_schema(&self, error: ErrPacket, missing: Schema) -> Result<(), BackendError> {
        match missing {
            Schema::Required => Err(BackendError::Refused(error)),
            // it would stay in a former session's
            Schema::IfThere if self.residue.schema.is_some() => {
                Err(BackendError::Gone(std::io::Error::other(error.message)))
            }
            Schema::IfThere => Ok(()),
        }
    }
}

/// What brings the status flags to what the session's client was told last: the global values may be
/// others than they were when the session began.
fn as_told(has: Status, told: Status) -> Vec<Step> {
    let differs = |flag: Status| has.contains(flag) != told.contains(flag);
    let mut steps = Vec::new();
    let mut run = |text: String| steps.push(Step::Run(text.into_bytes()));
    if differs(Status::AUTOCOMMIT) {
        let on = u8::from(told.contains(Status::AUTOCOMMIT));
        run(format!("SET autocommit = {on}"));
    }
    for (flag, mode) in [
        (Status::ANSI_QUOTES, "ANSI_QUOTES"),
        (Status::NO_BACKSLASH_ESCAPES, "NO_BACKSLASH_ESCAPES"),
    ] {
        if differs(flag) && told.contains(flag) {
            run(format!("SET sql_mode = CONCAT(@@sql_mode, ',{mode}')"));
        } else if differs(flag) {
            run(format!("SET sql_mode = REPLACE(@@sql_mode, '{mode}', '')"));
        }
    }
    steps
}

fn set_role(role: Option<&Vec<u8>>) -> Vec<u8> {
    let Some(role) = role else {
        return b"SET ROLE NONE".to_vec();
    };
    let mut statement = b"SET ROLE `".to_vec();
    for byte in role {
        statement.extend(std::iter::repeat_n(byte, 1 + usize::from(*byte == b'`')));
    }
    statement.push(b'`');
    statement
}
