//! What a database uses, counted so that nothing is lost at a crash and nothing is counted twice.
//!
//! A [`Meter`] gets each observation. In between, what time alone uses
//! (memory, disk, being awake) goes on at the *rates* in force, so a database that sleeps needs no
//! looking at: what it has used is worked out when it is asked for, and written down when its state
//! changes. CPU is the difference of a counter that belongs to one run of its server.
//!
//! What is counted is written together with the [`Mark`]: the moment, the run of the server, its counter and
//! the rates up to which it is counted. Both are in one transaction, so after a kill at any line the
//! next run goes on from the mark as if it had never been away.
//!
//! Invariants:
//! - durations are of a clock that never steps ([`Moment::at`]); the calendar only says to which
//!   minute they belong. So when the calendar is set, time is neither lost nor counted twice. From one
//!   run of dormouse to the next only the calendar can tell: set back meanwhile, the time up to the
//!   mark is not counted again;
//! - of a mark's run only what came after the mark counts; of any other, all from its start;
//! - a mark is taken while it is being written, by the one writer of the catalog: a newer one is
//!   never followed by an older one.
//!
//! Fed by the actors through [`Metering::see`](crate::metering::Metering::see); read and written by
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

/// The longest sleep that is believed of the calendar after a restart, in milliseconds: longer than
/// usage is kept. More is a wrong clock.
const LONGEST: i64 = 400 * DAY;

/// Up to where it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) incarnation: Option<Incarnation>,
    /// Of that run, or of the last one that ended.
    pub(crate) cpu_us: u64,
    pub(crate) rates: Rates,
    pub(crate) rung: Rung,
    /// The database was dropped.
    pub(crate) ended: bool,
}

/// What is to be written in one transaction.
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

/// Counts what one database uses.
#[derive(Debug)]
pub(crate) struct Meter {
    database: DatabaseName,
    instance: InstanceId,
    mark: Mark,
    /// The mark's moment on the clock that never steps, or when this run began.
    anchor: Instant,
    /// Milliseconds from the mark to the anchor: an earlier run made the mark.
    away: i64,
    /// There was no observation in this run.
    unseen: bool,
    carried: Carried,
    /// What is free of charge while its limit is exceeded.
    baseline: Units,
    book: Book,
    /// Something is to be written.
    news: bool,
    /// It is in the queue of meters with news.
    queued: bool,
}

impl Meter {
    /// For a database that has no mark yet.
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

    /// For one that an earlier run has metered up to a mark; with what it has used in a month.
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
            // by a calendar that was set back, the time up to the mark is counted already
            away: now.wall.saturating_sub(mark.at).clamp(0, LONGEST),
            unseen: true,
            carried: Carried::default(),
            baseline,
            book: Book::new(spent),
            news: false,
            queued: false,
        }
    }

    /// Takes note of what is true. What was true before held until now.
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
            // when it ended is not known: in favour of its owner, right after the mark
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
        // the time itself is counted already
        let charged = self
            .tariff()
            .charged(Usage { active_ms, ..used }, before.units);
        let charged = Usage {
            active_ms: 0,
            ..charged
        };
        self.book.add(now.wall, true, Metered { used, charged });
    }

    /// Statements may be answered without anybody looking.
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

    /// Disk that its files take from now on.
    pub(crate) fn storage(&mut self, now: Moment, size: Bytes) {
        let storage_mib = mib(size);
        if storage_mib != self.mark.rates.storage_mib {
            self.settle(now);
            self.mark.rates.storage_mib = storage_mib;
            self.news = true;
        }
    }

    /// What is done about its cost from now on.
    pub(crate) fn set_rung(&mut self, now: Moment, rung: Rung) {
        self.settle(now);
        self.mark.rung = rung;
        self.news = true;
    }

    /// It is dropped: what it has used until now is all.
    pub(crate) fn end(&mut self, now: Moment) {
        self.settle(now);
        self.mark.incarnation = None;
        self.mark.rates = Rates::asleep(0);
        self.mark.ended = true;
        self.news = true;
    }

    /// What is done about its cost.
    pub(crate) fn rung(&self) -> Rung {
        self.mark.rung
    }

    /// How much its counter has gone on; also notes where it is.
    fn cpu_since(&mut self, seen: &Seen) -> u64 {
        let another = seen.incarnation.is_some() && seen.incarnation != self.mark.incarnation;
        let before = if another { 0 } else { self.mark.cpu_us };
        let told = seen
            .cpu
            .map(|cpu| u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX));
        // a counter may be read in two ways that do not agree to the last digit
        self.mark.cpu_us = told.unwrap_or(before).max(before);
        self.mark.cpu_us - before
    }

    /// Counts what time alone has used since the mark, and moves the mark to now; says how long it
    /// was awake.
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

    /// Whole milliseconds since the mark, and the moment which they reach.
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

    /// What has not been written yet, up to now.
    pub(crate) fn unwritten(&self, now: Moment) -> Book {
        let mut book = self.book.clone();
        let (elapsed, _) = self.elapsed(now);
        book.pass(now.wall - elapsed..now.wall, self.mark.rates, self.tariff());
        book
    }

    /// What it has used this month, up to now.
    pub(crate) fn spent(&self, now: Moment) -> Metered {
        let (month, spent) = self.unwritten(now).spent;
        if month == now.month() {
            spent
        } else {
            Metered::default()
        }
    }

    /// What it has used since dormouse started, up to now.
    pub(crate) fn total(&self, now: Moment) -> Usage {
        self.unwritten(now).total
    }

    /// Says once that there is news: the caller puts it into the queue.
    pub(crate) fn queue(&mut self) -> bool {
        let first = self.news && !self.queued;
        self.queued |= first;
        first
    }

    /// It has left the queue.
    pub(crate) fn unqueue(&mut self) {
        self.queued = false;
    }

    /// Takes what is to be written, if there is any; for the catalog's writer alone.
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

    /// It could not be written: it is still to be.
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
