//! How full a database is, measured against its quota.

use dormouse_types::Bytes;

/// How full a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Fill {
    /// There is room.
    #[default]
    Fine,
    /// So many percent of its quota are used, rounded down to a step at which its owner is warned.
    Warn(u8),
    /// Its quota is used up.
    Full,
}

/// At how many percent of its quota the owner of a database is warned.
const STEPS: [u8; 2] = [90, 80];
/// Below how many percent it is full no more.
const FREED: u128 = 95;

/// How full a database is now that was so full before. One that was full must have freed a little
/// before it is not.
#[must_use]
pub fn fill(used: Bytes, quota: Bytes, before: Fill) -> Fill {
    let used = u128::from(used.0) * 100;
    let percent = |n: u128| u128::from(quota.0) * n;
    if used >= percent(100) || before == Fill::Full && used >= percent(FREED) {
        return Fill::Full;
    }
    let step = STEPS
        .into_iter()
        .find(|step| used >= percent((*step).into()));
    step.map_or(Fill::Fine, Fill::Warn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_database_must_free_a_little() {
        for (used, before, expected) in [
            (0, Fill::Fine, Fill::Fine),
            (799, Fill::Fine, Fill::Fine),
            (800, Fill::Fine, Fill::Warn(80)),
            (899, Fill::Warn(90), Fill::Warn(80)),
            (900, Fill::Fine, Fill::Warn(90)),
            (999, Fill::Warn(80), Fill::Warn(90)),
            (1000, Fill::Fine, Fill::Full),
            (u64::MAX, Fill::Fine, Fill::Full),
            (950, Fill::Full, Fill::Full),
            (949, Fill::Full, Fill::Warn(90)),
            (0, Fill::Full, Fill::Fine),
        ] {
            assert_eq!(fill(Bytes(used), Bytes(1000), before), expected, "{used}");
        }
        assert_eq!(fill(Bytes(0), Bytes(0), Fill::Fine), Fill::Full);
    }
}
