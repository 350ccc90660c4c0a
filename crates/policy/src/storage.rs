//! Fill level of a database's storage, and growth of volumes.
//!
//! [`fill`] evaluates a quota: it warns at 80 and 90 percent, and a full database is read-only until
//! it has space again. Each level ends five points below its beginning, so a size that fluctuates at a
//! threshold does not change the level.
//!
//! [`grow_at`] and [`grown`] are for volumes that can grow: a larger volume may be fuller before it
//! grows, because its last percents are more bytes.
//!
//! Called by `control` after each measurement of a database's files.

use dormouse_types::Bytes;
use serde::{Deserialize, Serialize};

/// Fill level of a quota.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Below the first warning.
    #[default]
    Fine,
    /// At least this percentage is used: 80 or 90.
    Warn(u8),
    /// The quota is used up. The database is read-only.
    Full,
}

/// The levels, each with the percentage at which it begins and the one below which it ends.
const LEVELS: [(Fill, u8, u8); 3] = [
    (Fill::Full, 100, 95),
    (Fill::Warn(90), 90, 85),
    (Fill::Warn(80), 80, 75),
];

/// Fill level of a quota of which `used` is used and whose level was `before`.
#[must_use]
pub fn fill(used: Bytes, quota: Bytes, before: Fill) -> Fill {
    let reached = |percent: u8| share(used, 100) >= share(quota, percent);
    LEVELS
        .into_iter()
        .find(|(level, begins, ends)| reached(*begins) || (before >= *level && reached(*ends)))
        .map_or(Fill::Fine, |(level, ..)| level)
}

fn share(size: Bytes, percent: u8) -> u128 {
    u128::from(size.0) * u128::from(percent)
}

/// Rules by size of the volume: the size below which the rule holds, the percentage at which the volume
/// grows, and the percentage by which it grows. After each step it is well below its next threshold.
const VOLUMES: [(Bytes, u8, u8); 3] = [
    (Bytes(100 * GIB), 60, 50),
    (Bytes(500 * GIB + 1), 80, 25),
    (Bytes(u64::MAX), 95, 10),
];
const GIB: u64 = 1 << 30;

/// The two percentages of [`VOLUMES`] for a size.
fn rules(size: Bytes) -> (u8, u8) {
    let [.., (_, at, by)] = VOLUMES;
    let found = VOLUMES.into_iter().find(|(below, ..)| size < *below);
    found.map_or((at, by), |(_, at, by)| (at, by))
}

/// Used space from which a volume of this size should grow.
#[must_use]
pub fn grow_at(size: Bytes) -> Bytes {
    Bytes(u64::try_from(share(size, rules(size).0) / 100).unwrap_or(u64::MAX))
}

/// The size after one step: 50 % more below 100 GiB, 25 % up to 500 GiB, 10 % above; rounded up to a
/// whole GiB.
#[must_use]
pub fn next_size(size: Bytes) -> Bytes {
    let more = share(size, 100 + rules(size).1) / 100;
    let whole = more.div_ceil(u128::from(GIB)).max(1) * u128::from(GIB);
    Bytes(u64::try_from(whole).unwrap_or(u64::MAX))
}

/// The size that a volume with `used` bytes in use should have: its current size, or that after as
/// many steps as needed.
#[must_use]
pub fn grown(size: Bytes, used: Bytes) -> Bytes {
    let mut size = size;
    while used >= grow_at(size) && next_size(size) > size {
        size = next_size(size);
    }
    size
}

#[cfg(test)]
mod tests;
