//! One turn of a database's actor: observe, [`decide`], act. Then the next turn at once, or wait for an event.
//!
//! While it waits, the actor of a parked database has no timer, no span, and holds no connection.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use dormouse_driver::Run;
use dormouse_policy::lifecycle::{Load, Notes, Observed, Server};
use dormouse_policy::{Act, Cause, Plan, Verb, decide};
use dormouse_types::Incarnation;
use tracing::{Instrument, Span, debug, error_span, info};

use super::actor::{Actor, Done, PAUSE};
use super::{hours, park, relocate, remove, scale, settle, suspend, wake};
use crate::time::now;

type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a series of turns has ended.
enum Outcome {
    /// Nothing to do, and no server (parked or failed): wait until the actor is woken.
    NoServer,
    /// The database has been removed, or Dormouse stops.
    Over,
}

/// Runs until the database is dropped or Dormouse stops. `found`: the database was in the catalog at the
/// start, so its instance must be observed first. A parked database's memory is mostly this future, so rarely
/// needed state is boxed, and the actor too (a future stores a moved argument twice).
pub(crate) async fn run(mut actor: Box<Actor>, found: bool) {
    if found {
        let span = span(&actor);
        if !Box::pin(look_first(&mut actor).instrument(span)).await {
            return;
        }
    }
    loop {
        let span = span(&actor);
        match Box::pin(turns(&mut actor).instrument(span)).await {
            Outcome::NoServer => actor.database.actor_woken().await,
            Outcome::Over => return,
        }
    }
}

/// The span of this database's log messages. Of the highest level, so that lines of every level name the database.
fn span(actor: &Actor) -> Span {
    error_span!(
        "database",
        database = %actor.database.name,
        instance = %actor.instance.id(),
    )
}

/// Takes turns until there is nothing to do and no server.
async fn turns(actor: &mut Actor) -> Outcome {
    let mut watch: Option<(Incarnation, End)> = None;
    while !actor.context.tasks.stopping() {
        let act = match plan(actor) {
            Plan { act: Some(act), .. } => act,
            Plan { look_again, .. } => {
                if Box::pin(scale::resize(actor)).await {
                    continue;
                }
                let no_server = actor.instance.incarnation().is_none() && watch.is_none();
                if no_server && look_again.is_none() {
                    return Outcome::NoServer;
                }
                Box::pin(wait(actor, look_again, &mut watch)).await;
                continue;
            }
        };
        debug!(verb = ?act.verb, reason = %act.reason, "acting");
        let ordered = act.cause == Cause::Operator;
        actor.acts_for = actor.database.originator(act.cause).map(Box::new);
        let done = Box::pin(perform(actor, act)).await;
        actor.acts_for = None;
        actor.database.allow_changes();
        match done {
            Done::Again => {}
            Done::Refused(reasons) if ordered => actor.database.refuse(reasons),
            Done::Refused(_) => {}
            Done::Gone => {
                actor.database.end();
                return Outcome::Over;
            }
        }
    }
    Outcome::Over
}

/// Observes the instance of a database that was found in the catalog; `false` if Dormouse is stopping.
async fn look_first(actor: &mut Actor) -> bool {
    let admission = std::sync::Arc::clone(&actor.context.admission);
    let Ok(_permit) = admission.look_first().await else {
        return false;
    };
    actor.look().await;
    hours::learn(actor).await;
    true
}

fn plan(actor: &mut Actor) -> Plan {
    actor.update_exemption();
    if actor.database.take_reset() {
        actor.failures = actor.failures.reset();
    }
    decide(&actor.database.spec(), &observe(actor), now())
}

/// The input of the decision.
fn observe(actor: &Actor) -> Observed {
    use dormouse_policy::lifecycle::Door;

    let database = &actor.database;
    let activity = actor.context.doors.activity(&database.name);
    if actor.door != Door::Shut {
        database.demand_met();
    }
    let demanded = u32::from(database.demanded());
    let order = database.current_order(actor.door);
    let view = database.view();
    Observed {
        state: view.state,
        since: actor.since,
        server: match actor.instance.run() {
            Run::Stopped => Server::Stopped,
            Run::Running => Server::Running,
            Run::Frozen => Server::Frozen,
        },
        door: actor.door,
        load: Load {
            sessions: activity.sessions,
            running: activity.running,
            held: activity.held.max(demanded),
            transactions: activity.transactions,
            last_statement: activity.last_statement,
        },
        opened: actor.opened,
        notes: match view.notes() {
            Notes::Stale if database.accounts_wanted() => Notes::Awaited,
            notes => notes,
        },
        suspend_denied: actor.suspend_denied,
        park_denied: actor.park_denied,
        failures: actor.failures,
        agenda: hours::agenda(actor).0,
        barred: actor.barred(),
        order,
    }
}

async fn perform(actor: &mut Actor, mut act: Act) -> Done {
    // the agenda has the reason in words
    if act.cause == Cause::Schedule || act.verb == Verb::Refuse {
        act.reason = hours::agenda(actor).1.into();
    }
    match act.verb {
        Verb::Start => wake::start(actor, act).await,
        Verb::Thaw => wake::thaw(actor, act).await,
        Verb::Suspend => suspend::suspend(actor, act).await,
        Verb::Park => park::park(actor, act).await,
        Verb::Settle(state) => settle::settle(actor, state, act).await,
        Verb::Bar => wake::bar(actor, act).await,
        Verb::GiveUp => wake::give_up(actor, act).await,
        Verb::Move => relocate::relocate(actor, act).await,
        Verb::Drop => remove::remove(actor, act).await,
        Verb::Refuse => Done::Refused(vec![act.reason.to_string()]),
        Verb::Rearm => {
            actor.shut_by_force();
            Done::Again
        }
    }
}

/// Waits until the actor is woken, the server ends, or the next poll is due.
async fn wait(actor: &mut Actor, until: Option<Instant>, watch: &mut Option<(Incarnation, End)>) {
    let incarnation = actor.instance.incarnation();
    if watch.as_ref().map(|(watched, _)| *watched) != incarnation {
        let end = actor.instance.end().map(|end| Box::pin(end) as End);
        *watch = incarnation.zip(end);
    }
    let ended = async {
        match watch.as_mut() {
            Some((_, ended)) => ended.as_mut().await,
            None => std::future::pending().await,
        }
    };
    // frequent wakes of the actor must not postpone the poll
    let poll = actor.instance.look_due();
    let until = until.into_iter().chain(poll).min();
    let timer = until.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
    let timer = async {
        match timer {
            Some(timer) => timer.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = actor.database.actor_woken() => if poll.is_none_or(|poll| now() < poll) { return },
        () = timer => {}
        () = ended => {
            *watch = None;
            info!(incarnation = incarnation.map(tracing::field::display), "server ended");
        }
    }
    if incarnation.is_some() {
        Box::pin(actor.look()).await;
        if watch.is_none() && actor.instance.incarnation() == incarnation {
            // the driver contradicts itself: do not poll it in a busy loop
            Box::pin(tokio::time::sleep(PAUSE)).await;
        }
    }
}
