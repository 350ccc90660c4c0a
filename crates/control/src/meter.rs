//! A database's use, counted so that a crash loses nothing and nothing is counted twice.
//!
//! A [`Meter`] gets each observation. Between observations, use that depends on time only (memory, disk,
//! being awake) accrues at the current *rates*, so a sleeping database need not be polled: its use is
//! computed when it is queried, and written when its state changes. CPU time is the difference of a counter
//! that belongs to one run of its server.
//!
//! The counts are written together with the [`Mark`]: the moment, the run of the server, its counter and the
//! rates up to which use is counted. Both are in one transaction, so after a kill at any point the next run
//! continues from the mark without a gap.
//!
//! Invariants:
//! - durations are of the monotonic clock ([`Moment::at`]); the calendar only says to which minute they
//!   belong. So when the calendar is set, time is neither lost nor counted twice. Between two runs of
//!   Dormouse only the calendar is known: if it was set back, the time up to the mark is not counted again;
//! - of a mark's run only CPU time after the mark counts; of any other run, all since its start;
//! - the counts and the mark are taken by the one writer of the catalog when it writes them, so an older mark
//!   never overwrites a newer one.
//!
//! Called by the actors through [`Metering::see`](crate::metering::Metering::see); read and written by
//! [`metering`](crate::metering).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dormouse_policy::spend::Rung;
use dormouse_types::{Bytes, Carried, DatabaseName, Incarnation, InstanceId, Month, Units, Usage};

use crate::calendar::{DAY, Moment};

mod book;
mod rates;

use book::Book;
pub(crate) use book::Metered;
pub(crate) use rates::{Rates, Seen};
use rates::{Tariff, mib};

/// Maximum time between two runs that is counted, in milliseconds: longer than usage is kept. A longer one
/// means a wrong clock.
const LONGEST: i64 = 400 * DAY;

/// The state up to which use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) incarnation: Option<Incarnation>,
    /// CPU time of that run, or of the last one that ended.
    pub(crate) cpu_us: u64,
    pub(crate) rates: Rates,
    pub(crate) rung: Rung,
    /// The database was dropped.
    pub(crate) ended: bool,
}

/// Counts and mark for one transaction.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) database: DatabaseName,
    pub(crate) instance: InstanceId,
    pub(crate) mark: Mark,
    pub(crate) minutes: BTreeMap<i64, Metered>,
    pub(crate) days: BTreeMap<i64, Metered>,
}

/// A meter, as its database and the catalog's writer share it.
pub(crate) type SharedMeter = Arc<Mutex<Meter>>;

/// Counts the use of one database.
#[derive(Debug)]
pub(crate) struct Meter {
    database: DatabaseName,
    instance: InstanceId,
    mark: Mark,
    /// The mark's moment on the monotonic clock, or the start of this run of Dormouse.
    anchor: Instant,
    /// Milliseconds from the mark to the anchor, if an earlier run of Dormouse made the mark.
    away: i64,
    /// There was no observation in this run of Dormouse.
    unseen: bool,
    carried: Carried,
    /// The units that are free of charge past the spend limit.
    baseline: Units,
    book: Book,
    /// The next process that is observed has used CPU before it served the database, which was not the database's.
    hands_over: bool,
    /// There is something to write.
    news: bool,
    /// It is in the queue of meters to write.
    queued: bool,
}

impl Meter {
    /// For a new database, which has no mark yet.
    pub(crate) fn new(
        database: DatabaseName,
        instance: InstanceId,
        baseline: Units,
        now: Moment,
    ) -> Self {
        let mark = Mark {
            at: now.wall,
            incarnation: None,
            cpu_us: 0,
            rates: Rates::asleep(0),
            rung: Rung::default(),
            ended: false,
        };
        let spent = (now.month(), Metered::default());
        Self::resumed(database, instance, baseline, (mark, spent), now)
    }

    /// For a database with a mark of an earlier run; with its usage in a month.
    pub(crate) fn resumed(
        database: DatabaseName,
        instance: InstanceId,
        baseline: Units,
        (mark, spent): (Mark, (Month, Metered)),
        now: Moment,
    ) -> Self {
        Self {
            database,
            instance,
            mark,
            anchor: now.at,
            // if the calendar was set back, the time up to the mark is already counted
            away: now.wall.saturating_sub(mark.at).clamp(0, LONGEST),
            unseen: true,
            carried: Carried::default(),
            baseline,
            book: Book::new(spent),
            hands_over: false,
            news: false,
            queued: false,
        }
    }

    /// Records an observation. The previous one was valid until now.
    pub(crate) fn see(&mut self, now: Moment, seen: Seen) {
        let rates = Rates::of(&seen, self.mark.rates.storage_mib);
        let same = seen.incarnation == self.mark.incarnation;
        let cpu_us = self.cpu_since(&seen);
        let carried = seen.carried - self.carried;
        let unseen = std::mem::take(&mut self.unseen);
        let nothing = Usage::default()
            == Usage {
                cpu_us,
                carried,
                ..Usage::default()
            };
        if same && rates == self.mark.rates && nothing && !rates.active {
            return;
        }
        if !same && unseen {
            // the time of its end is unknown: assume the mark, in favour of the owner
            self.mark.rates = Rates::asleep(self.mark.rates.storage_mib);
        }
        let (before, active_ms) = (self.mark.rates, self.settle(now));
        if nothing && same && rates == self.mark.rates {
            return;
        }
        self.carried = seen.carried;
        self.mark.incarnation = seen.incarnation;
        self.mark.rates = rates;
        self.news = true;
        let used = Usage {
            cpu_us,
            carried,
            ..Usage::default()
        };
        // the time itself is already counted
        let charged = self
            .tariff()
            .charged(Usage { active_ms, ..used }, before.units);
        let charged = Usage {
            active_ms: 0,
            ..charged
        };
        self.book.add(now.wall, true, Metered { used, charged });
    }

    /// Another process serves the database from now on, which has run before: the next observation is the first of it.
    pub(crate) fn hand_over(&mut self) {
        self.hands_over = true;
    }

    /// Records statements answered while the database sleeps and is not observed.
    pub(crate) fn carried(&mut self, now: Moment, carried: Carried) {
        let more = carried - self.carried;
        if more != Carried::default() {
            self.carried = carried;
            let used = Usage {
                carried: more,
                ..Usage::default()
            };
            let charged = self.tariff().charged(used, self.mark.rates.units);
            self.book.add(now.wall, true, Metered { used, charged });
            self.news = true;
        }
    }

    /// Records the disk space of its files, valid from now on.
    pub(crate) fn storage(&mut self, now: Moment, size: Bytes) {
        let storage_mib = mib(size);
        if storage_mib != self.mark.rates.storage_mib {
            self.settle(now);
            self.mark.rates.storage_mib = storage_mib;
            self.news = true;
        }
    }

    /// Records the step of its spend limit, valid from now on.
    pub(crate) fn set_rung(&mut self, now: Moment, rung: Rung) {
        self.settle(now);
        self.mark.rung = rung;
        self.news = true;
    }

    /// Records that the database is dropped: counts its use up to now for the last time.
    pub(crate) fn end(&mut self, now: Moment) {
        self.settle(now);
        self.mark.incarnation = None;
        self.mark.rates = Rates::asleep(0);
        self.mark.ended = true;
        self.news = true;
    }

    /// The step of its spend limit.
    pub(crate) fn rung(&self) -> Rung {
        self.mark.rung
    }

    /// The CPU time since the mark; moves the mark's counter.
    fn cpu_since(&mut self, seen: &Seen) -> u64 {
        let another = seen.incarnation.is_some() && seen.incarnation != self.mark.incarnation;
        let told = seen
            .cpu
            .map(|cpu| u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX));
        let has_run = another && std::mem::take(&mut self.hands_over);
        let before = match (another, has_run) {
            (true, true) => told.unwrap_or(0),
            (true, false) => 0,
            (false, _) => self.mark.cpu_us,
        };
        // the counter can be read in two ways, whose results differ slightly
        self.mark.cpu_us = told.unwrap_or(before).max(before);
        self.mark.cpu_us - before
    }

    /// Counts the use since the mark that depends on time only, and moves the mark to now; returns how long
    /// the database was awake.
    fn settle(&mut self, now: Moment) -> u64 {
        let (elapsed, anchor) = self.elapsed(now);
        let (rates, tariff) = (self.mark.rates, self.tariff());
        self.book.pass(now.wall - elapsed..now.wall, rates, tariff);
        self.mark.at = now.wall;
        self.anchor = anchor;
        self.away = 0;
        self.news |= elapsed > 0;
        if rates.active {
            elapsed.unsigned_abs()
        } else {
            0
        }
    }

    /// Whole milliseconds since the mark, and the moment that they reach.
    fn elapsed(&self, now: Moment) -> (i64, Instant) {
        let passed = now.at.saturating_duration_since(self.anchor).as_millis();
        let passed = u64::try_from(passed).unwrap_or(0);
        let reached = self.anchor.checked_add(Duration::from_millis(passed));
        let passed = i64::try_from(passed).unwrap_or(0);
        (self.away.saturating_add(passed), reached.unwrap_or(now.at))
    }

    fn tariff(&self) -> Tariff {
        Tariff {
            rung: self.mark.rung,
            baseline: self.baseline,
        }
    }

    /// Counts that are not written yet, up to now.
    pub(crate) fn unwritten(&self, now: Moment) -> Book {
        let mut book = self.book.clone();
        let (elapsed, _) = self.elapsed(now);
        book.pass(now.wall - elapsed..now.wall, self.mark.rates, self.tariff());
        book
    }

    /// Its usage this month, up to now.
    pub(crate) fn spent(&self, now: Moment) -> Metered {
        let (month, spent) = self.unwritten(now).spent;
        if month == now.month() {
            spent
        } else {
            Metered::default()
        }
    }

    /// Its usage since Dormouse started, up to now.
    pub(crate) fn total(&self, now: Moment) -> Usage {
        self.unwritten(now).total
    }

    /// Whether it must be put into the queue now; true once until [`Meter::unqueue`].
    pub(crate) fn queue(&mut self) -> bool {
        let first = self.news && !self.queued;
        self.queued |= first;
        first
    }

    /// Records that it has left the queue.
    pub(crate) fn unqueue(&mut self) {
        self.queued = false;
    }

    /// Takes the counts to write, if any; for the catalog's writer only.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let news = std::mem::take(&mut self.news);
        news.then(|| Taken {
            database: self.database.clone(),
            instance: self.instance,
            mark: self.mark,
            minutes: std::mem::take(&mut self.book.minutes),
            days: std::mem::take(&mut self.book.days),
        })
    }

    /// Takes back counts whose write failed.
    pub(crate) fn put_back(&mut self, taken: Taken) {
        self.news = true;
        for (of, back) in [
            (&mut self.book.minutes, taken.minutes),
            (&mut self.book.days, taken.days),
        ] {
            for (at, metered) in back {
                *of.entry(at).or_default() += metered;
            }
        }
    }
}

#[cfg(test)]
mod tests;
