//! Sizes of InnoDB's buffer pool.
//!
//! A server starts with a small pool, since each GiB costs about 10 ms of start time and 17 MB. The pool
//! is grown online while the first statements run.

use std::time::Duration;

use dormouse_types::{Bytes, Units};

/// Pool size at server start: 128 MiB per unit, at most 1 GiB.
#[must_use]
pub fn at_start(units: Units) -> Bytes {
    Bytes::mib(128 * u64::from(units.0.clamp(1, 8)))
}

/// Pool size of an active server: half of its units' memory, at least the size at start.
#[must_use]
pub fn awake(units: Units) -> Bytes {
    Bytes(units.memory().0 / 2).max(at_start(units))
}

/// Largest pool size that a server reserves address space for: half of the machine's memory. The kernel
/// refuses to reserve more than there is.
#[must_use]
pub const fn most(machine: Bytes) -> Bytes {
    Bytes(machine.0 / 2 / CHUNK.0 * CHUNK.0)
}

/// Pool size of a suspended server. MariaDB 10.11 has a minimum of 6 MiB.
#[must_use]
pub const fn suspended() -> Bytes {
    Bytes::mib(8)
}

/// Rate limit for loading hot pages, in bytes per second.
pub const HYDRATION: Bytes = Bytes::mib(256);

/// Size of an InnoDB page.
pub(crate) const PAGE: Bytes = Bytes(16 << 10);

/// Bytes of hot pages loaded in one burst. Small, to keep the disk free; not smaller, since each burst
/// reads the whole list again.
pub(crate) fn burst(pool: Bytes) -> Bytes {
    Bytes(pool.0 / 32).max(Bytes::mib(16))
}

/// Pause after a burst, in which the disk is free for statements.
pub(crate) fn pause(burst: Bytes, took: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "it is a ratio")]
    let fair = Duration::from_secs_f64(burst.0 as f64 / HYDRATION.0 as f64);
    fair.saturating_sub(took).max(took)
}

/// Page requests to a buffer pool since its server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolHits {
    /// Page requests.
    pub requests: u64,
    /// Requests that had to read a file while a statement waited.
    pub reads: u64,
    /// Bytes in the pool now.
    pub holds: Bytes,
}

impl PoolHits {
    /// Hit ratio since `then`, in parts per million; `None` without requests, or if the server has
    /// restarted.
    #[must_use]
    pub fn ratio_ppm_since(self, then: Self) -> Option<u32> {
        let requests = self.requests.checked_sub(then.requests)?;
        let reads = self.reads.checked_sub(then.reads)?.min(requests);
        let ppm = u128::from(requests - reads) * 1_000_000 / u128::from(requests.max(1));
        u32::try_from(ppm).ok().filter(|_| requests > 0)
    }
}

/// Chunk size, by which servers without the freely resizable pool can resize.
pub(crate) const CHUNK: Bytes = Bytes::mib(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_takes_at_most_half_of_the_time_and_its_rate() {
        let ms = Duration::from_millis;
        let burst = Bytes(HYDRATION.0 / 4);
        assert_eq!(pause(burst, ms(50)), ms(200), "a fast disk");
        assert_eq!(pause(burst, ms(400)), ms(400), "a slow one");
    }

    #[test]
    fn the_hit_ratio_is_in_parts_per_million() {
        let hits = |requests, reads| PoolHits {
            requests,
            reads,
            holds: Bytes(0),
        };
        let ratio = |now: PoolHits| now.ratio_ppm_since(hits(1000, 100));
        assert_eq!(ratio(hits(1000, 100)), None, "no requests");
        assert_eq!(ratio(hits(999, 0)), None, "the server has restarted");
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
