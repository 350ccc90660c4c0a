//! Before a statement: whether the database may run it now, its pass at the door, and a backend in the session's
//! state.

use std::time::Duration;

use dormouse_session::steps::Event;
use dormouse_session::{SessionState, Statement};
use dormouse_wire::command::Command;
use dormouse_wire::reply::ErrPacket;

use super::context::SessionContext;
use super::hold::{Hold, Unready};
use super::prepare_again::prepare_again;
use super::running::Running;
use super::waker::woken_by;
use crate::client::{Incoming, Over};
use crate::door::{Entry, Pass};
use crate::refusal;

/// Pause before another attempt when the server has just died and the control path has not noticed yet.
pub(super) const MOMENT: Duration = Duration::from_millis(5);

/// Checks whether the command may run on a database that must not grow nor change now. Without a
/// restriction this reads one flag.
pub(super) fn check_restriction(
    cx: &SessionContext,
    state: &mut SessionState,
    running: &Running,
) -> Event {
    let database = cx.database();
    if !database.restriction.is_set() {
        return Event::Allowed;
    }
    let incoming = &running.incoming;
    let allowed = match (incoming.command, running.statement) {
        (Command::Query | Command::StmtPrepare, _) => {
            incoming.is_whole() && state.allows_restricted(incoming.argument())
        }
        (Command::StmtExecute | Command::StmtBulkExecute, Some(id)) => {
            state.allows_prepared_restricted(id)
        }
        (command, _) => command != Command::CreateDb,
    };
    if allowed {
        return Event::Allowed;
    }
    match database.restriction.reason() {
        Some(reason) => Event::Restricted(refusal::restricted(&database.name, &reason)),
        None => Event::Allowed,
    }
}

/// Waits at the door. The outer error ends the session, the inner one is for the client.
pub(super) async fn enter(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    incoming: &mut Incoming,
) -> Result<Result<Pass, ErrPacket>, Over> {
    if let Err(error) = until_admitted(cx, state, hold, incoming).await? {
        return Ok(Err(error));
    }
    let door = &cx.database().door;
    if cx.never_wakes {
        return Ok(door.enter_quietly().ok_or_else(refusal::never_wakes));
    }
    if let Err(error) = cx.may_wake() {
        return Ok(Err(error));
    }
    let limits = cx.limits();
    let known = hold.backend().map(|backend| &backend.target);
    let may_hold_locks = || state.in_transaction() || !state.is_free();
    let mut receiver = match door.enter(known, may_hold_locks, limits.held_statements) {
        Entry::Pass(pass) => return Ok(Ok(pass)),
        Entry::Held(receiver) => receiver,
        Entry::Full => return Ok(Err(refusal::too_many_held(limits.held_statements))),
        Entry::Refused(reason) => {
            cx.demand(&|| woken_by(cx, state, incoming));
            return Ok(Err(refusal::cannot_wake(&reason)));
        }
    };
    let limit = limits.hold_timeout;
    incoming.bytes.settle();
    cx.demand(&|| woken_by(cx, state, incoming));
    let deadline = tokio::time::sleep(limit);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            biased;
            answer = &mut receiver => return match answer {
                Ok(Ok(pass)) => Ok(Ok(pass)),
                Ok(Err(reason)) => Ok(Err(refusal::cannot_wake(&reason))),
                Err(_) => Err(Over),
            },
            order = std::future::poll_fn(|poll| cx.handle().mailbox.poll_next(poll)) => {
                Box::pin(hold.obey(cx, state, order)).await?;
            }
            () = &mut deadline => return Ok(Err(cx.hold_timeout())),
        }
    }
}

/// Waits while the database is reserved for other sessions.
async fn until_admitted(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    incoming: &mut Incoming,
) -> Result<Result<(), ErrPacket>, Over> {
    let database = cx.database();
    let reservation = &database.reservation;
    if reservation.admits(|| cx.identity.key()) {
        return Ok(Ok(()));
    }
    let limits = cx.limits();
    let Some(_place) = reservation.take_place(limits.held_statements) else {
        return Ok(Err(refusal::too_many_held(limits.held_statements)));
    };
    incoming.bytes.settle();
    let deadline = tokio::time::sleep(limits.hold_timeout);
    let admitted = reservation.until_admitted(cx.identity.key());
    tokio::pin!(deadline, admitted);
    loop {
        tokio::select! {
            biased;
            () = &mut admitted => return Ok(Ok(())),
            order = std::future::poll_fn(|poll| cx.handle().mailbox.poll_next(poll)) => {
                Box::pin(hold.obey(cx, state, order)).await?;
            }
            () = &mut deadline => {
                let seconds = limits.hold_timeout.as_secs();
                return Ok(Err(refusal::reserved(&database.name, seconds)));
            }
        }
    }
}

/// Whether what the backend has prepared for a statement was right for an earlier command only: the connections that it
/// was translated for, or the values in its text, may be others now.
fn is_stale(statement: &Statement, command: Command) -> bool {
    let uses = match command {
        Command::StmtExecute => statement.tells || statement.replaced,
        Command::StmtBulkExecute | Command::StmtSendLongData => statement.replaced,
        _ => false,
    };
    uses && !statement.long_data
}

/// Makes sure that there is a backend on the pass's server, in the session's state, with the statement
/// prepared.
pub(super) async fn ready(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
    pass: Option<&Pass>,
) -> Result<Result<(), Unready>, Over> {
    let Some(pass) = pass else {
        return Ok(Err(Unready::ServerGone));
    };
    if hold.resume_on(cx, &pass.target) {
        state.stays();
    } else if let Err(unready) = Box::pin(hold.replace(cx, state, pass)).await? {
        return Ok(Err(unready));
    }
    if state.owes()
        && let Err(unready) = Box::pin(hold.catch_up(cx, state, true)).await
    {
        return Ok(Err(unready));
    }
    if let Some(id) = running.statement
        && running.incoming.command != Command::StmtPrepare
        && let Some(statement) = state.statements.get(id)
        && (statement.backend.is_none() || is_stale(statement, running.incoming.command))
    {
        return Ok(Box::pin(prepare_again(cx, state, hold, id, None)).await);
    }
    Ok(Ok(()))
}
