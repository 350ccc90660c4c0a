//! What the rest of the proxy sees of a session: who it is, its mailbox, what it does with its lease.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_session::Pin;
use dormouse_types::{Doing, SessionStatus};

use crate::mailbox::Mailbox;
use crate::stream::Peer;

/// The lowest connection id of Dormouse's own. A server counts from 1 at each of its starts.
pub(crate) const OWN_IDS: u32 = 1 << 31;

/// What others know of a session.
pub(crate) struct SessionHandle {
    /// The connection id the client was given.
    pub(crate) id: u32,
    account: Mutex<Who>,
    peer: Peer,
    pub(crate) mailbox: Mailbox,
    /// The server's id of its backend; 0 while it has none.
    pub(crate) thread: AtomicU32,
    /// Since when it has been idle, in seconds of [`crate::accept`]'s clock; [`BUSY`] if it is not.
    pub(crate) heard: AtomicU64,
    /// How many seconds it may be.
    pub(crate) idle_limit: AtomicU64,
    /// Whether the server was told to kill it.
    pub(crate) killed: AtomicBool,
    lease: AtomicU8,
    /// Since when it has its backend, by the same clock.
    pub(crate) held_since: AtomicU64,
    /// What kept the lease when it was last asked for.
    pins: Mutex<Vec<Pin>>,
    /// How many are about to name its backend to the server (`KILL`): it keeps it meanwhile.
    pub(crate) aimed_at: AtomicU32,
}

/// In place of the time since when a session has been idle.
pub(crate) const BUSY: u64 = u64::MAX;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The user as it logged in.
    pub(crate) user: String,
    /// The host part of the account that matched.
    pub(crate) account_host: String,
}

/// What a session does with its lease; for others to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LeaseState {
    /// It has none.
    None,
    /// A statement is running.
    Running,
    /// It keeps it lazily and may be able to give it up.
    Idle,
    /// It has been asked to give it up.
    Asked,
    /// It cannot give it up.
    Pinned,
    /// A transaction is open.
    Transaction,
    /// It has none and its statement waits for one.
    Waiting,
}

impl SessionHandle {
    pub(crate) fn new(id: u32, who: Who, peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            id,
            account: Mutex::new(who),
            peer,
            mailbox: Mailbox::default(),
            thread: AtomicU32::new(0),
            heard: AtomicU64::new(BUSY),
            idle_limit: AtomicU64::new(u64::MAX),
            killed: AtomicBool::new(false),
            lease: AtomicU8::new(LeaseState::None as u8),
            held_since: AtomicU64::new(0),
            pins: Mutex::default(),
            aimed_at: AtomicU32::new(0),
        })
    }

    /// What it does with its lease.
    pub(crate) fn lease(&self) -> LeaseState {
        match self.lease.load(Ordering::SeqCst) {
            1 => LeaseState::Running,
            2 => LeaseState::Idle,
            3 => LeaseState::Asked,
            4 => LeaseState::Pinned,
            5 => LeaseState::Transaction,
            6 => LeaseState::Waiting,
            _ => LeaseState::None,
        }
    }

    /// Says what it does with its lease.
    pub(crate) fn set_lease(&self, lease: LeaseState) {
        self.lease.store(lease as u8, Ordering::SeqCst);
    }

    /// It keeps its lease although it was asked for it, or its database was to be parked.
    pub(crate) fn pinned_by(&self, pins: Vec<Pin>) {
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner) = pins;
        self.set_lease(LeaseState::Pinned);
    }

    /// What others may see of it at this second.
    pub(crate) fn status(&self, now: u64) -> SessionStatus {
        let lease = self.lease();
        let thread = self.thread.load(Ordering::Acquire);
        let pins = match lease {
            LeaseState::Transaction => vec![Pin::Transaction],
            LeaseState::Pinned => self
                .pins
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            _ => Vec::new(),
        };
        let since = |then: &AtomicU64| now.saturating_sub(then.load(Ordering::Relaxed));
        SessionStatus {
            id: self.id,
            user: self.user(),
            host: self.peer.to_string(),
            doing: match lease {
                LeaseState::None => Doing::Resting,
                LeaseState::Running => Doing::Running,
                LeaseState::Idle | LeaseState::Asked => Doing::Keeping,
                LeaseState::Pinned | LeaseState::Transaction => Doing::Pinned,
                LeaseState::Waiting => Doing::Waiting,
            },
            pins,
            server_thread: Some(thread).filter(|thread| *thread != 0),
            idle_s: since(&self.heard),
            held_s: (thread != 0).then(|| since(&self.held_since)),
        }
    }

    /// Whether it has a backend. While the door is shut no session gets one.
    pub(crate) fn has_backend(&self) -> bool {
        self.thread.load(Ordering::Acquire) != 0
    }

    /// Whose session it is.
    pub(crate) fn user(&self) -> String {
        self.who().user.clone()
    }

    pub(crate) fn who(&self) -> MutexGuard<'_, Who> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second from which on it has been idle for too long, as things are now.
    pub(crate) fn due(&self, now: u64, in_transaction: Option<u64>) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed);
        let limit = self.idle_limit.load(Ordering::Relaxed);
        let limit = match in_transaction {
            Some(shorter) if self.lease() == LeaseState::Transaction => limit.min(shorter),
            _ => limit,
        };
        // seconds are cut, so one more is sure to be as long as the limit
        let since = if heard == BUSY { now } else { heard };
        since.saturating_add(limit).saturating_add(1)
    }
}
