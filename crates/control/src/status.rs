//! Status, ledger entries and figures of databases.

use dormouse_policy::spend::Rung;
use dormouse_policy::{Cause, Spec};
use dormouse_types::{Bytes, DatabaseName, InstanceId, Money, State, Units};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A database that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its name.
    pub name: DatabaseName,
    /// The password of its user `admin`. It is not kept anywhere.
    pub password: String,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is true of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: DatabaseName,
    /// Its state.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The process id of its server, if it has one.
    pub pid: Option<u32>,
    /// The instance that serves it.
    pub instance: InstanceId,
    /// Counts its server processes.
    pub generation: u64,
    /// The owner's settings.
    pub spec: Spec,
    /// What its server may use now.
    pub units: Units,
    /// Client connections.
    pub sessions: u32,
    /// Statements held until its server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// Memory its server held when last looked at, where the driver can tell.
    pub memory: Option<Bytes>,
    /// CPU time its server had used in its life when last looked at, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Disk its files took when last looked at.
    pub storage: Option<Bytes>,
    /// Why it may neither grow nor change, if so.
    pub read_only: Option<String>,
    /// Its MEMORY tables that have rows, as `schema.table`, which keep it from being parked. `None`: its
    /// server, which is awake, must be asked ([`Plane::look`](crate::Plane::look)).
    pub memory_tables: Option<Vec<String>>,
    /// Cost this month; `None` without prices.
    pub spend: Option<Spend>,
    /// Why it is in this state.
    pub last_reason: String,
}

/// What a database costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// What it has cost in this calendar month.
    pub cost: Money,
    /// The currency's name.
    pub currency: String,
    /// The step of its spend limit.
    pub rung: Rung,
}

/// What an entry of the ledger is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The database was made.
    Created,
    /// It went from one state to another, or got a new server.
    Changed,
    /// It became larger or smaller.
    Scaled,
    /// It was to change, and did not.
    Refused,
    /// Something else worth remembering.
    Noted,
    /// It was removed.
    Dropped,
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
        }
    }
}

/// What a transition cost, as far as the driver can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Memory the server holds after it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// CPU time the server's process has used in its life so far, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// CPU time that the server has used for this change of its state, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_cpu_ms: Option<u64>,
    /// Of a million pages that were asked of the buffer pool since the database woke or last changed
    /// its size, those that were in it: for a sleep, for a change of size, and when the hot pages are
    /// back, which the server counts as asked for and missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_ratio_ppm: Option<u32>,
    /// For a change of size: compute units after it, or those that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// For a change of size: compute units before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_before: Option<Units>,
    /// How long it was idle, if that is why it was put to sleep, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up; never used twice in one data directory.
    pub id: i64,
    /// When it was written.
    pub at: Timestamp,
    /// The database.
    pub database: DatabaseName,
    /// What it is about.
    pub event: EventKind,
    /// The state before.
    pub from: Option<State>,
    /// The state after, or the one that was denied.
    pub to: Option<State>,
    /// Why, as a word.
    pub cause: Cause,
    /// Why, for a human.
    pub reason: String,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it cost.
    pub figures: Figures,
}

/// Which entries of the ledger are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// Those of this database only.
    pub database: Option<DatabaseName>,
    /// Those after this id, the oldest first; `None`: the newest there are, the oldest of them first.
    pub after: Option<i64>,
    /// At most so many; 10,000 at the most.
    pub limit: usize,
}
