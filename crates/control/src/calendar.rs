//! The calendar, beside the clock that never steps.
//!
//! Whatever waits for a date waits on the clock for as long as the calendar says. When the calendar
//! is set, or the machine has slept while the clock stood still, that is no longer right: every
//! actor looks again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::info;

use crate::meter::Moment;
use crate::world::{World, now};

/// How often the calendar is held against the clock.
const LOOK: Duration = Duration::from_secs(10);

/// By so much they may differ from what they did, in milliseconds.
const SLACK: i64 = 1000;

/// What tells the date.
#[derive(Debug, Clone, Default)]
pub struct Calendar(Option<Arc<MadeUp>>);

/// A calendar that goes with the plane's clock.
#[derive(Debug)]
struct MadeUp {
    start: i64,
    /// When it was looked at first.
    began: OnceLock<Instant>,
    /// By how much it was set since, in milliseconds.
    set: AtomicI64,
}

impl Calendar {
    /// One that is at `start` when it is looked at first, and goes on with the plane's clock. For
    /// tests; the default is the machine's.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Some(Arc::new(MadeUp {
            start: start.as_millisecond(),
            began: OnceLock::new(),
            set: AtomicI64::new(0),
        })))
    }

    /// Sets a made-up calendar ahead, or back.
    pub fn set(&self, by: SignedDuration) {
        if let Some(made_up) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            made_up.set.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn now(&self) -> Moment {
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

impl World {
    /// Now, by the calendar and by the clock that never steps.
    pub(crate) fn moment(&self) -> Moment {
        self.config.calendar.now()
    }
}

/// Lets every actor look again when the calendar was set; until dormouse stops.
pub(crate) async fn watch(world: Arc<World>) {
    let first = world.moment();
    let ahead = |now: Moment| {
        let ran = now.at.saturating_duration_since(first.at).as_millis();
        now.wall - first.wall - i64::try_from(ran).unwrap_or(i64::MAX)
    };
    let mut known = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = world.ending() => return,
        }
        let now = ahead(world.moment());
        let set = now - known;
        if set.abs() > SLACK {
            info!(
                by = %SignedDuration::from_millis(set),
                "the calendar was set, or the machine has slept: every database is looked at"
            );
            known = now;
            for database in world.databases() {
                database.nudge.notify_one();
            }
        }
    }
}
