//! Where a meter counts: by minute and by day.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};

use dormouse_types::{Month, Usage};

use super::rates::{Rates, Tariff};
use crate::calendar::{DAY, MINUTE};

/// Time longer than this, in milliseconds, is counted by day alone: it was a sleep.
const NAP: i64 = 10 * MINUTE;

/// What was used, and what of that is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Metered {
    pub(crate) used: Usage,
    /// What of it is to be paid.
    pub(crate) charged: Usage,
}

impl AddAssign for Metered {
    fn add_assign(&mut self, more: Self) {
        self.used += more.used;
        self.charged += more.charged;
    }
}

/// What was counted: by minute while it was awake, by day always.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    /// By minutes since 1970.
    pub(crate) minutes: BTreeMap<i64, Metered>,
    /// By days since 1970, the minutes included.
    pub(crate) days: BTreeMap<i64, Metered>,
    /// The newest month, whether or not it is in the days above.
    pub(crate) spent: (Month, Metered),
    /// Everything.
    pub(crate) total: Usage,
}

impl Book {
    pub(crate) fn new(spent: (Month, Metered)) -> Self {
        Self {
            minutes: BTreeMap::new(),
            days: BTreeMap::new(),
            spent,
            total: Usage::default(),
        }
    }

    /// Counts what was used at a moment, in milliseconds since 1970.
    pub(crate) fn add(&mut self, at: i64, by_minute: bool, more: Metered) {
        if more == Metered::default() {
            return;
        }
        if by_minute {
            *self.minutes.entry(at.div_euclid(MINUTE)).or_default() += more;
        }
        let day = at.div_euclid(DAY);
        *self.days.entry(day).or_default() += more;
        let month = Month::of_day(day);
        if month > self.spent.0 {
            self.spent = (month, Metered::default());
        }
        if month == self.spent.0 {
            self.spent.1 += more;
        }
        self.total += more.used;
    }

    /// Counts what time alone used, at rates that did not change meanwhile.
    pub(crate) fn pass(&mut self, time: Range<i64>, rates: Rates, tariff: Tariff) {
        let by_minute = time.end - time.start <= NAP;
        let step = if by_minute { MINUTE } else { DAY };
        let mut from = time.start;
        while from < time.end {
            let to = ((from.div_euclid(step) + 1) * step).min(time.end);
            let ms = (to - from).unsigned_abs();
            let used = Usage {
                memory_mib_ms: rates.memory_mib.saturating_mul(ms),
                storage_mib_ms: rates.storage_mib.saturating_mul(ms),
                active_ms: if rates.active { ms } else { 0 },
                ..Usage::default()
            };
            let charged = tariff.charged(used, rates.units);
            self.add(from, by_minute, Metered { used, charged });
            from = to;
        }
    }
}
