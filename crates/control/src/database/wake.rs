//! Transitions to active: starts or thaws the server, restores global variables, or gives up.

use std::sync::Arc;
use std::time::Instant;

use dormouse_driver::Run;
use dormouse_policy::lifecycle::{Door, Order};
use dormouse_policy::{Act, Cause};
use dormouse_types::{CommitDurability, State, UnitRange};
use tokio::sync::SemaphorePermit;
use tracing::{error, warn};

use super::actor::{Actor, Done, Failure, PAUSE};
use super::{Rare, failover, globals, rights, scale};
use crate::admission::{Admission, Importance};
use crate::error::Error;
use crate::instance::Unmet;
use crate::status::EventKind;
use crate::time::{Late, now, within};

/// Starts the server and opens the door. The intent is written while the server starts, and is in the catalog
/// before the door opens. Held statements wait through a few failures; each failure is followed by a new
/// decision.
pub(super) async fn start(actor: &mut Actor, mut act: Act) -> Done {
    let began = now();
    let from = actor.database.state();
    if actor.door != Door::Shut {
        actor.shut_by_force();
    }
    let before = actor.instance.units();
    let UnitRange { min, max } = actor.range();
    let (units, starved) = actor.instance.reserve_first_units(min, max);
    if let Some(reason) = starved.clone().filter(|_| act.cause == Cause::Crash) {
        act.reason = reason.into();
    }
    actor.next_generation();
    actor.set_units(units);
    actor.show(State::Waking, &act.reason);
    actor.begin_intent();
    if units > before {
        // the server may never use more than the catalog says
        if let Err(error) = actor.write_intent().await {
            actor.set_units(before);
            return not_written(actor, error, began).await;
        }
    }
    let admission = Arc::clone(&actor.context.admission);
    let Ok(admitted) = admitted(actor, &admission, act.cause).await else {
        return Done::Again;
    };
    if rights::are_old(actor) {
        if let Err(error) = actor.write_intent().await {
            return not_written(actor, error, began).await;
        }
        if let Err(failure) = rights::renew(actor).await {
            drop(admitted);
            start_failed(actor, failure, began).await;
            return Done::Again;
        }
    }
    // on a full disk it could not start, and nothing could be deleted
    actor.context.storage.look_at_disk().await;
    if let Err(unmet) = start_server(actor).await {
        drop(admitted);
        if !unmet.died() && Box::pin(failover::fail_over(actor, &unmet.to_string())).await {
            return Done::Again;
        }
        start_failed(actor, unmet.into(), began).await;
        return Done::Again;
    }
    acknowledge(actor).await;
    actor.failures = actor.failures.started(now());
    actor.instance.count_from_start();
    let lost = globals::restore(actor).await;
    drop(admitted);
    if let Err(error) = actor.write_intent().await {
        return not_written(actor, error, began).await;
    }
    actor.open(&act.reason);
    actor.warm_up();
    actor.forget_denials();
    actor.record(from, &act, began, Some(0)).await;
    if let Some(reason) = starved.filter(|_| units > before) {
        let sizes = (before, units);
        let entry = scale::entry(actor, EventKind::Scaled, Cause::Load, &reason, sizes, began);
        actor.write_entry(entry).await;
    }
    globals::record_lost(actor, &lost).await;
    Done::Again
}

/// Starts the server; one that has replicas must start in time.
async fn start_server(actor: &mut Actor) -> Result<(), Unmet> {
    if actor.database.replicas().is_none() {
        return actor.start_server().await;
    }
    let patience = failover::patience(actor.database.spec().durability);
    match tokio::time::timeout(patience, actor.start_server()).await {
        Ok(started) => started,
        Err(_) => Err(Unmet::Driver(Late::TimedOut(patience))),
    }
}

/// Lets commits wait for a replica from the first one on, if that is the setting and there are replicas.
async fn acknowledge(actor: &Actor) {
    let waits = actor.database.spec().durability == CommitDurability::Replica;
    if !waits || actor.database.replicas().is_none() {
        return;
    }
    let host = &actor.context.host;
    let set = within(host.deadlines.ask, async {
        let server = actor.instance.server()?;
        host.servers.wait_for_replica(&server, true).await
    });
    if let Err(error) = set.await {
        warn!(%error, "commits do not wait for a replica yet");
    }
}

/// Waits until its server may start. A start by the schedule, which may be one of many at this moment, waits for
/// starts with a waiting statement.
async fn admitted<'a>(
    actor: &mut Actor,
    admission: &'a Admission,
    cause: Cause,
) -> Result<SemaphorePermit<'a>, Error> {
    actor.carries_through = false;
    if cause == Cause::Schedule {
        let background = admission.start(Importance::Background);
        if let Ok(admitted) = actor.unless_wanted(background).await {
            return Ok(admitted);
        }
    }
    admission.start(Importance::Awaited).await
}

async fn start_failed(actor: &mut Actor, failure: Failure, began: Instant) {
    match &failure {
        Failure::Instance(unmet) => actor.count_failure(unmet),
        _ => actor.failures = actor.failures.start_failed(now()),
    }
    warn!(error = %failure, "start failed");
    actor.look().await;
    actor
        .record_not_done(State::Active, Cause::Failed, &failure, began)
        .await;
    actor.last_failure = failure.to_string();
}

/// Records that the intent could not be written: the door stays shut, and the next turn tries again.
pub(super) async fn not_written(actor: &mut Actor, error: Error, began: Instant) -> Done {
    error!(%error, hint = error.hint(), "cannot write the catalog: the door stays shut");
    tokio::time::sleep(PAUSE).await;
    actor
        .record_not_done(State::Active, Cause::Failed, &error, began)
        .await;
    Done::Again
}

/// Lets the frozen server run and opens the door. The intent is written meanwhile; the door does not wait for
/// it, since a commit takes as long as the rest of a thaw.
pub(super) async fn thaw(actor: &mut Actor, act: Act) -> Done {
    let began = now();
    let from = actor.database.state();
    let before = actor.database.view().cpu_ms;
    actor.show(State::Waking, &act.reason);
    actor.begin_intent();
    if let Err(unmet) = actor.thaw_server().await {
        warn!(error = %unmet, "thaw failed");
        actor.look().await;
        if actor.instance.run() == Run::Frozen {
            actor.failures = actor.failures.start_failed(now());
            actor.last_failure = unmet.to_string();
            if actor.failures.given_up() {
                // so that a new process may start
                let _ = actor.stop_server().await;
                actor.look().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        actor
            .record_not_done(State::Active, Cause::Failed, &unmet, began)
            .await;
        return Done::Again;
    }
    if rights::are_old(actor) {
        rights::stop(actor).await;
        return Done::Again;
    }
    actor.open(&act.reason);
    actor.failures = actor.failures.started(now());
    actor.warm_up();
    actor.forget_denials();
    actor.record(from, &act, began, before).await;
    Done::Again
}

/// Refuses the statements that wait, and those that arrive: its spend limit is used up.
pub(super) async fn bar(actor: &mut Actor, act: Act) -> Done {
    let state = actor.database.state();
    let reason = act.reason.to_string();
    actor.refuse(&reason);
    actor
        .record_not_done(state, act.cause, &reason, now())
        .await;
    Done::Again
}

/// Refuses the statements that wait: the server cannot be started.
pub(super) async fn give_up(actor: &mut Actor, act: Act) -> Done {
    let from = actor.database.state();
    let reason = format!("{}: {}", act.reason, actor.last_failure);
    error!(reason, "given up; it is tried again on demand");
    actor.show(State::Failed, &reason);
    let rare = Rare {
        retry_at: actor.failures.retry_at(),
        ..Rare::default()
    };
    actor.database.change(|v| v.rare = Some(Box::new(rare)));
    actor.database.accounts_read();
    actor.refuse(&reason);
    let error = Error::Server {
        database: actor.database.name.clone(),
        reason: reason.clone(),
    };
    actor.database.answer(&[Order::Wake], Err(error));
    let reason = reason.into();
    actor
        .record(from, &Act { reason, ..act }, now(), None)
        .await;
    Done::Again
}
