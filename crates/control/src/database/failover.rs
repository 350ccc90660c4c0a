//! The primary is lost: one of its replicas takes its place.
//!
//! Its server cannot be started, in time or at all, or its files are gone. The replica that has received most applies all
//! of that, and the catalog makes it the primary in one write; then the door opens, and the sessions go on there. What the
//! lost one has acknowledged and no replica has received is lost, unless commits wait for a replica.

use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::lifecycle::Failures;
use dormouse_policy::{Act, Cause};
use dormouse_types::CommitDurability;
use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};

use super::actor::Actor;
use super::{globals, seat};
use crate::instance::Instance;
use crate::time::now;

/// How long the server of a database with replicas may take for its start, recovery included. Its files are there as long as it
/// starts: what no replica has received is in them.
pub(super) fn patience(durability: CommitDurability) -> Duration {
    Duration::from_secs(match durability {
        CommitDurability::Replica => 10,
        CommitDurability::Local => 60,
    })
}

/// How long the files of a lost primary are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Lets a replica take the primary's place; returns whether one did.
pub(super) async fn fail_over(actor: &mut Actor, lost: &str) -> bool {
    let began = now();
    let Some(replicas) = actor.database.replicas() else {
        return false;
    };
    let Some((follower, events)) = replicas.take_best().await else {
        return false;
    };
    let from = actor.database.state();
    // as long as what it applies now: nothing of that may be thrown away. With one replica there is none to wait for
    let how = (false, actor.context.host.deadlines.start);
    let globals_lost = match seat::promote(actor, &follower, &events, how).await {
        Ok(globals_lost) => globals_lost,
        Err(error) => {
            error!(%error, instance = %follower.id(), "a replica cannot take the place of the lost primary");
            replicas.put_back(follower).await;
            return false;
        }
    };
    let until = Timestamp::now().saturating_add(KEPT);
    let until = until.unwrap_or(Timestamp::MAX);
    if seat::write(actor, &follower.instance, until).await.is_err() {
        replicas.put_back(follower).await;
        return false;
    }
    let former = seat::take(actor, follower.instance).await;
    let reason = format!(
        "its primary, instance {}, is lost ({lost}): the replica {} took its place",
        former.id(),
        actor.instance.id()
    );
    info!(reason, "failed over");
    actor.open(&reason);
    actor.warm_up();
    actor.forget_denials();
    // they were those of the lost one
    actor.failures = Failures::default().started(now());
    let act = Act {
        verb: dormouse_policy::Verb::Start,
        cause: Cause::Crash,
        reason: reason.into(),
    };
    actor.record(from, &act, began, None).await;
    globals::record_lost(actor, &globals_lost).await;
    actor.context.moves.failed_over();
    stop(actor, former);
    replicas.wake();
    true
}

/// Stops the lost primary in the background: it may take as long as its disk does not answer. What is left of its files is kept
/// for a while.
fn stop(actor: &Actor, mut former: Instance) {
    let context = Arc::clone(&actor.context);
    context.host.room.note(former.id(), None);
    let tasks = Arc::clone(&context.tasks);
    tasks.spawn(async move {
        former.disconnect().await;
        if let Err(error) = former.stop().await {
            warn!(instance = %former.id(), %error, "a lost primary cannot be stopped: the next start does it");
        }
    });
}
