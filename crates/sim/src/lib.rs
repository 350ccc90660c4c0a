//! A fleet of databases lives through a month in seconds: what would another policy have cost?
//!
//! Each database has a virtual server, door and actor; what the actor does is decided by the same
//! functions that decide in the plane ([`dormouse_policy`]). A fleet is made up from a seed
//! ([`fleet`]) or recorded ([`trace`]). [`model`] says what stands in for the machine.
//!
//! What holds:
//! - no clock, no task, no I/O but the readers and writers handed in; the same arguments give the
//!   same figures, on any number of threads;
//! - a database's request costs a constant amount of work, and a request at an open door no
//!   decision; memory is needed for the databases of one machine at a time.
//!
//! Called by `dormouse simulate`, which hands the machines of a fleet to its threads.

use std::time::Instant;

use dormouse_policy::spend::Prices;
use dormouse_policy::{SettingsPatch, Spec};
use dormouse_types::{Delay, State, UnitRange, Units};

pub mod fleet;
mod histogram;
mod host;
mod life;
pub mod model;
mod random;
pub mod report;
mod size;
mod tally;
pub mod time;
pub mod trace;

pub use model::Machines;
pub use report::Report;
pub use tally::Tally;
pub use trace::Trace;

pub use fleet::Kind;
use fleet::Requests;
use life::{Birth, Living};
use time::{Clock, DAY, MINUTE, Micros, SECOND};

/// The most databases times days that can be simulated: beyond, sums may not fit.
pub const DATABASE_DAYS_MOST: u64 = 50_000_000;
/// In how many databases the other policies are tried, about.
const SAMPLE: u64 = 1000;

/// The databases and what their clients want.
#[derive(Debug, Clone)]
pub enum Fleet {
    /// Made up.
    Made {
        /// How many databases.
        databases: u64,
        /// For how many days, the first a Monday.
        days: u64,
        /// Another seed gives another fleet of the same kind.
        seed: u64,
    },
    /// Recorded; all of it on one machine.
    Recorded(Trace),
}

/// A fleet on its machines, ready to live any number of times.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The databases.
    pub fleet: Fleet,
    /// Where they live.
    pub machines: Machines,
    /// What that costs.
    pub prices: Prices,
    /// Any moment: the simulation's begin, as the policy sees it.
    pub epoch: Instant,
}

impl Simulation {
    /// A fleet on machines of the usual kind; a recorded one's transitions take what they took.
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

    /// How many machines the fleet lives on.
    #[must_use]
    pub fn hosts(&self) -> u64 {
        match &self.fleet {
            Fleet::Made { databases, .. } => databases.div_ceil(self.machines.databases.max(1)),
            Fleet::Recorded(_) => 1,
        }
    }

    /// The machines on which other policies are tried: all, or some that are evenly spread.
    #[must_use]
    pub fn sample(&self) -> Vec<u64> {
        let hosts = self.hosts();
        let wanted = SAMPLE.div_ceil(self.machines.databases.max(1));
        let step = (hosts / wanted).max(1);
        (0..hosts)
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
            .collect()
    }

    /// Lets the databases of one machine live through all days, with these settings instead of
    /// their owners'.
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
                let spec = settings.applied_to(Spec::default());
                let living = (first..last).map(|database| {
                    let requests = Requests::new(*seed, database, days * DAY);
                    let birth = Birth {
                        spec,
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
                        spec: settings.applied_to(row.spec),
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

/// The policies that are compared with the one asked for: other delays, then other units.
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
        parks.into_iter().map(move |park| SettingsPatch {
            idle_suspend: Some(suspend),
            idle_park: Some(park),
            ..asked
        })
    });
    let units = [1, 2, 4].map(|max| SettingsPatch {
        units: Some(UnitRange {
            min: Units(1),
            max: Units(max),
        }),
        ..asked
    });
    delays.chain(units).collect()
}
