//! The resources, as both ends see them. Fields are only ever added.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use dormouse_control::{By, Cap, Figures, SettingsPatch, UsageReport, UsageRow};
use dormouse_types::{
    Bytes, DatabaseName, Delay, InstanceId, Money, Month, Pooling, State, Timetable, UnitRange,
    Units,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The account that owns a new database; clients log in as `NAME.admin`.
pub const OWNER: &str = "admin";

/// What is asked for with `POST /v1/databases`: a name, and beside it the fields of [`SettingsPatch`]; what is
/// left out takes the server's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct CreateRequest {
    /// The new database's name.
    pub name: DatabaseName,
    /// The owner's settings.
    #[serde(flatten)]
    pub settings: SettingsPatch,
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for CreateRequest {
    type Error = serde_json::Error;

    /// Fields that are not known are refused, which serde does not do for flattened ones.
    fn try_from(
        mut fields: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, serde_json::Error> {
        let missing = || serde::de::Error::missing_field("name");
        let name = fields.remove("name").ok_or_else(missing)?;
        Ok(Self {
            name: serde_json::from_value(name)?,
            settings: serde_json::from_value(fields.into())?,
        })
    }
}

/// A database that was just made, and how to log in. The password is told this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The database's name.
    pub name: DatabaseName,
    /// The login name, `NAME.admin`.
    pub user: String,
    /// The password; only its hash is kept by the server.
    pub password: String,
    /// The address to connect to from this machine; `None` when only the Unix socket is served.
    pub host: Option<String>,
    /// The TCP port, if one is served.
    pub port: Option<u16>,
    /// The Unix socket for clients.
    pub socket: PathBuf,
    /// Everything above as one URL.
    pub url: String,
    /// A shell line that logs in.
    pub command: String,
}

impl fmt::Debug for Created {
    /// Without the password, the URL and the command, which contains it too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One database as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// What it is doing.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Its server's process id, if there is a process.
    pub pid: Option<u32>,
    /// The instance that serves it.
    pub instance: InstanceId,
    /// How many server processes it has had.
    pub generation: u64,
    /// Compute units it has now.
    pub units: Units,
    /// The fewest and the most compute units it may get.
    pub units_range: UnitRange,
    /// How its sessions share backends.
    pub pooling: Pooling,
    /// Suspend after this long without a statement.
    pub idle_suspend: Delay,
    /// Park after this long without a statement.
    pub idle_park: Delay,
    /// When it is kept awake.
    pub keep_awake: Timetable,
    /// Whether it is woken ahead of its usual hours.
    pub prewake: bool,
    /// The most disk its files may take, in bytes.
    pub storage_quota: Option<Bytes>,
    /// The most it may cost in a calendar month.
    pub spend_limit: Option<Money>,
    /// Client connections.
    pub sessions: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// Memory its server holds, where the machine can tell.
    pub memory: Option<Bytes>,
    /// CPU time its server had used in its life when last looked at, in milliseconds.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// Disk its files took when last looked at; it may be told later than the rest.
    #[serde(default)]
    pub storage: Option<Bytes>,
    /// Why it may neither grow nor change, if so: a quota, or the disk.
    #[serde(default)]
    pub read_only: Option<String>,
    /// Its MEMORY tables that have rows, as `schema.table`, the first twenty: they keep it from being
    /// parked. `None` if its server would have to be asked, which a list of all databases does not.
    #[serde(default)]
    pub memory_tables: Option<Vec<String>>,
    /// What it costs, where prices are configured.
    #[serde(default)]
    pub spend: Option<Spend>,
    /// Why the last transition was made, or refused.
    pub reason: String,
}

/// How a database is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParkQuery {
    /// Also if rows of its MEMORY tables are lost by that.
    pub force: bool,
}

/// What a database costs, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// What it has cost in this calendar month.
    pub cost: Money,
    /// The currency's name.
    pub currency: String,
    /// What is done as the cost nears the limit: `free`, `warned`, `slow`, `read_only`, `asleep`.
    pub rung: String,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Grows with time; give the last one seen as `after` to go on from there.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The database.
    pub database: DatabaseName,
    /// What happened: `created`, `changed`, `scaled`, `refused`, `noted`, `dropped`.
    pub event: String,
    /// The state before, for a transition.
    pub from: Option<State>,
    /// The state after, or the one that was denied.
    pub to: Option<State>,
    /// The kind of reason: `demand`, `idle`, `operator`, `crash`, `veto`, …
    pub cause: String,
    /// The reason in words.
    pub reason: String,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it cost, as far as that is known.
    #[serde(default)]
    pub figures: Figures,
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only this database's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Only those after this id; without it, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// At most so many; [`EventQuery::DEFAULT_LIMIT`] if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether to keep the answer open and send what happens from now on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl EventQuery {
    /// How many events are listed when no limit is given.
    pub const DEFAULT_LIMIT: usize = 100;
    /// The most events listed at once.
    pub const MAX_LIMIT: usize = 10_000;

    /// The limit to use.
    #[must_use]
    pub fn effective_limit(&self) -> usize {
        self.limit
            .unwrap_or(Self::DEFAULT_LIMIT)
            .min(Self::MAX_LIMIT)
    }
}

/// Which use is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    /// That of this month; without it, of the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<Month>,
    /// How finely.
    pub by: By,
}

/// The running `dormouse up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Dormouse's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub listen: Listening,
    /// The API's own socket.
    pub api: PathBuf,
    /// The database server's version.
    pub engine: String,
    /// What the machine lets the driver do, in words.
    pub capabilities: String,
    /// How many databases are in each state; states without any are left out.
    pub databases: BTreeMap<String, usize>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The TCP address, with the real port; `None` if TCP is off.
    pub tcp: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: PathBuf,
}
