//! Runs statements that only read on replicas.
//!
//! `dormouse_session::reads` tells which ones, and what a server must have so that the session does not go back in time.
//! The session keeps its backend on the primary; for the statement, a backend on the replica is brought to its state,
//! and is given back at once. In every doubt (the replica does not answer, lacks something, or replies with an error) the
//! client has been shown nothing and the statement runs on the primary.

mod arriving;
pub(super) mod backends;
pub(super) mod ending;
pub(super) mod memory;
mod running;

use std::pin::Pin;

use dormouse_session::reads::{SetReads, may_read_in, may_run_on_replica, wants_primary};
use dormouse_session::{Effects, Kind, SessionState};
use dormouse_types::Reads;
use dormouse_wire::command::Command;
use dormouse_wire::status::Status;

use super::context::SessionContext;
use super::hold::Hold;
use super::main_loop::Session;
use super::running::Running;
use super::stored_code::hides_nothing;
use crate::client::{Client, Over};
use crate::door::{Entry, Pass};
use crate::handle::LeaseState;
use crate::pool::Counters;
use crate::refusal;
use crate::replicas::Place;

use memory::SessionReads;

/// A statement that may run on a replica.
struct Read<'a> {
    running: &'a Running,
    /// The text that it runs.
    text: &'a [u8],
    effects: Effects,
    kind: Kind,
}

/// A session of a database that has replicas, for the time of one command.
pub(super) struct Reader<'a> {
    cx: &'a SessionContext,
    client: &'a mut Client,
    state: &'a mut SessionState,
    hold: &'a mut Hold,
    reads: &'a mut SessionReads,
}

impl<'a> Reader<'a> {
    pub(super) fn of(session: &'a mut Session) -> Self {
        let Session {
            cx,
            client,
            state,
            hold,
            reads,
            ..
        } = session;
        Self {
            cx,
            client,
            state,
            hold,
            reads,
        }
    }

    /// Runs a query or an execution of a prepared statement on a replica. Returns whether the client has its answer; if
    /// not, the primary has to run it.
    pub(super) async fn run(
        mut self,
        running: &Running,
        text: &[u8],
        effects: Effects,
        kind: Kind,
    ) -> Result<bool, Over> {
        let read = Read {
            running,
            text,
            effects,
            kind,
        };
        let Some((pass, reads)) = self.may_run(&read) else {
            return Ok(false);
        };
        let replicas = &self.cx.database().replicas;
        let others = self.cx.database().door.running().saturating_sub(1);
        let newest = self.reads.memory().causality.newest();
        let place = replicas.choose(reads, others, newest);
        let Place::Replica(visit) = place else {
            return Ok(false);
        };
        if !self.settle(&pass, &read).await {
            return Ok(false);
        }
        let handle = self.cx.handle();
        handle.set_lease(LeaseState::Running);
        let ran = self.run_on(&visit.0, &pass.target, &read).await;
        if !self.hold.has_backend() {
            handle.set_lease(LeaseState::None);
        }
        let counters = &replicas.counters;
        match &ran {
            Ok(true) => Counters::count(&counters.reads),
            Ok(false) => Counters::count(&counters.fallbacks),
            Err(Over) => {}
        }
        ran
    }

    /// Whether the statement may run on a replica, as far as that is known at once; then its pass, and where the session
    /// reads.
    fn may_run(&mut self, read: &Read<'_>) -> Option<(Pass, Reads)> {
        let cx = self.cx;
        let database = cx.database();
        let reads = { self.reads.wish() }.unwrap_or_else(|| database.replicas.reads());
        if reads == Reads::Primary || !is_plain(read.running) {
            return None;
        }
        let text = read.text;
        let mode = self.state.mode();
        let schema = self.state.schema().map(|schema| &**schema);
        let may = may_read_in(schema)
            && self.state.can_read(text)
            && may_run_on_replica(text, mode)
            && !wants_primary(text)
            && self.is_as_prepared(read);
        let free = !cx.never_wakes
            && !cx.expired
            && !cx.identity.account_user.is_empty()
            && self.hold.has_told()
            && !self.state.in_transaction()
            && self.state.status().contains(Status::AUTOCOMMIT)
            && database.reservation.admits(|| cx.identity.key());
        if !may || !free {
            return None;
        }
        let known = self.hold.backend().map(|backend| &backend.target);
        let pass = match database.door.enter(known, || false, 0) {
            Entry::Pass(pass) => pass,
            Entry::Held(_) | Entry::Full | Entry::Refused(_) => return None,
        };
        hides_nothing(cx, &pass.target).then_some((pass, reads))
    }

    /// Whether a prepared statement means what it would mean if it were prepared now.
    fn is_as_prepared(&mut self, read: &Read<'_>) -> bool {
        let Some(id) = read.running.statement else {
            return true;
        };
        let (context, schema) = (
            self.state.statements.parsing_context(),
            self.state.schema().cloned(),
        );
        self.state.statements.get(id).is_some_and(|statement| {
            statement.text.is_some()
                && !statement.long_data
                && !statement.tells
                && !statement.replaced
                && statement.parsing_context == context
                && statement.schema == schema
        })
    }

    /// Reads from the session's backend what only that has. Returns whether the session can run the statement elsewhere
    /// then.
    async fn settle(&mut self, pass: &Pass, read: &Read<'_>) -> bool {
        let cx = self.cx;
        if self.hold.has_backend() {
            if !self.hold.resume_on(cx, &pass.target) {
                return false;
            }
            self.hold.note_globals(self.state);
            if self.state.needs_probe() {
                Box::pin(self.hold.probe(cx, self.state)).await;
            }
        }
        self.hold.has_told() && self.state.can_be_stood_in_for(read.text, read.effects)
    }
}

/// Whether nothing of a command or of its answer is to be changed.
fn is_plain(running: &Running) -> bool {
    let incoming = &running.incoming;
    let executes = match incoming.command {
        Command::Query => running.statement.is_none(),
        // the flags of the command, behind the statement's id: no cursor
        Command::StmtExecute => {
            running.statement.is_some() && incoming.payload().get(5) == Some(&0)
        }
        _ => false,
    };
    executes
        && incoming.is_whole()
        && incoming.last_seq() == 0
        && running.edit.is_none()
        && !running.tells
        && running.executed.is_none()
        && running.instead.is_none()
        && running.put_back.is_none()
        && running.victim.is_none()
        && running.timeout.is_none()
}

/// Runs a query on a replica. Returns whether the client has its answer.
pub(super) fn query<'s>(
    session: &'s mut Session,
    running: &'s Running,
    effects: Effects,
    kind: Kind,
) -> Pin<Box<dyn Future<Output = Result<bool, Over>> + Send + 's>> {
    let text = running.incoming.argument();
    execution(session, running, text, effects, kind)
}

/// The same for the execution of a prepared text.
pub(super) fn execution<'s>(
    session: &'s mut Session,
    running: &'s Running,
    text: &'s [u8],
    effects: Effects,
    kind: Kind,
) -> Pin<Box<dyn Future<Output = Result<bool, Over>> + Send + 's>> {
    Box::pin(Reader::of(session).run(running, text, effects, kind))
}

/// Carries out `SET DORMOUSE READS`.
pub(super) async fn set(session: &mut Session, set: SetReads) -> Result<(), Over> {
    match set {
        SetReads::To(wish) => {
            session.reads.memory().wish = wish;
            session.client.reply_ok(session.state.status()).await
        }
        SetReads::Unknown => session.client.reply_error(&refusal::set_what()).await,
    }
}
