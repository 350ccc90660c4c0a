//! To active: start the server, or thaw it; or give up.

use std::sync::Arc;

use dormouse_driver::Run;
use dormouse_policy::lifecycle::{Door, Order};
use dormouse_policy::spend::Rung;
use dormouse_policy::{Act, Cause};
use dormouse_types::State;
use tokio::sync::SemaphorePermit;
use tracing::{error, warn};

use super::apply::Unmet;
use super::warm_up::Asked;
use super::{Actor, Done, PAUSE};
use crate::database::Rare;
use crate::warm::{Importance, admit};
use crate::world::{World, now, within};
use crate::{Error, EventKind};

impl Actor {
    /// Starts the server and opens the doors. Those who hold statements wait through a few
    /// failures; whether to go on is decided anew after each.
    pub(super) async fn start(&mut self, mut act: Act) -> Done {
        let began = now();
        let from = self.database.state();
        if self.door != Door::Shut {
            self.shut_by_force();
        }
        let before = self.database.view().units;
        let (units, starved) = self.first_size();
        if let Some(told) = starved.clone().filter(|_| act.cause == Cause::Crash) {
            act.reason = told.into();
        }
        self.database.change(|v| {
            v.generation = v.generation.wrapping_add(1);
            v.units = units;
        });
        self.show(State::Waking, &act.reason);
        self.mark_stale();
        let world = Arc::clone(&self.world);
        let Ok(admitted) = self.admitted(&world, act.cause).await else {
            return Done::Again;
        };
        let limit = world.config.deadlines.start;
        if let Err(unmet) = self.try_apply(Run::Running, limit).await {
            drop(admitted);
            self.start_failed(unmet, began).await;
            return Done::Again;
        }
        self.failures = self.failures.started(now());
        self.size().begins_with = None;
        self.asked = Asked::nothing();
        let lost = self.restore_globals().await;
        drop(admitted);
        self.marked_stale().await;
        self.open(&act.reason);
        self.grow();
        self.forget_denials();
        self.record(from, &act, began, Some(0)).await;
        if let Some(told) = starved.filter(|_| units > before) {
            let sizes = (before, units);
            self.write_down(self.resized(EventKind::Scaled, Cause::Load, &told, sizes, began))
                .await;
        }
        if !lost.is_empty() {
            let reason = format!("not set again after the start: {}", lost.join("; "));
            warn!(database = %self.database.name, reason, "global variables were lost");
            self.record_refusal(State::Active, Cause::Failed, &reason, now())
                .await;
        }
        Done::Again
    }

    /// Waits until its server may start. One that the clock wakes may be one of many at this moment:
    /// whoever has a statement waiting goes first.
    async fn admitted<'w>(
        &mut self,
        world: &'w World,
        cause: Cause,
    ) -> Result<SemaphorePermit<'w>, Error> {
        self.insists = false;
        if cause == Cause::Schedule {
            let background = async {
                let admitted = admit(world, Importance::Background).await;
                admitted.map_err(|error| error.to_string())
            };
            if let Ok(admitted) = self.unless_wanted(background).await {
                return Ok(admitted);
            }
        }
        admit(world, Importance::Awaited).await
    }

    async fn start_failed(&mut self, unmet: Unmet, began: std::time::Instant) {
        self.count_failure(&unmet);
        let reason = unmet.reason();
        warn!(database = %self.database.name, instance = %self.database.instance, reason, "start failed");
        self.look().await;
        self.record_refusal(State::Active, Cause::Failed, &reason, began)
            .await;
        self.last_failure = reason;
    }

    /// A server that was killed can be started again; one that does not start by its own fault soon is not.
    pub(super) fn count_failure(&mut self, unmet: &Unmet) {
        self.failures = match unmet {
            Unmet::Died(_) => self.failures.died(now()),
            Unmet::Fault(_) => self.failures.start_failed(now()),
        };
    }

    /// Sets the global variables again that were set by statements before the park; says which it
    /// could not set.
    pub(super) async fn restore_globals(&mut self) -> Vec<String> {
        let noted = self.database.view().noted;
        if noted.globals.is_empty() {
            return Vec::new();
        }
        let limit = self.world.config.deadlines.ask;
        let all = async {
            let server = self.database.server()?;
            self.world
                .servers
                .apply_globals(&server, &noted.globals)
                .await
        };
        within(limit, all)
            .await
            .unwrap_or_else(|reason| vec![reason])
    }

    /// Lets the frozen server run and opens the doors. The intent is being written meanwhile:
    /// nothing here needs undoing, and a statement waits.
    pub(super) async fn thaw(&mut self, act: Act) -> Done {
        let began = now();
        let from = self.database.state();
        let before = self.database.view().cpu_ms;
        self.show(State::Waking, &act.reason);
        self.mark_stale();
        if let Err(reason) = self
            .apply(Run::Running, self.world.config.deadlines.freeze)
            .await
        {
            warn!(database = %self.database.name, reason, "thaw failed");
            self.look().await;
            if self.run == Run::Frozen {
                self.failures = self.failures.start_failed(now());
                self.last_failure.clone_from(&reason);
                if self.failures.given_up() {
                    // it will not run again like this: a new process may
                    let _ = self
                        .apply(Run::Stopped, self.world.config.deadlines.stop)
                        .await;
                    self.look().await;
                }
                tokio::time::sleep(PAUSE).await;
            }
            self.record_refusal(State::Active, Cause::Failed, &reason, began)
                .await;
            return Done::Again;
        }
        self.open(&act.reason);
        self.failures = self.failures.started(now());
        self.grow();
        self.forget_denials();
        self.record(from, &act, began, before).await;
        Done::Again
    }

    /// An order makes it awake though it may not be used: to read what is in it, or to remove it.
    /// That excuses what is spent already, not what another month's limit is for.
    pub(super) fn reconsider(&mut self) {
        let asleep = self.database.rung() == Rung::Asleep;
        self.pardoned = asleep
            && (self.pardoned || self.database.current_order(self.door) == Some(Order::Wake));
    }

    /// Whether it may not be used now.
    pub(super) fn barred(&self) -> bool {
        self.database.rung() == Rung::Asleep && !self.pardoned
    }

    /// Tells those who wait, and those who come, that it may not be used.
    pub(super) async fn bar(&mut self, act: Act) -> Done {
        let state = self.database.state();
        let reason = act.reason.to_string();
        self.refuse(&reason);
        self.record_refusal(state, act.cause, &reason, now()).await;
        Done::Again
    }

    /// Tells those who wait that the server cannot be started.
    pub(super) async fn give_up(&mut self, act: Act) -> Done {
        let from = self.database.state();
        let reason = format!("{}: {}", act.reason, self.last_failure);
        error!(database = %self.database.name, reason, "given up; it is tried again on demand");
        self.show(State::Failed, &reason);
        let rests = Rare {
            rests_until: self.failures.retry_at(),
            ..Rare::default()
        };
        self.database.change(|v| v.rare = Some(Box::new(rests)));
        self.database.answered();
        self.refuse(&reason);
        let told = Error::Server {
            database: self.database.name.clone(),
            reason: reason.clone(),
        };
        self.database.answer(&[Order::Wake], Err(told));
        let reason = reason.into();
        self.record(from, &Act { reason, ..act }, now(), None).await;
        Done::Again
    }

    fn forget_denials(&mut self) {
        self.suspend_denied = None;
        self.park_denied = None;
        self.size().forget_denials();
    }
}
