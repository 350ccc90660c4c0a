//! How the databases of one machine share it.
//!
//! Memory is budgeted: what the awake databases are allotted is at most [`MEMORY_SHARE`] percent of
//! the machine's; the rest is for the kernel, for Dormouse and for what frozen servers keep. CPU is
//! not: quotas are ceilings that may add up to more than there is, and under contention the kernel
//! shares it by weights, which are as the units.
//!
//! What holds:
//! - a database may always have its minimum. No wake is refused, for a statement that waits
//!   outranks the budget; instead [`give_back`] asks databases above their minimum to shrink, the
//!   least loaded first, until the budget is kept or all have their minimum;
//! - growth never breaks the budget: it is cut to what fits, and the reason names the limit;
//! - for want of CPU nobody grows beyond the machine's cores;
//! - while the CPU is used up, growth for want of CPU only takes from others. It is allowed up to
//!   the fair share alone: what is left by those who do not press against their size is dealt out
//!   among those who do, by their minimums. So of two who press, the smaller catches up and the
//!   larger stops.
//!
//! Called by `control` before a database grows, and after one has woken.

use dormouse_types::{Bytes, Units};

use crate::autoscale::{Why, told};

/// Percent of the machine's memory that awake databases may be allotted.
pub const MEMORY_SHARE: u64 = 80;
/// Percent of the machine's CPU in use at which it is used up.
const SATURATED: u64 = 95;
/// Percent of its own budget from which on a database presses against its size.
const PRESSING: u64 = 90;

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// CPU, in thousandths of a core.
    pub millicores: u32,
    /// Memory.
    pub memory: Bytes,
}

impl Capacity {
    /// How many units of memory awake databases may have together.
    #[must_use]
    pub fn budget(self) -> u64 {
        let share = u128::from(self.memory.0) * u128::from(MEMORY_SHARE) / 100;
        let units = share / u128::from(Units(1).memory().0);
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}

/// A database that is awake, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awake {
    /// What it has.
    pub units: Units,
    /// What it is never without.
    pub min: Units,
    /// CPU it used of late, in thousandths of a core.
    pub used: u32,
}

impl Awake {
    /// How many units it could give back.
    #[must_use]
    pub fn spare(&self) -> u16 {
        self.units.0.saturating_sub(self.min.0.max(1))
    }

    fn presses(&self) -> bool {
        u64::from(self.used) * 100 >= u64::from(self.units.millicores()) * PRESSING
    }
}

/// What a database that wants to grow gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The size it may have now: what it wants, or less, but no less than it has.
    pub to: Units,
    /// What stands in the way, if it is less than it wants.
    pub limit: Option<String>,
}

/// Whether a database may grow `to` a size, beside all `others` that are awake.
#[must_use]
pub fn grow(capacity: Capacity, others: &[Awake], asking: Awake, to: Units, why: Why) -> Growth {
    let mut growth = Growth { to, limit: None };
    // what it is promised it gets, as a wake would
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

/// What one who asks may use of a machine whose CPU is used up, in thousandths of a core; `None`
/// if it is not.
fn fair_share(capacity: Capacity, others: &[Awake], asking: Awake) -> Option<u64> {
    let all = u64::from(capacity.millicores);
    let used = |those: &dyn Fn(&&Awake) -> bool| -> u64 {
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

fn weight(database: &Awake) -> u64 {
    u64::from(database.min.0.max(1))
}

/// The fewest units that cover this much CPU.
fn covering(millicores: u64) -> u64 {
    millicores.div_ceil(u64::from(Units(1).millicores()))
}

fn cores(millicores: u32) -> String {
    let text = format!("{}.{:03}", millicores / 1000, millicores % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn allotted(databases: &[Awake]) -> u64 {
    databases.iter().map(|d| u64::from(d.units.0)).sum()
}

/// A database that must give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    /// Which of those handed in.
    pub index: usize,
    /// The size it must change to.
    pub to: Units,
    /// Why.
    pub reason: String,
}

/// Which of all that are awake must shrink, and to what, so that the budget is kept. If it is
/// broken even with everyone at the minimum, it stays so.
#[must_use]
pub fn give_back(capacity: Capacity, awake: &[Awake]) -> Vec<Shrink> {
    let budget = capacity.budget();
    let allotted = allotted(awake);
    let mut excess = allotted.saturating_sub(budget);
    let mut order: Vec<usize> = (0..awake.len()).collect();
    // the load of each as a share of what it has, without the division
    order.sort_by(|a, b| {
        let (a, b) = (&awake[*a], &awake[*b]);
        let load = |x: &Awake, y: &Awake| u64::from(x.used) * u64::from(y.units.0.max(1));
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
                "memory for {allotted} units is asked of {budget}; of {} it used {} cores",
                told(database.units),
                cores(database.used)
            ),
        });
    }
    shrinks
}

#[cfg(test)]
mod tests;
