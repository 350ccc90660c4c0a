//! How much memory InnoDB's buffer pool gets.
//!
//! A server starts with a small pool, because its size is paid for in start time (about 10 ms and
//! 17 MB for each GiB), and is grown online behind the first statements.

use std::time::Duration;

use dormouse_types::{Bytes, Units};

/// The pool with which a server starts: 128 MiB for each unit, at most 1 GiB.
#[must_use]
pub fn at_start(units: Units) -> Bytes {
    Bytes::mib(128 * u64::from(units.0.clamp(1, 8)))
}

/// The pool of a server that works: half of its units' memory, and no less than at the start.
#[must_use]
pub fn awake(units: Units) -> Bytes {
    Bytes(units.memory().0 / 2).max(at_start(units))
}

/// What a server on a machine with this much memory is prepared to grow its pool to: half of it.
/// The kernel refuses to set more aside than there is.
#[must_use]
pub const fn most(machine: Bytes) -> Bytes {
    Bytes(machine.0 / 2 / CHUNK.0 * CHUNK.0)
}

/// The pool of a suspended server. MariaDB 10.11 takes no less than 6 MiB.
#[must_use]
pub const fn suspended() -> Bytes {
    Bytes::mib(8)
}

/// The most of hot pages that is read back in a second.
pub const HYDRATION: Bytes = Bytes::mib(256);

/// A page of InnoDB's.
pub(crate) const PAGE: Bytes = Bytes(16 << 10);

/// How much of the hot pages is read back at once into a pool of this size: little, but each
/// burst begins with the whole list anew.
pub(crate) fn burst(pool: Bytes) -> Bytes {
    Bytes(pool.0 / 32).max(Bytes::mib(16))
}

/// How long the disk is left to others after a burst.
pub(crate) fn pause(burst: Bytes, took: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "it is a ratio")]
    let fair = Duration::from_secs_f64(burst.0 as f64 / HYDRATION.0 as f64);
    fair.saturating_sub(took).max(took)
}

/// What a buffer pool was asked since its server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolHits {
    /// Pages asked of it.
    pub requests: u64,
    /// Those of them that a statement had to wait for, because they were in files only.
    pub reads: u64,
    /// What it holds now.
    pub holds: Bytes,
}

impl PoolHits {
    /// How many of a million requests since then needed no file; `None` if there were none, or if
    /// it is another server.
    #[must_use]
    pub fn ratio_ppm_since(self, then: Self) -> Option<u32> {
        let requests = self.requests.checked_sub(then.requests)?;
        let reads = self.reads.checked_sub(then.reads)?.min(requests);
        let ppm = u128::from(requests - reads) * 1_000_000 / u128::from(requests.max(1));
        u32::try_from(ppm).ok().filter(|_| requests > 0)
    }
}

/// The step in which servers that still have pool chunks can resize.
pub(crate) const CHUNK: Bytes = Bytes::mib(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_pages_have_half_of_the_disks_time_and_no_more_than_their_rate() {
        let ms = Duration::from_millis;
        let burst = Bytes(HYDRATION.0 / 4);
        assert_eq!(pause(burst, ms(50)), ms(200), "a fast disk");
        assert_eq!(pause(burst, ms(400)), ms(400), "a slow one");
    }

    #[test]
    fn hits_are_told_of_a_million_requests() {
        let hits = |requests, reads| PoolHits {
            requests,
            reads,
            holds: Bytes(0),
        };
        let ratio = |now: PoolHits| now.ratio_ppm_since(hits(1000, 100));
        assert_eq!(ratio(hits(1000, 100)), None, "nothing was asked");
        assert_eq!(ratio(hits(999, 0)), None, "it is another server");
        assert_eq!(ratio(hits(2000, 100)), Some(1_000_000));
        assert_eq!(ratio(hits(2000, 350)), Some(750_000));
        assert_eq!(ratio(hits(2000, 1200)), Some(0));
    }

    #[test]
    fn a_pool_grows_with_units_and_in_whole_chunks() {
        let mut last = suspended();
        for units in (0..=512).map(Units) {
            let (start, awake) = (at_start(units), awake(units));
            assert!(
                suspended() < start && start <= awake && last <= awake,
                "{units:?}"
            );
            assert!(units.0 == 0 || awake < units.memory(), "{units:?}");
            assert_eq!((start.0 % CHUNK.0, awake.0 % CHUNK.0), (0, 0));
            last = awake;
        }
    }
}
