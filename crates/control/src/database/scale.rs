//! Size of an awake database: it grows under load, and shrinks when the load is low.
//!
//! To grow, the limits are raised first and the buffer pool follows in the background. To shrink, the buffer
//! pool shrinks first; the limits follow when the kernel has freed the memory. If that takes too long, the
//! size stays as it was. The catalog never says less than what the server may use, so after a crash in
//! between its units are never too small.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::Run;
use dormouse_policy::Cause;
use dormouse_policy::autoscale::{self, SizeStep};
use dormouse_policy::lifecycle::{Denial, Door};
use dormouse_types::{State, Units};
use tracing::{info, warn};

use super::actor::{Actor, Failure, PAUSE};
use super::scaling::{Down, Scaling};
use crate::catalog::{Durability, Entry};
use crate::instance::size::{ShrinkError, Shrinking};
use crate::status::EventKind;
use crate::time::now;

/// Minimum interval between two requests for room.
const ASK_AGAIN: Duration = Duration::from_secs(1);

fn scaling(actor: &mut Actor) -> &mut Scaling {
    actor.scaling.get_or_insert_default()
}

/// Grows or shrinks an awake database if that is due. Returns whether it did something.
pub(super) async fn resize(actor: &mut Actor) -> bool {
    let awake = actor.database.state() == State::Active
        && actor.door == Door::Open
        && actor.instance.run() == Run::Running;
    if !awake {
        return false;
    }
    let now = now();
    let units = actor.instance.units();
    let range = actor.range();
    let state = scaling(actor);
    if state.range.replace(range) != Some(range) {
        state.forget_denials();
    }
    let (window, changed) = actor.instance.load();
    let own = autoscale::decide(range, units, window, changed, now);
    match own {
        Some(step) if step.units > units && may_grow(actor, now) => {
            grow(actor, step, now).await;
            true
        }
        _ if actor.instance.is_shrinking() => go_on_shrinking(actor).await,
        _ if !may_shrink(actor, now) => false,
        Some(step) if step.units < units => shrink(actor, step, Cause::Load, now),
        // checked also for a database that is due to grow
        _ => match actor.instance.must_give_back() {
            Some(step) => shrink(actor, step, Cause::Room, now),
            None => false,
        },
    }
}

fn may_grow(actor: &mut Actor, now: Instant) -> bool {
    let asked = |(at, _): (Instant, _)| now.saturating_duration_since(at) < ASK_AGAIN;
    let Scaling {
        no_room,
        grow_denied,
        ..
    } = *scaling(actor);
    !no_room.is_some_and(asked) && !holds(actor, grow_denied, now)
}

fn may_shrink(actor: &mut Actor, now: Instant) -> bool {
    let denied = scaling(actor).shrink_denied;
    !holds(actor, denied, now)
}

fn holds(actor: &Actor, denied: Option<Denial>, now: Instant) -> bool {
    denied.is_some_and(|denied| denied.holds(actor.sessions(), now).is_some())
}

fn denied_again(actor: &Actor, before: Option<Denial>) -> Denial {
    Denial::again(before, actor.sessions(), now())
}

/// Records that there is no room to grow. Room is requested again soon; the ledger gets an entry at growing
/// intervals.
async fn stay_small(actor: &mut Actor, reason: &str, sizes: (Units, Units), now: Instant) {
    let told = scaling(actor).no_room.map(|(_, told)| told);
    if let Some(told) = told
        && holds(actor, Some(told), now)
    {
        scaling(actor).no_room = Some((now, told));
        return;
    }
    let told = denied_again(actor, told);
    scaling(actor).no_room = Some((now, told));
    let entry = entry(actor, EventKind::Refused, Cause::Room, reason, sizes, now);
    actor.write_entry(entry).await;
}

async fn grow(actor: &mut Actor, step: SizeStep, began: Instant) {
    let units = actor.instance.units();
    let growth = actor.instance.reserve_growth(&step);
    let reason = match growth.limit {
        Some(limit) => format!("{}; {limit}", step.reason),
        None => step.reason,
    };
    let to = growth.to;
    if to <= units {
        return stay_small(actor, &reason, (units, step.units), began).await;
    }
    actor.instance.stop_shrinking();
    if let Err(failure) = raise_limits(actor, to).await {
        warn!(error = %failure, "cannot grow");
        actor.set_units(units);
        let denied = scaling(actor).grow_denied;
        let denied = denied_again(actor, denied);
        scaling(actor).grow_denied = Some(denied);
        actor.look().await;
        let (refused, reason) = (EventKind::Refused, failure.to_string());
        let entry = entry(actor, refused, Cause::Failed, &reason, (units, to), began);
        return actor.write_entry(entry).await;
    }
    scaling(actor).no_room = None;
    scaling(actor).grow_denied = None;
    actor.instance.resized();
    let mut entry = entry(
        actor,
        EventKind::Scaled,
        Cause::Load,
        &reason,
        (units, to),
        began,
    );
    if actor.instance.count_hits().await.is_ok() {
        entry.figures.hit_ratio_ppm = actor.instance.hit_ratio();
    }
    actor.warm_up();
    actor.write_entry(entry).await;
}

/// Writes the new units to the catalog, then raises the limits: the server may never use more than the catalog
/// says.
async fn raise_limits(actor: &mut Actor, to: Units) -> Result<(), Failure> {
    actor.set_units(to);
    let intent = vec![actor.state_change()];
    actor
        .context
        .catalog
        .write(Durability::Soon, intent)
        .await?;
    let done = actor.instance.limit().await;
    Ok(actor.published(done)?)
}

/// Begins to shrink the buffer pool.
fn shrink(actor: &mut Actor, step: SizeStep, cause: Cause, began: Instant) -> bool {
    let database = Arc::clone(&actor.database);
    actor
        .instance
        .begin_to_shrink(step.units, move || database.wake_actor());
    scaling(actor).down = Some(Down { step, cause, began });
    true
}

/// Continues a shrink. Returns whether it has ended.
async fn go_on_shrinking(actor: &mut Actor) -> bool {
    let before = actor.instance.units();
    let done = match actor.instance.shrink().await {
        Shrinking::Busy => return false,
        Shrinking::Done(seen) => Ok(seen),
        Shrinking::Failed(error) => Err(error),
    };
    let Some(down) = scaling(actor).down.take() else {
        return true;
    };
    match done {
        Ok(seen) => {
            actor.set_units(down.step.units);
            actor.publish(&seen);
            scaling(actor).shrink_denied = None;
            let sizes = (before, down.step.units);
            let (scaled, reason) = (EventKind::Scaled, &down.step.reason);
            let entry = entry(actor, scaled, down.cause, reason, sizes, down.began);
            actor.instance.forget_ratio();
            actor.write_entry(entry).await;
        }
        Err(error) => stay_large(actor, down, &error).await,
    }
    true
}

/// Restores the former size after a shrink has failed.
async fn stay_large(actor: &mut Actor, down: Down, error: &ShrinkError) {
    info!(%error, "cannot shrink");
    let denied = scaling(actor).shrink_denied;
    let denied = denied_again(actor, denied);
    scaling(actor).shrink_denied = Some(denied);
    let limits = actor.instance.limit().await;
    match actor.published(limits) {
        Ok(()) => actor.warm_up(),
        // the limits in force are not known, so the pool must not grow
        Err(_) => {
            actor.look().await;
            tokio::time::sleep(PAUSE).await;
        }
    }
    let sizes = (actor.instance.units(), down.step.units);
    let (refused, reason) = (EventKind::Refused, error.to_string());
    let entry = entry(actor, refused, Cause::Failed, &reason, sizes, down.began);
    actor.write_entry(entry).await;
}

/// An entry of the ledger about a change of size.
pub(super) fn entry(
    actor: &Actor,
    event: EventKind,
    cause: Cause,
    reason: &str,
    (from, to): (Units, Units),
    began: Instant,
) -> Entry {
    let state = actor.database.state();
    let mut entry = actor.entry(event, state, state, cause, reason, began);
    entry.figures.units = Some(to);
    entry.figures.units_before = Some(from);
    entry
}
