//! What is observed of a database, and what time alone uses while that is true.

use std::time::Duration;

use dormouse_policy::spend::{Rung, charged};
use dormouse_types::{Bytes, Carried, Incarnation, State, Units, Usage};

/// What is true of a database at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The run of its server.
    pub(crate) incarnation: Option<Incarnation>,
    /// CPU time that run has used; without one: the last count of the one that ended.
    pub(crate) cpu: Option<Duration>,
    pub(crate) state: State,
    /// What it may use.
    pub(crate) units: Units,
    /// Memory its server holds.
    pub(crate) memory: Option<Bytes>,
    /// Disk its files take; `None`: as much as before.
    pub(crate) storage: Option<Bytes>,
    /// What has passed since dormouse started.
    pub(crate) carried: Carried,
}

/// What time alone uses, until it is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) active: bool,
    /// Compute units it has; asleep none.
    pub(crate) units: Units,
    pub(crate) memory_mib: u64,
    pub(crate) storage_mib: u64,
}

impl Rates {
    /// Nothing but what files take.
    pub(crate) fn asleep(storage_mib: u64) -> Self {
        Self {
            active: false,
            units: Units(0),
            memory_mib: 0,
            storage_mib,
        }
    }

    /// A database that is awake, or on its way, has what it is allotted; one that sleeps what its
    /// server really holds.
    pub(super) fn of(seen: &Seen, storage_mib: u64) -> Self {
        let asleep = Self::asleep(seen.storage.map_or(storage_mib, mib));
        match (seen.incarnation, seen.state) {
            (None, _) => asleep,
            (_, State::Suspended | State::Failed) => Self {
                memory_mib: seen.memory.map_or(0, mib),
                ..asleep
            },
            (_, state) => Self {
                active: state == State::Active,
                units: seen.units,
                memory_mib: mib(seen.units.memory()),
                ..asleep
            },
        }
    }
}

pub(super) fn mib(bytes: Bytes) -> u64 {
    bytes.0 / Bytes::mib(1).0
}

/// What is free of charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tariff {
    pub(super) rung: Rung,
    pub(super) baseline: Units,
}

impl Tariff {
    pub(super) fn charged(self, used: Usage, units: Units) -> Usage {
        charged(used, units, self.rung, self.baseline)
    }
}
