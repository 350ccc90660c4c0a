//! Simulates a month of a fleet of databases in seconds, to compare the cost of policies.
//!
//! Each database has a virtual server, door and actor; its decisions are made by the functions of the
//! control plane ([`dormouse_policy`]). A fleet is generated from a seed ([`fleet`]) or recorded
//! ([`trace`]). [`model`] has the properties of the machine.
//!
//! Invariants:
//! - no clock, task or I/O, except for the caller's readers and writers; the same arguments give the
//!   same figures, on any number of threads;
//! - a request takes a constant amount of work, and a request at an open door no decision; memory is
//!   needed for the databases of one machine at a time.
//!
//! Modules, in groups: basics; the fleet; one database on its machine; the result.
//!
//! Called by `dormouse simulate`, which hands the machines of a fleet to its threads.

use std::time::Instant;

use dormouse_policy::spend::Prices;
use dormouse_policy::{SettingsPatch, Spec};
use dormouse_types::{Delay, State, UnitRange, Units};

mod histogram;
pub mod model;
mod random;
pub mod time;

pub mod fleet;
pub mod trace;

mod host;
mod life;
mod size;

mod tally;

pub mod report;

pub use model::Machines;
pub use report::Report;
pub use tally::Tally;
pub use trace::Trace;

pub use fleet::Kind;
use fleet::Requests;
use life::{Birth, Living};
use time::{Clock, DAY, MINUTE, Micros, SECOND};

/// Maximum of databases times days: beyond it, sums may overflow.
pub const DATABASE_DAYS_MOST: u64 = 50_000_000;
/// Approximate number of databases on which the other policies are simulated.
const SAMPLE: u64 = 1000;

/// The databases and their requests.
#[derive(Debug, Clone)]
pub enum Fleet {
    /// Generated.
    Made {
        /// Number of databases.
        databases: u64,
        /// Number of days; the first is a Monday.
        days: u64,
        /// Seed of the random numbers.
        seed: u64,
    },
    /// Recorded; all databases are on one machine.
    Recorded(Trace),
}

/// A fleet on its machines; can be simulated any number of times.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The databases.
    pub fleet: Fleet,
    /// The machines.
    pub machines: Machines,
    /// The prices.
    pub prices: Prices,
    /// Any moment: the start of the simulation for the policy.
    pub epoch: Instant,
}

impl Simulation {
    /// A fleet on default machines; for a recorded one, transitions take their recorded times.
    #[must_use]
    pub fn new(fleet: Fleet, prices: Prices, epoch: Instant) -> Self {
        let mut machines = Machines::default();
        if let Fleet::Recorded(trace) = &fleet {
            machines.timing = trace.timing;
        }
        Self {
            fleet,
            machines,
            prices,
            epoch,
        }
    }

    /// Number of machines of the fleet.
    #[must_use]
    pub fn hosts(&self) -> u64 {
        match &self.fleet {
            Fleet::Made { databases, .. } => databases.div_ceil(self.machines.databases.max(1)),
            Fleet::Recorded(_) => 1,
        }
    }

    /// The machines on which other policies are simulated: all, or some, evenly spread.
    #[must_use]
    pub fn sample(&self) -> Vec<u64> {
        let hosts = self.hosts();
        let wanted = SAMPLE.div_ceil(self.machines.databases.max(1));
        let step = (hosts / wanted).max(1);
        (0..hosts)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .collect()
    }

    /// Simulates the databases of one machine over all days, with their settings overridden by
    /// `settings`.
    #[must_use]
    pub fn live(&self, host: u64, settings: SettingsPatch) -> Tally {
        let clock = Clock(self.epoch);
        match &self.fleet {
            Fleet::Made {
                databases,
                days,
                seed,
            } => {
                let first = host * self.machines.databases;
                let last = (first + self.machines.databases).min(*databases);
                let spec = settings.clone().applied_to(Spec::default());
                let living = (first..last).map(|database| {
                    let requests = Requests::new(*seed, database, days * DAY);
                    let birth = Birth {
                        spec: spec.clone(),
                        state: State::Parked,
                        kind: Some(requests.kind()),
                        made: false,
                        from: 0,
                        to: days * DAY,
                    };
                    Living::new(birth, requests, clock)
                });
                host::live(living.collect(), &self.machines, &self.prices)
            }
            Fleet::Recorded(trace) => {
                let living = trace.databases.iter().map(|row| {
                    let (from, to) = trace.born(row);
                    let birth = Birth {
                        spec: settings.clone().applied_to(row.spec.clone()),
                        state: row.state,
                        kind: None,
                        made: row.from.is_some(),
                        from,
                        to,
                    };
                    Living::new(birth, trace.requests(row), clock)
                });
                host::live(living.collect(), &self.machines, &self.prices)
            }
        }
    }
}

/// The policies to compare with the requested one: other delays, then other units.
#[must_use]
pub fn alternatives(asked: SettingsPatch) -> Vec<SettingsPatch> {
    let after = |micros: Micros| Delay::After(std::time::Duration::from_micros(micros));
    let suspends = [after(SECOND), after(10 * SECOND), after(MINUTE)];
    let parks = [
        after(MINUTE),
        after(5 * MINUTE),
        after(60 * MINUTE),
        Delay::Never,
    ];
    let delays = suspends.into_iter().flat_map(|suspend| {
        let asked = &asked;
        parks.into_iter().map(move |park| SettingsPatch {
            idle_suspend: Some(suspend),
            idle_park: Some(park),
            ..asked.clone()
        })
    });
    let units = [1, 2, 4].map(|max| SettingsPatch {
        units: Some(UnitRange {
            min: Units(1),
            max: Units(max),
        }),
        ..asked.clone()
    });
    delays.chain(units).collect()
}
