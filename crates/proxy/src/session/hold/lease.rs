//! One lease: a backend in a session's use, with everything that is dropped together with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_session::ParsingContext;
use dormouse_types::Target;

use crate::backend::Backend;
use crate::database::Database;
use crate::handle::{LeaseState, SessionHandle};
use crate::session::context::SessionContext;
use crate::shared::Shared;

/// A backend in a session's use. Dropping it closes the connection and updates the session's handle.
pub(super) struct Lease {
    /// `None` while a command is on it: then it is a `Speaking` or a `Listening`.
    pub(super) backend: Option<Box<Backend>>,
    /// The server.
    pub(super) target: Arc<Target>,
    /// The parsing context of the statements in the backend's cache.
    pub(super) parsing_context: ParsingContext,
    /// Whether the door counts an open transaction of it.
    transaction: bool,
    database: Arc<Database>,
    handle: Arc<SessionHandle>,
    shared: Arc<Shared>,
}

impl Lease {
    /// Gives the session this backend and notes it in the session's handle.
    pub(super) fn new(
        cx: &SessionContext,
        backend: Box<Backend>,
        parsing_context: ParsingContext,
    ) -> Self {
        let handle = Arc::clone(cx.handle());
        handle.set_lease(LeaseState::Running);
        handle.thread.store(backend.thread, Ordering::SeqCst);
        let now = cx.shared.seconds();
        handle.held_since.store(now, Ordering::Relaxed);
        backend.place.hold(&handle);
        Self {
            target: Arc::clone(&backend.target),
            backend: Some(backend),
            parsing_context,
            transaction: false,
            database: Arc::clone(cx.database()),
            handle,
            shared: Arc::clone(&cx.shared),
        }
    }

    /// Updates the door's count of open transactions.
    pub(super) fn count_transaction(&mut self, open: bool) {
        if open != self.transaction {
            self.transaction = open;
            self.database.door.count_transaction(open);
        }
    }

    /// Takes the backend out for other sessions. `None`: a `KILL` is about to be sent for it, or it is in the
    /// middle of a command.
    pub(super) fn take_for_others(&mut self) -> Option<Box<Backend>> {
        let backend = self.backend.take()?;
        // a KILL first increments `aimed_at` and then reads `thread`
        self.handle.thread.store(0, Ordering::SeqCst);
        if self.handle.aimed_at.load(Ordering::SeqCst) > 0 {
            self.handle.thread.store(backend.thread, Ordering::SeqCst);
            self.backend = Some(backend);
            return None;
        }
        Some(backend)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend = None;
        self.handle.thread.store(0, Ordering::SeqCst);
        let since = self.handle.held_since.load(Ordering::Relaxed);
        let held = self.shared.seconds().saturating_sub(since);
        let counters = self.database.pool().counters();
        counters.held_s.fetch_add(held, Ordering::Relaxed);
        self.handle.set_lease(LeaseState::None);
        self.count_transaction(false);
    }
}
