//! What can be seen of a database's clients and backends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Carried, Pin};

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Nothing; it has no backend, and needs none.
    Resting,
    /// Its statement waits: for the database to wake, or for a backend.
    Waiting,
    /// A statement is on the server.
    Running,
    /// Nothing; it keeps its backend until another session needs it.
    Keeping,
    /// Nothing; it cannot give its backend up.
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

/// One client's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The connection id its client was given.
    pub id: u32,
    /// Its user.
    pub user: String,
    /// Where its client is: an address and port, or `localhost`.
    pub host: String,
    /// What it does.
    pub doing: Doing,
    /// Why it cannot give its backend up.
    pub pins: Vec<Pin>,
    /// The server's connection id of its backend.
    pub server_thread: Option<u32>,
    /// Seconds since its client was last heard of.
    pub idle_s: u64,
    /// Seconds for which it has had its backend.
    pub held_s: Option<u64>,
}

/// A database's backends, and what has happened to them since `dormouse` was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Client sessions.
    pub sessions: u32,
    /// Backends that are open or being opened.
    pub backends: u32,
    /// Of these, those that no session has.
    pub idle: u32,
    /// The most there may be.
    pub backends_max: u32,
    /// Sessions that wait for one.
    pub waiting: u32,
    /// Leases given.
    pub leases: u64,
    /// For how long sessions have had them, all together, in seconds.
    pub held_s: u64,
    /// Leases that a session gave up for another.
    pub steals: u64,
    /// Times a backend was brought from one session's state to another's.
    pub restores: u64,
    /// Backends opened.
    pub opened: u64,
    /// Sessions that had to wait for a lease.
    pub waits: u64,
    /// How long they waited, all together, in milliseconds.
    pub waited_ms: u64,
    /// Sessions that waited too long and got an error.
    pub timeouts: u64,
    /// Statements that were ended because their clients had left.
    pub departures: u64,
    /// Replies out of turn: nobody was given them, and their connections were closed.
    pub faults: u64,
    /// Statements answered while the database slept.
    pub sleeping_answers: u64,
    /// What passed between clients and the server; logins are left out.
    #[serde(flatten)]
    pub carried: Carried,
    /// How often each pin has kept a lease from another session.
    pub pins: BTreeMap<Pin, u64>,
}
