//! Model of the machine: durations of transitions and memory of frozen servers.
//!
//! All assumptions beyond the policy are here and in [`crate::life`]. The order of events is that of
//! the actor in `control`: a suspend or park is cancelled if a statement arrives before the process is
//! frozen or told to stop; a statement that arrives later waits for the end of the transition and
//! then for the wake.

use dormouse_policy::spend::Prices;
use dormouse_types::{Bytes, Money};
use serde::{Deserialize, Serialize};

use crate::time::{MS, Micros};

/// The machines of a fleet, all equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Machines {
    /// Databases per machine.
    pub databases: u64,
    /// Concurrent server starts per machine; others queue.
    pub starts_at_once: usize,
    /// Memory of a frozen server.
    pub frozen_memory: Bytes,
    /// What transitions take.
    pub timing: Timing,
}

/// What transitions take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// From parked to the first statement, without the queue for starts.
    #[serde(rename = "start_us")]
    pub start: Micros,
    /// CPU time of a start; also of the server of a new database.
    #[serde(rename = "start_cpu_us")]
    pub start_cpu: Micros,
    /// From suspended to the first statement.
    #[serde(rename = "thaw_us")]
    pub thaw: Micros,
    /// From active to suspended.
    #[serde(rename = "suspend_us")]
    pub suspend: Micros,
    /// CPU time of this transition.
    #[serde(rename = "suspend_cpu_us")]
    pub suspend_cpu: Micros,
    /// From active or suspended to parked.
    #[serde(rename = "park_us")]
    pub park: Micros,
    /// CPU time of this transition.
    #[serde(rename = "park_cpu_us")]
    pub park_cpu: Micros,
    /// The last part of a park, in which the server stops; it cannot be cancelled.
    #[serde(rename = "stop_us")]
    pub stop: Micros,
    /// From a statement that cancels a suspend or park until it runs.
    #[serde(rename = "reopen_us")]
    pub reopen: Micros,
}

/// Default prices of CPU and memory: about those of clouds in dollars. Storage, statements and traffic
/// are left out, because the policy does not change their cost.
#[must_use]
pub fn usual_prices() -> Prices {
    Prices {
        cpu_hour: Money(40_000),
        memory_gib_hour: Money(5_000),
        ..Prices::default()
    }
}

impl Default for Timing {
    /// Measured values: docs/performance.md (P4, P5) and the ledger in README.md.
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
