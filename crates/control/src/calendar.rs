//! The calendar time and the monotonic time, together as a `Moment`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dormouse_types::Month;
use jiff::{SignedDuration, Timestamp};

pub(crate) mod watch;

use crate::time::now;

/// Milliseconds of a minute.
pub(crate) const MINUTE: i64 = 60_000;
/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;
/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds since 1970, by the calendar.
    pub(crate) wall: i64,
    /// On the monotonic clock.
    pub(crate) at: Instant,
}

impl Moment {
    /// The month that contains it.
    pub(crate) fn month(&self) -> Month {
        Month::of_day(self.wall.div_euclid(DAY))
    }
}

/// The source of the date.
#[derive(Debug, Clone, Default)]
pub struct Calendar(Option<Arc<MadeUp>>);

/// A calendar for tests, which advances with the plane's clock.
#[derive(Debug)]
struct MadeUp {
    start: i64,
    /// When it was first read.
    began: OnceLock<Instant>,
    /// By how much it has been set since, in milliseconds.
    set: AtomicI64,
}

impl Calendar {
    /// A calendar that shows `start` when it is first read and advances with the plane's clock. For tests;
    /// the default is the machine's calendar.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Some(Arc::new(MadeUp {
            start: start.as_millisecond(),
            began: OnceLock::new(),
            set: AtomicI64::new(0),
        })))
    }

    /// Sets a calendar for tests forward or back.
    pub fn set(&self, by: SignedDuration) {
        if let Some(made_up) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            made_up.set.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The current time, by the calendar.
    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millisecond(self.moment().wall).unwrap_or(Timestamp::MAX)
    }

    /// The current time, by the calendar and by the monotonic clock.
    pub(crate) fn moment(&self) -> Moment {
        let at = now();
        let Some(MadeUp { start, began, set }) = self.0.as_deref() else {
            let wall = Timestamp::now().as_millisecond();
            return Moment { wall, at };
        };
        let ran = at.saturating_duration_since(*began.get_or_init(|| at));
        let ran = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX);
        let wall = start
            .saturating_add(ran)
            .saturating_add(set.load(Ordering::Relaxed));
        Moment { wall, at }
    }
}
