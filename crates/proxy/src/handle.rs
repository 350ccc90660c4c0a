//! The part of a session that the rest of the proxy can access: its user, mailbox and lease state.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use dormouse_session::Pin;
use dormouse_types::{Doing, SessionStatus};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::elsewhere::Elsewhere;
use crate::mailbox::Mailbox;
use crate::stream::Peer;

/// The lowest connection id that Dormouse assigns; there are as many. A server's ids count from 1 after each start.
/// Some drivers read ids as signed numbers (MariaDB Connector/J), so none is 2³¹ or more.
pub(crate) const OWN_IDS: u32 = 1 << 30;

/// The part of a session that the rest of the proxy can access.
pub(crate) struct SessionHandle {
    /// The connection id the client was given.
    pub(crate) id: u32,
    account: Mutex<Who>,
    peer: Peer,
    pub(crate) mailbox: Mailbox,
    /// The server's id of its backend; 0 while it has none.
    pub(crate) thread: AtomicU32,
    /// Its schema, as of its last command.
    schema: Mutex<Option<Arc<[u8]>>>,
    /// Notified when its client's connection is closed.
    pub(crate) ended: Notify,
    /// Whether it is closed.
    pub(crate) gone: AtomicBool,
    /// Since when it has been idle, in seconds of the proxy's clock; [`BUSY`] if it is not.
    pub(crate) heard: AtomicU64,
    /// How many seconds it may be idle.
    pub(crate) idle_limit: AtomicU64,
    /// The [count](crate::pool::place::Place::globals) of changes of global variables when it began, or when its
    /// variables were read.
    pub(crate) globals: AtomicU64,
    /// The same count when it began or was reset last.
    pub(crate) globals_at_begin: AtomicU64,
    /// Whether its server has killed its connection on a client's `KILL`.
    pub(crate) killed: AtomicBool,
    lease: AtomicU8,
    /// Since when it has its backend, in seconds of the same clock.
    pub(crate) held_since: AtomicU64,
    /// The pins that kept the lease when it was last asked for.
    pins: Mutex<Vec<Pin>>,
    /// Number of `KILL`s that are about to be sent for its backend; the session keeps the backend until
    /// this is 0.
    pub(crate) aimed_at: AtomicU32,
    /// Number of those that are to end it.
    pub(crate) enders: AtomicU32,
    /// Whether it is to end at once, in the middle of its statement.
    cut: AtomicBool,
    cut_waker: AtomicWaker,
    /// Its statement on a replica.
    pub(crate) elsewhere: Elsewhere,
}

/// Value of [`SessionHandle::heard`] while a command runs.
pub(crate) const BUSY: u64 = u64::MAX;

/// The account of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The user as it logged in.
    pub(crate) user: String,
    /// The host part of the account that matched.
    pub(crate) account_host: String,
}

/// The state of a session's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LeaseState {
    /// The session has no lease.
    None,
    /// A statement is running.
    Running,
    /// The session keeps the lease and may be able to give it up.
    Idle,
    /// The session has been asked to give it up.
    Asked,
    /// The session cannot give it up.
    Pinned,
    /// A transaction is open.
    Transaction,
    /// The session has none and its statement waits for one.
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
            schema: Mutex::default(),
            ended: Notify::new(),
            gone: AtomicBool::new(false),
            heard: AtomicU64::new(BUSY),
            globals: AtomicU64::new(0),
            globals_at_begin: AtomicU64::new(0),
            idle_limit: AtomicU64::new(u64::MAX),
            killed: AtomicBool::new(false),
            lease: AtomicU8::new(LeaseState::None as u8),
            held_since: AtomicU64::new(0),
            pins: Mutex::default(),
            aimed_at: AtomicU32::new(0),
            enders: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            cut_waker: AtomicWaker::new(),
            elsewhere: Elsewhere::default(),
        })
    }

    /// The state of its lease.
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

    /// Whether a `KILL` has ended its connection to the server, or is about to: its client gets no error that the end
    /// of that connection would cause.
    pub(crate) fn is_being_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire) || self.enders.load(Ordering::SeqCst) > 0
    }

    /// Ends it at once, in the middle of its statement.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.cut_waker.wake();
    }

    /// Whether it is to end at once; if not, the task is woken when it is.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> bool {
        self.cut_waker.register(cx.waker());
        self.cut.load(Ordering::SeqCst)
    }

    /// Sets the state of its lease.
    pub(crate) fn set_lease(&self, lease: LeaseState) {
        self.lease.store(lease as u8, Ordering::SeqCst);
    }

    /// The session was asked for its lease, or its database was to be parked; these pins keep it.
    pub(crate) fn pinned_by(&self, pins: Vec<Pin>) {
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner) = pins;
        self.set_lease(LeaseState::Pinned);
    }

    /// Notes its schema.
    pub(crate) fn set_schema(&self, schema: Option<Arc<[u8]>>) {
        *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = schema;
    }

    fn schema(&self) -> Option<String> {
        let schema = self.schema.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = schema.as_deref()?;
        Some(String::from_utf8_lossy(schema).into_owned())
    }

    /// Its status at this second.
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
            schema: self.schema(),
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

    /// Where its client is.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its user.
    pub(crate) fn user(&self) -> String {
        self.who().user.clone()
    }

    pub(crate) fn who(&self) -> MutexGuard<'_, Who> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second at which it exceeds its idle limit, if nothing changes.
    pub(crate) fn due(&self, now: u64, in_transaction: Option<u64>) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed);
        let limit = self.idle_limit.load(Ordering::Relaxed);
        let limit = match in_transaction {
            Some(shorter) if self.lease() == LeaseState::Transaction => limit.min(shorter),
            _ => limit,
        };
        // seconds are rounded down: one second more guarantees that the limit has passed
        let since = if heard == BUSY { now } else { heard };
        since.saturating_add(limit).saturating_add(1)
    }
}
