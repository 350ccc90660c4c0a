//! The [`Driver`] trait: runs instances.
//!
//! A driver gets the desired state of an instance and returns the observed state. It knows nothing of
//! databases, sessions or policies. Every driver passes the same tests (`conformance`).
//!
//! Invariants:
//! - every verb is idempotent and may be repeated after the caller crashed at any point;
//! - an instance outlives the driver's process, and [`Driver::list`] finds it again;
//! - a process is signalled only after its identity was checked, never by its pid alone.
//!
//! Called by `control` only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{Bytes, Endpoint, Incarnation, InstanceId, Series, Units};
pub use dormouse_types::{Layer, Strain};

mod place;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use place::{Disk, Offer, Place, Root, Server};

/// Desired state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    /// Whether its process should run.
    pub run: Run,
    /// Limits of its resources while it runs.
    pub units: Units,
    /// What its server does with binary logs. Takes effect at its next start.
    pub history: History,
}

/// What a server does with binary logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum History {
    /// It keeps none.
    #[default]
    Off,
    /// It keeps its own.
    On,
    /// It keeps its own, and follows another server: it takes no changes but from that one ([`Driver::feed`]). It begins
    /// with a log of its own at the first start after a clean stop.
    Follow,
    /// It applies those that its files have for that, by order; it keeps none. No start of another kind leaves them.
    Replay,
}

/// The binary log of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// What the names of its files begin with: the name of the timeline.
    pub base: String,
    /// Its files with their lengths, in order.
    pub files: Vec<(String, u64)>,
}

/// Whether an instance's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// No process, only files.
    Stopped,
    /// The process accepts connections.
    Running,
    /// The process keeps its memory and is not scheduled.
    Frozen,
}

/// Observed state of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether its process runs.
    pub run: Run,
    /// Identity of this run of its server; `None` when stopped.
    pub incarnation: Option<Incarnation>,
    /// Endpoint of its server; `None` when stopped.
    pub endpoint: Option<Endpoint>,
    /// Memory in use, if the driver can measure it.
    pub memory: Option<Bytes>,
    /// CPU time used since the start, if the driver can measure it. After the process has ended, its last
    /// value until the next start, if known.
    pub cpu: Option<Duration>,
    /// How its limits slow it down, if the driver can measure it. After the process has ended, its last
    /// value until the next start, if known; lost with the driver.
    pub strain: Option<Strain>,
}

/// How the files of an instance are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyOptions {
    /// Longest time that a running server is frozen.
    pub frozen_at_most: Duration,
    /// The same if the files can also be copied while it runs on, which takes longer.
    pub frozen_by_choice: Duration,
    /// What is checked before the copy counts as made.
    pub check: Check,
}

/// Prepares a server for the moment in which its files are copied.
#[async_trait]
pub trait Quiesce: Send + Sync + 'static {
    /// Called each time before a server that runs is frozen for a copy; what it returns is dropped when the server runs
    /// again. It returns soon, whatever the server does.
    async fn quiesce(&self) -> Box<dyn Send>;
}

/// Lets a server be copied as it is.
#[derive(Debug, Clone, Copy)]
pub struct AsItIs;

#[async_trait]
impl Quiesce for AsItIs {
    async fn quiesce(&self) -> Box<dyn Send> {
        Box::new(())
    }
}

/// What of a copy is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing: its server checks each page that it reads.
    Nothing,
    /// The checksums of all pages of data files. This reads the whole copy.
    Pages,
}

/// A copy of an instance's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Size of their content.
    pub size: Bytes,
    /// How long its server was frozen for that; zero if it did not run. Of a server that ran on: how long commits had
    /// to wait for the end of the copy.
    pub frozen: Duration,
    /// Whether the copy shares its blocks with the source, and takes space only for what changes.
    pub shared: bool,
}

/// Where a follower reaches the server that it follows.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The address, which its server may use.
    pub address: SocketAddr,
    /// The password; the user is `dormouse`.
    pub password: String,
}

/// Writes the files of an instance to a directory. It may block.
pub type Fill = Box<dyn FnOnce(&Path) -> std::io::Result<()> + Send>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The instance has no files.
    #[error("instance {0} does not exist")]
    Unknown(InstanceId),
    /// The files are on a disk that is not there.
    #[error("the files of instance {id} are in {}, which cannot be used: {reason}", .root.display())]
    Away {
        /// The instance.
        id: InstanceId,
        /// The data root.
        root: PathBuf,
        /// Why it cannot be used, and what to do.
        reason: String,
    },
    /// The server's process ended by itself or did not answer during its start.
    #[error("the server of instance {id} did not start: {reason}")]
    Start {
        /// The instance.
        id: InstanceId,
        /// From its error log, or what it did not do in time.
        reason: String,
    },
    /// A signal from outside killed the server's process during its start. Retry: the server itself may be
    /// able to run.
    #[error("the server of instance {id} was killed by signal {signal} while it was starting")]
    Killed {
        /// The instance.
        id: InstanceId,
        /// The signal's number.
        signal: i32,
    },
    /// The new limit is below the memory in use. The instance runs on with its previous limits.
    #[error("instance {id} uses {held} of memory, so its limit cannot be lowered to {limit}")]
    InUse {
        /// The instance.
        id: InstanceId,
        /// Memory in use, file pages included.
        held: Bytes,
        /// The new limit.
        limit: Bytes,
    },
    /// A server writes faster than its files can be copied.
    #[error(
        "the files of instance {id} cannot be copied while its server stands still for {limit:?} at most, because it \
         writes too much; and while it runs on: {reason}"
    )]
    Busy {
        /// The instance.
        id: InstanceId,
        /// How long its server may be frozen.
        limit: Duration,
        /// Why its files cannot be copied while it runs, and what to do.
        reason: String,
    },
    /// Pages of a data file have wrong checksums. Another copy would have them too.
    #[error(
        "{file} of instance {id} is damaged on the disk: wrong checksums in {pages} of its pages, the first is page \
         {page}. CHECK TABLE tells which rows are lost; look at the disk, and restore them from an older backup"
    )]
    Damaged {
        /// The instance.
        id: InstanceId,
        /// The file, below the instance's directory.
        file: String,
        /// The first damaged page, counted from 0.
        page: u64,
        /// How many are damaged, at least.
        pages: u64,
    },
    /// An error of the machine: disk full, no permission, no such program.
    #[error("{doing}: {source}")]
    Machine {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// Runs instances.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Creates the files of a new instance, owned by its own user if the machine allows that. Does nothing if it exists.
    async fn provision(&self, id: InstanceId, place: &Place) -> Result<(), Error>;

    /// Makes the files of the new instance `to`, owned by its own user, equal to those of `from` at one moment: as a
    /// crash would leave them, if its server runs. A server that runs is frozen meanwhile, as long as the options allow, and
    /// thawed even if Dormouse ends; one that is frozen or stopped stays so. If that is not long enough, a driver may let it
    /// run on; then the copy is as after a clean stop. A copy for a server of another series must be [upgraded](Self::upgrade)
    /// before it is started. Does nothing if `to` exists. Runs to its
    /// end if its caller is cancelled.
    async fn copy(
        &self,
        from: InstanceId,
        to: InstanceId,
        place: &Place,
        options: CopyOptions,
        quiesce: Arc<dyn Quiesce>,
    ) -> Result<Copied, Error>;

    /// Makes the new instance `id` of files that `fill` writes: those of a backup. Does nothing if it exists.
    async fn receive(&self, id: InstanceId, place: &Place, fill: Fill) -> Result<(), Error>;

    /// Brings an instance to the desired state and returns the observed one. [`Run::Running`] returns when
    /// the server accepts connections and has the limits of the units; if it uses more memory than that,
    /// all its previous limits stay ([`Error::InUse`]). [`Run::Stopped`] returns when the process has
    /// ended, by a clean stop or, after a timeout, by a kill.
    async fn apply(&self, id: InstanceId, desired: Desired) -> Result<Observed, Error>;

    /// With SQL: the next start of a stopped server is for maintenance. It reads neither privilege tables nor events
    /// nor plugins of its files, and runs the SQL before it accepts connections; only Dormouse may connect to it.
    /// With `None`: its next start is an ordinary one.
    async fn maintain(&self, id: InstanceId, sql: Option<&str>) -> Result<(), Error>;

    /// A stopped instance is run by the server of this series from now on. If it is another one, the instance must be
    /// [upgraded](Self::upgrade) before it is started.
    async fn change_series(&self, id: InstanceId, _series: Series) -> Result<(), Error> {
        Err(one_server(id))
    }

    /// Makes the files of a stopped instance, which are those of an older server, those of its server: the server's own
    /// tables, and the rights in them. Nobody but the driver reaches the server meanwhile, and it stops it. It is started
    /// with this `history`. Returns what was changed, and what was taken away. To be repeated if it did not end.
    async fn upgrade(&self, id: InstanceId, _history: History) -> Result<Vec<String>, Error> {
        Err(one_server(id))
    }

    /// The state of an instance now.
    async fn observe(&self, id: InstanceId) -> Result<Observed, Error>;

    /// Every instance that has files, on disks that are not there too.
    async fn list(&self) -> Result<Vec<InstanceId>, Error>;

    /// Lets a server that runs with [`History::Follow`] reach the server of the instance `source` at this endpoint, and no
    /// other one any more. It lasts as long as the driver and the server do.
    async fn feed(
        &self,
        id: InstanceId,
        _source: InstanceId,
        _endpoint: &Endpoint,
    ) -> Result<Upstream, Error> {
        Err(Error::Machine {
            doing: format!("feeding instance {id}"),
            source: std::io::ErrorKind::Unsupported.into(),
        })
    }

    /// Kills the process, if there is one. The files stay as a crash leaves them.
    async fn kill(&self, id: InstanceId) -> Result<(), Error> {
        Err(Error::Machine {
            doing: format!("killing instance {id}"),
            source: std::io::ErrorKind::Unsupported.into(),
        })
    }

    /// Waits for the end of this run of an instance's server; returns at once if it has ended.
    async fn ended(&self, id: InstanceId, incarnation: Incarnation);

    /// Brings a directory up to date with the files of an instance's binary log, whole but for what is being written, in
    /// whatever state its server is; files that the log no longer has are removed from it. `None` if the instance has not
    /// begun a log: then nothing is done.
    async fn copy_log(&self, _id: InstanceId, _to: &Path) -> Result<Option<Log>, Error> {
        Ok(None)
    }

    /// The log of an instance whose server was stopped, and never starts again, goes on in this one, which has a copy of its
    /// files. Does nothing if it keeps no log.
    async fn hand_log(&self, _from: InstanceId, _to: InstanceId) -> Result<(), Error> {
        Ok(())
    }

    /// Disk space of an instance's files.
    async fn storage(&self, id: InstanceId) -> Result<Bytes, Error>;

    /// Kills the process, if there is one, and removes the files.
    async fn remove(&self, id: InstanceId) -> Result<(), Error>;

    /// The directory of an instance's files; `None` if they are not on this machine. Only to read those of an instance
    /// that has no server.
    fn directory(&self, _id: InstanceId) -> Option<PathBuf> {
        None
    }

    /// Where the files of an instance are, and of which server; `None` if that is not known.
    fn place(&self, _id: InstanceId) -> Option<Place> {
        None
    }

    /// What there is for new instances.
    fn offer(&self) -> Offer {
        Offer::default()
    }

    /// The process id of a run of a server; `None` if it does not run on this machine. For display only.
    fn pid(&self, _incarnation: Incarnation) -> Option<u32> {
        None
    }

    /// The layers of isolation of a running server, as observed; empty if unknown. For display only.
    fn layers(&self, _id: InstanceId, _incarnation: Incarnation) -> Vec<Layer> {
        Vec::new()
    }
}

fn one_server(id: InstanceId) -> Error {
    Error::Start {
        id,
        reason: "this driver has one server only".to_owned(),
    }
}
