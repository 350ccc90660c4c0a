//! Configuration of a plane.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_engine::Keeper;
use dormouse_policy::Spec;
use dormouse_policy::placement::Capacity;
use dormouse_policy::spend::{Ladder, Prices};
use jiff::tz::TimeZone;

use crate::backups::vault::BackupConfig;
use crate::calendar::Calendar;
use crate::disk::Disk;

/// Configuration of a plane. [`PlaneConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct PlaneConfig {
    /// The directory of the catalog.
    pub data_dir: PathBuf,
    /// Number of started, unclaimed instances to keep.
    pub warm_pool: usize,
    /// Number of servers that answer in place of those of sleeping databases.
    pub understudies: usize,
    /// Maximum number of concurrent server starts.
    pub wakes_at_once: usize,
    /// The machine's CPU and memory, shared by the awake databases.
    pub capacity: Capacity,
    /// Maximum number of databases.
    pub databases_most: usize,
    /// The settings of a database that sets none.
    pub defaults: Spec,
    /// How much of the ledger is kept.
    pub ledger_keep: LedgerKeep,
    /// How long usage is kept.
    pub usage_keep: UsageKeep,
    /// The time zone of timetables.
    pub time_zone: TimeZone,
    /// Prices of use.
    pub prices: Prices,
    /// The steps taken as a database's cost nears its spend limit.
    pub ladder: Ladder,
    /// The source of the date.
    pub calendar: Calendar,
    /// The disk that holds the files of all databases; `None`: its free space is not watched.
    pub disk: Option<Disk>,
    /// The keys of encrypted databases; the driver's.
    pub keys: Arc<Keeper>,
    /// Where backups are kept; `None`: there are none.
    pub backup: Option<BackupConfig>,
    /// How often the log of a database that keeps its history is archived while it is awake.
    pub archive_every: Duration,
    /// How long a server may stand still while its files are copied.
    pub frozen_at_most: Duration,
    /// Whether databases move away from a data root that is nearly full.
    pub shed: bool,
    /// Deadlines of waits for servers, sessions and the driver.
    pub deadlines: Deadlines,
}

/// How much of the ledger is kept; entries beyond either bound are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerKeep {
    /// Maximum number of entries.
    pub rows: u64,
    /// Maximum age of entries.
    pub age: Duration,
}

/// How long usage is kept, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageKeep {
    /// By the minute.
    pub minutes: u16,
    /// By the day.
    pub days: u16,
}

/// Deadlines of waits for servers, sessions and the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a server to start, recovery of its files included.
    pub start: Duration,
    /// For a server to stop, with the kill that follows if it does not.
    pub stop: Duration,
    /// For a process to freeze or thaw.
    pub freeze: Duration,
    /// For a query to a running server.
    pub ask: Duration,
    /// For a buffer pool to shrink before its server is frozen; frozen anyway after that.
    pub shrink: Duration,
    /// For sessions to note their state before a park.
    pub capture: Duration,
    /// For running statements to end when a sleep is ordered.
    pub drain: Duration,
    /// For an order (`wake`, `park`, …); after that its caller gets an error that says to look later.
    pub order: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(300),
            stop: Duration::from_secs(60),
            freeze: Duration::from_secs(10),
            ask: Duration::from_secs(5),
            shrink: Duration::from_secs(3),
            capture: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            order: Duration::from_secs(310),
        }
    }
}

impl PlaneConfig {
    /// The defaults, with the catalog in `data_dir`.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            keys: Keeper::off(&data_dir.join("instances")),
            data_dir,
            warm_pool: 2,
            understudies: 1,
            wakes_at_once: dormouse_policy::admission::width(None, cores),
            capacity: Capacity {
                millicores: u32::try_from(cores).map_or(u32::MAX, |c| c.saturating_mul(1000)),
                memory: dormouse_engine::machine_memory(),
            },
            databases_most: 20_000,
            defaults: Spec::default(),
            ledger_keep: LedgerKeep {
                rows: 1_000_000,
                age: Duration::from_secs(90 * 86_400),
            },
            usage_keep: UsageKeep {
                minutes: 35,
                days: 400,
            },
            time_zone: TimeZone::UTC,
            prices: Prices::default(),
            ladder: Ladder::default(),
            calendar: Calendar::default(),
            disk: None,
            backup: None,
            archive_every: Duration::from_secs(30),
            frozen_at_most: Duration::from_secs(1),
            shed: true,
            deadlines: Deadlines::default(),
        }
    }
}
