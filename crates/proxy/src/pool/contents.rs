//! What a pool holds: places, idle backends, waiters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dormouse_types::Target;
use tokio::sync::oneshot;

use super::place::Place;
use crate::backend::Backend;
use crate::handle::{LeaseState, SessionHandle};
use crate::identity::Identity;

/// What a pool holds, behind its lock.
#[derive(Default)]
pub(super) struct Contents {
    /// The use of each place.
    pub(super) places: Vec<Holder>,
    /// Backends that no session holds; the most recently used is the last.
    pub(super) idle: Vec<Idle>,
    pub(super) waiting: VecDeque<Waiter>,
}

/// What a place is used for.
#[derive(Default)]
pub(super) enum Holder {
    #[default]
    Free,
    Taken(Option<Arc<SessionHandle>>),
}

/// A backend that no session holds.
pub(super) struct Idle {
    pub(super) backend: Box<Backend>,
    pub(super) since: Instant,
}

/// A session that waits for a lease.
pub(super) struct Waiter {
    pub(super) need: Need,
    pub(super) sender: oneshot::Sender<Grant>,
}

/// What a session needs.
#[derive(Clone)]
pub(crate) struct Need {
    /// Its identity at the server.
    pub(crate) identity: Arc<Identity>,
    /// The server.
    pub(crate) target: Arc<Target>,
    /// Whether it is in a schema. A backend in a schema cannot go back to none.
    pub(crate) schema: bool,
    /// Its connection id, if the backend that it has left last is preferred.
    pub(crate) session: Option<u32>,
}

impl Need {
    pub(super) fn is_met_by(&self, backend: &Backend) -> bool {
        backend.target.generation == self.target.generation
            && (self.schema || backend.residue.schema.is_none())
            && backend.identity.serves(&self.identity)
    }
}

/// What the pool gives to a session.
pub(crate) enum Grant {
    /// A backend of the same [class](Identity::serves); it may hold another session's state.
    Backend(Box<Backend>),
    /// The right to open one.
    Open(Place),
}

/// A backend in a list of backends.
pub(crate) struct BackendStatus {
    /// The server's connection id.
    pub(crate) thread: u32,
    /// The user that it is logged in as.
    pub(crate) user: String,
    /// The session that has it.
    pub(crate) session: Option<Arc<SessionHandle>>,
    /// Prepared statements in its cache; not known while a session has it.
    pub(crate) statements: Option<usize>,
}

impl Contents {
    /// The backends: the server's thread, its user, and the session that has it.
    pub(super) fn backends(&self) -> Vec<BackendStatus> {
        let held = self.places.iter().filter_map(|holder| match holder {
            Holder::Taken(Some(session)) => Some(BackendStatus {
                thread: session.thread.load(Ordering::Acquire),
                user: session.user(),
                session: Some(Arc::clone(session)),
                statements: None,
            }),
            Holder::Taken(None) | Holder::Free => None,
        });
        let idle = self.idle.iter().map(|idle| BackendStatus {
            thread: idle.backend.thread,
            user: idle.backend.identity.user.clone(),
            session: None,
            statements: Some(idle.backend.cache.len()),
        });
        held.chain(idle).collect()
    }

    pub(super) fn open(&self) -> u32 {
        let taken = self
            .places
            .iter()
            .filter(|holder| matches!(holder, Holder::Taken(_)));
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }

    /// Takes out the idle backends of former servers.
    pub(super) fn take_dead(&mut self, target: &Target) -> Vec<Idle> {
        let is_dead = |idle: &Idle| idle.backend.target.generation != target.generation;
        if !self.idle.iter().any(is_dead) {
            return Vec::new();
        }
        let (dead, alive) = std::mem::take(&mut self.idle)
            .into_iter()
            .partition(is_dead);
        self.idle = alive;
        dead
    }

    /// Takes out the most recently used idle backend of the right class, or the one that the session has left.
    pub(super) fn take_idle(&mut self, need: &Need) -> Option<Box<Backend>> {
        let meets = |idle: &Idle| need.is_met_by(&idle.backend);
        let left = |idle: &Idle| idle.backend.residue.left_by == need.session;
        let own = need.session.and_then(|_| {
            let both = |idle: &Idle| left(idle) && meets(idle);
            self.idle.iter().rposition(both)
        });
        let at = own.or_else(|| self.idle.iter().rposition(meets))?;
        Some(self.idle.remove(at).backend)
    }

    /// Chooses a session to ask for its lease: of those that may be able to give it up, the one that has
    /// been idle for longest.
    pub(super) fn victim(&self) -> Option<Arc<SessionHandle>> {
        let holders = self.places.iter().filter_map(|holder| match holder {
            Holder::Taken(Some(session)) => Some(session),
            Holder::Taken(None) | Holder::Free => None,
        });
        let victim = holders
            .filter(|session| session.lease() == LeaseState::Idle)
            .min_by_key(|session| session.heard.load(Ordering::Relaxed))?;
        victim.set_lease(LeaseState::Asked);
        Some(Arc::clone(victim))
    }
}
