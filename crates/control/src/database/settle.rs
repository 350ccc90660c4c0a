//! Sets the database's state and door to match its server's process, after a restart of Dormouse or an
//! interrupted transition.

use std::time::Instant;

use dormouse_policy::{Act, Cause};
use dormouse_types::State;
use tracing::warn;

use super::actor::{Actor, Done, PAUSE};
use super::{globals, rights, wake};
use crate::instance::Unmet;
use crate::time::{now, within};

/// Sets the state and the door to match the server's process.
pub(super) async fn settle(actor: &mut Actor, state: State, act: Act) -> Done {
    let began = now();
    let from = actor.database.state();
    match state {
        State::Active => {
            if rights::are_old(actor) {
                rights::stop(actor).await;
                return Done::Again;
            }
            // a process that runs may not accept connections yet: the driver waits for that
            if let Err(unmet) = actor.start_server().await {
                return not_serving(actor, unmet, began).await;
            }
            go_on_as_usual(actor).await;
            let lost = globals::restore_missing(actor).await;
            actor.begin_intent();
            if let Err(error) = actor.write_intent().await {
                return wake::not_written(actor, error, began).await;
            }
            actor.open(&act.reason);
            actor.warm_up();
            globals::record_lost(actor, &lost).await;
        }
        State::Suspended | State::Parked => {
            actor.shut_by_force();
            actor.show(state, &act.reason);
        }
        other => {
            warn!(state = %other, "a database cannot be settled in this state");
            actor.show(other, &act.reason);
        }
    }
    if from != actor.database.state() {
        actor.record(from, &act, began, None).await;
    }
    Done::Again
}

/// Takes away what a move or a copy has set in the server before a crash of Dormouse.
async fn go_on_as_usual(actor: &Actor) {
    let host = &actor.context.host;
    let usual = within(host.deadlines.ask, async {
        // it may keep a log for a move that has ended
        let keeps_log = actor.keeps_log();
        let server = actor.instance.server()?;
        host.servers.go_on_as_usual(&server, keeps_log).await
    });
    if let Err(error) = usual.await {
        warn!(%error, "cannot see whether the server takes changes, and writes pages as usual");
    }
}

/// Handles a server that does not accept connections: stops its process, so that a new one can start. If the
/// process has died, only observes the instance.
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
        .record_not_done(State::Active, Cause::Failed, &unmet, began)
        .await;
    Done::Again
}
