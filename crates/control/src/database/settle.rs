//! Calls a state what the instance makes it: after a restart, or when a transition broke off.

use std::time::Instant;

use dormouse_policy::{Act, Cause};
use dormouse_types::State;
use tracing::warn;

use super::actor::{Actor, Done, PAUSE};
use super::wake;
use crate::instance::Unmet;
use crate::time::now;

/// Calls the state what the instance makes it, and sets the door to match.
pub(super) async fn settle(actor: &mut Actor, state: State, act: Act) -> Done {
    let began = now();
    let from = actor.database.state();
    match state {
        State::Active => {
            // running is not yet ready: the driver knows when it takes connections
            if let Err(unmet) = actor.start_server().await {
                return not_serving(actor, unmet, began).await;
            }
            if actor.database.view().noted.fresh {
                // it may be a new process; for the old one this changes nothing
                wake::restore_globals(actor).await;
            }
            actor.begin_intent();
            if let Err(error) = actor.write_intent().await {
                return wake::not_written(actor, error, began).await;
            }
            actor.open(&act.reason);
            actor.warm_up();
        }
        State::Suspended | State::Parked => {
            actor.shut_by_force();
            actor.show(state, &act.reason);
        }
        other => {
            warn!(state = %other, "no state to settle in");
            actor.show(other, &act.reason);
        }
    }
    if from != actor.database.state() {
        actor.record(from, &act, began, None).await;
    }
    Done::Again
}

/// A process that does not serve is stopped, to make room for one that does. One that has died, and may be
/// replaced already, is looked at.
async fn not_serving(actor: &mut Actor, unmet: Unmet, began: Instant) -> Done {
    if unmet.died() {
        let before = actor.failures;
        actor.look().await;
        if actor.failures == before {
            actor.count_failure(&unmet);
        }
        actor.last_failure = unmet.to_string();
        actor.shut_by_force();
    } else {
        actor.count_failure(&unmet);
        warn!(error = %unmet, "the server does not serve: stopping it");
        actor.last_failure = unmet.to_string();
        actor.shut_by_force();
        if actor.stop_server().await.is_err() {
            actor.look().await;
            tokio::time::sleep(PAUSE).await;
        }
    }
    actor
        .record_refusal(State::Active, Cause::Failed, &unmet, began)
        .await;
    Done::Again
}
