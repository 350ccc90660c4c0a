//! Counters of one database's pool.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_session::Pin;

/// Counters of one database's pool since the proxy started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Leases given.
    pub(crate) leases: AtomicU64,
    /// Seconds for which sessions have had leases.
    pub(crate) held_s: AtomicU64,
    /// Leases that a session gave up for another.
    pub(crate) steals: AtomicU64,
    /// Times an idle or stolen backend was brought to a session's state.
    pub(crate) restores: AtomicU64,
    /// Backends opened.
    pub(crate) opened: AtomicU64,
    /// Sessions that waited for a lease.
    pub(crate) waits: AtomicU64,
    /// Microseconds for which they waited.
    pub(crate) waited_us: AtomicU64,
    /// Sessions whose wait timed out.
    pub(crate) timeouts: AtomicU64,
    /// Statements that were ended because their clients had left.
    pub(crate) departures: AtomicU64,
    /// Replies that did not belong to the command sent last: their connections were closed.
    pub(crate) faults: AtomicU64,
    /// Interrupted commits that were found in the server's log.
    pub(crate) found_committed: AtomicU64,
    /// Interrupted commits that were not in it: their transactions did not commit.
    pub(crate) found_rolled_back: AtomicU64,
    /// Interrupted commits of which the log could not tell.
    pub(crate) unresolved: AtomicU64,
    /// Interrupted transactions that were run again.
    pub(crate) replayed: AtomicU64,
    /// Interrupted transactions that could not be run again.
    pub(crate) not_replayed: AtomicU64,
    /// Interrupted queries that were run again.
    pub(crate) read_again: AtomicU64,
    /// Times a session could not give its lease up, by pin.
    pins: Mutex<BTreeMap<Pin, u64>>,
}

impl Counters {
    /// Adds one to a counter.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a lease that could not be given up.
    pub(crate) fn pinned(&self, pin: Pin) {
        *self.by_pin().entry(pin).or_default() += 1;
    }

    /// How often each pin has kept a lease.
    pub(super) fn pins(&self) -> BTreeMap<Pin, u64> {
        self.by_pin().clone()
    }

    fn by_pin(&self) -> MutexGuard<'_, BTreeMap<Pin, u64>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
