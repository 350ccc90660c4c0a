//! How often a server failed lately, and how long to leave it alone for that.

use std::time::{Duration, Instant};

/// Starts that may fail in a row before the database is given up.
const STARTS: u32 = 4;
/// Deaths in quick succession that are answered by a restart at once.
const FREE_DEATHS: u32 = 5;
/// Deaths in quick succession before the database is given up: after six minutes, with the pauses.
/// Whoever waits is told before that, by the limit on held statements.
const DEATHS: u32 = 100;
/// A server that lived this long did not die of its start.
const STABLE: Duration = Duration::from_secs(30);
/// The longest wait between two restarts of a server that keeps dying: statements are held meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// The longest wait between two attempts at a database that was given up.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What went wrong with a database's server lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Starts that failed since the last one that did not.
    pub starts: u32,
    /// Deaths of servers that had lived for less than half a minute.
    pub deaths: u32,
    /// When the last of either happened.
    pub last: Option<Instant>,
}

impl Failures {
    /// A start failed.
    #[must_use]
    pub fn start_failed(self, now: Instant) -> Self {
        Self {
            starts: self.starts.saturating_add(1),
            last: Some(now),
            ..self
        }
    }

    /// A start succeeded.
    #[must_use]
    pub fn started(self) -> Self {
        Self { starts: 0, ..self }
    }

    /// A server died that had lived for `lived`.
    #[must_use]
    pub fn died(self, lived: Duration, now: Instant) -> Self {
        let deaths = if lived >= STABLE {
            1
        } else {
            self.deaths.saturating_add(1)
        };
        Self {
            deaths,
            last: Some(now),
            ..self
        }
    }

    /// Whether trying again at once is pointless: those who wait are better told.
    #[must_use]
    pub fn given_up(self) -> bool {
        self.starts >= STARTS || self.deaths >= DEATHS
    }

    /// When the next start may be tried, if not at once.
    #[must_use]
    pub fn retry_at(self) -> Option<Instant> {
        self.last?.checked_add(self.pause().max(self.rest()))
    }

    /// The wait that those who hold statements hardly notice.
    fn pause(self) -> Duration {
        let starts = match self.starts {
            0 | 1 => Duration::ZERO,
            n => doubled(Duration::from_millis(200), n - 2, LONGEST_PAUSE),
        };
        let deaths = match self.deaths.checked_sub(FREE_DEATHS + 1) {
            None => Duration::ZERO,
            Some(n) => doubled(Duration::from_millis(250), n, LONGEST_PAUSE),
        };
        starts.max(deaths)
    }

    /// The wait after giving up.
    fn rest(self) -> Duration {
        if !self.given_up() {
            return Duration::ZERO;
        }
        doubled(
            Duration::from_secs(5),
            self.starts.saturating_sub(STARTS),
            LONGEST_REST,
        )
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
        assert!(!three.start_failed(now).started().given_up());
    }

    #[test]
    fn a_server_that_dies_young_restarts_at_once_five_times_then_with_pauses() {
        let now = Instant::now();
        let waits = waits(|f| f.died(Duration::from_secs(1), now), now, 11);
        assert_eq!(waits, [0, 0, 0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 4_000]);
        let many = (0..DEATHS - 1).fold(Failures::default(), |f, _| f.died(Duration::ZERO, now));
        assert!(!many.given_up());
        assert!(many.died(Duration::ZERO, now).given_up());
    }

    #[test]
    fn a_server_that_lived_long_is_forgiven_its_past() {
        let now = Instant::now();
        let many = (0..DEATHS - 1).fold(Failures::default(), |f, _| f.died(Duration::ZERO, now));
        assert_eq!(many.died(STABLE, now).retry_at(), Some(now));
    }
}
