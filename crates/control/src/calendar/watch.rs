//! Detects that the calendar was set.
//!
//! A wait for a date is a wait on the monotonic clock, as long as the calendar says at its start. If the
//! calendar is set, or the machine sleeps while that clock stands still, the wait is too long or too short.
//! Then every actor is woken, to evaluate its database again.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tracing::info;

use super::{Calendar, Moment};
use crate::registry::Registry;
use crate::tasks::Tasks;

/// Poll interval.
const POLL: Duration = Duration::from_secs(10);

/// Maximum difference that is ignored, in milliseconds.
const SLACK: i64 = 1000;

/// Wakes every actor when the calendar was set; runs until Dormouse stops.
pub(crate) async fn watch(calendar: Calendar, registry: Arc<Registry>, tasks: Arc<Tasks>) {
    let first = calendar.moment();
    let ahead = |now: Moment| {
        let ran = now.at.saturating_duration_since(first.at).as_millis();
        now.wall - first.wall - i64::try_from(ran).unwrap_or(i64::MAX)
    };
    let mut known = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = tasks.ending() => return,
        }
        let now = ahead(calendar.moment());
        let set = now - known;
        if set.abs() > SLACK {
            info!(
                by = %SignedDuration::from_millis(set),
                "the calendar was set, or the machine has slept: every database is evaluated again"
            );
            known = now;
            for database in registry.all() {
                database.wake_actor();
            }
        }
    }
}
