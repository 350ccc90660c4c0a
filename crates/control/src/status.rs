//! Status, ledger entries and figures of databases.

use std::path::PathBuf;

use dormouse_policy::spend::Rung;
use dormouse_policy::{Cause, Spec};
use dormouse_types::{
    Bytes, DatabaseName, InstanceId, Layer, Money, ReplicaCount, Series, State, Units, WokenBy,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::moves::progress::MoveStatus;
use crate::replicas::ReplicaStatus;

/// A new database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its name.
    pub name: DatabaseName,
    /// The password of its user `admin`. It is not stored.
    pub password: String,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Of which database a branch is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchOf {
    /// Its name.
    pub parent: DatabaseName,
    /// The instance that served it then: a later database of the same name has another.
    pub instance: InstanceId,
    /// The moment of the copy.
    pub at: Timestamp,
    /// When the branch is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A new branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branched {
    /// Its name.
    pub name: DatabaseName,
    /// Of which database it is a copy.
    pub of: BranchOf,
    /// How long the server of that one stood still.
    pub frozen: std::time::Duration,
    /// Size of the copied files.
    pub size: Bytes,
    /// Whether both share the blocks on the disk that neither has changed.
    pub shared: bool,
}

/// Status of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: DatabaseName,
    /// Its state.
    pub state: State,
    /// When it entered this state.
    pub since: Timestamp,
    /// The process id of its server, if it has one.
    pub pid: Option<u32>,
    /// The layers of isolation of its server, as observed; empty without a process.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// The instance that serves it.
    pub instance: InstanceId,
    /// The data root with its files, if they are on this machine.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// The series of its server; `None` if that is not known.
    #[serde(default)]
    pub series: Option<Series>,
    /// Counts its server processes.
    pub generation: u64,
    /// The owner's settings.
    pub spec: Spec,
    /// Its units.
    pub units: Units,
    /// Client connections.
    pub sessions: u32,
    /// Statements held until its server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// Memory of its server at the last observation, if the driver reports it.
    pub memory: Option<Bytes>,
    /// CPU time of its server's process at the last observation, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Disk space of its files at the last measurement.
    pub storage: Option<Bytes>,
    /// Why it may neither grow nor change, if so.
    pub read_only: Option<String>,
    /// Its MEMORY tables that have rows, as `schema.table`, which keep it from being parked. `None`: its
    /// server, which is awake, must be queried ([`Plane::look`](crate::Plane::look)).
    pub memory_tables: Option<Vec<String>>,
    /// Its encryption; `None` if it is not encrypted, and in a list of all databases.
    pub encryption: Option<Encryption>,
    /// Cost this month; `None` without prices.
    pub spend: Option<Spend>,
    /// Of which database it is a branch.
    #[serde(default)]
    pub branch: Option<BranchOf>,
    /// Why it is in this state.
    pub last_reason: String,
    /// How many servers should follow its primary now.
    #[serde(default)]
    pub replicas: ReplicaCount,
    /// The servers that follow its primary.
    #[serde(default)]
    pub followers: Vec<ReplicaStatus>,
    /// Its move to another instance, while one is under way.
    #[serde(default)]
    pub moving: Option<MoveStatus>,
}

/// Servers that answer in place of those of sleeping databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnderstudyCounts {
    /// How many there should be.
    pub wanted: usize,
    /// How many run.
    pub running: usize,
    /// How many have died since Dormouse started.
    pub restarts: u64,
}

/// Encryption of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Whether all its files are encrypted with its newest key.
    pub state: EncryptionState,
    /// Versions of its data keys, oldest first.
    pub versions: Vec<u32>,
    /// Fingerprint of the master key that wraps them.
    pub master: String,
    /// Share of its tablespaces that are encrypted with the newest key, in percent; `None`: its server must be
    /// awake to tell.
    pub percent: Option<u8>,
    /// Its tables that are not encrypted, the first twenty, as `schema.table`: their engines cannot, or their owner
    /// has managed to have it so. `None`: its server must be awake to tell.
    pub plain_tables: Option<Vec<String>>,
}

/// How far the encryption of a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionState {
    /// All files are encrypted with the newest key.
    Encrypted,
    /// Files are being encrypted with the newest key, while the database is awake.
    Converting,
    /// Its server does not have the newest key yet: it gets it at its next start.
    AtNextStart,
}

impl EncryptionState {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Converting => "converting, while awake",
            Self::AtNextStart => "new key at its next start",
        }
    }
}

/// The keys of an installation. Contains no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// Fingerprint of the master key; `None` if none is configured.
    pub master: Option<String>,
    /// Where the master key comes from.
    pub source: Option<String>,
    /// Whether new databases are encrypted.
    pub new_databases: bool,
    /// The databases, by name.
    pub databases: Vec<DatabaseKeys>,
}

/// The keys of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseKeys {
    /// Its name.
    pub name: DatabaseName,
    /// Its encryption; `None` if it is not encrypted.
    pub encryption: Option<Encryption>,
    /// Why that is unknown, if it is.
    pub error: Option<String>,
}

/// Cost of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Cost in the current calendar month.
    pub cost: Money,
    /// The currency's name.
    pub currency: String,
    /// The step of its spend limit.
    pub rung: Rung,
}

/// Kind of a ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The database was created.
    Created,
    /// Its state changed, or it got a new server.
    Changed,
    /// Its size changed.
    Scaled,
    /// A change was refused or failed.
    Refused,
    /// Another event.
    Noted,
    /// It was dropped.
    Dropped,
    /// Its settings were changed.
    Set,
    /// A backup of it was made, or restored for a test.
    BackedUp,
    /// A token of the API was added, rotated or removed; about no database.
    Token,
    /// An import into it has ended, or failed.
    Imported,
    /// An export of it has ended, or failed.
    Exported,
}

impl EventKind {
    /// The word used in JSON and the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Scaled => "scaled",
            Self::Refused => "refused",
            Self::Noted => "noted",
            Self::Dropped => "dropped",
            Self::Set => "set",
            Self::BackedUp => "backed_up",
            Self::Token => "token",
            Self::Imported => "imported",
            Self::Exported => "exported",
        }
    }
}

/// Figures of a transition, as far as the driver reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Memory of the server after it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// CPU time of the server's process since its start, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// CPU time that the server used for the transition, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_cpu_ms: Option<u64>,
    /// Hit ratio of the buffer pool since the database woke or last changed its size, in millionths: for a
    /// sleep, for a change of size, and when the hot pages have been read back (the server counts those as
    /// requests that missed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_ratio_ppm: Option<u32>,
    /// For a change of size: units after it, or the refused units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// For a change of size: units before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_before: Option<Units>,
    /// For a sleep because of idleness: how long it was idle, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// For an import or export: bytes of the dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// For an import: tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// For an import: rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Id; grows, and is never reused in one data directory.
    pub id: i64,
    /// When it was written.
    pub at: Timestamp,
    /// The database; `None` for a change that is about no database.
    pub database: Option<DatabaseName>,
    /// Who caused it; `None` in entries of a version that did not record it.
    pub actor: Option<String>,
    /// The statement that needed the server, if one did; `None` in entries of a version that did not record it.
    pub woken_by: Option<WokenBy>,
    /// The kind of entry.
    pub event: EventKind,
    /// The state before.
    pub from: Option<State>,
    /// The state after, or the one that was denied.
    pub to: Option<State>,
    /// The cause, a fixed word.
    pub cause: Cause,
    /// The reason, for people.
    pub reason: String,
    /// Its duration, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Its figures.
    pub figures: Figures,
}

/// Query for entries of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// Only of this database.
    pub database: Option<DatabaseName>,
    /// With `database`: only since it was created, not those of an earlier database of this name.
    pub present: bool,
    /// Entries after this id, the oldest first; `None`: the newest entries, in ascending order.
    pub after: Option<i64>,
    /// Maximum number; at most 10,000.
    pub limit: usize,
}
