//! Size of the warm pool: instances that are started and not yet claimed by `create`.

/// Current state of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Instances that can be claimed now.
    pub warm: usize,
    /// Instances that are being prepared.
    pub preparing: usize,
}

/// Decision on the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refill {
    /// Prepare one instance; decide again when it is ready.
    Prepare,
    /// Nothing to do until one is claimed.
    Enough,
}

/// Whether the pool needs another instance: one at a time, until `size` are warm. Surplus instances
/// are kept for the next `create`.
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
