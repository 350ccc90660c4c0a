//! [`Tally`]: counters of a simulation.

use std::collections::BTreeMap;

use dormouse_policy::Spec;
use dormouse_policy::spend::Prices;
use dormouse_types::{Units, Usage};

use crate::fleet::Kind;
use crate::histogram::Histogram;
use crate::time::{DAY, Micros};

/// Counters of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Life {
    pub(crate) existed: Micros,
    pub(crate) active: Micros,
    pub(crate) suspended: Micros,
    pub(crate) parked: Micros,
    /// Transitions.
    pub(crate) between: Micros,
    /// CPU time of requests.
    pub(crate) cpu: Micros,
    /// CPU time of starts, suspends and parks.
    pub(crate) transitions_cpu: Micros,
    /// Allotted or held memory, in MiB times microseconds.
    pub(crate) memory: u128,
    pub(crate) thaws: u64,
    pub(crate) starts: u64,
    pub(crate) suspends: u64,
    pub(crate) parks: u64,
    /// Suspends and parks cancelled by a statement.
    pub(crate) given_up: u64,
    pub(crate) requests: u64,
    pub(crate) statements: u64,
}

/// Counters of the databases of one kind, of one machine, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub(crate) sum: Life,
    pub(crate) databases: u64,
    /// In millionths of the currency's unit.
    pub(crate) cost: u128,
    /// Cost of the same databases if they never sleep.
    pub(crate) cost_awake: u128,
    /// Wait times of the requests that waited.
    pub(crate) waits: Histogram,
    /// Wakes of one database in one day.
    pub(crate) daily_wakes: Histogram,
    pub(crate) kinds: BTreeMap<&'static str, Share>,
}

/// Counters of the databases of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    pub(crate) databases: u64,
    pub(crate) existed: Micros,
    pub(crate) active: Micros,
    pub(crate) wakes: u64,
    pub(crate) cost: u128,
    pub(crate) cost_awake: u128,
}

impl Life {
    fn add(&mut self, other: &Self) {
        self.existed += other.existed;
        self.active += other.active;
        self.suspended += other.suspended;
        self.parked += other.parked;
        self.between += other.between;
        self.cpu += other.cpu;
        self.transitions_cpu += other.transitions_cpu;
        self.memory += other.memory;
        self.thaws += other.thaws;
        self.starts += other.starts;
        self.suspends += other.suspends;
        self.parks += other.parks;
        self.given_up += other.given_up;
        self.requests += other.requests;
        self.statements += other.statements;
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.thaws + self.starts
    }

    pub(crate) fn all_cpu(&self) -> Micros {
        self.cpu + self.transitions_cpu
    }
}

impl Tally {
    /// Adds a database at its end.
    pub(crate) fn add(&mut self, life: &Life, spec: &Spec, kind: Option<Kind>, prices: &Prices) {
        let cost = u128::from(prices.cost(&usage(life.all_cpu(), life.memory)).0);
        let awake = memory(spec.units.max, life.existed);
        let cost_awake = u128::from(prices.cost(&usage(life.cpu, awake)).0);
        self.sum.add(life);
        self.databases += 1;
        self.cost += cost;
        self.cost_awake += cost_awake;
        let share = self
            .kinds
            .entry(kind.map_or("recorded", Kind::as_str))
            .or_default();
        share.databases += 1;
        share.existed += life.existed;
        share.active += life.active;
        share.wakes += life.wakes();
        share.cost += cost;
        share.cost_awake += cost_awake;
    }

    /// Adds the counters of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.sum.add(&other.sum);
        self.databases += other.databases;
        self.cost += other.cost;
        self.cost_awake += other.cost_awake;
        self.waits.merge(&other.waits);
        self.daily_wakes.merge(&other.daily_wakes);
        for (kind, theirs) in &other.kinds {
            let ours = self.kinds.entry(kind).or_default();
            ours.databases += theirs.databases;
            ours.existed += theirs.existed;
            ours.active += theirs.active;
            ours.wakes += theirs.wakes;
            ours.cost += theirs.cost;
            ours.cost_awake += theirs.cost_awake;
        }
    }
}

/// Counts the wakes of one database day by day.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Days {
    day: u64,
    wakes: u64,
}

impl Days {
    pub(crate) fn wake(&mut self, at: Micros, daily: &mut Histogram) {
        self.on(at / DAY, daily);
        self.wakes += 1;
    }

    /// Counts the days up to `end`, including those without a wake.
    pub(crate) fn finish(&mut self, end: Micros, daily: &mut Histogram) {
        self.on(end.div_ceil(DAY), daily);
    }

    pub(crate) fn begin(at: Micros) -> Self {
        Self {
            day: at / DAY,
            wakes: 0,
        }
    }

    fn on(&mut self, day: u64, daily: &mut Histogram) {
        if day > self.day {
            daily.add(self.wakes);
            daily.add_many(0, day - self.day - 1);
            *self = Self { day, wakes: 0 };
        }
    }
}

/// Memory of these units over a time, in MiB times microseconds.
pub(crate) fn memory(units: Units, for_so_long: Micros) -> u128 {
    u128::from(units.memory().0 >> 20) * u128::from(for_so_long)
}

fn usage(cpu: Micros, memory: u128) -> Usage {
    Usage {
        cpu_us: cpu,
        memory_mib_ms: u64::try_from(memory / 1000).unwrap_or(u64::MAX),
        ..Usage::default()
    }
}
