//! The one who does everything that is done to a database.
//!
//! One turn: see what is true, [`decide`], do one thing; again at once, or
//! rest until something happens. At rest an actor of a parked database has no timer and holds no
//! connection.

use std::fmt::Display;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Error as DriverError, Observed as Seen, Run};
use dormouse_policy::lifecycle::{
    Denied, Door, Failures, LIMIT, Load, Notes, Observed, Server as ServerIs,
};
use dormouse_policy::{Act, Cause, Plan, Verb, decide};
use dormouse_types::{Incarnation, State, Target};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::Error;
use crate::database::{Database, Serving};
use crate::world::{World, now};
use scale::{STARVED, Size, TICK};
use warm_up::Asked;

mod apply;
mod hours;
mod park;
mod remove;
mod scale;
mod settle;
mod suspend;
mod wake;
mod warm_up;
mod written;

/// How long to wait after something failed that should not.
const PAUSE: Duration = Duration::from_millis(200);

/// How long to wait before looking again at one that was just in use.
const SOON: Duration = Duration::from_millis(10);

/// Does everything that is done to one database.
pub(crate) struct Actor {
    world: Arc<World>,
    database: Arc<Database>,
    /// When it came into its state.
    since: Instant,
    run: Run,
    /// When the driver was last asked about it.
    looked: Instant,
    door: Door,
    opened: Option<Instant>,
    suspend_denied: Option<Denied>,
    park_denied: Option<Denied>,
    failures: Failures,
    /// Somebody ordered it to be awake though it may not be used: it is until it sleeps again.
    pardoned: bool,
    last_failure: String,
    /// Something must be carried out: a statement that arrives waits for its end.
    insists: bool,
    growing: Option<Growing>,
    asked: Asked,
    size: Option<Box<Size>>,
    habits: Option<Box<hours::Habits>>,
    /// That what is noted is out of date is being written down.
    staling: Option<JoinHandle<Result<(), Error>>>,
}

/// The buffer pool is grown behind the traffic; dropping this ends that.
struct Growing(JoinHandle<()>);

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an act came to.
enum Done {
    /// Look again.
    Again,
    /// It could not be done, for these reasons; a caller who ordered it is told.
    Refused(Vec<String>),
    /// The database is no more.
    Gone,
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Actor {
    /// For a database whose process has not been looked at yet.
    pub(crate) fn found(world: Arc<World>, database: Arc<Database>) -> Box<Self> {
        let age = Timestamp::now().duration_since(database.view().since);
        let age = Duration::try_from(age).unwrap_or_default();
        let now = now();
        Box::new(Self {
            world,
            database,
            since: now.checked_sub(age).unwrap_or(now),
            run: Run::Stopped,
            looked: now,
            door: Door::Shut,
            opened: None,
            suspend_denied: None,
            park_denied: None,
            failures: Failures::default(),
            pardoned: false,
            last_failure: String::new(),
            insists: false,
            growing: None,
            asked: Asked::default(),
            size: None,
            habits: None,
            staling: None,
        })
    }

    /// For a database that was just made and whose door is open.
    pub(crate) fn made(world: Arc<World>, database: Arc<Database>, seen: &Seen) -> Box<Self> {
        let mut actor = Self::found(world, database);
        actor.note(seen);
        actor.door = Door::Open;
        actor.opened = Some(now());
        actor.asked = Asked::nothing();
        actor.grow();
        actor
    }

    /// Looks after the database until it is dropped or dormouse stops. This is what a parked
    /// database consists of, most of all: it must be small, so whatever is seldom needed is boxed,
    /// the actor too (a future keeps what is moved into it twice).
    pub(crate) async fn run(mut self: Box<Self>, adopt: bool) {
        if adopt && !Box::pin(self.adopt()).await {
            return;
        }
        let mut watch: Option<(Incarnation, Ended)> = None;
        while !self.world.stopping() {
            let act = match self.plan() {
                Plan { act: Some(act), .. } => act,
                Plan { look_again, .. } => {
                    if Box::pin(self.resize()).await {
                        continue;
                    }
                    let sleeps = self.database.view().serving.is_none() && watch.is_none();
                    if sleeps && look_again.is_none() {
                        // thousands may be here: this takes no more memory than it must
                        self.database.nudge.notified().await;
                    } else {
                        Box::pin(self.rest(look_again, &mut watch)).await;
                    }
                    continue;
                }
            };
            debug!(database = %self.database.name, verb = ?act.verb, reason = %act.reason, "acting");
            let ordered = act.cause == Cause::Operator;
            match Box::pin(self.act(act)).await {
                Done::Again => {}
                Done::Refused(reasons) if ordered => self.database.refuse(reasons),
                Done::Refused(_) => {}
                Done::Gone => return,
            }
        }
    }

    /// Looks at what an earlier run has left; `false` if dormouse is stopping.
    async fn adopt(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        let Ok(_permit) = world.adoption.acquire().await else {
            return false;
        };
        self.look().await;
        self.learn_habits().await;
        true
    }

    fn plan(&mut self) -> Plan {
        self.reconsider();
        if self.database.forgiven() {
            self.failures = self.failures.forgiven();
        }
        decide(&self.database.spec(), &self.observe(), now())
    }

    async fn act(&mut self, mut act: Act) -> Done {
        // who keeps the agenda knows more
        if act.cause == Cause::Schedule || act.verb == Verb::Refuse {
            act.reason = self.agenda().1.into();
        }
        match act.verb {
            Verb::Start => self.start(act).await,
            Verb::Thaw => self.thaw(act).await,
            Verb::Suspend => self.suspend(act).await,
            Verb::Park => self.park(act).await,
            Verb::Settle(state) => self.settle(state, act).await,
            Verb::Bar => self.bar(act).await,
            Verb::GiveUp => self.give_up(act).await,
            Verb::Drop => self.remove(act).await,
            Verb::Refuse => Done::Refused(vec![act.reason.to_string()]),
            Verb::Rearm => {
                self.shut_by_force();
                Done::Again
            }
        }
    }

    fn observe(&self) -> Observed {
        let activity = self.world.doors.activity(&self.database.name);
        if self.door != Door::Shut {
            self.database.satisfied();
        }
        let demanded = u32::from(self.database.demanded());
        let order = self.database.current_order(self.door);
        let view = self.database.view();
        Observed {
            state: view.state,
            since: self.since,
            server: match self.run {
                Run::Stopped => ServerIs::Stopped,
                Run::Running => ServerIs::Running,
                Run::Frozen => ServerIs::Frozen,
            },
            door: self.door,
            load: Load {
                sessions: activity.sessions,
                running: activity.running,
                held: activity.held.max(demanded),
                transactions: activity.transactions,
                last_statement: activity.last_statement,
            },
            opened: self.opened,
            notes: match view.notes() {
                Notes::Stale if self.database.is_asked() => Notes::Awaited,
                notes => notes,
            },
            suspend_denied: self.suspend_denied,
            park_denied: self.park_denied,
            failures: self.failures,
            agenda: self.agenda().0,
            barred: self.barred(),
            order,
        }
    }

    /// Waits until something may have changed.
    async fn rest(&mut self, until: Option<Instant>, watch: &mut Option<(Incarnation, Ended)>) {
        let process = self.database.view().incarnation();
        if watch.as_ref().map(|(p, _)| *p) != process {
            *watch = process.map(|process| {
                let (driver, instance) = (Arc::clone(&self.world.driver), self.database.instance);
                let ended: Ended = Box::pin(async move { driver.ended(instance, process).await });
                (process, ended)
            });
        }
        let ended = async {
            match watch.as_mut() {
                Some((_, ended)) => ended.as_mut().await,
                None => std::future::pending().await,
            }
        };
        // whoever comes meanwhile does not put it off
        let tick = (self.run == Run::Running && process.is_some()).then(|| self.looked + TICK);
        let until = until.into_iter().chain(tick).min();
        let timer = until.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        let timer = async {
            match timer {
                Some(timer) => timer.await,
                None => std::future::pending().await,
            }
        };
        let database = Arc::clone(&self.database);
        tokio::select! {
            () = database.nudge.notified() => if tick.is_none_or(|tick| now() < tick) { return },
            () = timer => {}
            () = ended => {
                *watch = None;
                if self.database.view().incarnation() == process {
                    info!(database = %database.name, ?process, "server ended");
                }
            }
        }
        if process.is_some() {
            let before = process;
            Box::pin(self.look()).await;
            if watch.is_none() && self.database.view().incarnation() == before {
                // the driver contradicts itself: do not ask in a circle
                Box::pin(tokio::time::sleep(PAUSE)).await;
            }
        }
    }

    /// Asks the driver what is true, and takes note if the server died.
    async fn look(&mut self) {
        let before = self.database.view().incarnation();
        let instance = self.database.instance;
        let limit = self.world.config.deadlines.freeze;
        match tokio::time::timeout(limit, self.world.driver.observe(instance)).await {
            Ok(Ok(seen)) => self.note(&seen),
            Ok(Err(error @ DriverError::Unknown(_))) => {
                error!(database = %self.database.name, %instance, %error, "its files are gone");
                self.last_failure = error.to_string();
                self.run = Run::Stopped;
                self.database.change(|v| v.serving = None);
            }
            // that says nothing about the process: what was true is taken to be true still
            Ok(Err(error)) => {
                warn!(database = %self.database.name, %instance, %error, "cannot look at the instance")
            }
            Err(_) => {
                warn!(database = %self.database.name, %instance, ?limit, "cannot look at the instance in time")
            }
        }
        self.looked = now();
        self.note_room();
        let after = self.database.view().incarnation();
        if before.is_some() && before != after {
            self.failures = self.failures.died(now());
            let why = if self.size().died(now()) {
                STARVED
            } else {
                "its server died"
            };
            self.last_failure = why.to_owned();
            if after.is_some() {
                // a new one has come in its place
                self.database
                    .change(|v| v.generation = v.generation.wrapping_add(1));
            }
            self.growing = None;
            // also a shrink that was on its way
            self.rest_size();
            self.world.servers.forget(instance).await;
            self.shut_by_force();
        }
    }

    /// Takes note of what the driver says.
    fn note(&mut self, seen: &Seen) {
        self.note_load(seen);
        self.run = seen.run;
        self.database.change(|v| {
            if v.incarnation() != seen.incarnation {
                v.rare = None;
                v.tables_known = false;
            }
            v.serving = Serving::seen(seen);
            v.memory = seen.memory;
            v.cpu_ms = seen.cpu.map(millis);
        });
        self.note_room();
        self.world.metered(&self.database, seen.cpu);
    }

    /// Lets statements flow, unless it may not be used, and calls the state active.
    fn open(&mut self, reason: impl Display) {
        self.opened = Some(now());
        self.database.answered();
        self.show(State::Active, reason);
        if self.database.view().notes() == Notes::Fresh {
            if self.staling.is_none() {
                self.mark_stale();
            }
            self.database
                .change(|v| Arc::make_mut(&mut v.noted).fresh = false);
        }
        if self.barred() {
            return self.refuse(LIMIT);
        }
        self.door = Door::Open;
        self.database.satisfied();
        let view = self.database.view();
        if let Some(serving) = view.serving.as_deref() {
            let target = Target {
                instance: self.database.instance,
                generation: view.generation,
                endpoint: serving.endpoint.clone(),
                pooling: self.database.spec().pooling,
            };
            self.world.doors.open(&self.database.name, target);
        }
        self.world.storage.nudge.notify_one();
    }

    /// Tells those who wait, and those who come, why they get nothing.
    fn refuse(&mut self, reason: &str) {
        self.world.doors.refuse(&self.database.name, reason);
        self.door = Door::Refusing;
        self.database.satisfied();
    }

    /// Holds statements. If it must be, those that run are waited for, and what comes meanwhile does
    /// not undo it; otherwise it is not done if one is running.
    async fn shut(&mut self, act: &Act) -> bool {
        self.insists = insists(act);
        let doors = &self.world.doors;
        let shut = if self.insists {
            let limit = self.world.config.deadlines.drain;
            doors.drain(&self.database.name, limit).await
        } else {
            doors.shut(&self.database.name, false)
        };
        if shut {
            self.door = Door::Shut;
        } else {
            // it is in use at this moment, whatever the figures said
            self.opened = Some(now());
        }
        shut
    }

    /// What a sleep comes to when a statement runs after all.
    async fn in_use(&mut self) -> Done {
        tokio::time::sleep(SOON).await;
        Done::Refused(vec!["a statement is running".to_owned()])
    }

    /// Holds statements: there is no server for them.
    fn shut_by_force(&mut self) {
        self.world.doors.shut(&self.database.name, true);
        self.door = Door::Shut;
    }

    /// Whether somebody needs the server now.
    fn wanted(&self) -> bool {
        if self.insists {
            return false;
        }
        let held = || self.world.doors.activity(&self.database.name).held;
        self.database.demanded() || held() > 0
    }

    /// Does something that can be abandoned, unless somebody needs the server first.
    async fn unless_wanted<T>(
        &self,
        doing: impl Future<Output = Result<T, String>>,
    ) -> Result<T, Hitch> {
        let mut doing = pin!(doing);
        loop {
            if self.wanted() {
                return Err(Hitch::Wanted);
            }
            tokio::select! {
                done = &mut doing => return done.map_err(Hitch::Failed),
                () = self.database.nudge.notified() => {}
            }
        }
    }

    /// How many sessions there are.
    fn sessions(&self) -> u32 {
        self.world.doors.activity(&self.database.name).sessions
    }
}

/// Whether an act is carried through though statements run or arrive.
fn insists(act: &Act) -> bool {
    matches!(act.cause, Cause::Operator | Cause::Limit)
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// Why something that can be abandoned was not done.
enum Hitch {
    /// Somebody needs the server.
    Wanted,
    /// It failed.
    Failed(String),
}

#[cfg(test)]
mod tests;
