//! One instance: the run of its server, its size, and the verbs that change either.
//!
//! An [`Instance`] knows nothing of databases, doors or settings. Its owner calls a verb, and uses what
//! the verb reports ([`Observed`]). Verbs may be abandoned at any await; what is
//! then true is found by [`Instance::observe`].
//!
//! Called by the actors of [`database`](crate::database), by `create`, and by the warm pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Desired, Error as DriverError, Observed, Run};
use dormouse_engine::buffer_pool;
use dormouse_policy::autoscale::{Step, Why, Window};
use dormouse_policy::placement::{Awake as Claim, Growth};
use dormouse_types::{Bytes, Incarnation, InstanceId, Units};
use tracing::{error, warn};

use crate::servers::{PoolHits, Server, ServerError};
use crate::time::{Late, now, within};
use awake::Awake;
use host::Host;
use serving::Serving;
use shrink::Shrink;
use warming::{Warmed, Warming};

mod awake;
pub(crate) mod host;
pub(crate) mod room;
pub(crate) mod serving;
mod shrink;
pub(crate) mod warming;

pub(crate) use awake::POLL;

/// Why a server ended that the kernel killed.
pub(crate) const STARVED: &str = "its server was killed for want of memory";

/// One instance. Small while its server is stopped: what only a running server has is boxed.
pub(crate) struct Instance {
    id: InstanceId,
    host: Arc<Host>,
    /// What its server may use; no less than what the driver has set.
    units: Units,
    run: Run,
    serving: Option<Arc<Serving>>,
    awake: Option<Box<Awake>>,
}

/// What a look at an instance has found.
pub(crate) struct Look {
    /// What the driver says; `None` if it could not say: what was true is taken to be true still.
    pub(crate) seen: Option<Observed>,
    /// The driver has no files of it.
    pub(crate) lost: Option<DriverError>,
    /// The server that ran at the last look has ended.
    pub(crate) ended: Option<Ended>,
}

/// The end of a server.
pub(crate) struct Ended {
    /// The kernel killed it for want of memory.
    pub(crate) starved: bool,
    /// Another server runs in its place.
    pub(crate) replaced: bool,
}

/// Why an instance is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmet {
    /// Its server died, and another runs.
    #[error("its server died and came back")]
    Replaced,
    /// The driver did something else.
    #[error("its process is {:?} where it should be {should:?}", .seen.run)]
    Other {
        /// What is true.
        seen: Box<Observed>,
        /// What should be true.
        should: Run,
    },
    /// The driver did not do it.
    #[error(transparent)]
    Driver(#[from] Late<DriverError>),
}

impl Unmet {
    /// Whether its server died or was killed: another may be started. Otherwise the server or the
    /// machine is at fault.
    pub(crate) fn died(&self) -> bool {
        match self {
            Self::Replaced | Self::Driver(Late::Failed(DriverError::Killed { .. })) => true,
            Self::Other { seen, .. } => seen.run == Run::Stopped,
            Self::Driver(_) => false,
        }
    }

    /// How much memory it holds, if that is why it cannot be made smaller.
    fn in_use(&self) -> Option<Bytes> {
        match self {
            Self::Driver(Late::Failed(DriverError::InUse { held, .. })) => Some(*held),
            _ => None,
        }
    }
}

/// How far a step down is.
pub(crate) enum Shrinking {
    /// It goes on.
    Busy,
    /// Its limits are smaller.
    Done(Observed),
    /// Its limits are what they were. The pool may be smaller.
    Failed(ShrinkError),
}

/// Why an instance could not be made smaller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShrinkError {
    /// The buffer pool.
    #[error(transparent)]
    Pool(#[from] Late<ServerError>),
    /// The limits.
    #[error(transparent)]
    Limits(#[from] Unmet),
    /// The task that shrinks the pool has panicked.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl Instance {
    /// An instance that has not been looked at yet.
    pub(crate) fn new(host: Arc<Host>, id: InstanceId, units: Units) -> Self {
        Self {
            id,
            host,
            units,
            run: Run::Stopped,
            serving: None,
            awake: None,
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    /// Whether its server runs.
    pub(crate) fn run(&self) -> Run {
        self.run
    }

    /// The run of its server.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.serving.as_ref().map(|serving| serving.incarnation)
    }

    /// Its server, if one runs.
    pub(crate) fn serving(&self) -> Option<&Arc<Serving>> {
        self.serving.as_ref()
    }

    /// Its server.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn server(&self) -> Result<Server, ServerError> {
        Server::reached(self.id, self.serving.as_ref().map(|s| &s.endpoint))
    }

    /// What its server may use while it runs.
    pub(crate) fn units(&self) -> Units {
        self.units
    }

    /// What its server may use from the next verb on.
    pub(crate) fn set_units(&mut self, units: Units) {
        self.units = units;
    }

    /// Starts the server. Returns when it takes connections and has its limits.
    pub(crate) async fn start(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Running, self.host.deadlines.start).await
    }

    /// Lets a frozen server run.
    pub(crate) async fn thaw(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Running, self.host.deadlines.freeze).await
    }

    /// Sets the limits of its units.
    pub(crate) async fn limit(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Running, self.host.deadlines.freeze).await
    }

    /// Freezes the server.
    pub(crate) async fn freeze(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Frozen, self.host.deadlines.freeze).await
    }

    /// Stops the server.
    pub(crate) async fn stop(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Stopped, self.host.deadlines.stop).await
    }

    /// Ends the server and removes the files.
    pub(crate) async fn remove(&mut self) -> Result<(), Late<DriverError>> {
        self.host.remove(self.id).await?;
        self.run = Run::Stopped;
        self.serving = None;
        Ok(())
    }

    /// Brings it to what is desired. A server that died meanwhile and was replaced is a failure: the next
    /// [`Instance::observe`] finds out.
    async fn apply(&mut self, run: Run, limit: Duration) -> Result<Observed, Unmet> {
        let desired = Desired {
            run,
            units: self.units,
        };
        let before = self.incarnation();
        let seen = within(limit, self.host.driver.apply(self.id, desired)).await?;
        if before.is_some() && seen.incarnation.is_some() && seen.incarnation != before {
            return Err(Unmet::Replaced);
        }
        self.note(&seen);
        if seen.run == run {
            return Ok(seen);
        }
        Err(Unmet::Other {
            seen: Box::new(seen),
            should: run,
        })
    }

    /// Asks the driver what is true.
    pub(crate) async fn observe(&mut self) -> Look {
        let before = self.incarnation();
        let limit = self.host.deadlines.freeze;
        let (mut seen, mut lost) = (None, None);
        match within(limit, self.host.driver.observe(self.id)).await {
            Ok(now) => {
                self.note(&now);
                seen = Some(now);
            }
            Err(Late::Failed(error @ DriverError::Unknown(_))) => {
                error!(%error, "its files are gone");
                self.run = Run::Stopped;
                self.serving = None;
                lost = Some(error);
            }
            Err(error) => warn!(%error, "cannot look at the instance"),
        }
        let now = now();
        if let Some(awake) = &mut self.awake {
            awake.looked = now;
        }
        let ended = before.is_some_and(|before| self.incarnation() != Some(before));
        let ended = ended.then(|| {
            let starved = self.awake().died(now);
            self.rest();
            Ended {
                starved,
                replaced: self.serving.is_some(),
            }
        });
        Look { seen, lost, ended }
    }

    /// Takes note of what the driver says.
    fn note(&mut self, seen: &Observed) {
        if self.awake.is_some() || seen.run != Run::Stopped {
            let units = self.units;
            self.awake().note(seen, units, now());
        }
        self.run = seen.run;
        self.serving = Serving::seen(seen);
    }

    /// When it should be looked at again: its server runs, and its load changes.
    pub(crate) fn look_due(&self) -> Option<Instant> {
        let runs = self.run == Run::Running && self.serving.is_some();
        self.awake
            .as_ref()
            .filter(|_| runs)
            .map(|a| a.looked + POLL)
    }

    /// Completes when the server that runs now has ended; `None` if none runs.
    pub(crate) fn end(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let incarnation = self.incarnation()?;
        let (driver, id) = (Arc::clone(&self.host.driver), self.id);
        Some(async move { driver.ended(id, incarnation).await })
    }

    /// Gives up whatever connection is kept to its server.
    pub(crate) async fn disconnect(&self) {
        self.host.servers.forget(self.id).await;
    }

    /// It sleeps, or is about to: its load so far says nothing of what comes after, and nothing is warmed.
    pub(crate) fn rest(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.rest();
        }
    }

    /// It is stopped: nothing is kept but that memory was short.
    pub(crate) fn stopped(&mut self) {
        self.awake.take_if(|awake| !awake.window.was_short());
    }

    /// Grows the buffer pool and reads the hot pages back, in the background: growing holds the pool's
    /// latches for milliseconds, which the first statements should not wait for. `report` is called
    /// when enough pages are back.
    pub(crate) fn warm_up<F>(&mut self, report: impl FnOnce(Warmed) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let server = self.server();
        let (host, units) = (Arc::clone(&self.host), self.units);
        let awake = self.awake();
        awake.pool.forget_ratio();
        awake.warming = server.ok().map(|server| {
            Warming::begin(
                host,
                server,
                buffer_pool::awake(units),
                awake.pool.since(),
                report,
            )
        });
    }

    /// Its server was just started: its buffer pool has been asked for nothing.
    pub(crate) fn count_from_start(&mut self) {
        self.awake().pool.begin(PoolHits::default());
        self.awake().next_units = None;
    }

    /// Asks what its buffer pool was asked for, and counts anew from now on.
    pub(crate) async fn count_hits(&mut self) -> Result<(), Late<ServerError>> {
        let hits = self.hits().await?;
        self.count(hits);
        Ok(())
    }

    /// What its buffer pool was asked for since its server started.
    pub(crate) async fn hits(&self) -> Result<PoolHits, Late<ServerError>> {
        let asked = async { self.host.servers.hits(&self.server()?).await };
        within(self.host.deadlines.ask, asked).await
    }

    /// This is what its pool was asked for up to now; it is counted anew from here.
    pub(crate) fn count(&mut self, hits: PoolHits) {
        self.awake().pool.now(hits);
    }

    /// Of a million pages asked for up to the last [`Instance::count`], those that were in the pool.
    pub(crate) fn hit_ratio(&self) -> Option<u32> {
        self.awake.as_ref()?.pool.ratio_ppm
    }

    /// The ratio is written.
    pub(crate) fn forget_ratio(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.pool.forget_ratio();
        }
    }

    /// Its load so far, and when its size changed last.
    pub(crate) fn load(&mut self) -> (&Window, Option<Instant>) {
        let awake = self.awake();
        (&awake.window, awake.changed)
    }

    /// Tells the machine's room what it has and uses; it is not to have less than `least`.
    pub(crate) fn note_room(&self, least: Units) {
        let claim = (self.run == Run::Running).then(|| Claim {
            units: self.units,
            min: least,
            used: { self.awake.as_ref() }
                .and_then(|awake| awake.window.millicores())
                .unwrap_or(0),
        });
        self.host.room.note(self.id, claim);
    }

    /// How far it may grow; the room for that is taken at once.
    pub(crate) fn room_to_grow(&self, step: &Step) -> Growth {
        self.host.room.grow(self.id, step)
    }

    /// Whether it must shrink to make room for others.
    pub(crate) fn give_back(&self) -> Option<Step> {
        self.host.room.give_back(self.id)
    }

    /// What a server that is about to start is given, and why if it is not the least: the last one was
    /// killed for want of memory.
    pub(crate) fn first_units(&self, least: Units, most: Units) -> (Units, Option<String>) {
        let Some(units) = self.awake.as_ref().and_then(|awake| awake.next_units) else {
            return (least, None);
        };
        let step = Step {
            units: units.clamp(least, most),
            why: Why::Memory,
            reason: STARVED.to_owned(),
        };
        let claim = Claim {
            units: least,
            min: least,
            used: 0,
        };
        self.host.room.note(self.id, Some(claim));
        let growth = self.host.room.grow(self.id, &step);
        let limit = growth
            .limit
            .or_else(|| (units > most).then(|| format!("the most it may have is {}", most.0)));
        let told = limit.map_or(step.reason, |limit| format!("{STARVED}; {limit}"));
        (growth.to, Some(told))
    }

    /// Its size has changed: what its load was says nothing of the new one.
    pub(crate) fn resized(&mut self) {
        self.awake().resized(now());
    }

    /// Whether a step down is on its way.
    pub(crate) fn is_shrinking(&self) -> bool {
        self.awake.as_ref().is_some_and(|a| a.shrink.is_some())
    }

    /// A step down that is on its way is given up.
    pub(crate) fn stop_shrinking(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.shrink = None;
        }
    }

    /// Begins to shrink, with the buffer pool; `done` is called when that is over, and
    /// [`Instance::shrink`] goes on.
    pub(crate) fn begin_to_shrink(&mut self, to: Units, done: impl FnOnce() + Send + 'static) {
        let (host, server) = (Arc::clone(&self.host), self.server());
        let awake = self.awake();
        awake.warming = None;
        awake.shrink = Some(Shrink::begin(host, server, to, done));
    }

    /// Goes on with a step down: when the pool is small the limits follow, as soon as the kernel has the
    /// memory back.
    pub(crate) async fn shrink(&mut self) -> Shrinking {
        let Some(mut shrink) = self.awake().shrink.take() else {
            return Shrinking::Busy;
        };
        match shrink.pool().await {
            None => {
                self.awake().shrink = Some(shrink);
                return Shrinking::Busy;
            }
            Some(Ok(Some(hits))) => self.count(hits),
            Some(Ok(None)) => {}
            Some(Err(error)) => return Shrinking::Failed(error),
        }
        let before = std::mem::replace(&mut self.units, shrink.to);
        match self.limit().await {
            Ok(seen) => {
                self.resized();
                Shrinking::Done(seen)
            }
            Err(unmet) => {
                self.units = before;
                if unmet
                    .in_use()
                    .is_some_and(|held| shrink.goes_on(held, now()))
                {
                    self.awake().shrink = Some(shrink);
                    return Shrinking::Busy;
                }
                Shrinking::Failed(unmet.into())
            }
        }
    }

    fn awake(&mut self) -> &mut Awake {
        self.awake
            .get_or_insert_with(|| Box::new(Awake::new(now())))
    }
}
