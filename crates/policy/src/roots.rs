//! Which data root a new database gets.
//!
//! Called by `control` when it makes a database, unless its caller names a root.

use dormouse_types::Bytes;

/// The disk of a data root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What is free.
    pub free: Bytes,
    /// Its size.
    pub size: Bytes,
}

impl Disk {
    /// Whole percents that are free: roots of one disk are equal, though it changes between two looks.
    fn percent_free(self) -> u128 {
        u128::from(self.free.0) * 100 / u128::from(self.size.0.max(1))
    }
}

/// The index of the root whose disk has the largest share free, the first of several; `None` if none can be used, each of
/// which is `None`.
#[must_use]
pub fn roomiest(roots: &[Option<Disk>]) -> Option<usize> {
    let mut best: Option<(usize, u128)> = None;
    for (index, disk) in roots.iter().enumerate() {
        let Some(disk) = disk else { continue };
        let free = disk.percent_free();
        if best.is_none_or(|(_, most)| free > most) {
            best = Some((index, free));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_with_the_largest_free_share_is_chosen() {
        let disk = |free, size| {
            Some(Disk {
                free: Bytes(free),
                size: Bytes(size),
            })
        };
        for (roots, chosen) in [
            (vec![], None),
            (vec![None, None], None),
            (vec![disk(10, 100)], Some(0)),
            (vec![disk(50, 100), disk(600, 1000)], Some(1)),
            // more bytes, but a smaller share
            (vec![disk(50, 100), disk(400, 1000)], Some(0)),
            (vec![disk(50, 100), disk(50, 100), disk(50, 100)], Some(0)),
            // two looks at one disk
            (vec![disk(50_001, 100_000), disk(50_900, 100_000)], Some(0)),
            (vec![None, disk(1, 100), disk(2, 100)], Some(2)),
            (vec![disk(0, 0), disk(0, 100)], Some(0)),
            (vec![disk(0, 100), disk(u64::MAX, u64::MAX)], Some(1)),
        ] {
            assert_eq!(roomiest(&roots), chosen, "{roots:?}");
        }
    }
}
