//! From active to suspended.

use std::time::{Duration, Instant};

use dormouse_driver::Run;
use dormouse_engine::buffer_pool;
use dormouse_policy::Act;
use dormouse_types::State;
use tracing::{error, info, warn};

use super::actor::{Actor, Done, Hitch};
use super::{hours, notes, park};
use crate::time::{now, within};

/// Maximum time for the query for MEMORY tables before a suspend; only a park needs its answer.
const GLANCE: Duration = Duration::from_millis(5);

/// Shuts the door, takes the notes, shrinks the buffer pool, freezes the server. Until the freeze, a statement that
/// arrives cancels this. An ordered suspend is carried through; statements wait.
pub(super) async fn suspend(actor: &mut Actor, act: Act) -> Done {
    let began = now();
    let before = actor.database.view().cpu_ms;
    if !actor.shut(&act).await {
        return actor.in_use().await;
    }
    actor.instance.clear_load();
    if let Err(error) = actor.write_transition(State::Suspending, &act.reason).await {
        error!(%error, hint = error.hint(), "cannot write the catalog");
        return not_suspended(actor, error.into(), began).await;
    }
    if let Err(hitch) = prepare(actor).await {
        if hitch.is_locked_out() {
            // frozen, it could neither be asked nor repaired
            return Box::pin(park::park(actor, act)).await;
        }
        return not_suspended(actor, hitch, began).await;
    }
    if let Err(unmet) = actor.freeze_server().await {
        actor.look().await;
        if actor.instance.run() != Run::Frozen {
            return not_suspended(actor, unmet.into(), began).await;
        }
    }
    actor.suspend_denied = None;
    actor.exempt = false;
    actor.show(State::Suspended, &act.reason);
    actor.record(State::Active, &act, began, before).await;
    Box::pin(hours::learn(actor)).await;
    Done::Again
}

async fn not_suspended(actor: &mut Actor, hitch: Hitch, began: Instant) -> Done {
    actor.stay_awake(State::Suspended, hitch, began).await
}

/// The steps before the freeze.
async fn prepare(actor: &mut Actor) -> Result<(), Hitch> {
    notes::count_hits(actor).await?;
    notes::take(actor).await?;
    match notes::take_memory_tables(actor, GLANCE).await {
        Err(Hitch::Failed(error)) => info!(%error, "its MEMORY tables are not known"),
        other => other?,
    }
    let host = &actor.context.host;
    let shrink = within(host.deadlines.shrink, async {
        let server = actor.instance.server()?;
        host.servers.shrink(&server, buffer_pool::suspended()).await
    });
    match actor.unless_wanted(shrink).await {
        Err(Hitch::Failed(error)) => warn!(%error, "frozen with a large buffer pool"),
        other => other?,
    }
    actor.instance.disconnect().await;
    if actor.wanted() {
        Err(Hitch::Wanted)
    } else {
        Ok(())
    }
}
