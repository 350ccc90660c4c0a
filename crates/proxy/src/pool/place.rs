//! A place in a pool: the right to have one backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entered::Entered;
use super::globals::Globals;
use super::stored_code::StoredCode;
use crate::handle::SessionHandle;

/// What a place needs of its pool. A trait, because a pool holds backends and each backend holds its
/// place.
pub(crate) trait Places: Send + Sync {
    /// Notes that this session now holds the place's backend.
    fn hold(&self, index: usize, session: &Arc<SessionHandle>);

    /// Frees the place and gives it to the first waiter.
    fn release(self: Arc<Self>, index: usize);

    /// What has changed on the server since the pool began.
    fn changes(&self) -> &Changes;
}

/// Changes on a server that do not affect open connections.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// What is known of the server's global variables.
    pub(crate) globals: Globals,
    /// What is known of its stored code.
    pub(crate) stored_code: StoredCode,
    /// The schemas that accounts have entered.
    pub(crate) entered: Entered,
    /// Counts the statements that may have changed privileges.
    rights: AtomicU64,
}

impl Changes {
    /// Number of statements that may have changed privileges.
    pub(crate) fn rights(&self) -> u64 {
        self.rights.load(Ordering::Acquire)
    }

    /// Notes that a statement has ended that may have changed privileges.
    pub(super) fn count_rights(&self) {
        self.rights.fetch_add(1, Ordering::AcqRel);
    }
}

/// The right to have one backend; dropping it gives it to the first waiter.
pub(crate) struct Place {
    pool: Arc<dyn Places>,
    pub(super) index: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        Arc::clone(&self.pool).release(self.index);
    }
}

impl Place {
    /// A place that its pool has marked as taken.
    pub(super) fn new(pool: Arc<dyn Places>, index: usize) -> Self {
        Self { pool, index }
    }

    /// Notes that this session now holds the backend of this place.
    pub(crate) fn hold(&self, session: &Arc<SessionHandle>) {
        self.pool.hold(self.index, session);
    }

    /// Number of statements that may have changed privileges.
    pub(crate) fn rights(&self) -> u64 {
        self.pool.changes().rights()
    }

    /// Number of statements that may have set global variables: a backend opened before one of them has
    /// other values than a new connection.
    pub(crate) fn globals(&self) -> u64 {
        self.pool.changes().globals.count()
    }
}
