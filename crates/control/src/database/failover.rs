//! The primary is lost: one of its replicas takes its place.
//!
//! Its server cannot be started, in time or at all, or its files are gone. The replica that has received most applies all
//! of that, and the catalog makes it the primary in one write; then the door opens, and the sessions go on there. What the
//! lost one has acknowledged and no replica has received is lost, unless commits wait for a replica.

use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::lifecycle::Failures;
use dormouse_policy::{Act, Cause};
use jiff::Timestamp;
use tracing::{error, info, warn};

use super::actor::Actor;
use super::{globals, relocate};
use crate::catalog::{Change, Moved};
use crate::time::{now, within};

/// How long the server of a database with replicas may take for its start, recovery included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
    let host = Arc::clone(&actor.context.host);
    let globals = actor.database.view().noted.globals.clone();
    let promoted = within(host.deadlines.ask, async {
        let server = follower.server()?;
        host.servers.promote(&server, &events).await?;
        match globals.is_empty() {
            true => Ok(Vec::new()),
            false => host.servers.apply_globals(&server, &globals).await,
        }
    });
    let globals_lost = match promoted.await {
        Ok(globals_lost) => globals_lost,
        Err(error) => {
            error!(%error, instance = %follower.id(), "a replica cannot take the place of the lost primary");
            // it may be half promoted
            discard(actor, follower.id());
            return false;
        }
    };
    let moved = Change::Moved(Box::new(Moved {
        name: actor.database.name.clone(),
        origin: actor.database.instance,
        from: actor.instance.id(),
        to: follower.id(),
        kept_until: Timestamp::now(),
    }));
    if relocate::write(actor, moved, &follower.instance)
        .await
        .is_err()
    {
        discard(actor, follower.id());
        return false;
    }
    actor.instance.disconnect().await;
    let former = relocate::sit(actor, follower.instance);
    relocate::serve(actor).await;
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
    discard(actor, former.id());
    replicas.wake();
    true
}

/// Removes an instance in the background: it may take as long as its disk does not answer.
fn discard(actor: &Actor, id: dormouse_types::InstanceId) {
    let context = Arc::clone(&actor.context);
    context.host.room.note(id, None);
    let tasks = Arc::clone(&context.tasks);
    tasks.spawn(async move {
        if let Err(error) = context.host.remove(id).await {
            warn!(instance = %id, %error, "a lost primary is left to the next start");
            return;
        }
        let gone = vec![Change::InstanceGone(id)];
        let written = context
            .catalog
            .write(crate::catalog::Durability::Soon, gone);
        if let Err(error) = written.await {
            warn!(instance = %id, %error, "a lost primary is left to the next start");
        }
    });
}
