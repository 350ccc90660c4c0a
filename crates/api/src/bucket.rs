//! Token buckets for callers with invalid tokens: how many more each may send.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of callers that are told apart; further ones share a bucket.
const CALLERS_MOST: usize = 10_000;

/// Full buckets are removed at most once in this time, since that looks at every bucket.
const SWEEP: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

/// Where a request comes from, as far as buckets tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 network of 64 bits, in which one host has all addresses.
    V6([u8; 8]),
    /// A local user.
    Uid(u32),
    /// Everybody else, while too many callers are told apart.
    Others,
}

impl Source {
    /// The source of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let mut network = [0; 8];
                network.copy_from_slice(&v6.octets()[..8]);
                Self::V6(network)
            }
        }
    }
}

/// A bucket for each source: full at first, refilled evenly, emptied by failures.
pub(crate) struct Buckets {
    /// Failures per minute, and the size of a bucket.
    rate: f64,
    filled: Mutex<Filled>,
}

/// Level of each bucket that is not full, and when it was that.
#[derive(Default)]
struct Filled {
    levels: HashMap<Source, (f64, Instant)>,
    /// When full buckets were last removed.
    swept: Option<Instant>,
}

impl Buckets {
    /// Buckets that allow this many failures at once and per minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            rate: f64::from(per_minute.max(1)),
            filled: Mutex::default(),
        }
    }

    /// How long a source must wait before it may fail again; `None`: it may now.
    pub(crate) fn wait(&self, source: Source, now: Instant) -> Option<Duration> {
        let filled = self.filled();
        let levels = &filled.levels;
        let level = self.level(levels.get(&known(levels, source)), now);
        let missing = 1.0 - level;
        (missing > 0.0).then(|| MINUTE.mul_f64(missing / self.rate))
    }

    /// Counts a failure. Returns whether it was the last one that is allowed for now.
    pub(crate) fn failed(&self, source: Source, now: Instant) -> bool {
        let mut filled = self.filled();
        let Filled { levels, swept } = &mut *filled;
        let due = swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP);
        if levels.len() >= CALLERS_MOST && due {
            *swept = Some(now);
            // a full bucket says nothing
            levels.retain(|_, bucket| self.level(Some(&*bucket), now) < self.rate);
        }
        let source = known(levels, source);
        let level = self.level(levels.get(&source), now);
        let left = (level - 1.0).max(0.0);
        levels.insert(source, (left, now));
        left < 1.0
    }

    fn level(&self, bucket: Option<&(f64, Instant)>, now: Instant) -> f64 {
        let Some((level, at)) = bucket else {
            return self.rate;
        };
        let passed = now.saturating_duration_since(*at).as_secs_f64() / MINUTE.as_secs_f64();
        (level + passed * self.rate).min(self.rate)
    }

    fn filled(&self) -> MutexGuard<'_, Filled> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source whose bucket counts: its own, unless there are too many.
fn known(levels: &HashMap<Source, (f64, Instant)>, source: Source) -> Source {
    if levels.len() < CALLERS_MOST || levels.contains_key(&source) {
        source
    } else {
        Source::Others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Source {
        Source::V4(n.to_be_bytes())
    }

    #[test]
    fn failures_are_allowed_up_to_the_rate_and_again_as_time_passes() {
        let (buckets, start) = (Buckets::new(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(buckets.wait(source(1), start), None);
            let last = buckets.failed(source(1), start);
            assert_eq!(last, buckets.wait(source(1), start).is_some());
        }
        assert_eq!(buckets.wait(source(1), start), Some(MINUTE / 3));
        assert_eq!(buckets.wait(source(2), start), None);
        assert!(buckets.wait(source(1), start + MINUTE / 6).is_some());
        assert_eq!(buckets.wait(source(1), start + MINUTE / 3), None);
        buckets.failed(source(1), start + MINUTE / 3);
        assert!(buckets.wait(source(1), start + MINUTE / 3).is_some());
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_and_the_overflow_shares_a_bucket() {
        let (buckets, start) = (Buckets::new(2), Instant::now());
        for n in 0..3 * CALLERS_MOST as u32 {
            buckets.failed(source(n), start);
        }
        assert!(buckets.filled().levels.len() <= CALLERS_MOST + 1);
        assert!(buckets.wait(source(u32::MAX), start).is_some());
        let later = start + MINUTE;
        assert_eq!(buckets.wait(source(u32::MAX), later), None);
        buckets.failed(source(1), later);
        assert_eq!(buckets.filled().levels.len(), 1);
    }
}
