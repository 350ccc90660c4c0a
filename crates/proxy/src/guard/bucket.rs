//! A token bucket. It is refilled evenly; times are microseconds of any clock and passed in.

/// A minute, in microseconds.
const MINUTE: u64 = 60_000_000;

/// A token bucket, full at first, that holds the tokens of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The time at which it is full again.
    full_at: u64,
}

impl Bucket {
    /// Takes a token. A bucket without a whole token becomes empty: attempts on an empty bucket do not put
    /// off the time of the next token.
    pub(crate) fn take(&mut self, per_minute: u32, now: u64) {
        let full_at = self.full_at.max(now) + interval(per_minute);
        self.full_at = full_at.min(now + MINUTE);
    }

    /// The time until it has a whole token, in microseconds; 0 if it has one.
    pub(crate) fn wait(self, per_minute: u32, now: u64) -> u64 {
        (self.missing(now) + interval(per_minute)).saturating_sub(MINUTE)
    }

    /// How empty it is: the time until it is full, in microseconds.
    pub(crate) fn missing(self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }
}

/// The time in which one token is added, in microseconds.
fn interval(per_minute: u32) -> u64 {
    (MINUTE / u64::from(per_minute.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_tokens_of_a_minute_and_is_refilled_evenly() {
        let mut bucket = Bucket::default();
        let start = 5_000_000;
        for _ in 0..3 {
            assert_eq!(bucket.wait(3, start), 0);
            bucket.take(3, start);
        }
        assert_eq!(bucket.wait(3, start), MINUTE / 3);
        assert_eq!(bucket.wait(3, start + MINUTE / 3), 0);
        bucket.take(3, start + MINUTE / 3);
        assert_eq!(bucket.wait(3, start + MINUTE / 3), MINUTE / 3);
        assert_eq!(bucket.missing(start + 2 * MINUTE), 0);
    }

    #[test]
    fn attempts_on_an_empty_bucket_do_not_extend_the_wait() {
        let mut bucket = Bucket::default();
        for _ in 0..1_000_000 {
            bucket.take(2, 7);
        }
        assert_eq!(bucket.wait(2, 7), MINUTE / 2);
        assert_eq!(bucket.missing(7), MINUTE);
    }
}
