//! Restores a session's state on a backend, usually in one round trip.

use std::sync::Arc;

use dormouse_session::lexer::{Lexer, Mode};
use dormouse_session::{SessionState, timeout};
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::{ErrPacket, OkPacket, Tracking};
use dormouse_wire::status::Status;
use dormouse_wire::text::TextOutcome;

use super::error::{BackendError, PATIENCE};
use super::residue::Logs;
use super::states::Backend;
use crate::control_path::ControlPath;

/// What happens if the schema does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The login fails: the client has just named it.
    Required,
    /// The session continues without one, as it does when its schema is dropped.
    IfThere,
    /// The server is an understudy, which has no schemas: none is entered. Every statement must succeed.
    NotHere,
}

impl Schema {
    fn of(self, session: &SessionState) -> Option<&Arc<[u8]>> {
        session.schema().filter(|_| self != Self::NotHere)
    }
}

/// `ER_MUST_CHANGE_PASSWORD`.
const MUST_CHANGE_PASSWORD: u16 = 1820;

/// The connection id of the session, and what makes the statement that sets it on a backend.
pub(crate) struct ConnectionId<'a> {
    /// `None`: no matter which.
    pub(crate) id: Option<u32>,
    pub(crate) control: &'a dyn ControlPath,
}

enum RestoreStep {
    /// A statement whose failure ends the attempt.
    Run(Vec<u8>),
    /// A statement whose failure does not matter.
    Try(Vec<u8>),
    /// The statement that sets the connection id.
    Attach(Vec<u8>),
    /// A `PREPARE`, with its statement's name: its failure is noted.
    Prepare(Vec<u8>, Vec<u8>),
    Reset,
    Use(Arc<[u8]>),
    SetOption(bool),
    AskRole,
}

impl RestoreStep {
    fn packet(&self) -> (Command, Vec<u8>) {
        match self {
            Self::Run(statement)
            | Self::Try(statement)
            | Self::Attach(statement)
            | Self::Prepare(_, statement) => (Command::Query, statement.clone()),
            Self::Reset => (Command::ResetConnection, Vec::new()),
            Self::Use(schema) => (Command::InitDb, schema.to_vec()),
            // enum_mysql_set_option: 0 switches on, 1 off
            Self::SetOption(on) => (Command::SetOption, u16::from(!on).to_le_bytes().to_vec()),
            Self::AskRole => (
                Command::Query,
                format!(
                    "SELECT CONVERT(CURRENT_ROLE() USING utf8mb4), {} LIMIT 1",
                    Logs::QUESTION
                )
                .into_bytes(),
            ),
        }
    }
}

impl Backend {
    /// Restores the session's state on the backend. `former`: the statements that give it the global values with which
    /// the session began.
    pub(crate) async fn restore(
        mut self: Box<Self>,
        session: &SessionState,
        former: &[Vec<u8>],
        connection: ConnectionId<'_>,
        missing: Schema,
    ) -> Result<Box<Self>, BackendError> {
        if self.has_old_globals() {
            self.residue.globals = self.place.globals();
            // requires a reset, after which the session's variables have the new global values
            self.residue.overlay = None;
        }
        let steps = self.steps(session, former, &connection, missing);
        if !steps.is_empty() {
            self = self.take(&steps, missing).await?;
        }
        let same = as_told(self.residue.status, session.status());
        if !same.is_empty() {
            self = self.take(&same, missing).await?;
        }
        for (name, error) in &self.residue.missing.clone() {
            (self, _) = self.ask(&session.stand_in(name, error)).await?;
        }
        self.residue.overlay = Some([former, &session.overlay()].concat());
        self.residue.schema = missing.of(session).cloned();
        self.residue.last_insert_id = session.last_insert_id();
        self.residue.multi_statements = session.multi_statements();
        Ok(self)
    }

    /// Whether global variables have been set since it was opened, reset or brought to a session's state.
    pub(crate) fn has_old_globals(&self) -> bool {
        self.residue.globals != self.place.globals()
    }

    /// The statement that sets this connection id; `None` if the backend has it. It counts as run.
    pub(crate) fn attach(&mut self, connection: &ConnectionId<'_>) -> Option<Vec<u8>> {
        let to = connection.id?;
        let from = std::mem::replace(&mut self.residue.connection_id, to);
        let control = connection.control;
        let attach = || control.attach(self.target.instance, from, to);
        (from != to).then(attach).map(String::into_bytes)
    }

    /// Notes that the server has reset the connection: it has its own id again.
    pub(crate) fn was_reset(&mut self) {
        self.cache.clear();
        self.residue.connection_id = self.thread;
    }

    fn steps(
        &mut self,
        session: &SessionState,
        former: &[Vec<u8>],
        connection: &ConnectionId<'_>,
        missing: Schema,
    ) -> Vec<RestoreStep> {
        let mut steps = Vec::new();
        if session.wants_reset() {
            self.residue.overlay = None;
        }
        if self.residue.role.is_none() {
            steps.push(RestoreStep::AskRole);
        }
        if !std::mem::replace(&mut self.residue.patient, true) {
            steps.push(patience());
        }
        let overlay = [former, &session.overlay()].concat();
        let schema = missing.of(session);
        // a schema's name is interpreted in the session's character set
        let same_name = schema == self.residue.schema.as_ref()
            || schema.is_some_and(|schema| schema.is_ascii());
        if self.residue.overlay.as_ref() == Some(&overlay) && same_name {
            steps.extend(self.attach(connection).map(RestoreStep::Attach));
            if schema != self.residue.schema.as_ref() {
                steps.extend(schema.cloned().map(RestoreStep::Use));
            }
            let id = session.last_insert_id();
            if id != self.residue.last_insert_id {
                steps.push(RestoreStep::Run(
                    format!("SET last_insert_id = {id}").into_bytes(),
                ));
            }
        } else {
            self.steps_from_start(session, former, connection, missing, &mut steps);
        }
        let handshake_multi = self
            .identity
            .capabilities
            .contains(dormouse_wire::caps::Capabilities::MULTI_STATEMENTS);
        let multi = |option: Option<bool>| option.unwrap_or(handshake_multi);
        let wanted = multi(session.multi_statements());
        if wanted != multi(self.residue.multi_statements) {
            steps.push(RestoreStep::SetOption(wanted));
        }
        steps
    }

    fn steps_from_start(
        &mut self,
        session: &SessionState,
        former: &[Vec<u8>],
        connection: &ConnectionId<'_>,
        missing: Schema,
        steps: &mut Vec<RestoreStep>,
    ) {
        if self.residue.overlay.as_ref().is_some_and(Vec::is_empty) {
            self.cache.retire();
            if self.residue.last_insert_id != 0 {
                steps.push(RestoreStep::Run(b"SET last_insert_id = 0".to_vec()));
            }
        } else {
            steps.push(RestoreStep::Reset);
            steps.push(patience());
            self.was_reset();
            // a reset keeps the role (sql/sql_class.cc, THD::change_user)
            let role = self.residue.role.as_ref().and_then(Option::as_ref);
            steps.push(RestoreStep::Run(set_role(role)));
        }
        steps.extend(self.attach(connection).map(RestoreStep::Attach));
        let former = former.iter().cloned();
        steps.extend(former.map(match missing {
            Schema::NotHere => RestoreStep::Run,
            Schema::Required | Schema::IfThere => RestoreStep::Try,
        }));
        let mut outside = session.restore();
        if missing == Schema::NotHere {
            // nor has it roles
            outside.retain(|text| !sets_role(text));
        }
        let inside = session.restore_inside();
        let timed = outside.iter().any(|text| timeout::is_named(text));
        if session.has_plain_schema() {
            steps.extend(outside.into_iter().map(RestoreStep::Run));
            steps.extend(missing.of(session).cloned().map(RestoreStep::Use));
        } else {
            if let Some(schema) = session.restore_schema()
                && missing != Schema::NotHere
            {
                if session.is_captured() {
                    // a captured name is in UTF-8; later statements set the session's own character set
                    steps.push(RestoreStep::Run(
                        b"SET character_set_client = utf8mb4".to_vec(),
                    ));
                }
                steps.push(RestoreStep::Use(Arc::clone(schema)));
            }
            steps.extend(outside.into_iter().map(RestoreStep::Run));
        }
        if timed {
            steps.push(RestoreStep::Run(timeout::hide_again().into_bytes()));
        }
        let texts = session.restore_texts();
        steps.extend(texts.map(|(name, text)| RestoreStep::Prepare(name.to_vec(), text.to_vec())));
        steps.extend(inside.into_iter().map(RestoreStep::Run));
    }

    /// Sends all steps at once and reads all replies.
    async fn take(
        self: Box<Self>,
        steps: &[RestoreStep],
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
                RestoreStep::Run(_)
                | RestoreStep::Try(_)
                | RestoreStep::Attach(_)
                | RestoreStep::Prepare(..)
                | RestoreStep::AskRole => listening.outcome_of(&reply)?,
                RestoreStep::Reset | RestoreStep::Use(_) | RestoreStep::SetOption(_) => {
                    match reply.error()? {
                        Some(error) => TextOutcome::Err(error),
                        None => TextOutcome::Ok(OkPacket::default()),
                    }
                }
            };
            let backend = listening.backend();
            if let Some(status) = reply.end.status {
                backend.residue.status = status;
            }
            match (step, outcome) {
                (RestoreStep::AskRole, TextOutcome::Rows { rows, .. }) => {
                    let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
                    backend.residue.role = Some(row.next().flatten());
                    backend.residue.logs = Logs::of(row.next().flatten().as_deref());
                }
                (RestoreStep::Try(_), TextOutcome::Err(_)) => {}
                (RestoreStep::Use(_), TextOutcome::Ok(_)) => backend.residue.entered = true,
                (_, TextOutcome::Ok(_) | TextOutcome::Rows { .. }) => {}
                // the client gets this error for its next statement
                (
                    RestoreStep::AskRole
                    | RestoreStep::Attach(_)
                    | RestoreStep::Use(_)
                    | RestoreStep::Run(_),
                    TextOutcome::Err(error),
                ) if error.code == MUST_CHANGE_PASSWORD => {
                    backend.residue.expired = true;
                }
                (RestoreStep::Use(_), TextOutcome::Err(error)) => {
                    backend.no_schema(error, missing)?
                }
                (RestoreStep::Prepare(name, _), TextOutcome::Err(error)) => {
                    backend.residue.missing.push((name.clone(), error));
                }
                (RestoreStep::Run(statement), TextOutcome::Err(error)) => {
                    let statement = statement.clone();
                    return Err(BackendError::Restore { statement, error });
                }
                (RestoreStep::Attach(_), TextOutcome::Err(error)) => {
                    // the client is not shown the proof
                    let statement = b"the connection id".to_vec();
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
            // the backend would stay in the former session's schema
            Schema::IfThere if self.residue.schema.is_some() => {
                Err(BackendError::Gone(std::io::Error::other(error.message)))
            }
            Schema::IfThere | Schema::NotHere => Ok(()),
        }
    }
}

/// The steps that set the status flags to those that were last sent to the client: global values may
/// have changed since the session began.
fn as_told(has: Status, told: Status) -> Vec<RestoreStep> {
    let differs = |flag: Status| has.contains(flag) != told.contains(flag);
    let mut steps = Vec::new();
    let mut run = |text: String| steps.push(RestoreStep::Run(text.into_bytes()));
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

/// The step that gives a backend Dormouse's own values of some variables.
fn patience() -> RestoreStep {
    RestoreStep::Run(timeout::hide().into_bytes())
}

/// Whether a statement of [`SessionState::restore`] sets the role.
fn sets_role(text: &[u8]) -> bool {
    let mut tokens = Lexer::new(text, Mode::default());
    let mut is = |word: &str| tokens.next().is_some_and(|token| token.is(word));
    is("SET") && is("ROLE")
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
