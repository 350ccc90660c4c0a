//! How many databases have moved, and how many replicas have taken the place of a lost primary.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since Dormouse started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoveCounts {
    /// Moves and upgrades that have ended.
    pub made: u64,
    /// Those that have failed or were put off for too long; not those that were cancelled.
    pub failed: u64,
    /// Replicas that have taken the place of a lost primary.
    pub failovers: u64,
}

/// Counts [`MoveCounts`].
#[derive(Debug, Default)]
pub(crate) struct MoveCounter {
    made: AtomicU64,
    failed: AtomicU64,
    failovers: AtomicU64,
}

impl MoveCounter {
    /// A move has ended.
    pub(super) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// A move has failed.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A replica has taken the place of a lost primary.
    pub(crate) fn failed_over(&self) {
        self.failovers.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts.
    pub(crate) fn counts(&self) -> MoveCounts {
        MoveCounts {
            made: self.made.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            failovers: self.failovers.load(Ordering::Relaxed),
        }
    }
}
