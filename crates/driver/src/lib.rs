//! Where instances run, as a contract.
//!
//! A driver is told what should be true of an instance and says what is true. It knows nothing of
//! databases, sessions or policies. Every driver passes the same tests (`conformance`).
//!
//! Invariants:
//! - every verb is idempotent, and may be repeated after a crash of the caller at any line;
//! - an instance outlives the process that drives it, and is found again by [`Driver::list`];
//! - a process is never signalled by a bare pid: its identity is checked first.
//!
//! Called by `control` alone.

use std::time::Duration;

use async_trait::async_trait;
pub use dormouse_types::Strain;
use dormouse_types::{Bytes, Endpoint, Incarnation, InstanceId, Units};

#[cfg(feature = "conformance")]
pub mod conformance;

/// What should be true of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    /// Whether its process runs.
    pub run: Run,
    /// What it may use while it runs.
    pub units: Units,
}

/// Whether an instance's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// No process; files only.
    Stopped,
    /// A process that takes connections.
    Running,
    /// A process that keeps everything and is never scheduled.
    Frozen,
}

/// What is true of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether its process runs.
    pub run: Run,
    /// This run of its server; `None` when stopped.
    pub incarnation: Option<Incarnation>,
    /// How its server is reached; `None` when stopped.
    pub endpoint: Option<Endpoint>,
    /// Memory it holds, where the driver can tell.
    pub memory: Option<Bytes>,
    /// CPU time it has used since it started, where the driver can tell. That of a process that
    /// has ended is still told, where the driver can, until the next one starts.
    pub cpu: Option<Duration>,
    /// How its limits hold it back, where the driver can tell. That of a process that has ended is
    /// still told, where the driver can, as long as it drives the instance and none comes after it.
    pub strain: Option<Strain>,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The instance has no files here.
    #[error("instance {0} does not exist")]
    Unknown(InstanceId),
    /// The server's process ended by itself, or did not answer, while it was starting.
    #[error("the server of instance {id} did not start: {reason}")]
    Start {
        /// The instance.
        id: InstanceId,
        /// What its error log says, or what was waited for.
        reason: String,
    },
    /// The server's process was killed by a signal from outside while it was starting. That says nothing
    /// of whether it can run: start it again.
    #[error("the server of instance {id} was killed by signal {signal} while it was starting")]
    Killed {
        /// The instance.
        id: InstanceId,
        /// The signal's number.
        signal: i32,
    },
    /// It runs, with the limits it had: more memory is in use than it would be limited to.
    #[error("instance {id} holds {held} of memory, which cannot be limited to {limit}")]
    InUse {
        /// The instance.
        id: InstanceId,
        /// What it holds, file pages included.
        held: Bytes,
        /// What it was to be limited to.
        limit: Bytes,
    },
    /// The machine is at fault: disk full, no permission, no such program.
    #[error("{doing}: {source}")]
    Machine {
        /// What was being done.
        doing: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// Where instances run.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Makes the files of a new instance, owned by a user of its own where the machine allows it.
    async fn provision(&self, id: InstanceId) -> Result<(), Error>;

    /// Brings an instance to what is desired and says what is then true. [`Run::Running`] returns
    /// when the server takes connections, and has the limits of the units; one that had others
    /// keeps them all if it holds more memory ([`Error::InUse`]). [`Run::Stopped`] returns when the
    /// process is gone, after a clean stop if the server manages one in time, else after a kill.
    async fn apply(&self, id: InstanceId, desired: Desired) -> Result<Observed, Error>;

    /// Says what is true of an instance now.
    async fn observe(&self, id: InstanceId) -> Result<Observed, Error>;

    /// Every instance that has files here.
    async fn list(&self) -> Result<Vec<InstanceId>, Error>;

    /// Returns when this run of an instance's server is over; at once if it is already.
    async fn ended(&self, id: InstanceId, incarnation: Incarnation);

    /// How much disk an instance's files take.
    async fn storage(&self, id: InstanceId) -> Result<Bytes, Error>;

    /// Ends the process if there is one and removes the files.
    async fn remove(&self, id: InstanceId) -> Result<(), Error>;

    /// The process id that a person finds on this machine for a run of a server; `None` if it runs
    /// elsewhere. For display only.
    fn pid(&self, _incarnation: Incarnation) -> Option<u32> {
        None
    }
}
