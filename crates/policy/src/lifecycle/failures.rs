//! How often a server failed lately, and how long to leave it alone for that.

use std::time::{Duration, Instant};

/// Starts that may fail in a row, by the server's own fault, before the database is given up.
const STARTS: u32 = 4;
/// Restarts in a row that are not waited for.
const FREE_RESTARTS: u32 = 3;
/// The wait before the first restart after those; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait between two restarts: statements and logins are held meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The first wait between two starts that failed by the server's own fault, and the longest one.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// A server that was well for so long is forgiven what was before.
const HEALTHY: Duration = Duration::from_secs(60);
/// The first wait before a database that was given up is tried again, and the longest one.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What went wrong with a database's server lately.
///
/// A server that dies, or is killed by a signal from outside while it starts, says nothing of whether
/// it can run: it is started again, after ever longer pauses. One that ends by itself while it starts, or
/// does not come up, cannot be started: soon those who wait are told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Starts in a row that failed by the server's own fault, or the machine's.
    pub starts: u32,
    /// Servers in a row that died or were killed, none of which had been well for a minute.
    pub restarts: u32,
    /// When the last of either happened.
    pub last: Option<Instant>,
    /// Since when nothing has gone wrong: the last start that succeeded.
    pub well_since: Option<Instant>,
}

impl Failures {
    /// A start failed by the server's own fault, or the machine's.
    #[must_use]
    pub fn start_failed(self, now: Instant) -> Self {
        Self {
            starts: self.starts.saturating_add(1),
            last: Some(now),
            well_since: None,
            ..self
        }
    }

    /// A start succeeded.
    #[must_use]
    pub fn started(self, now: Instant) -> Self {
        Self {
            starts: 0,
            restarts: self.restarts_until(now),
            well_since: Some(now),
            ..self
        }
    }

    /// A server died, or was killed by a signal while it was starting.
    #[must_use]
    pub fn died(self, now: Instant) -> Self {
        Self {
            restarts: self.restarts_until(now).saturating_add(1),
            last: Some(now),
            well_since: None,
            ..self
        }
    }

    /// Somebody who looks after it wants it awake: the next restarts are not waited for.
    #[must_use]
    pub fn forgiven(self) -> Self {
        Self {
            restarts: 0,
            ..self
        }
    }

    /// The restarts in a row, which a minute of health ends.
    fn restarts_until(self, now: Instant) -> u32 {
        let well_for = |since| now.saturating_duration_since(since);
        match self.well_since {
            Some(since) if well_for(since) >= HEALTHY => 0,
            _ => self.restarts,
        }
    }

    /// Whether its server cannot be started: those who wait are better told.
    #[must_use]
    pub fn given_up(self) -> bool {
        self.starts >= STARTS
    }

    /// When the next start may be tried, if not at once.
    #[must_use]
    pub fn retry_at(self) -> Option<Instant> {
        self.last?.checked_add(self.pause().max(self.rest()))
    }

    /// The wait through which statements and logins are held.
    fn pause(self) -> Duration {
        let starts = match self.starts {
            0 | 1 => Duration::ZERO,
            n => doubled(FIRST_RETRY, n - 2, LONGEST_RETRY),
        };
        let restarts = match self.restarts.checked_sub(FREE_RESTARTS + 1) {
            None => Duration::ZERO,
            Some(n) => doubled(FIRST_PAUSE, n, LONGEST_PAUSE),
        };
        starts.max(restarts)
    }

    /// The wait after giving up.
    fn rest(self) -> Duration {
        match self.starts.checked_sub(STARTS) {
            None => Duration::ZERO,
            Some(n) => doubled(FIRST_REST, n, LONGEST_REST),
        }
    }
}

/// `base` · 2^`times`, at most `most`.
pub(super) fn doubled(base: Duration, times: u32, most: Duration) -> Duration {
    2u32.checked_pow(times)
        .and_then(|f| base.checked_mul(f))
        .map_or(most, |d| d.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(mut step: impl FnMut(Failures) -> Failures, now: Instant, n: usize) -> Vec<u128> {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..n {
            failures = step(failures);
            let at = failures.retry_at().expect("something failed");
            waits.push((at - now).as_millis());
        }
        waits
    }

    #[test]
    fn a_start_that_fails_is_tried_again_soon_then_given_up_and_left_ever_longer() {
        let now = Instant::now();
        let waits = waits(|f| f.start_failed(now), now, 11);
        let expected = [
            0, 200, 400, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
        ];
        assert_eq!(waits, expected);
        let three = (0..3).fold(Failures::default(), |f, _| f.start_failed(now));
        assert!(!three.given_up());
        assert!(three.start_failed(now).given_up());
        assert!(!three.start_failed(now).started(now).given_up());
    }

    #[test]
    fn a_server_that_dies_is_restarted_at_once_three_times_then_after_one_to_thirty_seconds() {
        let now = Instant::now();
        let waits = waits(|f| f.started(now).died(now), now, 11);
        let expected = [
            0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ];
        assert_eq!(waits, expected);
        let many = (0..1_000).fold(Failures::default(), |f, _| f.died(now));
        assert!(!many.given_up(), "it can be started");
    }

    #[test]
    fn an_order_ends_the_pauses_between_restarts_and_not_those_of_one_that_cannot_start() {
        let now = Instant::now();
        let many = (0..20).fold(Failures::default(), |f, _| f.died(now));
        assert_eq!(many.forgiven().retry_at(), Some(now));
        let failed = (0..4).fold(many, |f, _| f.start_failed(now));
        assert!(failed.forgiven().given_up());
    }

    #[test]
    fn a_minute_of_health_ends_the_row_of_restarts() {
        let now = Instant::now();
        let many = (0..20).fold(Failures::default(), |f, _| f.died(now));
        let (soon, later) = (now + HEALTHY - Duration::from_millis(1), now + HEALTHY);
        let well = many.started(now);
        assert_eq!(well.died(soon).restarts, 21);
        assert_eq!(well.died(later).retry_at(), Some(later));
        // also if it slept in between, and then dies young
        assert_eq!(well.started(later).died(later).restarts, 1);
        assert_eq!(well.started(soon).died(later).restarts, 21);
    }
}
