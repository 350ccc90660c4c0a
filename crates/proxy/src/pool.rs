//! The backends of one database, and which session has the lease of each.
//!
//! A session takes a lease for a statement and keeps it afterwards. When another session needs a
//! backend and there are [`backends_max`](crate::config::PoolLimits::backends_max) already, the pool
//! asks an idle session without pins to give its lease up. Waiting sessions are served in order of
//! arrival.
//!
//! Invariants:
//! - there are never more [`Place`]s than the limit, and every backend holds one: wherever a
//!   backend is dropped, its place goes to the first waiter;
//! - while a session waits, no backend in the pool is idle;
//! - a backend is dropped, and an order sent, only after the lock has been released.

mod contents;
mod counters;
pub(crate) mod entered;
mod globals;
pub(crate) mod place;
pub(crate) mod stored_code;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_session::Role;
use dormouse_types::{PoolStatus, Pooling};
use tokio::sync::oneshot;

use crate::backend::Backend;
use crate::config::PoolLimits;
use crate::handle::SessionHandle;
use crate::identity::Identity;
use crate::mailbox::SessionOrder;
use contents::{BackendStatus, Contents, Holder, Idle, Waiter};
pub(crate) use contents::{Grant, Need};
pub(crate) use counters::Counters;
use entered::Entering;
use globals::Globals;
use place::{Changes, Place, Places};
use stored_code::StoredCode;

/// The backends of one database.
pub(crate) struct Pool {
    limits: PoolLimits,
    /// Number of waiting sessions; read after every statement.
    wanted: AtomicU32,
    changes: Changes,
    contents: Mutex<Contents>,
    counters: Counters,
}

/// The pool's answer to a session that needs a backend.
pub(crate) enum Offer {
    /// A backend, or the right to open one.
    Now(Grant),
    /// All are taken: the receiver gets one when it is free.
    Wait(oneshot::Receiver<Grant>),
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            wanted: AtomicU32::new(0),
            changes: Changes::default(),
            contents: Mutex::default(),
            counters: Counters::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notes that a statement that may have changed privileges has ended. Connections opened before it
    /// keep the old privileges, so they are given to no other session.
    pub(crate) fn rights_changed(&self) {
        self.changes.count_rights();
        self.clear();
    }

    /// Number of statements that may have changed privileges.
    pub(crate) fn rights(&self) -> u64 {
        self.changes.rights()
    }

    /// Notes that a session has entered a schema.
    pub(crate) fn entered(&self, entering: Entering<'_>) {
        self.changes.entered.note(entering, self.rights());
    }

    /// Whether an account with this role is known to be allowed to enter a schema.
    pub(crate) fn may_enter(&self, who: &Identity, role: &Role, schema: &[u8]) -> bool {
        self.changes.entered.may(who, role, schema, self.rights())
    }

    fn is_of_old_rights(&self, backend: &Backend) -> bool {
        backend.residue.rights != self.changes.rights()
    }

    /// What is known of the server's global variables.
    pub(crate) fn globals(&self) -> &Globals {
        &self.changes.globals
    }

    /// What is known of the server's stored code.
    pub(crate) fn stored_code(&self) -> &StoredCode {
        &self.changes.stored_code
    }

    /// Its limits.
    pub(crate) fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    /// Whether a session waits for a lease. A session that has become idle first sets its lease's state
    /// ([`SessionHandle::lease`]) and then reads this; a session that waits is first counted here and then
    /// searches for idle ones. So at least one of the two notices the other.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > 0
    }

    /// Asks for a backend. If `may_open` is false, the session waits for a lease although the limit allows
    /// another backend.
    pub(crate) fn ask(self: &Arc<Self>, need: &Need, may_open: bool) -> Offer {
        let mut contents = self.lock();
        let dead = contents.take_dead(&need.target);
        let found = contents.take_idle(need);
        if let Some(backend) = found {
            drop(contents);
            drop(dead);
            return Offer::Now(Grant::Backend(backend));
        }
        if may_open && let Some(place) = self.free_place(&mut contents) {
            drop(contents);
            drop(dead);
            return Offer::Now(Grant::Open(place));
        }
        // close an idle backend of another class and use its place
        if !contents.idle.is_empty() {
            let other = contents.idle.remove(0).backend;
            drop(contents);
            drop(dead);
            return Offer::Now(Grant::Open(other.close()));
        }
        let (sender, receiver) = oneshot::channel();
        contents.waiting.push_back(Waiter {
            need: need.clone(),
            sender,
        });
        self.note_waiting(&contents);
        let victim = match need.target.pooling {
            Pooling::Statement => contents.victim(),
            Pooling::Session => None,
        };
        drop(contents);
        if let Some(victim) = victim {
            victim.mailbox.send(SessionOrder::Yield);
        }
        // dropping them gives their places to the first waiters
        drop(dead);
        Offer::Wait(receiver)
    }

    fn free_place(self: &Arc<Self>, contents: &mut Contents) -> Option<Place> {
        let most = self.limits.backends_max.max(1) as usize;
        let free = contents
            .places
            .iter()
            .position(|holder| matches!(holder, Holder::Free));
        let index = match free {
            Some(index) => index,
            None if contents.places.len() < most => {
                contents.places.push(Holder::Free);
                contents.places.len() - 1
            }
            None => return None,
        };
        if let Some(holder) = contents.places.get_mut(index) {
            *holder = Holder::Taken(None);
        }
        Some(self.place(index))
    }

    fn place(self: &Arc<Self>, index: usize) -> Place {
        let pool: Arc<dyn Places> = Arc::<Self>::clone(self);
        Place::new(pool, index)
    }

    fn set_holder(&self, index: usize, session: Option<Arc<SessionHandle>>) {
        if let Some(holder) = self.lock().places.get_mut(index) {
            *holder = Holder::Taken(session);
        }
    }

    fn note_waiting(&self, contents: &Contents) {
        let waiting = u32::try_from(contents.waiting.len()).unwrap_or(u32::MAX);
        self.wanted.store(waiting, Ordering::SeqCst);
    }

    /// Notes that a session has stopped waiting and has closed its receiver.
    pub(crate) fn gave_up(&self) {
        let mut contents = self.lock();
        contents.waiting.retain(|waiter| !waiter.sender.is_closed());
        self.note_waiting(&contents);
    }

    /// Notes that a session could not give up its lease, and asks another session.
    pub(crate) fn kept(&self) {
        let victim = {
            let mut contents = self.lock();
            contents.waiting.retain(|waiter| !waiter.sender.is_closed());
            self.note_waiting(&contents);
            if contents.waiting.is_empty() {
                None
            } else {
                contents.victim()
            }
        };
        if let Some(victim) = victim {
            victim.mailbox.send(SessionOrder::Yield);
        }
    }

    /// Takes a backend back: it goes to the first waiter, or stays here as idle.
    pub(crate) fn give_back(self: &Arc<Self>, backend: Box<Backend>) {
        if self.is_of_old_rights(&backend) {
            // dropping it gives its place to the first waiter
            return drop(backend);
        }
        self.set_holder(backend.place.index, None);
        let mut backend = backend;
        loop {
            let mut contents = self.lock();
            let Some(waiter) = contents.waiting.pop_front() else {
                contents.idle.push(Idle {
                    backend,
                    since: Instant::now(),
                });
                return;
            };
            self.note_waiting(&contents);
            drop(contents);
            let grant = if waiter.need.is_met_by(&backend) {
                Grant::Backend(backend)
            } else {
                Grant::Open(backend.close())
            };
            match waiter.sender.send(grant) {
                Ok(()) => return,
                Err(Grant::Backend(back)) => backend = back,
                // dropping the place gives it to the next waiter
                Err(Grant::Open(_place)) => return,
            }
        }
    }

    /// Gives a free place to the first waiter. A grant that could not be delivered is returned, to be
    /// dropped without the lock.
    fn hand_place(
        self: &Arc<Self>,
        mut contents: MutexGuard<'_, Contents>,
        index: usize,
    ) -> Option<Grant> {
        let Some(waiter) = contents.waiting.pop_front() else {
            if let Some(holder) = contents.places.get_mut(index) {
                *holder = Holder::Free;
            }
            return None;
        };
        self.note_waiting(&contents);
        drop(contents);
        waiter.sender.send(Grant::Open(self.place(index))).err()
    }

    /// Closes the idle backends.
    pub(crate) fn clear(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    /// Closes backends that have been idle for too long, down to `backends_min`.
    pub(crate) fn trim(&self, now: Instant) {
        let idle_limit = self.limits.backend_idle;
        let mut old = Vec::new();
        {
            let mut contents = self.lock();
            let mut open = contents.open();
            while open > self.limits.backends_min
                && contents
                    .idle
                    .first()
                    .is_some_and(|idle| now.duration_since(idle.since) >= idle_limit)
            {
                old.push(contents.idle.remove(0));
                open -= 1;
            }
        }
        drop(old);
    }

    /// Closes the idle backends of an account. Returns whether there were any.
    pub(crate) fn close_idle_of(&self, who: &Identity) -> bool {
        let gone = {
            let mut contents = self.lock();
            let (gone, rest) = std::mem::take(&mut contents.idle)
                .into_iter()
                .partition::<Vec<_>, _>(|idle| {
                    let identity = &idle.backend.identity;
                    identity.user == who.user && identity.account_host == who.account_host
                });
            contents.idle = rest;
            gone
        };
        !gone.is_empty()
    }

    /// Its figures and counters, without those of the sessions.
    pub(crate) fn status(&self) -> PoolStatus {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (backends, idle, waiting) = {
            let contents = self.lock();
            let (idle, waiting) = (contents.idle.len(), contents.waiting.len());
            (contents.open(), number(idle), number(waiting))
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
            found_committed: count(&counters.found_committed),
            found_rolled_back: count(&counters.found_rolled_back),
            unresolved: count(&counters.unresolved),
            replayed: count(&counters.replayed),
            not_replayed: count(&counters.not_replayed),
            read_again: count(&counters.read_again),
            faults: count(&counters.faults),
            pins: counters.pins(),
            ..PoolStatus::default()
        }
    }

    /// The backends, with the sessions that have them.
    pub(crate) fn backends(&self) -> Vec<BackendStatus> {
        self.lock().backends()
    }

    /// Counts how long a session has waited.
    pub(crate) fn waited(&self, time: Duration) {
        Counters::count(&self.counters.waits);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counters.waited_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Places for Pool {
    fn hold(&self, index: usize, session: &Arc<SessionHandle>) {
        self.set_holder(index, Some(Arc::clone(session)));
        Counters::count(&self.counters.leases);
    }

    fn release(self: Arc<Self>, index: usize) {
        let mut contents = self.lock();
        if let Some(holder) = contents.places.get_mut(index) {
            *holder = Holder::Taken(None);
        }
        drop(self.hand_place(contents, index));
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }
}

#[cfg(test)]
pub(crate) mod tests;
