//! The sessions that carry locks over a park.

use std::sync::{Mutex, PoisonError};

/// The sessions of a database that carry locks, by their ids.
#[derive(Default)]
pub(crate) struct Carriers(Mutex<Vec<u32>>);

impl Carriers {
    /// Notes a session that has left its server with locks to carry.
    pub(crate) fn add(&self, session: u32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(session);
    }

    /// Takes all of them out.
    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
