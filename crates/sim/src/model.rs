//! What stands in for the machine: how long transitions take and what sleep leaves in memory.
//!
//! All that a simulation knows beyond the policy is here and in [`crate::life`]. The order of
//! events is the actor's (`control/src/actor`): a nap is given up if a statement arrives before
//! the process is frozen or told to stop, and a statement that arrives later waits for the end of
//! the transition and then for the way back.

use dormouse_policy::spend::Prices;
use dormouse_types::{Bytes, Money};
use serde::{Deserialize, Serialize};

use crate::time::{MS, Micros};

/// The machines that a fleet lives on, all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Machines {
    /// Databases on each.
    pub databases: u64,
    /// Servers that may start at once on each; what is more waits in line.
    pub starts_at_once: usize,
    /// Memory that a frozen server keeps.
    pub frozen_memory: Bytes,
    /// What transitions take.
    pub timing: Timing,
}

/// What transitions take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// From parked to the first statement, the line of those that start not counted.
    #[serde(rename = "start_us")]
    pub start: Micros,
    /// CPU time that this takes, and that of a server that a new database is given.
    #[serde(rename = "start_cpu_us")]
    pub start_cpu: Micros,
    /// From suspended to the first statement.
    #[serde(rename = "thaw_us")]
    pub thaw: Micros,
    /// From active to suspended.
    #[serde(rename = "suspend_us")]
    pub suspend: Micros,
    /// CPU time that this takes.
    #[serde(rename = "suspend_cpu_us")]
    pub suspend_cpu: Micros,
    /// From active or suspended to parked.
    #[serde(rename = "park_us")]
    pub park: Micros,
    /// CPU time that this takes.
    #[serde(rename = "park_cpu_us")]
    pub park_cpu: Micros,
    /// The last part of a park, in which the server stops and nothing can be given up.
    #[serde(rename = "stop_us")]
    pub stop: Micros,
    /// From a statement that ends a nap on its way until it runs.
    #[serde(rename = "reopen_us")]
    pub reopen: Micros,
}

/// What CPU and memory cost where nobody says otherwise: about what clouds charge in dollars. Storage,
/// statements and traffic cost the same however a database sleeps, and are left out.
#[must_use]
pub fn usual_prices() -> Prices {
    Prices {
        cpu_hour: Money(40_000),
        memory_gib_hour: Money(5_000),
        ..Prices::default()
    }
}

impl Default for Timing {
    /// As measured: docs/performance.md (P4, P5) and the ledger in README.md.
    fn default() -> Self {
        Self {
            start: 120 * MS,
            start_cpu: 90 * MS,
            thaw: MS + MS / 10,
            suspend: 14 * MS,
            suspend_cpu: 11 * MS,
            park: 24 * MS,
            park_cpu: 24 * MS,
            stop: 18 * MS,
            reopen: MS,
        }
    }
}

impl Default for Machines {
    /// Machines of eight cores with 500 databases each.
    fn default() -> Self {
        Self {
            databases: 500,
            starts_at_once: dormouse_policy::admission::width(None, 8),
            frozen_memory: Bytes::mib(32),
            timing: Timing::default(),
        }
    }
}
