//! Shares of the databases of one machine in its memory and CPU.
//!
//! Memory is budgeted: awake databases are allotted at most [`MEMORY_SHARE`] percent of
//! the machine's; the rest is for the kernel, Dormouse and frozen servers. CPU is not: quotas are
//! ceilings that may add up to more than the machine has, and under contention the kernel shares CPU by
//! weights proportional to the units.
//!
//! Invariants:
//! - a database can always have its minimum. No wake is refused, because a waiting statement
//!   has precedence over the budget; instead [`give_back`] makes databases above their minimum shrink,
//!   the least loaded first, until the budget is kept or all have their minimum;
//! - a server that follows another one starts only if there is room for it beside the minimum of those that are awake; databases above
//!   their minimum shrink for it;
//! - growth never exceeds the budget: it is cut to what fits, and the reason names the limit;
//! - growth for CPU never exceeds the machine's cores;
//! - while the CPU is used up, growth for CPU only takes from other databases, so it is allowed up to
//!   the fair share only: the CPU that databases below [`PRESSING`] leave is divided among the others in
//!   proportion to their minimums. So of two busy databases, the smaller catches up and the larger stops.
//!
//! Called by `control` before a database grows, and after one has woken.

use dormouse_types::{Bytes, Units};

use crate::autoscale::{Why, told};

/// Percent of the machine's memory that awake databases may be allotted.
pub const MEMORY_SHARE: u64 = 80;
/// Percent of the machine's CPU in use from which it counts as used up.
const SATURATED: u64 = 95;
/// Percent of its own budget from which a database counts as limited by its size.
const PRESSING: u64 = 90;

/// Capacity of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// CPU, in thousandths of a core.
    pub millicores: u32,
    /// Memory.
    pub memory: Bytes,
}

impl Capacity {
    /// Memory budget of all awake databases, in units.
    #[must_use]
    pub fn budget(self) -> u64 {
        let share = u128::from(self.memory.0) * u128::from(MEMORY_SHARE) / 100;
        let units = share / u128::from(Units(1).memory().0);
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}

/// A database that is awake or wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Current size.
    pub units: Units,
    /// Minimum size.
    pub min: Units,
    /// Recent CPU use, in thousandths of a core.
    pub used: u32,
}

impl Claim {
    /// Units above its minimum.
    #[must_use]
    pub fn spare(&self) -> u16 {
        self.units.0.saturating_sub(self.min.0.max(1))
    }

    fn presses(&self) -> bool {
        u64::from(self.used) * 100 >= u64::from(self.units.millicores()) * PRESSING
    }
}

/// Result of a request to grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Granted size: the requested one or less, but not less than the current one.
    pub to: Units,
    /// The limit that applies, if less is granted than requested.
    pub limit: Option<String>,
}

/// How far a database may grow towards `to`, given the `others` that are awake.
#[must_use]
pub fn grow(capacity: Capacity, others: &[Claim], asking: Claim, to: Units, why: Why) -> Growth {
    let mut growth = Growth { to, limit: None };
    // the minimum is granted always, as for a wake
    let least = asking.units.max(asking.min);
    let mut cut = |most: u64, limit: &dyn Fn() -> String| {
        let most = u16::try_from(most).map_or(u16::MAX, |most| most.max(least.0));
        if growth.to.0 > most {
            growth.to = Units(most);
            growth.limit = Some(limit());
        }
    };
    let budget = capacity.budget();
    cut(budget.saturating_sub(allotted(others)), &|| {
        format!(
            "awake databases may have {budget} units of memory together, {MEMORY_SHARE} % of the machine's {}",
            capacity.memory
        )
    });
    if why == Why::Cpu {
        cut(covering(u64::from(capacity.millicores)), &|| {
            format!("the machine has {} cores", cores(capacity.millicores))
        });
        if let Some(fair) = fair_share(capacity, others, asking) {
            cut(covering(fair), &|| {
                format!(
                    "the machine's CPU is used up, and the fair share is {} cores",
                    cores(u32::try_from(fair).unwrap_or(u32::MAX))
                )
            });
        }
    }
    growth
}

/// Fair share of `asking` on a machine whose CPU is used up, in thousandths of a core; `None`
/// if it is not used up.
fn fair_share(capacity: Capacity, others: &[Claim], asking: Claim) -> Option<u64> {
    let all = u64::from(capacity.millicores);
    let used = |those: &dyn Fn(&&Claim) -> bool| -> u64 {
        others.iter().filter(those).map(|o| u64::from(o.used)).sum()
    };
    if (used(&|_| true) + u64::from(asking.used)) * 100 < all * SATURATED {
        return None;
    }
    let pressing = others.iter().filter(|o| o.presses()).map(weight);
    let left = all.saturating_sub(used(&|o| !o.presses()));
    let mine = weight(&asking);
    Some(left * mine / (pressing.sum::<u64>() + mine))
}

fn weight(database: &Claim) -> u64 {
    u64::from(database.min.0.max(1))
}

/// The fewest units with this much CPU.
fn covering(millicores: u64) -> u64 {
    millicores.div_ceil(u64::from(Units(1).millicores()))
}

fn cores(millicores: u32) -> String {
    let text = format!("{}.{:03}", millicores / 1000, millicores % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn allotted(databases: &[Claim]) -> u64 {
    databases.iter().map(|d| u64::from(d.units.0)).sum()
}

/// How long a server that follows another one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// As long as its database is awake: a replica. It keeps to the budget.
    Lasting,
    /// Until its database has gone over to it: it may use what is kept free of the machine's memory.
    Passing,
}

/// How many units a server gets that is to follow another one: those that are `wanted`, or as many as there is room for beside the
/// minimum of all that are awake, but at least one. The `others`: databases that are awake, and servers that follow them, whose
/// size is their minimum.
///
/// # Errors
/// There is no room for one unit: why, for people.
pub fn follow(
    capacity: Capacity,
    others: &[Claim],
    wanted: Units,
    stay: Stay,
) -> Result<Units, String> {
    let most = match stay {
        Stay::Lasting => capacity.budget(),
        Stay::Passing => capacity.memory.0 / Units(1).memory().0,
    };
    let least: u64 = others.iter().map(weight).sum();
    match u16::try_from(most.saturating_sub(least)).unwrap_or(u16::MAX) {
        0 => Err(format!(
            "there is no room for it: of {most} units of memory, the databases that are awake, their replicas and copies need \
             {least} at least"
        )),
        left => Ok(wanted.min(Units(left)).max(Units(1))),
    }
}

/// A database that must shrink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    /// Index in the argument of [`give_back`].
    pub index: usize,
    /// New size.
    pub to: Units,
    /// Reason, for people.
    pub reason: String,
}

/// The databases that must shrink so that the budget is kept. If it is exceeded with all at their
/// minimum, it stays exceeded.
#[must_use]
pub fn give_back(capacity: Capacity, awake: &[Claim]) -> Vec<Shrink> {
    let budget = capacity.budget();
    let allotted = allotted(awake);
    let mut excess = allotted.saturating_sub(budget);
    let mut order: Vec<usize> = (0..awake.len()).collect();
    // by load relative to size, without a division
    order.sort_by(|a, b| {
        let (a, b) = (&awake[*a], &awake[*b]);
        let load = |x: &Claim, y: &Claim| u64::from(x.used) * u64::from(y.units.0.max(1));
        load(a, b).cmp(&load(b, a))
    });
    let mut shrinks = Vec::new();
    for index in order {
        let database = &awake[index];
        let back = database
            .spare()
            .min(u16::try_from(excess).unwrap_or(u16::MAX));
        if back == 0 {
            continue;
        }
        excess -= u64::from(back);
        shrinks.push(Shrink {
            index,
            to: Units(database.units.0 - back),
            reason: format!(
                "awake databases need {allotted} units of memory and may have {budget}; it used {} cores of {}",
                cores(database.used),
                told(database.units)
            ),
        });
    }
    shrinks
}

#[cfg(test)]
mod tests;
