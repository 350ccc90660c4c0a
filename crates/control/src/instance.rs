//! One instance: its server's process and the driver's verbs that change it. Its buffer pool is in [`pool`], its
//! size in [`size`].
//!
//! An [`Instance`] knows nothing of databases, doors or settings. Its owner calls a verb, and uses the state that
//! the verb returns ([`Observed`]). Verbs may be cancelled at any await; [`Instance::observe`] then finds the
//! state.
//!
//! Called by the actors of [`database`](crate::database), by `create`, and by the warm pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Desired, Error as DriverError, History, Observed, Run};
use dormouse_policy::autoscale::Window;
use dormouse_types::{Bytes, Incarnation, InstanceId, Units};
use tracing::{error, warn};

use crate::servers::{Server, ServerError};
use crate::time::{Late, now, within};
use awake::Awake;
use host::Host;
use serving::Serving;

mod awake;
pub(crate) mod host;
mod pool;
pub(crate) mod rekeying;
pub(crate) mod room;
pub(crate) mod serving;
mod shrink;
pub(crate) mod size;
pub(crate) mod warming;

pub(crate) use awake::POLL;

/// Reason for the end of a server that the kernel killed.
pub(crate) const STARVED: &str = "its server was killed for want of memory";

/// One instance. Small while its server is stopped: what only a running server has is boxed.
pub(crate) struct Instance {
    id: InstanceId,
    /// The instance whose credentials the accounts in its files have.
    origin: InstanceId,
    host: Arc<Host>,
    /// Units of its server; no less than the limits in force.
    units: Units,
    /// What its server does with binary logs from the next start on.
    history: History,
    run: Run,
    serving: Option<Arc<Serving>>,
    awake: Option<Box<Awake>>,
}

/// Result of [`Instance::observe`].
pub(crate) struct Look {
    /// The driver's observation; `None` if it failed: the last state is assumed to hold.
    pub(crate) seen: Option<Observed>,
    /// The driver has no files of it.
    pub(crate) lost: Option<DriverError>,
    /// The server that ran at the last observation has ended.
    pub(crate) ended: Option<Ended>,
}

/// The end of a server.
pub(crate) struct Ended {
    /// The kernel killed it because memory was short.
    pub(crate) starved: bool,
    /// Another server runs in its place.
    pub(crate) replaced: bool,
}

/// Why an instance is not in the desired state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmet {
    /// Its server died, and another runs.
    #[error("its server died and came back")]
    Replaced,
    /// The driver left the process in another state.
    #[error("its process is {:?} where it should be {should:?}", .seen.run)]
    Other {
        /// The observed state.
        seen: Box<Observed>,
        /// The desired state of its process.
        should: Run,
    },
    /// Error of the driver.
    #[error(transparent)]
    Driver(#[from] Late<DriverError>),
}

impl Unmet {
    /// Whether the server died or was killed, so that another may be started. Otherwise the server or the
    /// machine is at fault.
    pub(crate) fn died(&self) -> bool {
        match self {
            Self::Replaced | Self::Driver(Late::Failed(DriverError::Killed { .. })) => true,
            Self::Other { seen, .. } => seen.run == Run::Stopped,
            Self::Driver(_) => false,
        }
    }

    /// Memory in use, if that is why the instance cannot shrink.
    fn in_use(&self) -> Option<Bytes> {
        match self {
            Self::Driver(Late::Failed(DriverError::InUse { held, .. })) => Some(*held),
            _ => None,
        }
    }
}

impl Instance {
    /// An instance that has not been observed yet.
    pub(crate) fn new(host: Arc<Host>, id: InstanceId, units: Units) -> Self {
        Self {
            id,
            origin: id,
            host,
            units,
            history: History::Off,
            run: Run::Stopped,
            serving: None,
            awake: None,
        }
    }

    /// The same with accounts that have the credentials of another instance.
    pub(crate) fn of(self, origin: InstanceId) -> Self {
        Self { origin, ..self }
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
        let endpoint = self.serving.as_ref().map(|s| &s.endpoint);
        Server::reached((self.id, self.origin), endpoint)
    }

    /// Units of its server.
    pub(crate) fn units(&self) -> Units {
        self.units
    }

    /// Sets the units of its server for the next verb.
    pub(crate) fn set_units(&mut self, units: Units) {
        self.units = units;
    }

    /// Sets whether its server keeps its history, from the next start on.
    pub(crate) fn set_history(&mut self, history: bool) {
        self.history = if history { History::On } else { History::Off };
    }

    /// Sets that its server follows another one, from the next start on.
    pub(crate) fn set_follows(&mut self) {
        self.history = History::Follow;
    }

    /// Starts the server to apply the log that its files have for that.
    pub(crate) async fn start_to_replay(&mut self) -> Result<Observed, Unmet> {
        self.history = History::Replay;
        self.start().await
    }

    /// Restarts the server, so that it begins a history of its own. A copy's first server has that of its origin.
    pub(crate) async fn begin_history(&mut self) -> Result<Observed, Unmet> {
        self.history = History::On;
        self.stop().await?;
        self.start().await
    }

    /// Starts the server. Returns when it accepts connections and its limits are set.
    pub(crate) async fn start(&mut self) -> Result<Observed, Unmet> {
        self.apply(Run::Running, self.host.deadlines.start).await
    }

    /// Thaws the frozen server.
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

    /// Applies the desired state by the driver. Fails if another server runs than before; the next
    /// [`Instance::observe`] reports that.
    async fn apply(&mut self, run: Run, limit: Duration) -> Result<Observed, Unmet> {
        let desired = Desired {
            run,
            units: self.units,
            history: self.history,
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

    /// Queries the driver for the state.
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
                self.note_follower();
                lost = Some(error);
            }
            Err(error) => warn!(%error, "cannot observe the instance"),
        }
        let now = now();
        if let Some(awake) = &mut self.awake {
            awake.looked = now;
        }
        let ended = before.is_some_and(|before| self.incarnation() != Some(before));
        let ended = ended.then(|| {
            let starved = self.awake().died(now);
            self.clear_load();
            Ended {
                starved,
                replaced: self.serving.is_some(),
            }
        });
        Look { seen, lost, ended }
    }

    /// Records the driver's observation.
    fn note(&mut self, seen: &Observed) {
        if self.awake.is_some() || seen.run != Run::Stopped {
            let units = self.units;
            self.awake().note(seen, units, now());
        }
        self.run = seen.run;
        self.serving = Serving::seen(seen);
        self.note_follower();
    }

    /// Reports its units to the machine's room, if it follows another one. The actor reports those of a primary.
    fn note_follower(&self) {
        if self.history == History::Follow {
            let units = (self.run == Run::Running).then_some(self.units);
            self.host.room.note_follower(self.id, units);
        }
    }

    /// Time of the next poll of its load; `None` if its server does not run.
    pub(crate) fn look_due(&self) -> Option<Instant> {
        let runs = self.run == Run::Running && self.serving.is_some();
        self.awake
            .as_ref()
            .filter(|_| runs)
            .map(|a| a.looked + POLL)
    }

    /// Completes when the current server has ended; `None` if none runs.
    pub(crate) fn end(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let incarnation = self.incarnation()?;
        let (driver, id) = (Arc::clone(&self.host.driver), self.id);
        Some(async move { driver.ended(id, incarnation).await })
    }

    /// Closes the connection to its server, if there is one.
    pub(crate) async fn disconnect(&self) {
        self.host.servers.forget(self.id).await;
    }

    /// Clears the load window and cancels warming and shrinking, for a sleep or after the end of its server.
    pub(crate) fn clear_load(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.clear_load();
        }
    }

    /// Frees the state of a running server, unless it records a shortage of memory.
    pub(crate) fn stopped(&mut self) {
        self.awake.take_if(|awake| !awake.window.was_short());
    }

    /// Its load window, and when its size last changed.
    pub(crate) fn load(&mut self) -> (&Window, Option<Instant>) {
        let awake = self.awake();
        (&awake.window, awake.changed)
    }

    fn awake(&mut self) -> &mut Awake {
        self.awake
            .get_or_insert_with(|| Box::new(Awake::new(now())))
    }
}
