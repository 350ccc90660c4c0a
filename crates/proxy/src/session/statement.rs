//! Runs a command on a server and relays its reply.
//!
//! [`dormouse_session::steps`] decides which step follows which; this file performs the steps.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_session::SessionState;
use dormouse_session::diagnostics::put_back::{Ends, PutBack};
use dormouse_session::effects::may_commit;
use dormouse_session::steps::{Event, Step, Why};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::text::TextOutcome;
use tokio::time::Instant;

use super::answer::try_answer;
use super::connections::translate;
use super::context::SessionContext;
use super::ending::end_statement;
use super::entering::{MOMENT, check_restriction, enter, ready};
use super::exchange::exchange;
use super::hold::{Hold, Unready};
use super::main_loop::Session;
use super::parameters::{complete_types, lacks_types};
use super::prepare_again::{prepare_again, prepare_first, prepare_missing};
use super::replay::{changes_only_its_session, only_reads, plan, replay};
use super::resolve::resolve;
use super::running::Running;
use super::waker::woken_by;
use crate::backend::is_alive;
use crate::client::{Incoming, LONGEST_GATHERED, Over};
use crate::handle::SessionHandle;
use crate::refusal;
use crate::relay::Broken;

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
            reads,
            ..
        } = self;
        reads.uses_primary(&running.incoming);
        let knew = state.diagnostics().is_some();
        hold.begin();
        if !state.in_transaction() && hold.has_told() {
            // it ended with an error
            state.transaction = None;
        }
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
                        cx.demand(&|| woken_by(cx, state, &running.incoming));
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
                    } else if let Some(error) = prepare_instead(cx, state, hold, running).await {
                        error
                    } else if state.misses_texts()
                        && let Err(error) = Box::pin(prepare_missing(state, hold, running)).await
                    {
                        hold.broke(cx, state, &error);
                        Event::BackendBroke
                    } else if lacks_types(&mut state.statements, running)
                        && !Box::pin(complete_types(client, &mut state.statements, running)).await?
                    {
                        Event::NotCompleted(refusal::too_long_to_complete(LONGEST_GATHERED))
                    } else if !state.statements.is_empty()
                        && Box::pin(prepare_first(cx, state, hold, running))
                            .await
                            .is_err()
                    {
                        Event::BackendBroke
                    } else if misses(running) {
                        Event::Answered
                    } else if let Some(other) = put_back(cx, state, hold, running).await {
                        other
                    } else {
                        translate(cx, state, hold, running);
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
                    Err(broken) => {
                        let target = pass.as_ref().map(|pass| &*pass.target);
                        let alive = may_be_killed(state, &broken)
                            && (cx.handle().is_being_killed() || Box::pin(is_alive(target)).await);
                        event_of(cx, &running.incoming, &broken, alive)
                    }
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
                    let lost = pass.as_ref().map_or(0, |pass| pass.target.generation);
                    running.interrupted(lost);
                    hold.lose(state);
                    Event::Interrupted {
                        pins: hold.take_lost(),
                        may_have_committed: may_have_committed(state, running),
                        logged: running.logged(),
                        reads: only_reads(state, running)
                            || changes_only_its_session(state, running),
                    }
                }
                Step::Plan(again) => Event::Planned(plan(state, running, again)),
                Step::Replay(again) => Box::pin(replay(cx, state, hold, running, again)).await,
                Step::Resolve => {
                    pass = None;
                    cx.demand(&|| woken_by(cx, state, &running.incoming));
                    Event::Resolved(Box::pin(resolve(cx, state, hold, running)).await?)
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

/// Prepares the text that takes the place of the prepared statement that the command executes, if there is one.
async fn prepare_instead(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
) -> Option<Event> {
    let (id, text) = (running.statement?, running.instead.as_deref()?);
    match Box::pin(prepare_again(cx, state, hold, id, Some(text))).await {
        Ok(()) => None,
        Err(Unready::Refused(error) | Unready::CannotRestore(error)) => {
            Some(Event::NotCompleted(error))
        }
        Err(Unready::ServerGone | Unready::Shutting | Unready::SessionStateLost(_)) => {
            Some(Event::BackendBroke)
        }
    }
}

/// Gives the backend what the last statement left, if the command asks for it in a way that only a server can answer.
async fn put_back(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
) -> Option<Event> {
    let (statements, what) = &**running.put_back.as_ref()?;
    for PutBack { text, ends } in statements {
        let done = match (Box::pin(hold.ask(text.as_bytes())).await, ends) {
            (Ok(TextOutcome::Ok(ok)), Ends::Warned(warnings)) => ok.warnings == *warnings,
            (Ok(TextOutcome::Err(error)), Ends::Failed(code)) => error.code == *code,
            (Ok(TextOutcome::Ok(_) | TextOutcome::Rows { .. }), Ends::Well) => true,
            (Ok(_), _) => false,
            (Err(error), _) => {
                hold.broke(cx, state, &error);
                return Some(Event::BackendBroke);
            }
        };
        if !done {
            return Some(Event::NotCompleted(refusal::cannot_tell(what)));
        }
    }
    None
}

/// Whether it matters why the connection to the server ended: the command may have been read, or state is lost.
fn may_be_killed(state: &SessionState, broken: &Broken) -> bool {
    match *broken {
        Broken::Server { unread: true, .. } => !state.pins().is_empty(),
        Broken::Server { delivered, .. } => !delivered,
        Broken::Client { .. } | Broken::Fault { .. } => false,
    }
}

/// Whether a `KILL` would meet another session: a sleep of the database has come between.
fn misses(running: &mut Running) -> bool {
    let changed = |(victim, thread): &mut (Arc<SessionHandle>, u32)| {
        victim.thread.load(Ordering::SeqCst) != *thread
    };
    running.victim.take_if(|victim| changed(victim)).is_some()
}

fn event_of(cx: &SessionContext, incoming: &Incoming, broken: &Broken, alive: bool) -> Event {
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
            alive,
        },
    }
}

/// Whether a command that was running in a transaction may have ended it.
fn may_have_committed(state: &mut SessionState, running: &Running) -> bool {
    match running.incoming.command {
        Command::Query | Command::StmtExecute | Command::StmtBulkExecute => {
            let mode = state.mode();
            text_of(state, running).is_none_or(|text| may_commit(&text, mode))
        }
        _ => false,
    }
}

/// The text of a command that runs one, as far as it is known.
fn text_of<'a>(state: &'a mut SessionState, running: &'a Running) -> Option<Cow<'a, [u8]>> {
    if running.incoming.command == Command::Query {
        return Some(Cow::Borrowed(running.incoming.argument()));
    }
    let statement = state.statements.get(running.statement?)?;
    statement.text.as_deref().map(Cow::Borrowed)
}

/// The client's error.
fn error_of(cx: &SessionContext, why: Why) -> ErrPacket {
    match why {
        Why::Given(error) => error,
        Why::HoldTimeout => cx.hold_timeout(),
        Why::TransactionLost(reason) => refusal::transaction_lost(&reason),
        Why::OutcomeUnknown => refusal::outcome_unknown(),
        Why::Unresolved(reason) => refusal::unresolved(&reason),
        Why::Committed(pins) => refusal::committed(&pins),
        Why::Undone(reason) => refusal::undone(&reason),
        Why::StateLost(pins) => refusal::state_lost(&pins),
        Why::Unread => refusal::unread(),
        Why::OutOfTurn => refusal::out_of_turn(),
    }
}
