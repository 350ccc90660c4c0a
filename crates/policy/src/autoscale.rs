//! Size of an awake database in units, by its load.
//!
//! Its server is sampled every 200 ms; a [`Window`] keeps the samples of the last 30 s. [`decide`]
//! changes the size:
//!
//! - up, when it used 90 % of its CPU budget over the last second: by one unit, or by as many as its
//!   throttled time shows that it could have used, but at most to `2n + 1`;
//! - up by one, when it is short of memory;
//! - down, when it used 20 % or less over a full window, to the smallest size of which the window's
//!   mean is 60 % at most and its busiest second less than 90 %.
//!
//! Invariants:
//! - the size is always in the range;
//! - only samples since the last change count: the size does not grow within a second of a change,
//!   nor shrink within 30 s;
//! - under a constant load the size settles. A load of 90 % of `n` units is more than 20 % of `2n + 1`,
//!   and after a step down the load is below 90 %; so neither step causes the opposite one;
//! - a size at which memory was short is not tried again for ten minutes, and for twice as long each
//!   time it is still too small.
//!
//! Called by `control` with each sample of an awake database.

use std::time::{Duration, Instant};

use dormouse_types::{UnitRange, Units};

mod window;

pub use dormouse_types::Strain;
use window::{FULL, Spell};
pub use window::{Sample, Window};

/// Percent of the budget in use at which the size grows.
const BUSY: u32 = 90;
/// Percent of the budget at or below which the mean over a full window makes the size shrink.
const CALM: u32 = 20;
/// Maximum of the mean in percent of the smaller budget.
const ROOM: u32 = 60;
/// If the newest sample is older than this, there is no decision.
const STALE: Duration = Duration::from_secs(2);

/// Cause of a change of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The range was changed.
    Range,
    /// CPU is short.
    Cpu,
    /// Memory is short.
    Memory,
    /// The load is low.
    Calm,
}

/// A change of size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeStep {
    /// The size to change to.
    pub units: Units,
    /// Cause.
    pub why: Why,
    /// Reason, for people.
    pub reason: String,
}

/// The size to which a database of `units` should change at the time `now`; `None`: no change.
/// `changed` is when its size last changed, or its server last started or thawed.
#[must_use]
pub fn decide(
    range: UnitRange,
    units: Units,
    window: &Window,
    changed: Option<Instant>,
    now: Instant,
) -> Option<SizeStep> {
    let min = range.min.max(Units(1));
    let max = range.max.max(min);
    if units < min || max < units {
        return Some(SizeStep {
            units: units.clamp(min, max),
            why: Why::Range,
            reason: format!("the range is {range} now"),
        });
    }
    let samples = window.since(changed);
    if now.saturating_duration_since(samples.last()?.at) > STALE {
        return None;
    }
    let second = window::second_before(samples)?;
    let up = more_cpu(units, max, &second).or_else(|| more_memory(units, max, &second));
    up.or_else(|| {
        let held = window.held_until().is_some_and(|until| now < until);
        if held {
            None
        } else {
            less(units, min, samples)
        }
    })
}

fn more_cpu(units: Units, max: Units, second: &Spell) -> Option<SizeStep> {
    if units >= max || second.is_below(second.cpu, BUSY, units) {
        return None;
    }
    let demand = second.cpu.saturating_add(second.strain.throttled);
    let most = Units(units.0.saturating_mul(2).saturating_add(1)).min(max);
    let enough = sizes(units.0.saturating_add(1), most.0)
        .find(|size| second.is_below(demand, BUSY, *size))
        .unwrap_or(most);
    let used = format!(
        "used {} % of {} over the last second",
        second.percent(second.cpu, units),
        told(units)
    );
    let reason = if enough.0 > units.0 + 1 {
        let could = second.percent(demand, units);
        format!("{used} and could have used {could} %")
    } else {
        used
    };
    Some(SizeStep {
        units: enough,
        why: Why::Cpu,
        reason,
    })
}

fn more_memory(units: Units, max: Units, second: &Spell) -> Option<SizeStep> {
    if units >= max || !second.lacks_memory() {
        return None;
    }
    let Strain {
        stalled,
        limit_hits,
        oom_kills,
        ..
    } = second.strain;
    let share = stalled.as_nanos() * 100 / second.span.as_nanos().max(1);
    let reason = match (oom_kills, limit_hits) {
        (0, 0) => format!("waited for memory during {share} % of the last second"),
        (0, hits) => format!(
            "waited for memory during {share} % of the last second and reached its limit {hits} times"
        ),
        _ => "something in it was killed for want of memory".to_owned(),
    };
    Some(SizeStep {
        units: Units(units.0.saturating_add(1)),
        why: Why::Memory,
        reason,
    })
}

fn less(units: Units, min: Units, samples: &[Sample]) -> Option<SizeStep> {
    if units <= min {
        return None;
    }
    let full = window::full(samples)?;
    if !full.is_within(full.cpu, CALM, units) {
        return None;
    }
    let peak = window::busiest_second(samples)?;
    let fits = |size: &Units| {
        full.is_within(full.cpu, ROOM, *size) && peak.is_below(peak.cpu, BUSY, *size)
    };
    let enough = sizes(min.0, units.0 - 1).find(fits)?;
    Some(SizeStep {
        units: enough,
        why: Why::Calm,
        reason: format!(
            "used {} % of {} over the last {} s, at most {} % in a second",
            full.percent(full.cpu, units),
            told(units),
            FULL.as_secs(),
            peak.percent(peak.cpu, units)
        ),
    })
}

fn sizes(from: u16, to: u16) -> impl Iterator<Item = Units> {
    (from..=to).map(Units)
}

/// A size in words.
pub(crate) fn told(units: Units) -> String {
    match units {
        Units(1) => "1 unit".to_owned(),
        Units(n) => format!("{n} units"),
    }
}

#[cfg(test)]
mod tests;
