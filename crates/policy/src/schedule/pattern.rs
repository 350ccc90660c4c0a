//! The hours of the week in which a database is usually used.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// Length of a slot in minutes.
const SLOT: u16 = 15;
const SLOTS: usize = 24 * 60 / SLOT as usize;
/// A slot of a weekday counts if it was used in `.0` of the last `.1` weeks.
const WEEKS: (usize, usize) = (3, 4);
/// A slot of every day counts if it was used on `.0` of the last `.1` days.
const ALL_DAYS: (usize, usize) = (4, 5);
/// Number of days before today that are evaluated.
const PAST: usize = 7 * WEEKS.1;

/// The quarters of an hour of each weekday in which a database is usually used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pattern {
    /// A bit for each slot of a day, Monday first.
    days: [u128; 7],
}

impl Pattern {
    /// Computes the pattern from the times in `wanted`: when a statement woke the database, and when the
    /// first statement came after it had been woken ahead (without those, a pattern would end by being
    /// applied). Only whole days of the last four weeks count, so not today.
    #[must_use]
    pub fn learn(wanted: &[Timestamp], tz: &TimeZone, now: Timestamp) -> Self {
        let today = now.to_zoned(tz.clone()).date();
        // the used slots of each day, the latest day first
        let mut past = [0u128; PAST + 1];
        for at in wanted {
            let local = at.to_zoned(tz.clone()).datetime();
            let ago = today.since(local.date()).map(|span| span.get_days());
            let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
            let slot = u32::from(minute.unsigned_abs() / SLOT);
            if let Some(day) = ago
                .ok()
                .and_then(|days| past.get_mut(usize::try_from(days).ok()?))
            {
                *day |= 1 << slot;
            }
        }
        let [_, past @ ..] = past;
        let (enough, of) = ALL_DAYS;
        let daily = at_least(enough, past.iter().take(of));
        let mut pattern = Self { days: [daily; 7] };
        let mut date = today;
        for first in 0..7 {
            let Ok(yesterday) = date.yesterday() else {
                break;
            };
            date = yesterday;
            let (enough, of) = WEEKS;
            let weekly = at_least(enough, past.iter().skip(first).step_by(7).take(of));
            if let Some(day) = pattern.days.get_mut(index(date.weekday())) {
                *day |= weekly;
            }
        }
        pattern
    }

    /// Whether it has no slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days == [0; 7]
    }

    /// The spans of a weekday in which it is usually used, in minutes from midnight.
    pub(super) fn on(&self, day: Weekday) -> Vec<(u16, u16)> {
        let slots = self.days.get(index(day)).copied().unwrap_or_default();
        let mut spans: Vec<(u16, u16)> = Vec::new();
        for slot in (0..).take(SLOTS).filter(|slot| slots >> slot & 1 == 1) {
            let (from, to) = (slot * SLOT, (slot + 1) * SLOT);
            match spans.last_mut() {
                Some((_, end)) if *end == from => *end = to,
                _ => spans.push((from, to)),
            }
        }
        spans
    }
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

/// The slots that occur in at least `enough` of these days.
fn at_least<'a>(enough: usize, days: impl Iterator<Item = &'a u128> + Clone) -> u128 {
    let wanted = |slot: &usize| days.clone().filter(|day| **day >> slot & 1 == 1).count() >= enough;
    (0..SLOTS)
        .filter(wanted)
        .fold(0, |all, slot| all | 1 << slot)
}
