//! Delay before a denied sleep or drop is tried again.

use std::time::{Duration, Instant};

use super::failures::doubled;

const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(1800);

/// A denied attempt to suspend, park or drop a database: a session vetoed it, or the server did not
/// do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Number of denials in a row.
    pub times: u32,
    /// Time of the last one.
    pub at: Instant,
    /// Number of sessions at that time.
    pub sessions: u32,
}

impl Denial {
    /// Adds a denial to those before.
    #[must_use]
    pub fn again(before: Option<Self>, sessions: u32, now: Instant) -> Self {
        Self {
            times: before.map_or(1, |d| d.times.saturating_add(1)),
            at: now,
            sessions,
        }
    }

    /// Until when the denial holds, if it still does at `now`; each in a row holds twice as long
    /// as the one before. It ends early when all sessions that could have vetoed are gone; there is no
    /// event for that, so the returned time is limited.
    pub fn holds(self, sessions: u32, now: Instant) -> Option<Instant> {
        if sessions == 0 && self.sessions > 0 {
            return None;
        }
        let end = self
            .at
            .checked_add(doubled(FIRST, self.times.saturating_sub(1), LONGEST))?;
        if end <= now {
            return None;
        }
        Some(now.checked_add(FIRST).map_or(end, |soon| soon.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_denial_holds_twice_as_long_up_to_half_an_hour() {
        let now = Instant::now();
        let mut denied = None;
        let mut held = Vec::new();
        for _ in 0..9 {
            let d = Denial::again(denied, 1, now);
            let secs = (0u64..).find(|s| d.holds(1, now + Duration::from_secs(*s)).is_none());
            held.push(secs.expect("it ends"));
            denied = Some(d);
        }
        assert_eq!(held, [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn a_denial_ends_when_the_sessions_are_gone() {
        let now = Instant::now();
        let denied = Denial::again(None, 3, now);
        assert!(denied.holds(2, now).is_some());
        assert!(denied.holds(0, now).is_none());
        assert!(
            Denial::again(None, 0, now).holds(0, now).is_some(),
            "no session vetoed: the server did not do it"
        );
    }
}
