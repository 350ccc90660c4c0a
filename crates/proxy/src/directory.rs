//! Which databases there are, and who is connected to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use dormouse_session::Pin;
use dormouse_types::{DatabaseName, Doing, PoolStatus, SessionStatus};

use crate::accept::OWN_IDS;
use crate::config::PoolLimits;
use crate::door::Door;
use crate::mailbox::{Mailbox, Order};
use crate::pool::Pool;
use crate::stream::Peer;

/// One database as the data path sees it.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) door: Arc<Door>,
    pub(crate) pool: Arc<Pool>,
    /// Statements answered while it slept.
    pub(crate) sleeping_answers: AtomicU64,
    sessions: Mutex<HashMap<u32, Arc<SessionHandle>>>,
    removed: AtomicBool,
}

/// What others know of a session.
pub(crate) struct SessionHandle {
    /// The connection id the client was given.
    pub(crate) id: u32,
    user: Mutex<String>,
    peer: Peer,
    pub(crate) mailbox: Mailbox,
    /// The server's id of its backend; 0 while it has none.
    pub(crate) thread: AtomicU32,
    /// When its client was last heard of, in seconds of [`crate::accept`]'s clock.
    pub(crate) heard: AtomicU64,
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

/// What a session does with its lease; for others to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lease {
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
    pub(crate) fn new(id: u32, user: String, peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            id,
            user: Mutex::new(user),
            peer,
            mailbox: Mailbox::default(),
            thread: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            lease: AtomicU8::new(Lease::None as u8),
            held_since: AtomicU64::new(0),
            pins: Mutex::default(),
            aimed_at: AtomicU32::new(0),
        })
    }

    /// What it does with its lease.
    pub(crate) fn lease(&self) -> Lease {
        match self.lease.load(Ordering::SeqCst) {
            1 => Lease::Running,
            2 => Lease::Idle,
            3 => Lease::Asked,
            4 => Lease::Pinned,
            5 => Lease::Transaction,
            6 => Lease::Waiting,
            _ => Lease::None,
        }
    }

    /// Says what it does with its lease.
    pub(crate) fn set_lease(&self, lease: Lease) {
        self.lease.store(lease as u8, Ordering::SeqCst);
    }

    /// It keeps its lease although it was asked for it.
    pub(crate) fn pinned_by(&self, pins: Vec<Pin>) {
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner) = pins;
        self.set_lease(Lease::Pinned);
    }

    /// What others may see of it at this second.
    pub(crate) fn status(&self, now: u64) -> SessionStatus {
        let lease = self.lease();
        let thread = self.thread.load(Ordering::Acquire);
        let pins = match lease {
            Lease::Transaction => vec![Pin::Transaction],
            Lease::Pinned => self
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
                Lease::None => Doing::Resting,
                Lease::Running => Doing::Running,
                Lease::Idle | Lease::Asked => Doing::Keeping,
                Lease::Pinned | Lease::Transaction => Doing::Pinned,
                Lease::Waiting => Doing::Waiting,
            },
            pins: pins.iter().map(ToString::to_string).collect(),
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
        self.user
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The session belongs to another user now (`COM_CHANGE_USER`).
    pub(crate) fn set_user(&self, user: &str) {
        user.clone_into(&mut self.user.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A session's place in its database; dropping it leaves.
pub(crate) struct Membership {
    pub(crate) database: Arc<Database>,
    pub(crate) handle: Arc<SessionHandle>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.database.sessions().remove(&self.handle.id);
    }
}

impl Database {
    fn sessions(&self) -> MutexGuard<'_, HashMap<u32, Arc<SessionHandle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session, unless there are `most` already or the database has just been removed.
    pub(crate) fn join(
        self: &Arc<Self>,
        handle: &Arc<SessionHandle>,
        most: u32,
    ) -> Option<Membership> {
        let mut sessions = self.sessions();
        if sessions.len() >= most as usize || self.removed.load(Ordering::Acquire) {
            return None;
        }
        sessions.insert(handle.id, Arc::clone(handle));
        Some(Membership {
            database: Arc::clone(self),
            handle: Arc::clone(handle),
        })
    }

    /// The sessions now.
    pub(crate) fn everyone(&self) -> Vec<Arc<SessionHandle>> {
        self.sessions().values().cloned().collect()
    }

    /// The sessions as others may see them at this second, by their ids.
    pub(crate) fn session_statuses(&self, now: u64) -> Vec<SessionStatus> {
        let everyone = self.everyone();
        let mut all: Vec<_> = everyone.iter().map(|session| session.status(now)).collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Its backends, and what has happened to them.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        PoolStatus {
            sessions: self.session_count(),
            sleeping_answers: self.sleeping_answers.load(Ordering::Relaxed),
            ..self.pool.status()
        }
    }

    /// How many there are.
    pub(crate) fn session_count(&self) -> u32 {
        u32::try_from(self.sessions().len()).unwrap_or(u32::MAX)
    }

    /// The session that is known by this id to its client, or by its backend's to the server.
    pub(crate) fn session(&self, id: u32) -> Option<Arc<SessionHandle>> {
        let sessions = self.sessions();
        if id >= OWN_IDS {
            return sessions.get(&id).cloned();
        }
        sessions
            .values()
            .find(|session| session.thread.load(Ordering::Acquire) == id)
            .cloned()
    }
}

/// All databases.
#[derive(Default)]
pub(crate) struct Directory {
    databases: RwLock<HashMap<DatabaseName, Arc<Database>>>,
}

impl Directory {
    pub(crate) fn find(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.databases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Adds a database, its door shut; one that is there already stays as it is.
    pub(crate) fn add(&self, name: &DatabaseName, pool: &PoolLimits) {
        let mut databases = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        databases.entry(name.clone()).or_insert_with(|| {
            Arc::new(Database {
                name: name.clone(),
                door: Door::new(),
                pool: Pool::new(pool.clone()),
                sleeping_answers: AtomicU64::new(0),
                sessions: Mutex::default(),
                removed: AtomicBool::new(false),
            })
        });
    }

    /// Removes a database and ends its sessions.
    pub(crate) fn remove(&self, name: &DatabaseName) {
        let removed = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(database) = removed {
            database.removed.store(true, Ordering::Release);
            database.door.refuse("it has been dropped");
            for session in database.everyone() {
                session.mailbox.send(Order::End);
            }
        }
    }

    /// Every database.
    pub(crate) fn all(&self) -> Vec<Arc<Database>> {
        let databases = self
            .databases
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        databases.values().cloned().collect()
    }
}
