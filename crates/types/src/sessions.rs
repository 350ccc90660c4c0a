//! Status of a database's sessions and backends, for API and SQL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Carried, Pin};

/// Activity of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Idle, without a backend.
    Resting,
    /// Its statement waits for the database to wake, or for a backend.
    Waiting,
    /// A statement runs on the server.
    Running,
    /// Idle; keeps its backend until another session needs it.
    Keeping,
    /// Idle; cannot release its backend.
    Pinned,
}

impl Doing {
    /// The name in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resting => "resting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Keeping => "keeping",
            Self::Pinned => "pinned",
        }
    }
}

/// What is ended at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The running statement of a connection (`KILL QUERY`).
    Statement,
    /// A connection with its statement (`KILL CONNECTION`).
    Connection,
}

/// Status of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Connection id of the client.
    pub id: u32,
    /// User name.
    pub user: String,
    /// Address of the client: IP address and port, or `localhost`.
    pub host: String,
    /// Its schema, as of its last command.
    pub schema: Option<String>,
    /// Activity.
    pub doing: Doing,
    /// Reasons why it cannot release its backend.
    pub pins: Vec<Pin>,
    /// Connection id of its backend on the server.
    pub server_thread: Option<u32>,
    /// Seconds since the client last sent something.
    pub idle_s: u64,
    /// Seconds since it got its backend.
    pub held_s: Option<u64>,
}

/// Counts of statements that read on replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadCounts {
    /// Statements that have run on replicas.
    pub on_replicas: u64,
    /// Times a statement waited until a replica had what its session had seen.
    pub waits: u64,
    /// Statements that a replica was to run, and that the primary has run.
    pub fallbacks: u64,
}

/// A database's backends, with counters since the start of Dormouse.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Client sessions.
    pub sessions: u32,
    /// Backends that are open or being opened.
    pub backends: u32,
    /// Backends without a session.
    pub idle: u32,
    /// Maximum number of backends.
    pub backends_max: u32,
    /// Sessions that wait for a backend.
    pub waiting: u32,
    /// Leases granted.
    pub leases: u64,
    /// Total time of all leases, in seconds.
    pub held_s: u64,
    /// Leases that a session released for another session.
    pub steals: u64,
    /// Times that a session's state was restored on a backend that had another's.
    pub restores: u64,
    /// Backends opened.
    pub opened: u64,
    /// Sessions that had to wait for a lease.
    pub waits: u64,
    /// Total wait time, in milliseconds.
    pub waited_ms: u64,
    /// Waits that ended with an error because they took too long.
    pub timeouts: u64,
    /// Statements ended because their clients had disconnected.
    pub departures: u64,
    /// Replies that belonged to no current command: they were discarded and their connections closed.
    pub faults: u64,
    /// Interrupted commits that had committed, as the server's log told.
    #[serde(default)]
    pub found_committed: u64,
    /// Interrupted commits that had not committed, as the server's log told.
    #[serde(default)]
    pub found_rolled_back: u64,
    /// Interrupted commits of which no log could tell.
    #[serde(default)]
    pub unresolved: u64,
    /// Interrupted transactions that were run again on the next server.
    #[serde(default)]
    pub replayed: u64,
    /// Interrupted transactions that could not be run again.
    #[serde(default)]
    pub not_replayed: u64,
    /// Interrupted queries that were run again on the next server.
    #[serde(default)]
    pub read_again: u64,
    /// Statements answered while the database slept.
    pub sleeping_answers: u64,
    /// Traffic between clients and the server, without logins.
    #[serde(flatten)]
    pub carried: Carried,
    /// Reads on replicas.
    #[serde(default)]
    pub reads: ReadCounts,
    /// How often each pin prevented a session from releasing its lease to another.
    pub pins: BTreeMap<Pin, u64>,
}
