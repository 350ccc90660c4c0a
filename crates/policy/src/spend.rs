//! Cost of use, and the steps taken near the spend limit of a month.
//!
//! [`Prices::cost`] computes the cost of a [`Usage`]. [`rung`] returns the rung of a [`Ladder`] for an
//! amount spent: warnings, then slow, then read-only, then asleep. From `Slow` on the database has
//! no more units than the free baseline, and [`charged`] leaves out the use of the baseline.
//!
//! Upper bound of a month's cost. In one `interval` between two evaluations no more than [`overshoot`]
//! can be spent: a server cannot use more CPU than its units, and memory is charged as allotted. So
//! the evaluation that finds the threshold of `Slow` passed finds it exceeded by less than that. From
//! then on only storage is charged, for as long as the files exist ([`Prices::storage`]). So a month
//! costs less than
//!
//! ```text
//! threshold + overshoot(interval) + storage(until the month ends)
//! ```
//!
//! with the threshold of the ladder's first rung from `Slow` on, and an interval that includes the time
//! until the result of the evaluation is executed. Statements and traffic have no limit: where they have
//! a price, the bound is for the rate that the caller passes.
//!
//! Called by the meter of `control`.

use std::time::Duration;

use dormouse_types::{Bytes, Carried, Money, Units, Usage};
use serde::{Deserialize, Serialize};

mod ladder;

pub use ladder::{InvalidLadder, Ladder, Rung, rung};

/// Prices of use. All 0 unless configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// Name of the currency, for display only.
    pub currency: String,
    /// One core for an hour.
    pub cpu_hour: Money,
    /// One GiB of allotted memory for an hour.
    pub memory_gib_hour: Money,
    /// One GiB of files for 30 days.
    pub storage_gib_month: Money,
    /// A million statements.
    pub million_statements: Money,
    /// One GiB sent to clients.
    pub traffic_gib: Money,
}

/// A multiple of every divisor in [`Prices::terms`]: 2³⁰ · 3⁴ · 5⁸.
const COMMON: u128 = (1 << 30) * 81 * 390_625;
const HOUR_MS: u128 = 3_600_000;
const MONTH_MS: u128 = 30 * 24 * HOUR_MS;

impl Prices {
    /// Cost of this use, rounded down once to a millionth. So the costs of parts add up to that of
    /// the whole, except for less than a millionth per part.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let (whole, part) = self.exact(usage);
        money(whole.saturating_add(part / COMMON))
    }

    /// As [`cost`](Self::cost), rounded up.
    fn cost_at_most(&self, usage: &Usage) -> Money {
        let (whole, part) = self.exact(usage);
        money(whole.saturating_add(part.div_ceil(COMMON)))
    }

    /// Exact cost of this use: whole millionths and parts of [`COMMON`].
    fn exact(&self, usage: &Usage) -> (u128, u128) {
        let terms = self.terms(usage);
        terms.into_iter().fold((0, 0), |(whole, part), term| {
            let (amount, price, divisor) = term;
            let product = u128::from(amount) * u128::from(price.0);
            let rest = product % divisor * (COMMON / divisor);
            (product / divisor + whole, rest + part)
        })
    }

    /// For each kind of use: the amount, the price, and the amount that has this price.
    fn terms(&self, usage: &Usage) -> [(u64, Money, u128); 5] {
        let carried = &usage.carried;
        [
            (usage.cpu_us, self.cpu_hour, HOUR_MS * 1000),
            (usage.memory_mib_ms, self.memory_gib_hour, 1024 * HOUR_MS),
            (
                usage.storage_mib_ms,
                self.storage_gib_month,
                1024 * MONTH_MS,
            ),
            (carried.statements, self.million_statements, 1_000_000),
            (carried.bytes_out, self.traffic_gib, 1 << 30),
        ]
    }

    /// Maximum cost of an hour with `units`, without storage, statements and traffic.
    #[must_use]
    pub fn rate(&self, units: Units) -> Money {
        let hour = Duration::from_secs(3600);
        overshoot(self, units, Carried::default(), hour)
    }

    /// Maximum cost of files of this size over `time`.
    #[must_use]
    pub fn storage(&self, size: Bytes, time: Duration) -> Money {
        self.cost_at_most(&Usage {
            storage_mib_ms: product(size.0.div_ceil(1 << 20), millis(time)),
            ..Usage::default()
        })
    }
}

/// Maximum cost, without storage, of one interval between evaluations: for a server of `units`, with
/// at most this rate of statements and traffic.
#[must_use]
pub fn overshoot(
    prices: &Prices,
    most: Units,
    carried_a_second: Carried,
    interval: Duration,
) -> Money {
    let ms = millis(interval);
    let seconds = ms.div_ceil(1000);
    prices.cost_at_most(&Usage {
        cpu_us: product(u64::from(most.millicores()), ms),
        memory_mib_ms: product(mib(most), ms),
        carried: Carried {
            statements: product(carried_a_second.statements, seconds),
            bytes_in: 0,
            bytes_out: product(carried_a_second.bytes_out, seconds),
        },
        ..Usage::default()
    })
}

/// The charged part of the use in a span in which a database had `units` and was on this rung. From
/// `Slow` on the use of the baseline is free: with no more units than the baseline only storage is
/// charged, else also what was used above the baseline's CPU and memory.
#[must_use]
pub fn charged(usage: Usage, units: Units, rung: Rung, baseline: Units) -> Usage {
    if rung < Rung::Slow {
        return usage;
    }
    let free = |amount: u64, a_millisecond: u64| {
        if units <= baseline {
            0
        } else {
            amount.saturating_sub(product(a_millisecond, usage.active_ms))
        }
    };
    Usage {
        cpu_us: free(usage.cpu_us, u64::from(baseline.millicores())),
        memory_mib_ms: free(usage.memory_mib_ms, mib(baseline)),
        storage_mib_ms: usage.storage_mib_ms,
        active_ms: usage.active_ms,
        carried: Carried::default(),
    }
}

fn mib(units: Units) -> u64 {
    units.memory().0 >> 20
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn product(a: u64, b: u64) -> u64 {
    a.saturating_mul(b)
}

fn money(millionths: u128) -> Money {
    Money(u64::try_from(millionths).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
