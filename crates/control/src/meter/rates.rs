//! An observation of a database, and the rates at which it uses memory, disk and time.

use std::time::Duration;

use dormouse_policy::spend::{Rung, charged};
use dormouse_types::{Bytes, Carried, Incarnation, State, Units, Usage};

/// An observation of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The run of its server.
    pub(crate) incarnation: Option<Incarnation>,
    /// CPU time of that run; without one, the last counter of the run that ended.
    pub(crate) cpu: Option<Duration>,
    pub(crate) state: State,
    /// Its units while awake.
    pub(crate) units: Units,
    /// Memory its server holds.
    pub(crate) memory: Option<Bytes>,
    /// Disk space of its files; `None`: unchanged.
    pub(crate) storage: Option<Bytes>,
    /// Its traffic since Dormouse started.
    pub(crate) carried: Carried,
}

/// Use per time, constant until the next observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) active: bool,
    /// Its units; 0 while asleep.
    pub(crate) units: Units,
    pub(crate) memory_mib: u64,
    pub(crate) storage_mib: u64,
}

impl Rates {
    /// The rates of a database that only has files.
    pub(crate) fn asleep(storage_mib: u64) -> Self {
        Self {
            active: false,
            units: Units(0),
            memory_mib: 0,
            storage_mib,
        }
    }

    /// A database that is awake or in a transition uses its allotted memory, a sleeping one the
    /// memory that its server holds.
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

/// Which use is free of charge.
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
