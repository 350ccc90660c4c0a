//! How much memory InnoDB's buffer pool gets.
//!
//! A server starts with a small pool, because its size is paid for in start time (about 10 ms and
//! 17 MB for each GiB), and is grown online behind the first statements.

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

/// The step in which servers that still have pool chunks can resize.
pub(crate) const CHUNK: Bytes = Bytes::mib(8);

#[cfg(test)]
mod tests {
    use super::*;

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
