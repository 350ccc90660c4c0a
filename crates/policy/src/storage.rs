//! How full a database's storage is, and when it should be larger.
//!
//! [`fill`] watches a quota: it warns at 80 and 90 percent, and what is full is read-only until
//! space has returned. Each level ends five points below where it begins, so a size that trembles
//! at a threshold changes nothing.
//!
//! [`grow_at`] and [`grown`] are for volumes that can grow: the larger a volume, the fuller it may
//! be before it does, for its last percents are many bytes.
//!
//! Called by `control` whenever it has measured a database's files.

use dormouse_types::Bytes;
use serde::{Deserialize, Serialize};

/// How full a quota is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// There is room.
    #[default]
    Fine,
    /// At least this many percent are used: 80 or 90.
    Warn(u8),
    /// All of it is used. The database is read-only.
    Full,
}

/// The levels, and the percents at which each begins and below which it ends.
const LEVELS: [(Fill, u8, u8); 3] = [
    (Fill::Full, 100, 95),
    (Fill::Warn(90), 90, 85),
    (Fill::Warn(80), 80, 75),
];

/// How full a quota is, of which this much is used and of which this was said `before`.
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

/// Sizes of volumes below which the rules of this line hold: at how many percent one grows, and by
/// how many percent of itself. After each step it is well below its next threshold.
const VOLUMES: [(Bytes, u8, u8); 3] = [
    (Bytes(100 * GIB), 60, 50),
    (Bytes(500 * GIB + 1), 80, 25),
    (Bytes(u64::MAX), 95, 10),
];
const GIB: u64 = 1 << 30;

/// The percents of [`VOLUMES`] for a size.
fn rules(size: Bytes) -> (u8, u8) {
    let [.., (_, at, by)] = VOLUMES;
    let found = VOLUMES.into_iter().find(|(below, ..)| size < *below);
    found.map_or((at, by), |(_, at, by)| (at, by))
}

/// From how much used space on a volume of this size should be larger.
#[must_use]
pub fn grow_at(size: Bytes) -> Bytes {
    Bytes(u64::try_from(share(size, rules(size).0) / 100).unwrap_or(u64::MAX))
}

/// The size after one step: half as much again below 100 GiB, a quarter up to 500 GiB, a tenth
/// above; up to the next whole GiB.
#[must_use]
pub fn next_size(size: Bytes) -> Bytes {
    let more = share(size, 100 + rules(size).1) / 100;
    let whole = more.div_ceil(u128::from(GIB)).max(1) * u128::from(GIB);
    Bytes(u64::try_from(whole).unwrap_or(u64::MAX))
}

/// The size that a volume of which this much is used should have: its own, or that after as many
/// steps as it takes.
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
