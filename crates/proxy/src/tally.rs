//! Traffic of a database's sessions, and the restriction that refuses writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_types::Carried;

/// Traffic of one database since the proxy started. Every worker adds to it, so it has a cache line of
/// its own and does not slow what is read for each statement.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Tally {
    statements: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Tally {
    /// Counts a statement.
    pub(crate) fn statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that were read from a client.
    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that are about to be sent to a client.
    pub(crate) fn sends(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The counts now.
    pub(crate) fn carried(&self) -> Carried {
        Carried {
            statements: self.statements.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// Why statements that write are refused; usually nothing.
#[derive(Debug, Default)]
pub(crate) struct Restriction {
    set: AtomicBool,
    reason: Mutex<Option<Arc<str>>>,
}

impl Restriction {
    /// Sets or ends the restriction.
    pub(crate) fn change(&self, reason: Option<&str>) {
        let mut held = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        *held = reason.map(Into::into);
        self.set.store(held.is_some(), Ordering::Release);
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// The reason; while there is none, no lock is taken.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        if !self.is_set() {
            return None;
        }
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
