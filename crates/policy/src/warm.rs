//! How many instances wait, started and unclaimed, for the next `create`.

/// The pool as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Instances that can be claimed now.
    pub warm: usize,
    /// Instances on the way to being warm.
    pub preparing: usize,
}

/// What to do about the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refill {
    /// Make one more; ask again when it is made.
    Prepare,
    /// Nothing until one is claimed.
    Enough,
}

/// Whether the pool needs another instance: one at a time, until `size` of them are warm. More
/// than `size` are left alone, the next `create` takes them.
#[must_use]
pub fn refill(size: usize, pool: Pool) -> Refill {
    let will_be = pool.warm.saturating_add(pool.preparing);
    if pool.preparing == 0 && will_be < size {
        Refill::Prepare
    } else {
        Refill::Enough
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, Refill, refill};

    #[test]
    fn refills_one_at_a_time_up_to_its_size() {
        let cases = [
            (0, 0, 0, Refill::Enough),
            (2, 0, 0, Refill::Prepare),
            (2, 0, 1, Refill::Enough),
            (2, 1, 0, Refill::Prepare),
            (2, 1, 1, Refill::Enough),
            (2, 2, 0, Refill::Enough),
            (2, 5, 0, Refill::Enough),
        ];
        for (size, warm, preparing, expected) in cases {
            assert_eq!(
                refill(size, Pool { warm, preparing }),
                expected,
                "{size} {warm} {preparing}"
            );
        }
    }
}
