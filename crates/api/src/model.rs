//! The resources of the API. Fields may be added, not removed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use dormouse_control::token::InvalidId;
pub use dormouse_control::{
    BranchOf, By, Cap, DatabaseKeys, Direction, Encryption, EncryptionState, Figures, KeyList,
    Measure, MoveDone, MoveStatus, NewToken, ReplicaDoing, ReplicaStatus, Role, SettingsPatch,
    Token, TokenId, TokenName, UnderstudyCounts, UpgradeCheck, UsageReport, UsageRow, WakesReport,
    WakesRow,
};
use dormouse_types::{
    Backups, Bytes, Carry, CommitDurability, DatabaseName, Delay, InstanceId, Layer, Money, Month,
    NamePattern, Networks, NewUser, OnDemand, Pooling, Reads, ReplicaCount, ReplicaRange, Series,
    State, Timetable, UnitRange, Units, UserLimits, UserRole, WokenBy,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod backups;
mod places;
mod transfers;

pub use backups::{
    AddKeyRequest, BackUpRequest, BackedUp, Backup, CheckRequest, Checked, History, HistoryEntry,
    HistoryQuery, HistoryRange, MadeBackup, PruneRequest, PrunedBackups, RepositoryKey,
    RestoreRequest, Restored, RunningBackup, Verified,
};
pub use places::DataRoot;
pub use transfers::{Reservation, TransferNote};

/// The first account of a new database; clients log in as `NAME.admin`.
pub const OWNER: &str = "admin";

/// Request of `POST /v1/databases`: a name and, in the same object, where it is made and the fields of
/// [`SettingsPatch`]; missing fields get the server's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct CreateRequest {
    /// The new database's name.
    pub name: DatabaseName,
    /// The data root in which it is made; the one with the most room if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// The version of its server, as in `11.8`; that of `[engine]` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Series>,
    /// Settings.
    #[serde(flatten)]
    pub settings: SettingsPatch,
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for CreateRequest {
    type Error = serde_json::Error;

    /// Refuses unknown fields, which serde does not do for flattened structs.
    fn try_from(
        mut fields: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, serde_json::Error> {
        let missing = || serde::de::Error::missing_field("name");
        let name = fields.remove("name").ok_or_else(missing)?;
        let mut optional = |name: &str| fields.remove(name).unwrap_or_default();
        let (root, version) = (optional("root"), optional("version"));
        Ok(Self {
            name: serde_json::from_value(name)?,
            root: serde_json::from_value(root)?,
            version: serde_json::from_value(version)?,
            settings: serde_json::from_value(fields.into())?,
        })
    }
}

/// A new database and its login data. The password is returned only here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The database's name.
    pub name: DatabaseName,
    /// The login name, `NAME.admin`.
    pub user: String,
    /// The password; the server stores only its hash.
    pub password: String,
    /// The address to connect to from this machine; `None` when only the Unix socket is served.
    pub host: Option<String>,
    /// The TCP port, if one is served.
    pub port: Option<u16>,
    /// The Unix socket for clients.
    pub socket: PathBuf,
    /// Everything above as one URL.
    pub url: String,
    /// A shell command that logs in.
    pub command: String,
}

impl fmt::Debug for Created {
    /// Omits the password, and the URL and the command, which contain it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Request of `POST /v1/databases/NAME/branches`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchRequest {
    /// The branch's name.
    pub name: DatabaseName,
    /// After how long it is dropped; never if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Delay>,
    /// A time of the parent's history: what was committed before it. `2026-11-29 14:03:07`, or with an offset. The
    /// present if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A new branch. Its accounts have the passwords of its parent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branched {
    /// The branch's name.
    pub name: DatabaseName,
    /// Of which database it is a copy.
    pub branch: BranchOf,
    /// The login name of the parent's owner there, `NAME.admin`.
    pub user: String,
    /// The address to connect to from this machine; `None` when only the Unix socket is served.
    pub host: Option<String>,
    /// The TCP port, if one is served.
    pub port: Option<u16>,
    /// The Unix socket for clients.
    pub socket: PathBuf,
    /// A shell command that asks for the password and logs in.
    pub command: String,
    /// Size of the files.
    pub size: Bytes,
    /// Whether the branch takes disk space only for what changes.
    pub shared: bool,
    /// How long the parent's server stood still, in milliseconds.
    pub frozen_ms: u64,
}

/// Request of `POST /v1/databases/NAME/move`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoveRequest {
    /// The data root to which it moves; it stays in its own if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// The series of the server to which it is upgraded; it stays the same if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Series>,
    /// How long the files are kept from which it moves; they are removed at once if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Delay>,
}

/// Request of `POST /v1/databases/NAME/check-upgrade`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeCheckRequest {
    /// The series of the server.
    pub version: Series,
}

/// Request of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What its holder may do.
    pub role: Role,
    /// The database of an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Its name; that of the role if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TokenName>,
    /// When it expires from now on; 90 days if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Delay>,
}

/// Request of `POST /v1/tokens/ID/rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the former secret stays valid; a day if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Delay>,
    /// When it expires from now on; after its former lifetime if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Delay>,
}

/// Current state of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// State.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Its server's process id, if there is a process.
    pub pid: Option<u32>,
    /// The layers of its server's sandbox, as observed; empty without a process.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// The instance that serves it.
    pub instance: InstanceId,
    /// The data root with its files, if they are on this machine.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// The version of its server, as in `11.8`; `None` if that is not known.
    #[serde(default)]
    pub version: Option<Series>,
    /// Number of server processes so far.
    pub generation: u64,
    /// Current compute units.
    pub units: Units,
    /// Minimum and maximum compute units.
    pub units_range: UnitRange,
    /// Whether its sessions share backends.
    pub pooling: Pooling,
    /// Which state of sessions a park carries to the next server.
    pub carry: Carry,
    /// Suspend after this long without a statement.
    pub idle_suspend: Delay,
    /// Park after this long without a statement.
    pub idle_park: Delay,
    /// Hours in which it is kept awake.
    pub keep_awake: Timetable,
    /// Whether it is woken before its usual hours.
    pub prewake: bool,
    /// Whether it keeps its history.
    #[serde(default)]
    pub history: bool,
    /// How many servers should follow its primary now.
    #[serde(default)]
    pub replicas: ReplicaCount,
    /// How many may follow it: a number, or a range in which the number follows the load.
    #[serde(default)]
    pub replicas_range: ReplicaRange,
    /// Where statements run that only read.
    #[serde(default)]
    pub reads: Reads,
    /// When a commit is acknowledged.
    #[serde(default)]
    pub durability: CommitDurability,
    /// Maximum disk space of its files, in bytes.
    pub storage_quota: Option<Bytes>,
    /// Maximum cost in a calendar month.
    pub spend_limit: Option<Money>,
    /// When backups are made, and which are kept.
    #[serde(default)]
    pub backups: Backups,
    /// Networks whose clients may connect; empty for all.
    #[serde(default)]
    pub allow: Networks,
    /// Networks whose clients may not connect.
    #[serde(default)]
    pub deny: Networks,
    /// Schemas and users that are made when a login names them.
    #[serde(default)]
    pub on_demand: OnDemand,
    /// Client connections.
    pub sessions: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// Memory held by its server, if the machine reports it.
    pub memory: Option<Bytes>,
    /// CPU time of its server process since its start, when last sampled, in milliseconds.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// Disk space of its files when last measured; may be older than the other fields.
    #[serde(default)]
    pub storage: Option<Bytes>,
    /// Reason why it is read-only, if it is: the quota, the disk or the spend limit.
    #[serde(default)]
    pub read_only: Option<String>,
    /// Whether an import that follows another server has reserved it: statements of others are held.
    #[serde(default)]
    pub reserved: bool,
    /// Its MEMORY tables with rows, as `schema.table`, the first twenty: they prevent a park. `None`
    /// if unknown without a query to its server, which a list of all databases does not make.
    #[serde(default)]
    pub memory_tables: Option<Vec<String>>,
    /// Its encryption; `None` if it is not encrypted, and in a list of all databases.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// Cost this month; `None` without prices.
    #[serde(default)]
    pub spend: Option<Spend>,
    /// Of which database it is a branch.
    #[serde(default)]
    pub branch: Option<BranchOf>,
    /// The servers that follow its primary.
    #[serde(default)]
    pub followers: Vec<ReplicaStatus>,
    /// Its move to another place, while one is under way.
    #[serde(default)]
    pub moving: Option<MoveStatus>,
    /// Reason of the last transition or refusal.
    pub reason: String,
}

/// Options of a park.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParkQuery {
    /// Park although rows of its MEMORY tables are lost.
    pub force: bool,
}

/// Cost of a database, and the step in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Cost in this calendar month.
    pub cost: Money,
    /// Name of the currency.
    pub currency: String,
    /// Step in force: `free`, `warned`, `slow`, `read_only`, `asleep`.
    pub rung: String,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Increasing id; pass the last one seen as `after` to continue from there.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The database; `null` if it is about no database.
    pub database: Option<DatabaseName>,
    /// Who caused it: `dormouse`, `local:uid=UID`, `token:NAME (ID)`, `client:USER@DATABASE`; `null` in entries of
    /// a version that did not record it.
    #[serde(default)]
    pub actor: Option<String>,
    /// The statement that needed the server, for causes `demand`; `null` in entries of a version that did not record it.
    #[serde(default)]
    pub woken_by: Option<WokenBy>,
    /// Kind: `created`, `changed`, `scaled`, `refused`, `noted`, `dropped`, `set`, `token`, `imported`, `exported`.
    pub event: String,
    /// The state before, for a transition.
    pub from: Option<State>,
    /// The state after, or the one that was denied.
    pub to: Option<State>,
    /// Cause: `demand`, `idle`, `operator`, `crash`, `veto`, …
    pub cause: String,
    /// Reason, for people.
    pub reason: String,
    /// Duration in milliseconds.
    pub duration_ms: Option<u64>,
    /// Figures of it, as far as known.
    #[serde(default)]
    pub figures: Figures,
}

/// Query of `GET /v1/databases/NAME/wakes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WakesQuery {
    /// How long ago the time begins: `24h` if missing, at most `35d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Delay>,
}

/// Query for events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only this database's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// Only those after this id; without it, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// Maximum number; [`EventQuery::DEFAULT_LIMIT`] if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether to keep the response open and send new events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl EventQuery {
    /// Number of events without a limit.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Maximum number of events in one response.
    pub const MAX_LIMIT: usize = 10_000;

    /// The limit in force.
    #[must_use]
    pub fn effective_limit(&self) -> usize {
        self.limit
            .unwrap_or(Self::DEFAULT_LIMIT)
            .min(Self::MAX_LIMIT)
    }
}

/// Result of rotating the master key: the fingerprints before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKeyRotated {
    /// Of the old one, which reads nothing any more.
    pub old: String,
    /// Of the new one.
    pub new: String,
}

/// Query for use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    /// The month; without it, the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<Month>,
    /// Resolution.
    pub by: By,
}

/// Status of `dormouse up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Dormouse's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Time of its start.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub listen: Listening,
    /// The API's own socket.
    pub api: PathBuf,
    /// The API's address for TLS, if it has one.
    #[serde(default)]
    pub api_listen: Option<SocketAddr>,
    /// The version of the database server of which new databases are.
    pub engine: String,
    /// The versions of all database servers, as in `11.8`; the default first.
    #[serde(default)]
    pub versions: Vec<Series>,
    /// The directories in which databases are; the data directory first.
    #[serde(default)]
    pub roots: Vec<DataRoot>,
    /// Capabilities of the driver on this machine, as text.
    pub capabilities: String,
    /// Servers that answer in place of those of sleeping databases.
    #[serde(default)]
    pub understudies: UnderstudyCounts,
    /// Number of databases in each state; states without databases are left out.
    pub databases: BTreeMap<String, usize>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The TCP address with the actual port; `None` if TCP is off.
    pub tcp: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: PathBuf,
}

/// Request of `POST /v1/databases/NAME/users`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The new user's name.
    pub user: String,
    /// Addresses from which it may log in.
    #[serde(default = "anywhere")]
    pub host: String,
    /// What it may do; reader if missing.
    #[serde(default = "reader")]
    pub role: UserRole,
    /// Where; all schemas if the list is empty.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Its limits.
    #[serde(default)]
    pub limits: UserLimits,
    /// Whether it must use TLS.
    #[serde(default)]
    pub require_tls: bool,
    /// It is a template for users of these names, without rights of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<NamePattern>,
    /// Its password; generated if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl UserRequest {
    /// The user, and the password if one is given.
    #[must_use]
    pub fn into_parts(self) -> (NewUser, Option<String>) {
        let new = NewUser {
            user: self.user,
            host: self.host,
            role: self.role,
            schemas: self.schemas,
            limits: self.limits,
            require_tls: self.require_tls,
            on_demand: self.on_demand,
        };
        (new, self.password)
    }
}

impl fmt::Debug for UserRequest {
    /// Omits the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRequest")
            .field("user", &self.user)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

fn anywhere() -> String {
    "%".to_owned()
}

fn reader() -> UserRole {
    UserRole::Reader
}

/// Request of `POST /v1/databases/NAME/users/rotate` and `…/users/drop`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserName {
    /// The user's name.
    pub user: String,
    /// Its host.
    #[serde(default = "anywhere")]
    pub host: String,
    /// Its new password; generated if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl fmt::Debug for UserName {
    /// Omits the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserName")
            .field("user", &self.user)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A user and its new password, which is returned only here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAdded {
    /// The user's name.
    pub user: String,
    /// Its host.
    pub host: String,
    /// The login name, `NAME.USER`.
    pub login: String,
    /// The password; the server stores only its hash.
    pub password: String,
}

impl fmt::Debug for UserAdded {
    /// Omits the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAdded")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// One account of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub user: String,
    /// Addresses from which it may log in.
    pub host: String,
    /// Whether it is locked.
    pub locked: bool,
    /// What its connections must have: `nothing`, `tls` or `certificate`.
    pub requires: String,
    /// Sessions at once; 0: no limit of its own.
    pub max_connections: u32,
}
