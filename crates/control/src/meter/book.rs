//! A meter's counts, by minute and by day.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};

use dormouse_types::{Month, Usage};

use super::rates::{Rates, Tariff};
use crate::calendar::{DAY, MINUTE};

/// Time longer than this, in milliseconds, is counted by day only: it was a sleep.
const NAP: i64 = 10 * MINUTE;

/// Usage, and the charged part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Metered {
    pub(crate) used: Usage,
    /// The charged part.
    pub(crate) charged: Usage,
}

impl AddAssign for Metered {
    fn add_assign(&mut self, more: Self) {
        self.used += more.used;
        self.charged += more.charged;
    }
}

/// Counts: by minute while awake, by day always.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    /// By minutes since 1970.
    pub(crate) minutes: BTreeMap<i64, Metered>,
    /// By days since 1970, the minutes included.
    pub(crate) days: BTreeMap<i64, Metered>,
    /// The newest month, even if the days above no longer include it.
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

    /// Adds usage at a time, in milliseconds since 1970.
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

    /// Adds the use over a time at constant rates.
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
