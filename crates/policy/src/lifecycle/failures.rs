//! Recent failures of a server, and the delay before the next start.

use std::time::{Duration, Instant};

/// Number of failed starts in a row, by the server's own fault, after which the database fails.
const STARTS: u32 = 4;
/// Number of restarts in a row without a delay.
const FREE_RESTARTS: u32 = 3;
/// Delay before the first restart after those; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum delay before a restart; statements and logins are held meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// First and maximum delay after a start that failed by the server's own fault.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// A server that ran for this long resets its failures.
const HEALTHY: Duration = Duration::from_secs(60);
/// First and maximum delay before a failed database is started again.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Recent failures of a database's server.
///
/// A server that dies, or is killed by a signal while it starts, may be able to run: it is started
/// again, with growing delays. A server that exits while it starts, or does not become ready, cannot be
/// started: after [`STARTS`] attempts the database fails and waiting statements get an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Failed starts in a row, by the server's own fault or the machine's.
    pub starts: u32,
    /// Deaths in a row of servers that had run for less than a minute.
    pub restarts: u32,
    /// Time of the last failure of either kind.
    pub last: Option<Instant>,
    /// Time of the last successful start, if nothing failed since.
    pub well_since: Option<Instant>,
}

impl Failures {
    /// Records a start that failed by the server's own fault or the machine's.
    #[must_use]
    pub fn start_failed(self, now: Instant) -> Self {
        Self {
            starts: self.starts.saturating_add(1),
            last: Some(now),
            well_since: None,
            ..self
        }
    }

    /// Records a successful start.
    #[must_use]
    pub fn started(self, now: Instant) -> Self {
        Self {
            starts: 0,
            restarts: self.restarts_until(now),
            well_since: Some(now),
            ..self
        }
    }

    /// Records that a server died, or was killed by a signal while it was starting.
    #[must_use]
    pub fn died(self, now: Instant) -> Self {
        Self {
            restarts: self.restarts_until(now).saturating_add(1),
            last: Some(now),
            well_since: None,
            ..self
        }
    }

    /// Resets the restarts, on an order to wake: the next ones have no delay.
    #[must_use]
    pub fn reset(self) -> Self {
        Self {
            restarts: 0,
            ..self
        }
    }

    /// The restarts in a row; running for a minute resets them.
    fn restarts_until(self, now: Instant) -> u32 {
        let well_for = |since| now.saturating_duration_since(since);
        match self.well_since {
            Some(since) if well_for(since) >= HEALTHY => 0,
            _ => self.restarts,
        }
    }

    /// Whether its server cannot be started, so that waiting statements must get an error.
    #[must_use]
    pub fn given_up(self) -> bool {
        self.starts >= STARTS
    }

    /// Time of the next start, unless at once.
    #[must_use]
    pub fn retry_at(self) -> Option<Instant> {
        self.last?
            .checked_add(self.pause().max(self.delay_after_failing()))
    }

    /// Delay during which statements and logins are held.
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

    /// Delay after the database has failed.
    fn delay_after_failing(self) -> Duration {
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
    fn a_failed_start_is_retried_soon_then_given_up_with_growing_delays() {
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
    fn a_dead_server_is_restarted_three_times_at_once_then_after_one_to_thirty_seconds() {
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
    fn an_order_resets_restart_delays_but_not_those_of_failed_starts() {
        let now = Instant::now();
        let many = (0..20).fold(Failures::default(), |f, _| f.died(now));
        assert_eq!(many.reset().retry_at(), Some(now));
        let failed = (0..4).fold(many, |f, _| f.start_failed(now));
        assert!(failed.reset().given_up());
    }

    #[test]
    fn running_for_a_minute_resets_the_restarts() {
        let now = Instant::now();
        let many = (0..20).fold(Failures::default(), |f, _| f.died(now));
        let (soon, later) = (now + HEALTHY - Duration::from_millis(1), now + HEALTHY);
        let well = many.started(now);
        assert_eq!(well.died(soon).restarts, 21);
        assert_eq!(well.died(later).retry_at(), Some(later));
        // also if it slept in between and then dies within a minute
        assert_eq!(well.started(later).died(later).restarts, 1);
        assert_eq!(well.started(soon).died(later).restarts, 21);
    }
}
