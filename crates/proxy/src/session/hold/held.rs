//! The hold itself: using the backend, losing it, leaving it to other sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_session::{Pin, SessionState};
use dormouse_types::Target;
use std::time::Instant;

use super::lease::Lease;
use crate::backend::{Backend, BackendError, is_alive};
use crate::handle::LeaseState;
use crate::session::context::SessionContext;

/// A session's hold on a backend, and the state that was lost with the last one.
pub(crate) struct Hold {
    pub(super) lease: Option<Lease>,
    /// What was lost with the last backend and has not been reported to the client yet.
    lost: Option<Box<Lost>>,
    /// Whether the account is known to carry the proxy's credential.
    pub(super) enrolled: bool,
    /// Since when the statement waits for a lease, also if sleeps of the database interrupt that.
    pub(super) waits_since: Option<Instant>,
}

/// State that was lost with a backend.
struct Lost {
    pins: Vec<Pin>,
    /// The backend's server, if its connection broke.
    broke_on: Option<Arc<Target>>,
}

impl Hold {
    /// No backend yet. `enrolled`: the account is known to carry the proxy's credential.
    pub(crate) fn new(enrolled: bool) -> Self {
        Self {
            lease: None,
            lost: None,
            enrolled,
            waits_since: None,
        }
    }

    /// A statement begins.
    pub(crate) fn begin(&mut self) {
        self.waits_since = None;
    }

    /// The backend, unless it is in the middle of a command.
    pub(crate) fn backend(&self) -> Option<&Backend> {
        self.lease.as_ref()?.backend.as_deref()
    }

    /// The same, mutable.
    pub(crate) fn backend_mut(&mut self) -> Option<&mut Backend> {
        self.lease.as_mut()?.backend.as_deref_mut()
    }

    /// Whether there is a backend, not in the middle of a command.
    pub(crate) fn has_backend(&self) -> bool {
        self.backend().is_some()
    }

    /// Takes the backend out for a command; [`put_back`](Self::put_back) follows unless it breaks.
    pub(crate) fn take_backend(&mut self) -> Option<Box<Backend>> {
        self.lease.as_mut()?.backend.take()
    }

    /// Puts the backend back after the command's reply.
    pub(crate) fn put_back(&mut self, backend: Box<Backend>) {
        if let Some(lease) = &mut self.lease {
            lease.backend = Some(backend);
        }
    }

    /// If the session has a backend on this server, marks its lease as running for the next command.
    /// Returns whether it has.
    pub(crate) fn resume_on(&mut self, cx: &SessionContext, target: &Arc<Target>) -> bool {
        let Some(backend) = self.backend_mut() else {
            return false;
        };
        if !Arc::ptr_eq(&backend.target, target) {
            if !same_server(&backend.target, target) {
                return false;
            }
            // the server has slept meanwhile
            backend.target = Arc::clone(target);
        }
        cx.handle().set_lease(LeaseState::Running);
        true
    }

    /// Updates the door's count of open transactions.
    pub(crate) fn count_transaction(&mut self, cx: &SessionContext, open: bool) {
        if let Some(lease) = &mut self.lease {
            lease.count_transaction(open && !cx.never_wakes);
        }
    }

    /// Whether all lost state has been reported to the client.
    pub(crate) fn has_told(&self) -> bool {
        self.lost.is_none()
    }

    /// Clears the lost state without reporting it to the client.
    pub(crate) fn forget_lost(&mut self) {
        self.lost = None;
    }

    /// Takes out the lost state, to report it to the client.
    pub(crate) fn take_lost(&mut self) -> Vec<Pin> {
        self.lost.take().map_or(Vec::new(), |lost| lost.pins)
    }

    /// Notes that this state is lost; the client gets an error at its next statement that names it.
    pub(super) fn will_tell(&mut self, pins: Vec<Pin>) {
        let broke_on = None;
        self.lost = (!pins.is_empty()).then(|| Box::new(Lost { pins, broke_on }));
    }

    /// Drops the backend. The client gets an error at its next statement that names what was lost with it.
    pub(crate) fn lose(&mut self, state: &mut SessionState) {
        if let Some(lease) = self.lease.take() {
            drop(lease);
            self.will_tell(state.lost_backend());
        }
    }

    /// Drops the backend after it failed to answer a command of Dormouse's own.
    pub(crate) fn broke(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        error: &BackendError,
    ) {
        match error {
            BackendError::Malformed(what) => cx.fault(*what),
            error => tracing::debug!(%error, "one of Dormouse's own queries failed"),
        }
        let target = self.lease.as_ref().map(|lease| Arc::clone(&lease.target));
        self.lose(state);
        if let (Some(lost), Some(target)) = (&mut self.lost, target) {
            lost.broke_on = Some(target);
        }
    }

    /// Whether state was lost because the server, which is this one, has ended the connection of the last backend alone,
    /// by `KILL` or by a limit of its own, and runs on.
    pub(super) async fn was_ended_alone(&self, cx: &SessionContext, target: &Arc<Target>) -> bool {
        let Some(lost) = &self.lost else {
            return false;
        };
        let here = { lost.broke_on.as_ref() }.is_some_and(|on| same_server(on, target));
        cx.handle().is_being_killed() || here && is_alive(Some(target)).await
    }

    /// Before the session leaves its backend: global variables that were set meanwhile have not changed what the session
    /// has there, so only a probe tells how it differs from a new one.
    pub(crate) fn note_globals(&self, state: &mut SessionState) {
        if self.backend().is_some_and(Backend::has_old_globals) {
            state.globals_were_set();
        }
    }

    /// Gives the backend to the pool; the session's state must be free to leave it. Returns whether it was
    /// given.
    pub(crate) fn leave(&mut self, cx: &SessionContext, state: &mut SessionState) -> bool {
        let Some(lease) = &mut self.lease else {
            return false;
        };
        let Some(mut backend) = lease.take_for_others() else {
            return false;
        };
        for left in state.statements.leave() {
            backend.keep_statement(left);
        }
        let tainted = state.is_tainted();
        let overlay = || [cx.former_globals(), state.overlay()].concat();
        backend.residue.overlay = (!tainted).then(overlay);
        backend.residue.schema = state.schema().cloned();
        backend.residue.last_insert_id = state.last_insert_id();
        backend.residue.multi_statements = state.multi_statements();
        let profiled = state.has_profiled();
        state.leave();
        self.lease = None;
        if backend.residue.expired || profiled {
            // no reset clears profiles, nor the expired state after the password was changed
            drop(backend);
        } else {
            cx.pool().give_back(backend);
        }
        true
    }

    /// At the end of the session, or before its user changes: gives the backend to the pool if the state
    /// permits, else closes it.
    pub(crate) fn retire(&mut self, cx: &SessionContext, state: &mut SessionState) {
        if state.is_free() && !cx.handle().killed.load(Ordering::Acquire) {
            self.leave(cx, state);
        }
        self.lose(state);
    }
}

/// Whether it is one server process, whatever its database's settings are now.
pub(super) fn same_server(a: &Target, b: &Target) -> bool {
    a.generation == b.generation && a.instance == b.instance
}
