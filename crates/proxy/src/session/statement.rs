//! Runs a command on a server and relays its reply.
//!
//! [`dormouse_session::steps`] decides which step follows which; this file performs the steps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_session::SessionState;
use dormouse_session::effects::may_commit;
use dormouse_session::steps::{Event, Step, Why};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::ErrPacket;
use tokio::time::Instant;

use super::answer::try_answer;
use super::context::SessionContext;
use super::exchange::exchange;
use super::hold::{Hold, Unready};
use super::main_loop::Session;
use super::parameters::{complete_types, lacks_types};
use super::prepare_again::{prepare_again, prepare_missing};
use super::running::Running;
use crate::client::{Incoming, LONGEST_GATHERED, Over};
use crate::door::{Entry, Pass};
use crate::pool::Counters;
use crate::refusal;
use crate::relay::Broken;

/// Pause before another attempt when the server has just died and the control path has not noticed yet.
pub(super) const MOMENT: Duration = Duration::from_millis(5);

/// Timeout of killing a statement.
const END: Duration = Duration::from_secs(10);

impl Session {
    /// Runs a command on the server and passes its reply on; wakes the database if necessary. `None`: the
    /// command was not run, or its outcome is unknown, and the client has been answered.
    pub(super) async fn run_on_server(
        &mut self,
        running: &mut Running,
    ) -> Result<Option<ReplyEnd>, Over> {
        let Self {
            cx,
            client,
            state,
            hold,
            ..
        } = self;
        let knew = state.diagnostics().is_some();
        let mut pass = None;
        let mut end = None;
        let mut event = Event::Begun;
        loop {
            event = match running.steps.next(event) {
                Step::Begin => {
                    pass = None;
                    check_restriction(cx, state, running)
                }
                Step::EnterDoor => match enter(cx, state, hold, &mut running.incoming).await? {
                    Ok(given) => {
                        let generation = given.target.generation;
                        pass = Some(given);
                        Event::Passed { generation }
                    }
                    Err(error) => Event::NotPassed(error),
                },
                Step::CheckAgain => check_restriction(cx, state, running),
                Step::MakeReady => match ready(cx, state, hold, running, pass.as_ref()).await? {
                    Ok(()) => Event::Ready,
                    Err(Unready::ServerGone) => {
                        pass = None;
                        cx.demand();
                        let at = Instant::now().into_std();
                        Event::ServerGone { at }
                    }
                    Err(Unready::Shutting) => Event::Shutting,
                    Err(Unready::SessionStateLost(pins)) => Event::SessionStateLost(pins),
                    Err(Unready::Refused(error)) => Event::Refused(error),
                    Err(Unready::CannotRestore(error)) => Event::CannotRestore(error),
                },
                Step::Pause => {
                    tokio::time::sleep(MOMENT).await;
                    Event::Performed
                }
                Step::Complete => {
                    // after a change of the backend, Dormouse may have to answer for the last statement
                    let knows = !knew && state.diagnostics().is_some();
                    if knows && try_answer(cx, client, state, running).await? {
                        Event::Answered
                    } else if state.misses_texts()
                        && let Err(error) = Box::pin(prepare_missing(state, hold, running)).await
                    {
                        hold.broke(cx, state, &error);
                        Event::BackendBroke
                    } else if lacks_types(&mut state.statements, running)
                        && !Box::pin(complete_types(client, &mut state.statements, running)).await?
                    {
                        Event::NotCompleted(refusal::too_long_to_complete(LONGEST_GATHERED))
                    } else {
                        Event::Completed
                    }
                }
                Step::Send => match exchange(cx, client, state, hold, running).await {
                    Ok(reply) => {
                        if let Some(status) = reply.status {
                            state.saw_status(status);
                            hold.count_transaction(cx, state.in_transaction());
                        }
                        end = Some(reply);
                        Event::Replied
                    }
                    Err(broken) => event_of(cx, &running.incoming, &broken),
                },
                Step::EndStatement => {
                    if let Some(pass) = &pass {
                        Box::pin(end_statement(cx, pass)).await;
                    }
                    Event::Performed
                }
                Step::LoseBackend => {
                    hold.lose(state);
                    Event::Performed
                }
                Step::Interrupt => {
                    hold.lose(state);
                    Event::Interrupted {
                        pins: hold.take_lost(),
                        may_have_committed: may_have_committed(state, running),
                    }
                }
                Step::Done => return Ok(end),
                Step::Answered => return Ok(None),
                Step::Refuse(why) => {
                    let incoming = &running.incoming;
                    client.skip(incoming.left, incoming.continues).await?;
                    if incoming.command.reply() != ReplyKind::None {
                        client.reply_error(&error_of(cx, why)).await?;
                    }
                    return Ok(None);
                }
                Step::End { why, unsent } => {
                    if unsent {
                        let incoming = &running.incoming;
                        client.skip(incoming.left, incoming.continues).await?;
                    }
                    return Err(match why {
                        Some(why) => client.end_with(&error_of(cx, why)).await,
                        None => Over,
                    });
                }
            }
        }
    }
}

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
            cx.demand();
            return Ok(Err(refusal::cannot_wake(&reason)));
        }
    };
    let limit = limits.hold_timeout;
    incoming.bytes.settle();
    cx.demand();
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
            () = &mut deadline => return Ok(Err(refusal::hold_timeout(limit.as_secs()))),
        }
    }
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
    if !hold.resume_on(cx, &pass.target)
        && let Err(unready) = Box::pin(hold.replace(cx, state, pass)).await?
    {
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
        && statement.backend.is_none()
    {
        return Ok(Box::pin(prepare_again(cx, state, hold, id)).await);
    }
    Ok(Ok(()))
}

fn event_of(cx: &SessionContext, incoming: &Incoming, broken: &Broken) -> Event {
    match *broken {
        Broken::Client { running } => Event::ClientLeft { running },
        Broken::Fault { what, delivered } => {
            cx.fault(what);
            Event::Fault { delivered }
        }
        Broken::Server { unread, delivered } => Event::ConnectionLost {
            unread,
            delivered,
            whole: incoming.is_whole(),
        },
    }
}

/// Makes the server kill the statement of a client that has left: a server in a long computation does
/// not notice that its connection is closed.
async fn end_statement(cx: &SessionContext, pass: &Pass) {
    let thread = cx.handle().thread.load(Ordering::SeqCst);
    let name = &cx.database().name;
    let ended = cx.control().end_statement(name, &pass.target, thread);
    if tokio::time::timeout(END, ended).await.is_err() {
        tracing::warn!(thread, "cannot end the statement of a client that has left");
    }
    Counters::count(&cx.pool().counters().departures);
}

/// Whether a command that was running in a transaction may have ended it.
fn may_have_committed(state: &mut SessionState, running: &Running) -> bool {
    match running.incoming.command {
        Command::Query => may_commit(running.incoming.argument(), state.mode()),
        Command::StmtExecute | Command::StmtBulkExecute => {
            let mode = state.mode();
            let statement = running.statement.and_then(|id| state.statements.get(id));
            let text = statement.and_then(|statement| statement.text.as_ref());
            text.is_none_or(|text| may_commit(text, mode))
        }
        _ => false,
    }
}

/// The client's error.
fn error_of(cx: &SessionContext, why: Why) -> ErrPacket {
    match why {
        Why::Given(error) => error,
        Why::HoldTimeout => refusal::hold_timeout(cx.limits().hold_timeout.as_secs()),
        Why::TransactionLost => refusal::transaction_lost(),
        Why::OutcomeUnknown => refusal::outcome_unknown(),
        Why::StateLost(pins) => refusal::state_lost(&pins),
        Why::Unread => refusal::unread(),
        Why::OutOfTurn => refusal::out_of_turn(),
    }
}
