//! The size of an awake database: it grows under load, and shrinks when it is not needed.
//!
//! To grow, the limits are raised first and the buffer pool follows behind the doors. To shrink,
//! the buffer pool goes first; when the server has really let go of the memory the limits follow,
//! and if it does not in time, all stays as it was. The catalog never says less than what the
//! server may use, so a crash in between leaves nothing that is too small.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Observed as Seen, Run};
use dormouse_engine::buffer_pool;
use dormouse_policy::Cause;
use dormouse_policy::autoscale::{self, Sample, Step, Why, Window};
use dormouse_policy::lifecycle::{Denied, Door};
use dormouse_policy::placement::Awake;
use dormouse_types::{Incarnation, State, UnitRange, Units};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{Actor, PAUSE};
use crate::catalog::{Durability, Entry};
use crate::world::{now, within};
use crate::{EventKind, PoolHits, ServerError};

/// How often an awake server's load is looked at.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// The machine's room is asked for no more often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long the kernel may take to let go of memory that a server has given up.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How long a process that is killed for want of memory may take to end.
const DYING: Duration = Duration::from_secs(10);

/// Why a server ended that the kernel killed.
pub(super) const STARVED: &str = "its server was killed for want of memory";

/// What decides on a database's size.
#[derive(Default)]
pub(super) struct Size {
    window: Window,
    range: Option<UnitRange>,
    changed: Option<Instant>,
    shrinking: Option<Shrinking>,
    /// When there was no room to grow, last and as the ledger was told last.
    no_room: Option<(Instant, Denied)>,
    /// The process that was seen last, and how many kills for want of memory had been counted when
    /// it was seen first.
    seen: Option<(Incarnation, u64)>,
    /// When such a kill was seen, and what size it had.
    starved: Option<(Instant, Units)>,
    /// What its next server begins with, if not with the least: the last one was killed.
    pub(super) begins_with: Option<Units>,
    grow_denied: Option<Denied>,
    shrink_denied: Option<Denied>,
}

/// A step down that is on its way.
struct Shrinking {
    step: Step,
    cause: Cause,
    began: Instant,
    phase: Phase,
}

enum Phase {
    /// The buffer pool is being made smaller; with what it was asked before.
    Pool(Aborting<Result<PoolHits, String>>),
    /// The limits are tried until this moment.
    Limits(Instant),
}

/// A task that ends with its owner.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Size {
    /// Takes note of an awake server's load, or of its end.
    pub(super) fn note(&mut self, seen: &Seen, units: Units, now: Instant) {
        let kills = seen.strain.map_or(0, |strain| strain.oom_kills);
        match (seen.incarnation, self.seen) {
            (Some(new), known) if known.is_none_or(|(old, _)| old != new) => {
                self.seen = Some((new, kills));
                self.starved = None;
            }
            (_, Some((_, before))) if kills > before && self.starved.is_none() => {
                self.starved = Some((now, units));
                self.window.starved(now);
            }
            _ => {}
        }
        let (Run::Running, Some(cpu)) = (seen.run, seen.cpu) else {
            return self.rest();
        };
        self.window.push(Sample {
            at: now,
            cpu,
            strain: seen.strain.unwrap_or_default(),
        });
    }

    /// Its server has died. Says whether that was for want of memory: the next one has more.
    pub(super) fn died(&mut self, now: Instant) -> bool {
        let starved = self.starved.take();
        let starved = starved.filter(|(at, _)| now.saturating_duration_since(*at) < DYING);
        if let Some((_, units)) = starved {
            self.begins_with = Some(Units(units.0.saturating_add(1)));
        }
        starved.is_some()
    }

    /// It sleeps, or is about to: what its load was says nothing of what comes after.
    pub(super) fn rest(&mut self) {
        self.window.clear();
        self.shrinking = None;
    }

    /// What was denied before says nothing of another range, or another server.
    pub(super) fn forget_denials(&mut self) {
        self.no_room = None;
        self.grow_denied = None;
        self.shrink_denied = None;
    }

    fn settled(&mut self, now: Instant) {
        self.window.clear();
        self.changed = Some(now);
        self.shrinking = None;
    }
}

impl Actor {
    /// Makes an awake database larger or smaller if that is due. Says whether it did something.
    pub(super) async fn resize(&mut self) -> bool {
        let awake = self.database.state() == State::Active
            && self.door == Door::Open
            && self.run == Run::Running;
        if !awake {
            return false;
        }
        let now = now();
        let units = self.database.view().units;
        let range = self.range();
        if self.size().range.replace(range) != Some(range) {
            self.size().forget_denials();
        }
        let size = self.size();
        let own = autoscale::decide(range, units, &size.window, size.changed, now);
        match own {
            Some(step) if step.units > units && self.may_grow(now) => self.grow_to(step, now).await,
            _ if self.size().shrinking.is_some() => self.go_on_shrinking().await,
            _ if !self.may_shrink(now) => false,
            Some(step) if step.units < units => self.shrink_to(step, Cause::Load, now),
            // also one that would rather grow
            _ => match self.world.room.give_back(self.database.instance) {
                Some(step) => self.shrink_to(step, Cause::Room, now),
                None => false,
            },
        }
    }

    fn may_grow(&mut self, now: Instant) -> bool {
        let asked = |(at, _): (Instant, _)| now.saturating_duration_since(at) < ASK_AGAIN;
        let Size {
            no_room,
            grow_denied,
            ..
        } = *self.size();
        !no_room.is_some_and(asked) && !self.holds(grow_denied, now)
    }

    fn may_shrink(&mut self, now: Instant) -> bool {
        let denied = self.size().shrink_denied;
        !self.holds(denied, now)
    }

    fn holds(&self, denied: Option<Denied>, now: Instant) -> bool {
        denied.is_some_and(|denied| denied.holds(self.sessions(), now).is_some())
    }

    /// There is no room to grow. The room is asked again soon; the ledger is told at times.
    async fn stay_small(&mut self, reason: &str, sizes: (Units, Units), now: Instant) {
        let told = self.size().no_room.map(|(_, told)| told);
        if let Some(told) = told
            && self.holds(Some(told), now)
        {
            self.size().no_room = Some((now, told));
            return;
        }
        let told = self.denied(told);
        self.size().no_room = Some((now, told));
        let entry = self.resized(EventKind::Refused, Cause::Room, reason, sizes, now);
        self.write_down(entry).await;
    }

    async fn grow_to(&mut self, step: Step, now: Instant) -> bool {
        let units = self.database.view().units;
        let growth = self.world.room.grow(self.database.instance, &step);
        let reason = match growth.limit {
            Some(limit) => format!("{}; {limit}", step.reason),
            None => step.reason,
        };
        let to = growth.to;
        if to <= units {
            self.stay_small(&reason, (units, step.units), now).await;
            return true;
        }
        self.size().shrinking = None;
        self.database.change(|v| v.units = to);
        // what the server may use is never more than what is written
        let intent = self
            .world
            .catalog
            .write(Durability::Soon, vec![self.state_change()]);
        let limit = self.world.config.deadlines.freeze;
        let done = match intent.await {
            Ok(()) => self.apply(Run::Running, limit).await,
            Err(error) => Err(error.to_string()),
        };
        match done {
            Ok(()) => {
                self.size().no_room = None;
                self.size().grow_denied = None;
                self.size().settled(crate::world::now());
                let sizes = (units, to);
                let mut entry = self.resized(EventKind::Scaled, Cause::Load, &reason, sizes, now);
                let limit = self.world.config.deadlines.ask;
                let hits = async { self.world.servers.hits(&self.database.server()?).await };
                if let Ok(hits) = within(limit, hits).await {
                    self.asked.now(hits);
                    entry.figures.hit_ratio_ppm = self.asked.ratio_ppm;
                }
                self.grow();
                self.write_down(entry).await;
            }
            Err(reason) => {
                warn!(database = %self.database.name, reason, "cannot be made larger");
                self.database.change(|v| v.units = units);
                let denied = self.size().grow_denied;
                let denied = self.denied(denied);
                self.size().grow_denied = Some(denied);
                self.look().await;
                self.write_down(self.resized(
                    EventKind::Refused,
                    Cause::Failed,
                    &reason,
                    (units, to),
                    now,
                ))
                .await;
            }
        }
        true
    }

    /// What a server that is about to start has, and why if it is not the least.
    pub(super) fn first_size(&self) -> (Units, Option<String>) {
        let UnitRange { min, max } = self.range();
        let Some(units) = self.size.as_ref().and_then(|size| size.begins_with) else {
            return (min, None);
        };
        let step = Step {
            units: units.clamp(min, max),
            why: Why::Memory,
            reason: STARVED.to_owned(),
        };
        let least = Awake {
            units: min,
            min,
            used: 0,
        };
        let room = &self.world.room;
        room.note(self.database.instance, Some(least));
        let growth = room.grow(self.database.instance, &step);
        let limit = growth.limit.or_else(|| {
            let most = format!("the most it may have is {}", max.0);
            (units > max).then_some(most)
        });
        let told = limit.map_or(step.reason, |limit| format!("{STARVED}; {limit}"));
        (growth.to, Some(told))
    }

    /// Begins with the buffer pool.
    fn shrink_to(&mut self, step: Step, cause: Cause, now: Instant) -> bool {
        self.growing = None;
        let servers = Arc::clone(&self.world.servers);
        let limit = self.world.config.deadlines.shrink;
        let to = step.units;
        let database = Arc::clone(&self.database);
        let task = tokio::spawn(async move {
            let shrink = async {
                let server = database.server()?;
                let hits = servers.hits(&server).await?;
                servers.shrink(&server, buffer_pool::awake(to)).await?;
                Ok::<_, ServerError>(hits)
            };
            let done = within(limit, shrink).await;
            database.nudge.notify_one();
            done
        });
        self.size().shrinking = Some(Shrinking {
            step,
            cause,
            began: now,
            phase: Phase::Pool(Aborting(task)),
        });
        true
    }

    /// The pool is small, or has failed to be; then the limits.
    async fn go_on_shrinking(&mut self) -> bool {
        let Some(mut shrinking) = self.size().shrinking.take() else {
            return false;
        };
        let until = match &mut shrinking.phase {
            Phase::Pool(task) if !task.0.is_finished() => {
                self.size().shrinking = Some(shrinking);
                return false;
            }
            Phase::Pool(task) => match (&mut task.0).await {
                Ok(Ok(hits)) => {
                    self.asked.now(hits);
                    now() + LETTING_GO
                }
                Ok(Err(reason)) => return self.stay_large(shrinking, &reason).await,
                Err(broken) => return self.stay_large(shrinking, &broken.to_string()).await,
            },
            Phase::Limits(until) => *until,
        };
        let units = self.database.view().units;
        self.database.change(|v| v.units = shrinking.step.units);
        let limit = self.world.config.deadlines.freeze;
        match self.apply(Run::Running, limit).await {
            Ok(()) => {
                self.size().shrink_denied = None;
                self.size().settled(now());
                let (reason, began) = (&shrinking.step.reason, shrinking.began);
                let entry = self.resized(
                    EventKind::Scaled,
                    shrinking.cause,
                    reason,
                    (units, shrinking.step.units),
                    began,
                );
                self.asked.ratio_ppm = None;
                self.write_down(entry).await;
                true
            }
            Err(reason) => {
                self.database.change(|v| v.units = units);
                if now() < until {
                    shrinking.phase = Phase::Limits(until);
                    self.size().shrinking = Some(shrinking);
                    return false;
                }
                self.stay_large(shrinking, &reason).await
            }
        }
    }

    /// It cannot be made smaller now: as it was before.
    async fn stay_large(&mut self, shrinking: Shrinking, reason: &str) -> bool {
        info!(database = %self.database.name, reason, "stays as large as it is");
        let denied = self.size().shrink_denied;
        let denied = self.denied(denied);
        self.size().shrink_denied = Some(denied);
        let limit = self.world.config.deadlines.freeze;
        match self.apply(Run::Running, limit).await {
            Ok(()) => self.grow(),
            // a pool must not grow within limits that nobody knows
            Err(_) => {
                self.look().await;
                tokio::time::sleep(PAUSE).await;
            }
        }
        let sizes = (self.database.view().units, shrinking.step.units);
        let entry = self.resized(
            EventKind::Refused,
            Cause::Failed,
            reason,
            sizes,
            shrinking.began,
        );
        self.write_down(entry).await;
        true
    }

    /// The sizes it may have now.
    pub(super) fn range(&self) -> UnitRange {
        self.database.range(self.world.config.ladder.baseline)
    }

    fn denied(&self, before: Option<Denied>) -> Denied {
        Denied::again(before, self.sessions(), now())
    }

    pub(super) fn size(&mut self) -> &mut Size {
        self.size.get_or_insert_default()
    }

    /// Its load is nothing to go by any more: it is about to sleep.
    pub(super) fn rest_size(&mut self) {
        if let Some(size) = &mut self.size {
            size.rest();
        }
    }

    /// Takes note of its load.
    pub(super) fn note_load(&mut self, seen: &Seen) {
        if self.size.is_some() || seen.run != Run::Stopped {
            let units = self.database.view().units;
            self.size().note(seen, units, now());
        }
    }

    /// It is parked: nothing is kept but that memory was short.
    pub(super) fn forget_size(&mut self) {
        self.size.take_if(|size| !size.window.was_short());
    }

    /// What the machine's room is told of it.
    pub(super) fn note_room(&self) {
        let awake = (self.run == Run::Running).then(|| Awake {
            units: self.database.view().units,
            min: self.range().min,
            used: { self.size.as_ref() }
                .and_then(|size| size.window.millicores())
                .unwrap_or(0),
        });
        self.world.room.note(self.database.instance, awake);
    }

    /// An entry of the ledger about a change of size.
    pub(super) fn resized(
        &self,
        event: EventKind,
        cause: Cause,
        reason: &str,
        (from, to): (Units, Units),
        began: Instant,
    ) -> Entry {
        let state = self.database.state();
        let mut entry = self.entry(event, state, state, cause, reason, began);
        entry.figures.units = Some(to);
        entry.figures.units_before = Some(from);
        entry
    }
}
