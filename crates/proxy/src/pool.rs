//! The backends of one database, and who has the lease of each.
//!
//! A session takes a lease at a statement and keeps it lazily. When another session needs a
//! backend and there are [`most`](crate::config::PoolLimits::backends_max) already, one that is
//! idle and holds nothing that pins it is asked to give its lease up; those that wait are served in
//! order of arrival.
//!
//! Invariants:
//! - there are never more [`Place`]s than the limit, and every backend holds one: wherever a
//!   backend is dropped, its place goes to the first who waits;
//! - while anybody waits, no backend is idle here;
//! - a backend is dropped, and an order sent, only after the lock has been released.

mod counters;
mod globals;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_types::{PoolStatus, Pooling, Target};
use tokio::sync::oneshot;

use crate::backend::{Backend, Identity};
use crate::config::PoolLimits;
use crate::directory::{Lease, SessionHandle};
use crate::mailbox::Order;

pub(crate) use counters::Counters;
pub(crate) use globals::Globals;

/// The backends of one database.
pub(crate) struct Pool {
    limits: PoolLimits,
    /// How many wait; read after every statement.
    wanted: AtomicU32,
    /// What is known of the server's global variables.
    globals: Globals,
    /// Counts the statements that may have changed what accounts may do.
    rights: AtomicU64,
    inner: Mutex<Inner>,
    counters: Counters,
}

#[derive(Default)]
struct Inner {
    /// Who holds the backend of each place; `None` for a free place and for an idle backend.
    places: Vec<Holder>,
    /// Backends nobody holds; the last was used last.
    idle: Vec<Idle>,
    waiting: VecDeque<Waiter>,
}

#[derive(Default)]
enum Holder {
    #[default]
    Free,
    Taken(Option<Arc<SessionHandle>>),
}

struct Idle {
    backend: Box<Backend>,
    since: Instant,
}

struct Waiter {
    need: Need,
    sender: oneshot::Sender<Grant>,
}

/// What a session needs.
#[derive(Clone)]
pub(crate) struct Need {
    /// Who it is to the server.
    pub(crate) identity: Arc<Identity>,
    /// Where.
    pub(crate) target: Arc<Target>,
    /// Whether it is in a schema. A backend that is in one cannot leave it for none.
    pub(crate) schema: bool,
}

impl Need {
    fn is_met_by(&self, backend: &Backend) -> bool {
        backend.target.generation == self.target.generation
            && (self.schema || backend.residue.schema.is_none())
            && backend.identity.serves(&self.identity)
    }
}

/// The right to have one backend; dropping it gives it to the next who waits.
pub(crate) struct Place {
    pool: Arc<Pool>,
    index: usize,
}

/// What a session gets.
pub(crate) enum Grant {
    /// A backend of the same [class](Identity::serves); it may hold another session's state.
    Backend(Box<Backend>),
    /// The right to open one.
    Open(Place),
}

/// What a session finds at the pool.
pub(crate) enum Offer {
    /// This at once.
    Now(Grant),
    /// All are taken: it will come.
    Wait(oneshot::Receiver<Grant>),
}

/// A backend as others may see it.
pub(crate) struct BackendStatus {
    /// The server's connection id.
    pub(crate) thread: u32,
    /// Whom the server takes it for.
    pub(crate) user: String,
    /// The session that has it.
    pub(crate) session: Option<Arc<SessionHandle>>,
    /// Prepared statements kept on it for whoever comes next; not known while a session has it.
    pub(crate) statements: Option<usize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.pool.lock();
        if let Some(holder) = inner.places.get_mut(self.index) {
            *holder = Holder::Taken(None);
        }
        drop(self.pool.hand_place(inner, self.index));
    }
}

impl Place {
    /// The session holds the backend of this place from now on.
    pub(crate) fn hold(&self, session: &Arc<SessionHandle>) {
        self.set_holder(Some(Arc::clone(session)));
        Counters::count(&self.pool.counters.leases);
    }

    /// How often what accounts may do may have been changed.
    pub(crate) fn rights(&self) -> u64 {
        self.pool.rights.load(Ordering::Acquire)
    }

    /// How often global variables may have been set: a backend that began before has other ones of
    /// its own than a new connection would.
    pub(crate) fn globals(&self) -> u64 {
        self.pool.globals.count()
    }

    fn set_holder(&self, session: Option<Arc<SessionHandle>>) {
        if let Some(holder) = self.pool.lock().places.get_mut(self.index) {
            *holder = Holder::Taken(session);
        }
    }
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            wanted: AtomicU32::new(0),
            globals: Globals::default(),
            rights: AtomicU64::new(0),
            inner: Mutex::default(),
            counters: Counters::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A statement that may have changed what accounts may do has ended: connections that began before it
    /// keep the rights of then, and are given to nobody any more.
    pub(crate) fn rights_changed(&self) {
        self.rights.fetch_add(1, Ordering::AcqRel);
        self.clear();
    }

    fn is_of_old_rights(&self, backend: &Backend) -> bool {
        backend.residue.rights != self.rights.load(Ordering::Acquire)
    }

    /// What is known of the server's global variables.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Its limits.
    pub(crate) fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    /// Whether a session waits for a lease. A session that has just become idle asks this after it
    /// has said so ([`SessionHandle::lease`]); one that waits looks for idle ones after it has been
    /// counted here. So one of the two sees the other.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > 0
    }

    /// Asks for a backend. With `may_open` false it prefers to wait for a lease where another
    /// backend could be opened.
    pub(crate) fn ask(self: &Arc<Self>, need: &Need, may_open: bool) -> Offer {
        let mut inner = self.lock();
        let dead = inner.take_dead(&need.target);
        let found = inner.take_idle(need);
        if let Some(backend) = found {
            drop(inner);
            drop(dead);
            return Offer::Now(Grant::Backend(backend));
        }
        if may_open && let Some(place) = self.free_place(&mut inner) {
            drop(inner);
            drop(dead);
            return Offer::Now(Grant::Open(place));
        }
        // one of another class makes room
        if !inner.idle.is_empty() {
            let other = inner.idle.remove(0).backend;
            drop(inner);
            drop(dead);
            return Offer::Now(Grant::Open(other.close()));
        }
        let (sender, receiver) = oneshot::channel();
        inner.waiting.push_back(Waiter {
            need: need.clone(),
            sender,
        });
        self.note_waiting(&inner);
        let victim = match need.target.pooling {
            Pooling::Statement => inner.victim(),
            Pooling::Session => None,
        };
        drop(inner);
        if let Some(victim) = victim {
            victim.mailbox.send(Order::Yield);
        }
        // their places go to the first who waits
        drop(dead);
        Offer::Wait(receiver)
    }

    fn free_place(self: &Arc<Self>, inner: &mut Inner) -> Option<Place> {
        let most = self.limits.backends_max.max(1) as usize;
        let free = inner
            .places
            .iter()
            .position(|holder| matches!(holder, Holder::Free));
        let index = match free {
            Some(index) => index,
            None if inner.places.len() < most => {
                inner.places.push(Holder::Free);
                inner.places.len() - 1
            }
            None => return None,
        };
        if let Some(holder) = inner.places.get_mut(index) {
            *holder = Holder::Taken(None);
        }
        Some(Place {
            pool: Arc::clone(self),
            index,
        })
    }

    fn note_waiting(&self, inner: &Inner) {
        let waiting = u32::try_from(inner.waiting.len()).unwrap_or(u32::MAX);
        self.wanted.store(waiting, Ordering::SeqCst);
    }

    /// A session waits no longer; its receiver has been dropped.
    pub(crate) fn gave_up(&self) {
        let mut inner = self.lock();
        inner.waiting.retain(|waiter| !waiter.sender.is_closed());
        self.note_waiting(&inner);
    }

    /// A session that was asked for its lease keeps it: another one is asked.
    pub(crate) fn kept(&self) {
        let victim = {
            let mut inner = self.lock();
            inner.waiting.retain(|waiter| !waiter.sender.is_closed());
            self.note_waiting(&inner);
            if inner.waiting.is_empty() {
                None
            } else {
                inner.victim()
            }
        };
        if let Some(victim) = victim {
            victim.mailbox.send(Order::Yield);
        }
    }

    /// Takes a backend back: it goes to the first who waits, or stays here for later.
    pub(crate) fn give_back(self: &Arc<Self>, backend: Box<Backend>) {
        if self.is_of_old_rights(&backend) {
            // which hands its place on
            return drop(backend);
        }
        backend.place.set_holder(None);
        let mut backend = backend;
        loop {
            let mut inner = self.lock();
            let Some(waiter) = inner.waiting.pop_front() else {
                inner.idle.push(Idle {
                    backend,
                    since: Instant::now(),
                });
                return;
            };
            self.note_waiting(&inner);
            drop(inner);
            let grant = if waiter.need.is_met_by(&backend) {
                Grant::Backend(backend)
            } else {
                Grant::Open(backend.close())
            };
            match waiter.sender.send(grant) {
                Ok(()) => return,
                Err(Grant::Backend(back)) => backend = back,
                // dropping the place hands it on
                Err(Grant::Open(_place)) => return,
            }
        }
    }

    /// A place is free: to the first who waits, if any. What could not be delivered is returned, to
    /// be dropped without the lock.
    fn hand_place(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner>,
        index: usize,
    ) -> Option<Grant> {
        let Some(waiter) = inner.waiting.pop_front() else {
            if let Some(holder) = inner.places.get_mut(index) {
                *holder = Holder::Free;
            }
            return None;
        };
        self.note_waiting(&inner);
        drop(inner);
        let pool = Arc::clone(self);
        waiter.sender.send(Grant::Open(Place { pool, index })).err()
    }

    /// Closes what nobody holds: the server is to stop.
    pub(crate) fn clear(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    /// Closes backends that nobody has needed for a while, but for the fewest to keep.
    pub(crate) fn trim(&self, now: Instant) {
        let idle_limit = self.limits.backend_idle;
        let mut old = Vec::new();
        {
            let mut inner = self.lock();
            let mut open = inner.open();
            while open > self.limits.backends_min
                && inner
                    .idle
                    .first()
                    .is_some_and(|idle| now.duration_since(idle.since) >= idle_limit)
            {
                old.push(inner.idle.remove(0));
                open -= 1;
            }
        }
        drop(old);
    }

    /// Closes the idle backends of an account. Says whether there were any.
    pub(crate) fn close_idle_of(&self, who: &Identity) -> bool {
        let gone = {
            let mut inner = self.lock();
            let (gone, rest) = std::mem::take(&mut inner.idle)
                .into_iter()
                .partition::<Vec<_>, _>(|idle| {
                    let identity = &idle.backend.identity;
                    identity.user == who.user && identity.account_host == who.account_host
                });
            inner.idle = rest;
            gone
        };
        !gone.is_empty()
    }

    /// What there is and what has happened, but for what the sessions know.
    pub(crate) fn status(&self) -> PoolStatus {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (backends, idle, waiting) = {
            let inner = self.lock();
            let (idle, waiting) = (inner.idle.len(), inner.waiting.len());
            (inner.open(), number(idle), number(waiting))
        };
        let counters = &self.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStatus {
            backends,
            idle,
            waiting,
            backends_max: self.limits.backends_max,
            leases: count(&counters.leases),
            held_s: count(&counters.held_s),
            steals: count(&counters.steals),
            restores: count(&counters.restores),
            opened: count(&counters.opened),
            waits: count(&counters.waits),
            waited_ms: count(&counters.waited_us) / 1000,
            timeouts: count(&counters.timeouts),
            departures: count(&counters.departures),
            faults: count(&counters.faults),
            pins: counters.pins(),
            ..PoolStatus::default()
        }
    }

    /// The backends: the server's thread, its user, and the session that has it.
    pub(crate) fn backends(&self) -> Vec<BackendStatus> {
        let inner = self.lock();
        let held = inner.places.iter().filter_map(|holder| match holder {
            Holder::Taken(Some(session)) => Some(BackendStatus {
                thread: session.thread.load(Ordering::Acquire),
                user: session.user(),
                session: Some(Arc::clone(session)),
                statements: None,
            }),
            Holder::Taken(None) | Holder::Free => None,
        });
        let idle = inner.idle.iter().map(|idle| BackendStatus {
            thread: idle.backend.thread,
            user: idle.backend.identity.user.clone(),
            session: None,
            statements: Some(idle.backend.shelf.len()),
        });
        held.chain(idle).collect()
    }

    /// Counts how long a session has waited.
    pub(crate) fn waited(&self, time: Duration) {
        Counters::count(&self.counters.waits);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counters.waited_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Inner {
    fn open(&self) -> u32 {
        let taken = self
            .places
            .iter()
            .filter(|holder| matches!(holder, Holder::Taken(_)));
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }

    /// Backends of a server that is no more.
    fn take_dead(&mut self, target: &Target) -> Vec<Idle> {
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

    /// The idle backend of the right class that was used last.
    fn take_idle(&mut self, need: &Need) -> Option<Box<Backend>> {
        let at = self
            .idle
            .iter()
            .rposition(|idle| need.is_met_by(&idle.backend))?;
        Some(self.idle.remove(at).backend)
    }

    /// The session that has been idle for longest of those that may be able to give up a lease.
    fn victim(&self) -> Option<Arc<SessionHandle>> {
        let holders = self.places.iter().filter_map(|holder| match holder {
            Holder::Taken(Some(session)) => Some(session),
            Holder::Taken(None) | Holder::Free => None,
        });
        let victim = holders
            .filter(|session| session.lease() == Lease::Idle)
            .min_by_key(|session| session.heard.load(Ordering::Relaxed))?;
        victim.set_lease(Lease::Asked);
        Some(Arc::clone(victim))
    }
}

#[cfg(test)]
pub(crate) mod tests;
