//! The size of an awake database: it grows under load, and shrinks when it is not needed.
//!
//! To grow, the limits are raised first and the buffer pool follows behind the traffic. To shrink,
//! the buffer pool goes first; when the server has really let go of the memory the limits follow,
//! and if it does not in time, all stays as it was. The catalog never says less than what the
//! server may use, so a crash in between leaves nothing that is too small.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Observed as Seen, Run};
use dormouse_engine::pool;
use dormouse_policy::Cause;
use dormouse_policy::autoscale::{self, Sample, Step, Strain, Window};
use dormouse_policy::lifecycle::{Denied, Gate};
use dormouse_policy::placement::Awake;
use dormouse_types::{State, UnitRange, Units};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{Actor, PAUSE};
use crate::EventKind;
use crate::catalog::{Entry, Sync};
use crate::world::{now, within};

/// How often an awake server's load is looked at.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// How long the kernel may take to let go of memory that a server has given up.
const LETTING_GO: Duration = Duration::from_secs(2);

/// What decides on a database's size; there is none of one that sleeps, unless something of it is
/// worth keeping.
#[derive(Default)]
pub(super) struct Size {
    window: Window,
    changed: Option<Instant>,
    shrinking: Option<Shrinking>,
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
    /// The buffer pool is being made smaller.
    Pool(Aborting<Result<(), String>>),
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
    /// Takes note of an awake server's load.
    pub(super) fn note(&mut self, seen: &Seen, now: Instant) {
        let (Run::Running, Some(cpu)) = (seen.run, seen.cpu) else {
            return self.rest();
        };
        let strain = seen.strain.unwrap_or_default();
        self.window.push(Sample {
            at: now,
            cpu,
            strain: Strain {
                throttled: strain.throttled,
                stalled: strain.stalled,
                limit_hits: strain.limit_hits,
                oom_kills: strain.oom_kills,
            },
        });
    }

    /// It sleeps, or is about to: what its load was says nothing of what comes after.
    pub(super) fn rest(&mut self) {
        self.window.clear();
        self.shrinking = None;
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
            && self.gate == Gate::Open
            && self.run == Run::Running;
        if !awake {
            return false;
        }
        let now = now();
        let units = self.database.view().units;
        let range = self.range();
        let size = self.size.get_or_insert_default();
        let own = autoscale::decide(range, units, &size.window, size.changed, now);
        match own {
            Some(step) if step.units > units => self.grow_to(step, now).await,
            _ if size.shrinking.is_some() => self.go_on_shrinking().await,
            Some(step) => self.shrink_to(step, Cause::Load, now),
            None => match self.world.room.give_back(self.database.instance) {
                Some(step) => self.shrink_to(step, Cause::Room, now),
                None => false,
            },
        }
    }

    async fn grow_to(&mut self, step: Step, now: Instant) -> bool {
        if let Some(denied) = self.size().grow_denied
            && denied.holds(self.sessions(), now).is_some()
        {
            return false;
        }
        let units = self.database.view().units;
        let growth = self.world.room.grow(self.database.instance, &step);
        let reason = match growth.limit {
            Some(limit) => format!("{}; {limit}", step.reason),
            None => step.reason,
        };
        let to = growth.to;
        if to <= units {
            self.deny_size(|size| &mut size.grow_denied);
            let sizes = (units, step.units);
            let entry = self.resized(EventKind::Refused, Cause::Room, &reason, sizes, now);
            self.write_down(entry).await;
            return true;
        }
        self.size().shrinking = None;
        self.database.change(|v| v.units = to);
        // what the server may use is never more than what is written
        let intent = self
            .world
            .catalog
            .write(Sync::Soon, vec![self.state_change()]);
        let limit = self.world.config.deadlines.freeze;
        let done = match intent.await {
            Ok(()) => self.apply(Run::Running, limit).await,
            Err(error) => Err(error.to_string()),
        };
        match done {
            Ok(()) => {
                self.size().grow_denied = None;
                self.size().settled(crate::world::now());
                self.grow();
                let entry = self.resized(EventKind::Scaled, Cause::Load, &reason, (units, to), now);
                self.write_down(entry).await;
            }
            Err(reason) => {
                warn!(database = %self.database.name, reason, "cannot be made larger");
                self.database.change(|v| v.units = units);
                self.deny_size(|size| &mut size.grow_denied);
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

    /// Begins with the buffer pool.
    fn shrink_to(&mut self, step: Step, cause: Cause, now: Instant) -> bool {
        if let Some(denied) = self.size().shrink_denied
            && denied.holds(self.sessions(), now).is_some()
        {
            return false;
        }
        self.growing = None;
        let servers = Arc::clone(&self.world.servers);
        let server = self.world.server(self.database.instance);
        let limit = self.world.config.deadlines.shrink;
        let to = step.units;
        let database = Arc::clone(&self.database);
        let task = tokio::spawn(async move {
            let done = within(limit, servers.shrink(&server, pool::awake(to))).await;
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
                Ok(Ok(())) => now() + LETTING_GO,
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
                // those of its hot pages that had to go come back, as far as there is room
                self.grow();
                let (reason, began) = (&shrinking.step.reason, shrinking.began);
                let entry = self.resized(
                    EventKind::Scaled,
                    shrinking.cause,
                    reason,
                    (units, shrinking.step.units),
                    began,
                );
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
        self.deny_size(|size| &mut size.shrink_denied);
        let limit = self.world.config.deadlines.freeze;
        if self.apply(Run::Running, limit).await.is_err() {
            self.look().await;
            tokio::time::sleep(PAUSE).await;
        }
        self.grow();
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

    fn size(&mut self) -> &mut Size {
        self.size.get_or_insert_default()
    }

    /// That is not tried again soon.
    fn deny_size(&mut self, what: impl FnOnce(&mut Size) -> &mut Option<Denied>) {
        let sessions = self.sessions();
        let denied = what(self.size());
        *denied = Some(Denied::again(*denied, sessions, now()));
    }

    /// Its load is nothing to go by any more: it is about to sleep.
    pub(super) fn rest_size(&mut self) {
        if let Some(size) = &mut self.size {
            size.rest();
        }
    }

    /// Takes note of its load. Without a server nothing is kept but that memory was short.
    pub(super) fn note_load(&mut self, seen: &Seen) {
        if seen.run == Run::Stopped {
            self.size.take_if(|size| !size.window.was_short());
            self.rest_size();
        } else {
            self.size().note(seen, now());
        }
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
    fn resized(
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
