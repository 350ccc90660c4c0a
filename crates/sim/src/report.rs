//! Results of a simulation, as JSON or as text.

use std::fmt;

use dormouse_policy::spend::Prices;
use dormouse_policy::{SettingsPatch, Spec};
use dormouse_types::{Delay, Money, UnitRange};
use serde::Serialize;

use crate::histogram::Histogram;
use crate::tally::Tally;
use crate::time::{HOUR, Micros};
use crate::{Fleet, Kind, Machines, Simulation};

mod table;

use table::{Table, grouped};

/// Results of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The simulated fleet.
    pub fleet: Described,
    /// The machines.
    pub machines: Machines,
    /// The requested policy; `null` where each database has its own setting.
    pub policy: Policy,
    /// Prices of CPU and memory.
    pub prices: Prices,
    /// Results.
    pub figures: Figures,
    /// Results by kind of use.
    pub kinds: Vec<KindFigures>,
    /// Number of databases on which the other policies were simulated.
    pub sample: u64,
    /// Results of other policies on the sample; the first is the requested one.
    pub alternatives: Vec<Alternative>,
}

/// The simulated fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Described {
    /// Number of databases.
    pub databases: u64,
    /// Sum of the times for which they existed, in days.
    pub database_days: f64,
    /// Seed of a generated fleet.
    pub seed: Option<u64>,
    /// Number of machines.
    pub hosts: u64,
}

/// Delays and units; `None`: each database's own setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Idle time before a suspend.
    pub idle_suspend: Option<Delay>,
    /// Idle time before a park.
    pub idle_park: Option<Delay>,
    /// Minimum and maximum units.
    pub units: Option<UnitRange>,
}

/// Figures of a fleet under one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Wakes from suspended.
    pub thaws: u64,
    /// Wakes from parked.
    pub starts: u64,
    /// Suspends.
    pub suspends: u64,
    /// Parks.
    pub parks: u64,
    /// Suspends and parks cancelled by a statement.
    pub given_up: u64,
    /// Wakes of one database in one day.
    pub daily_wakes: Percentiles,
    /// Requests: a few statements together, or a recorded span of activity.
    pub requests: u64,
    /// Statements of the requests.
    pub statements: u64,
    /// Requests that had to wait for their database.
    pub waited: u64,
    /// Their wait times, in milliseconds.
    pub waits_ms: Percentiles,
    /// Wait times of all requests; those that did not wait count as zero.
    pub all_waits_ms: Percentiles,
    /// Time in each state, summed over all databases.
    pub hours: Hours,
    /// CPU time.
    pub cpu_hours: f64,
    /// Memory allotted, or held by a frozen server.
    pub memory_gib_hours: f64,
    /// Cost of CPU and memory.
    pub cost: Money,
    /// Their cost if no database ever sleeps or shrinks.
    pub cost_always_on: Money,
}

/// Time in each state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hours {
    /// Awake.
    pub active: f64,
    /// Frozen.
    pub suspended: f64,
    /// Without a process.
    pub parked: f64,
    /// Transitions.
    pub between: f64,
}

/// A distribution; each value is at most one part in 256 too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

/// Figures of the databases of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindFigures {
    /// The kind, or `recorded`.
    pub kind: String,
    /// Number of databases of this kind.
    pub databases: u64,
    /// Mean number of wakes per database and day.
    pub wakes_per_day: f64,
    /// Share of time in which they are active.
    pub active: f64,
    /// Cost of their CPU and memory.
    pub cost: Money,
    /// Their cost if they never sleep.
    pub cost_always_on: Money,
}

/// Result of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// The policy.
    pub policy: Policy,
    /// Results.
    pub figures: Figures,
}

impl Report {
    /// The report of a simulation with `settings` and the result `tally`, and of the other policies on
    /// its sample, the same settings first.
    #[must_use]
    pub fn new(
        simulation: &Simulation,
        settings: SettingsPatch,
        tally: &Tally,
        sampled: &[(SettingsPatch, Tally)],
    ) -> Self {
        let policy = |settings: SettingsPatch| Policy::of(&simulation.fleet, settings);
        let alternatives = sampled.iter().map(|(settings, tally)| Alternative {
            policy: policy(settings.clone()),
            figures: Figures::of(tally),
        });
        let seed = match simulation.fleet {
            Fleet::Made { seed, .. } => Some(seed),
            Fleet::Recorded(_) => None,
        };
        Self {
            fleet: Described {
                databases: tally.databases,
                database_days: hours(tally.sum.existed) / 24.0,
                seed,
                hosts: simulation.hosts(),
            },
            machines: simulation.machines,
            policy: policy(settings),
            prices: simulation.prices.clone(),
            figures: Figures::of(tally),
            kinds: kinds(tally),
            sample: sampled.first().map_or(0, |(_, tally)| tally.databases),
            alternatives: alternatives.collect(),
        }
    }
}

impl Policy {
    fn of(fleet: &Fleet, settings: SettingsPatch) -> Self {
        let made = matches!(fleet, Fleet::Made { .. });
        let own = made.then(Spec::default);
        Self {
            idle_suspend: settings
                .idle_suspend
                .or(own.as_ref().map(|s| s.idle_suspend)),
            idle_park: settings.idle_park.or(own.as_ref().map(|s| s.idle_park)),
            units: settings.units.or(own.as_ref().map(|s| s.units)),
        }
    }

    fn words(self) -> [String; 3] {
        let word = |told: Option<String>| told.unwrap_or_else(|| "own".to_owned());
        [
            word(self.idle_suspend.map(|d| d.to_string())),
            word(self.idle_park.map(|d| d.to_string())),
            word(self.units.map(|u| u.to_string())),
        ]
    }
}

impl Figures {
    fn of(tally: &Tally) -> Self {
        let sum = &tally.sum;
        let ms = |value| value / 1000.0;
        let waited = tally.waits.count();
        Self {
            thaws: sum.thaws,
            starts: sum.starts,
            suspends: sum.suspends,
            parks: sum.parks,
            given_up: sum.given_up,
            daily_wakes: Percentiles::of(&tally.daily_wakes, 0, |wakes| wakes),
            requests: sum.requests,
            statements: sum.statements,
            waited,
            waits_ms: Percentiles::of(&tally.waits, 0, ms),
            all_waits_ms: Percentiles::of(&tally.waits, sum.requests.saturating_sub(waited), ms),
            hours: Hours {
                active: hours(sum.active),
                suspended: hours(sum.suspended),
                parked: hours(sum.parked),
                between: hours(sum.between),
            },
            cpu_hours: hours(sum.all_cpu()),
            memory_gib_hours: sum.memory as f64 / 1024.0 / HOUR as f64,
            cost: money(tally.cost),
            cost_always_on: money(tally.cost_awake),
        }
    }

    fn waited_percent(&self) -> f64 {
        100.0 * self.waited as f64 / (self.requests.max(1)) as f64
    }
}

impl Percentiles {
    fn of(histogram: &Histogram, zeros: u64, scaled: impl Fn(f64) -> f64) -> Self {
        let at = |per_mille| scaled(histogram.percentile(per_mille, zeros) as f64);
        Self {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
            max: scaled(histogram.max() as f64),
        }
    }
}

fn kinds(tally: &Tally) -> Vec<KindFigures> {
    let in_order = Kind::MIX
        .iter()
        .map(|(kind, _)| kind.as_str())
        .chain(["recorded"]);
    let found = in_order.filter_map(|name| Some((name, tally.kinds.get(name)?)));
    found
        .map(|(name, share)| KindFigures {
            kind: name.to_owned(),
            databases: share.databases,
            wakes_per_day: share.wakes as f64 / (hours(share.existed) / 24.0),
            active: share.active as f64 / share.existed as f64,
            cost: money(share.cost),
            cost_always_on: money(share.cost_awake),
        })
        .collect()
}

fn hours(time: Micros) -> f64 {
    time as f64 / HOUR as f64
}

fn money(millionths: u128) -> Money {
    Money(u64::try_from(millionths).unwrap_or(u64::MAX))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Described {
            databases,
            database_days,
            seed,
            hosts,
        } = &self.fleet;
        let origin = seed.map_or("as recorded".to_owned(), |seed| format!("seed {seed}"));
        let machines = match hosts {
            1 => "1 machine that starts".to_owned(),
            _ => format!("{hosts} machines that start"),
        };
        let plural = if *databases == 1 { "" } else { "s" };
        writeln!(
            f,
            "fleet     {} database{plural} for {}, {origin}, on {machines} {} servers at once",
            grouped(*databases),
            span(24.0 * database_days / (*databases).max(1) as f64),
            self.machines.starts_at_once
        )?;
        let word = |told: Option<String>, own: &str| told.unwrap_or_else(|| own.to_owned());
        let Policy {
            idle_suspend,
            idle_park,
            units,
        } = self.policy;
        writeln!(
            f,
            "policy    suspend after {}, park after {}, units {}",
            word(idle_suspend.map(|d| d.to_string()), "its own delay"),
            word(idle_park.map(|d| d.to_string()), "its own delay"),
            word(units.map(|u| u.to_string()), "its own"),
        )?;
        self.figures.fmt(f)?;
        let Prices {
            currency,
            cpu_hour,
            memory_gib_hour,
            ..
        } = &self.prices;
        let currency = match currency.as_str() {
            "" => String::new(),
            currency => format!(", in {currency}"),
        };
        writeln!(
            f,
            "          at {cpu_hour} an hour of CPU and {memory_gib_hour} a GiB-hour of memory{currency}"
        )?;
        writeln!(f)?;
        write!(f, "{}", self.kinds_table())?;
        if self.alternatives.is_empty() {
            return Ok(());
        }
        let all = self.sample == *databases;
        let of = if all {
            String::new()
        } else {
            format!(", of {} of the databases", grouped(self.sample))
        };
        writeln!(
            f,
            "\nother policies on the same fleet{of}; the first line is the one above"
        )?;
        write!(f, "{}", self.alternatives_table())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "wakes     {} from suspended, {} from parked; {} sleeps cancelled by a statement",
            grouped(self.thaws),
            grouped(self.starts),
            grouped(self.given_up)
        )?;
        let d = &self.daily_wakes;
        writeln!(
            f,
            "          of one database in a day: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            d.p50, d.p90, d.p99, d.p99_9, d.max
        )?;
        let w = &self.waits_ms;
        writeln!(
            f,
            "waits     {:.2} % of {} requests ({} statements) waited for their database",
            self.waited_percent(),
            grouped(self.requests),
            grouped(self.statements)
        )?;
        writeln!(
            f,
            "          those that did: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
            w.p50, w.p90, w.p99, w.p99_9, w.max
        )?;
        let Hours {
            active,
            suspended,
            parked,
            between,
        } = self.hours;
        let sum = (active + suspended + parked + between).max(f64::MIN_POSITIVE);
        let share = |hours: f64| {
            format!(
                "{} h ({:.2} %)",
                if hours < 100.0 {
                    format!("{hours:.2}")
                } else {
                    grouped(hours.round() as u64)
                },
                100.0 * hours / sum
            )
        };
        writeln!(
            f,
            "time      active {}, suspended {}, parked {}, between {}",
            share(active),
            share(suspended),
            share(parked),
            share(between)
        )?;
        writeln!(
            f,
            "used      {:.1} CPU hours, {:.1} GiB-hours of memory",
            self.cpu_hours, self.memory_gib_hours
        )?;
        let always = self.cost_always_on.0.max(1) as f64;
        writeln!(
            f,
            "cost      {}; always on {}: {:.1} % saved",
            cents(self.cost),
            cents(self.cost_always_on),
            100.0 - 100.0 * self.cost.0 as f64 / always
        )
    }
}

impl Report {
    fn kinds_table(&self) -> Table {
        let mut table = Table::new([
            "kind",
            "databases",
            "wakes/day",
            "active",
            "cost",
            "always on",
        ]);
        for kind in &self.kinds {
            table.row([
                kind.kind.clone(),
                grouped(kind.databases),
                format!("{:.1}", kind.wakes_per_day),
                format!("{:.2} %", 100.0 * kind.active),
                cents(kind.cost),
                cents(kind.cost_always_on),
            ]);
        }
        table
    }

    fn alternatives_table(&self) -> Table {
        let mut table = Table::new([
            "suspend", "park", "units", "thaws", "starts", "waited", "p99", "p99.9", "cost",
        ]);
        for Alternative { policy, figures } in &self.alternatives {
            let [suspend, park, units] = policy.words();
            table.row([
                suspend,
                park,
                units,
                grouped(figures.thaws),
                grouped(figures.starts),
                format!("{:.2} %", figures.waited_percent()),
                format!("{:.1} ms", figures.all_waits_ms.p99),
                format!("{:.1} ms", figures.all_waits_ms.p99_9),
                cents(figures.cost),
            ]);
        }
        table
    }
}

/// A time in its largest unit.
fn span(hours: f64) -> String {
    match hours {
        24.0.. => format!("{:.1} days", hours / 24.0),
        1.0.. => format!("{hours:.1} hours"),
        _ => format!("{:.1} minutes", hours * 60.0),
    }
}

/// Rounds to cents, unless the amount is small.
fn cents(money: Money) -> String {
    if money.0 < 100_000 {
        return format!("0.{:04}", (money.0 + 50) / 100);
    }
    let cents = (money.0 + 5000) / 10_000;
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}
