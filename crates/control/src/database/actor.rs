//! Per-database actor: performs its state transitions one at a time.
//!
//! This file has the actor's state and the steps that transitions are made of; each transition is a function
//! in a file of its own ([`wake`](super::wake), [`suspend`](super::suspend), …), and
//! [`turn`](super::turn) chooses between them.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Observed as Seen, Run};
use dormouse_policy::lifecycle::{Denial, Door, Failures, LIMIT, Notes, Order};
use dormouse_policy::spend::Rung;
use dormouse_policy::{Act, Cause};
use dormouse_types::{State, Target, UnitRange, Units};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::context::Context;
use super::habits::Habits;
use super::requests::Originator;
use super::scaling::Scaling;
use super::{Database, busy};
use crate::catalog::{Change, Durability, Entry};
use crate::error::Error;
use crate::instance::warming::Warmed;
use crate::instance::{Instance, STARVED, Unmet};
use crate::servers::ServerError;
use crate::status::Figures;
use crate::time::{Late, millis, millis_since, now};

/// Delay after an unexpected failure.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Delay before a database is evaluated again after a running statement cancelled its sleep.
const SOON: Duration = Duration::from_millis(10);

/// Per-database actor. Kept small: state that few databases need is boxed.
pub(crate) struct Actor {
    pub(super) context: Arc<Context>,
    pub(super) database: Arc<Database>,
    /// The instance that serves it.
    pub(super) instance: Instance,
    /// When the database entered its state.
    pub(super) since: Instant,
    pub(super) door: Door,
    /// When the door was last opened.
    pub(super) opened: Option<Instant>,
    pub(super) suspend_denied: Option<Denial>,
    pub(super) park_denied: Option<Denial>,
    pub(super) failures: Failures,
    /// An order to wake overrides the used-up spend limit; reset when the database sleeps.
    pub(super) exempt: bool,
    pub(super) last_failure: String,
    /// Statements do not cancel the current transition; they wait until it ends.
    pub(super) carries_through: bool,
    pub(super) scaling: Option<Box<Scaling>>,
    pub(super) habits: Option<Box<Habits>>,
    /// Writing the intent of a thaw failed: the next write includes it again.
    pub(super) intent_failed: bool,
    /// The intent of a wake is being written.
    pub(super) intent: Option<JoinHandle<Result<(), Error>>>,
    /// Who caused the current act; `None`: Dormouse.
    pub(super) acts_for: Option<Box<Originator>>,
}

/// Result of an act.
pub(super) enum Done {
    /// Take the next turn at once.
    Again,
    /// The act was not done, for these reasons. If it was ordered, the caller gets them.
    Refused(Vec<String>),
    /// The database has been removed.
    Gone,
}

/// Why a step was not done.
pub(super) enum Hitch {
    /// A statement waits for the server.
    Wanted,
    /// It failed.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Hitch {
    fn from(failure: E) -> Self {
        Self::Failed(failure.into())
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] Error),
    /// The server.
    #[error(transparent)]
    Server(#[from] Late<ServerError>),
    /// The instance.
    #[error(transparent)]
    Instance(#[from] Unmet),
    /// Sessions did not answer in time.
    #[error(transparent)]
    Sessions(#[from] Late<std::convert::Infallible>),
    /// The server's answer rules the step out for now.
    #[error("{0}")]
    NotNow(String),
}

impl Failure {
    /// Whether the server refuses Dormouse's own account.
    pub(super) fn is_locked_out(&self) -> bool {
        matches!(self, Self::Server(Late::Failed(ServerError::LockedOut(_))))
    }
}

impl Hitch {
    /// Whether the server refuses Dormouse's own account.
    pub(super) fn is_locked_out(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_locked_out())
    }
}

impl Actor {
    /// For a database in the catalog, whose instance has not been observed yet.
    pub(crate) fn found(context: Arc<Context>, database: Arc<Database>) -> Box<Self> {
        let view = database.view();
        let host = Arc::clone(&context.host);
        let instance = Instance::new(host, view.seat, view.units).of(database.instance);
        Self::new(context, database, instance)
    }

    /// For a new database whose door is open.
    pub(crate) fn made(
        context: Arc<Context>,
        database: Arc<Database>,
        instance: Instance,
        seen: &Seen,
    ) -> Box<Self> {
        let mut actor = Self::new(context, database, instance);
        actor.publish(seen);
        actor.door = Door::Open;
        actor.opened = Some(now());
        actor.instance.count_from_start();
        actor.warm_up();
        actor
    }

    fn new(context: Arc<Context>, database: Arc<Database>, instance: Instance) -> Box<Self> {
        let age = Timestamp::now().duration_since(database.view().since);
        let age = Duration::try_from(age).unwrap_or_default();
        let now = now();
        Box::new(Self {
            context,
            database,
            instance,
            since: now.checked_sub(age).unwrap_or(now),
            door: Door::Shut,
            opened: None,
            suspend_denied: None,
            park_denied: None,
            failures: Failures::default(),
            exempt: false,
            last_failure: String::new(),
            carries_through: false,
            scaling: None,
            habits: None,
            intent_failed: false,
            intent: None,
            acts_for: None,
        })
    }

    /// Observes the instance, and records the end of its server.
    pub(super) async fn look(&mut self) {
        let look = self.instance.observe().await;
        if let Some(lost) = look.lost {
            self.last_failure = lost.to_string();
            self.database.change(|v| v.serving = None);
        }
        if let Some(seen) = look.seen {
            self.publish(&seen);
        }
        self.note_room();
        let Some(ended) = look.ended else {
            return;
        };
        self.failures = self.failures.died(now());
        let why = if ended.starved {
            STARVED
        } else {
            "its server died"
        };
        self.last_failure = why.to_owned();
        if ended.starved {
            self.database.has_starved();
        }
        if ended.replaced {
            self.next_generation();
        }
        self.instance.disconnect().await;
        self.shut_by_force();
    }

    /// Publishes the driver's observation of the instance in the view.
    pub(super) fn publish(&self, seen: &Seen) {
        let serving = self.instance.serving().cloned();
        self.database.change(|v| {
            if v.incarnation() != seen.incarnation {
                v.rare = None;
                v.tables_known = false;
            }
            v.serving = serving;
            v.memory = seen.memory;
            v.cpu_ms = seen.cpu.map(millis);
        });
        self.note_room();
        self.context.metering.see(&self.database, seen.cpu);
    }

    /// Publishes the observation that a verb of the instance returned.
    pub(super) fn published(&mut self, done: Result<Seen, Unmet>) -> Result<(), Unmet> {
        match &done {
            Ok(seen) => self.publish(seen),
            Err(Unmet::Other { seen, .. }) => self.publish(seen),
            Err(_) => {}
        }
        done.map(drop)
    }

    /// Starts the server.
    pub(super) async fn start_server(&mut self) -> Result<(), Unmet> {
        self.instance.set_history(self.keeps_log());
        let done = self.instance.start().await;
        self.published(done)
    }

    /// Whether its server keeps a log from its next start on.
    pub(super) fn keeps_log(&self) -> bool {
        self.database.spec().keeps_log() || self.database.moving().is_some()
    }

    /// Thaws the frozen server.
    pub(super) async fn thaw_server(&mut self) -> Result<(), Unmet> {
        let done = self.instance.thaw().await;
        self.published(done)
    }

    /// Freezes the server.
    pub(super) async fn freeze_server(&mut self) -> Result<(), Unmet> {
        let done = self.instance.freeze().await;
        self.published(done)
    }

    /// Stops the server.
    pub(super) async fn stop_server(&mut self) -> Result<(), Unmet> {
        let done = self.instance.stop().await;
        self.published(done)
    }

    /// Sets the units of its server for the next verb.
    pub(super) fn set_units(&mut self, units: Units) {
        self.instance.set_units(units);
        self.database.change(|v| v.units = units);
    }

    /// Invalidates the backends of earlier servers.
    pub(super) fn next_generation(&self) {
        self.database
            .change(|v| v.generation = v.generation.wrapping_add(1));
    }

    /// Grows the buffer pool in the background, and notes in the ledger when the hot pages are back.
    pub(super) fn warm_up(&mut self) {
        let (catalog, database) = (self.context.catalog.clone(), Arc::clone(&self.database));
        self.instance.warm_up(async move |warmed: Warmed| {
            let entry = Entry {
                duration_ms: Some(millis_since(warmed.began)),
                figures: Figures {
                    hit_ratio_ppm: warmed.hit_ratio_ppm,
                    ..database.view().figures()
                },
                ..Entry::noted(
                    &database.name,
                    Cause::Load,
                    format!("its hot pages are back: {}", warmed.read),
                )
            };
            let change = vec![Change::Ledger(Box::new(entry))];
            if let Err(error) = catalog.write(Durability::Soon, change).await {
                info!(%error, "not in the ledger: its hot pages are back");
            }
        });
    }

    /// Sets the state to active and opens the door, unless the spend limit is used up. Call it after
    /// [`Actor::write_intent`]; a thaw calls it after [`Actor::begin_intent`].
    pub(super) fn open(&mut self, reason: impl Display) {
        self.opened = Some(now());
        self.database.accounts_read();
        self.show(State::Active, reason);
        if self.database.view().notes() == Notes::Fresh {
            self.database
                .change(|v| Arc::make_mut(&mut v.noted).fresh = false);
        }
        if self.barred() {
            return self.refuse(LIMIT);
        }
        self.door = Door::Open;
        self.database.allow_changes();
        self.database.demand_met();
        let view = self.database.view();
        if let Some(serving) = view.serving.as_deref() {
            let target = Target {
                instance: self.instance.id(),
                origin: self.database.instance,
                generation: view.generation,
                endpoint: serving.endpoint.clone(),
                pooling: self.database.spec().pooling,
                carry: self.database.spec().carry,
            };
            self.context.doors.open(&self.database.name, target);
        }
        self.context.storage.database_woke();
    }

    /// Opens the door after a cancelled sleep, when the intent is written. If it cannot be written, the door stays
    /// shut, and the next turn settles the state.
    pub(super) async fn open_again(&mut self, reason: &str) {
        match self.write_intent().await {
            Ok(()) => self.open(reason),
            Err(error) => {
                error!(%error, hint = error.hint(), "cannot write the catalog: the door stays shut");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Refuses the statements that wait, and those that arrive, with this reason.
    pub(super) fn refuse(&mut self, reason: &str) {
        self.context.doors.refuse(&self.database.name, reason);
        self.door = Door::Refusing;
        self.database.demand_met();
    }

    /// Shuts the door. If the act is carried through, waits for running statements, and new ones do not cancel
    /// it; otherwise does nothing and returns `false` if a statement is running.
    pub(super) async fn shut(&mut self, act: &Act) -> bool {
        self.carries_through = carries_through(act);
        let doors = &self.context.doors;
        let shut = if self.carries_through {
            let limit = self.context.host.deadlines.drain;
            let name = &self.database.name;
            let moving = self.database.moving();
            let mut shut = match moving {
                Some(moving) => doors.drain_transactions(name, moving.patience()).await,
                None => doors.drain(name, limit).await,
            };
            if !shut && self.database.current_order(self.door) == Some(Order::ParkAndLose) {
                doors.end_running(name);
                shut = doors.drain(name, limit).await;
            }
            shut
        } else {
            doors.shut(&self.database.name, false)
        };
        if shut {
            self.door = Door::Shut;
        } else {
            // a statement has started since the load was read
            self.opened = Some(now());
        }
        shut
    }

    /// Cancels a sleep because a statement is running.
    pub(super) async fn in_use(&mut self) -> Done {
        tokio::time::sleep(SOON).await;
        let sessions = self.context.doors.sessions(&self.database.name);
        Done::Refused(vec![busy::running(&sessions)])
    }

    /// Shuts the door although statements may run: there is no server for them.
    pub(super) fn shut_by_force(&mut self) {
        self.context.doors.shut(&self.database.name, true);
        self.door = Door::Shut;
    }

    /// Whether a statement waits for the server and may cancel the transition.
    pub(super) fn wanted(&self) -> bool {
        if self.carries_through {
            return false;
        }
        let held = || self.context.doors.activity(&self.database.name).held;
        self.database.demanded() || held() > 0
    }

    /// Awaits `doing`, but cancels it as soon as a statement needs the server.
    pub(super) async fn unless_wanted<T, E>(
        &self,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Hitch>
    where
        E: Into<Failure>,
    {
        let mut doing = pin!(doing);
        loop {
            if self.wanted() {
                return Err(Hitch::Wanted);
            }
            tokio::select! {
                done = &mut doing => return done.map_err(|error| Hitch::Failed(error.into())),
                () = self.database.actor_woken() => {}
            }
        }
    }

    /// Cancels a sleep and opens the door, if the server runs.
    pub(super) async fn stay_awake(&mut self, to: State, hitch: Hitch, began: Instant) -> Done {
        let (cause, reason) = match hitch {
            Hitch::Wanted => (Cause::Demand, "a statement arrived".to_owned()),
            Hitch::Failed(failure) => (Cause::Failed, failure.to_string()),
        };
        if cause == Cause::Failed {
            self.look().await;
            self.deny(to);
        }
        match self.instance.run() {
            Run::Running => {
                self.open_again(&reason).await;
                self.warm_up();
            }
            Run::Stopped => self.show(State::Active, "its server died"),
            Run::Frozen => {}
        }
        self.record_not_done(to, cause, &reason, began).await;
        Done::Refused(vec![reason])
    }

    /// Records a denied sleep, so that it is not tried again soon.
    pub(super) fn deny(&mut self, to: State) {
        let sessions = self.sessions();
        let slot = match to {
            State::Suspended => &mut self.suspend_denied,
            _ => &mut self.park_denied,
        };
        *slot = Some(Denial::again(*slot, sessions, now()));
    }

    /// Denials do not apply to a new server.
    pub(super) fn forget_denials(&mut self) {
        self.suspend_denied = None;
        self.park_denied = None;
        if let Some(scaling) = &mut self.scaling {
            scaling.forget_denials();
        }
    }

    /// Number of sessions.
    pub(super) fn sessions(&self) -> u32 {
        self.context.doors.activity(&self.database.name).sessions
    }

    /// Counts a failure. A server that died or was killed is restarted; one that fails to start four times in a row
    /// is given up.
    pub(super) fn count_failure(&mut self, unmet: &Unmet) {
        self.failures = if unmet.died() {
            self.failures.died(now())
        } else {
            self.failures.start_failed(now())
        };
    }

    /// Updates whether the spend limit is ignored: an order to wake, to read or remove data, ignores a limit that is
    /// used up, until the limit no longer applies or the database sleeps.
    pub(super) fn update_exemption(&mut self) {
        let asleep = self.database.rung() == Rung::Asleep;
        self.exempt =
            asleep && (self.exempt || self.database.current_order(self.door) == Some(Order::Wake));
    }

    /// Whether its spend limit forbids its use now.
    pub(super) fn barred(&self) -> bool {
        self.database.rung() == Rung::Asleep && !self.exempt
    }

    /// Reports its units and CPU use to the machine's room.
    pub(super) fn note_room(&self) {
        self.instance.note_room(self.range().min);
    }

    /// Allowed sizes now.
    pub(super) fn range(&self) -> UnitRange {
        self.database.range(self.context.baseline)
    }
}

/// Whether statements that run or arrive do not cancel an act.
pub(super) fn carries_through(act: &Act) -> bool {
    matches!(act.cause, Cause::Operator | Cause::Limit)
}

#[cfg(test)]
mod tests;
