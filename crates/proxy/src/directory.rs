//! Which databases there are, and who is connected to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use dormouse_session::Pin;
use dormouse_types::{Carried, DatabaseName, Doing, PoolStatus, SessionStatus, Variables};

use crate::accept::OWN_IDS;
use crate::config::PoolLimits;
use crate::control_path::ControlPath;
use crate::door::Door;
use crate::mailbox::{Mailbox, Order};
use crate::pool::Pool;
use crate::stream::Peer;
use crate::tally::{Restriction, Tally};

/// One database as the data path sees it.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) door: Arc<Door>,
    /// What its sessions have carried, logins not among it; made for the first of them.
    tally: OnceLock<Box<Tally>>,
    /// Why it may only be read, or shrunk.
    pub(crate) restriction: Restriction,
    /// Made for the first who needs a backend: most of the databases may be asleep.
    pool: OnceLock<Arc<Pool>>,
    pool_limits: Arc<PoolLimits>,
    /// Statements answered while it slept.
    pub(crate) sleeping_answers: AtomicU64,
    sessions: Mutex<HashMap<u32, Arc<SessionHandle>>>,
    /// Before this second no session has been idle for too long.
    due: AtomicU64,
    removed: AtomicBool,
}

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

/// Why a session cannot join a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// It has all the sessions it may have, or has just been removed.
    Database,
    /// The account has.
    Account,
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

    /// It keeps its lease although it was asked for it, or its database was to be parked.
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

    fn who(&self) -> MutexGuard<'_, Who> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second from which on it has been idle for too long, as things are now.
    fn due(&self, now: u64, in_transaction: Option<u64>) -> u64 {
        let heard = self.heard.load(Ordering::Relaxed);
        let limit = self.idle_limit.load(Ordering::Relaxed);
        let limit = match in_transaction {
            Some(shorter) if self.lease() == Lease::Transaction => limit.min(shorter),
            _ => limit,
        };
        // seconds are cut, so one more is sure to be as long as the limit
        let since = if heard == BUSY { now } else { heard };
        since.saturating_add(limit).saturating_add(1)
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
    /// Counts what its sessions carry.
    pub(crate) fn tally(&self) -> &Tally {
        self.tally.get_or_init(Box::default)
    }

    /// What its sessions have carried.
    pub(crate) fn carried(&self) -> Carried {
        self.tally
            .get()
            .map_or_else(Carried::default, |tally| tally.carried())
    }

    /// The server's global variables as they are now. While it is awake it is asked once, and again when
    /// a statement may have set some.
    pub(crate) async fn present_variables(&self, plane: &dyn ControlPath) -> Option<Variables> {
        let Some(target) = self.door.target() else {
            return plane.present_variables(&self.name).await;
        };
        let globals = self.pool().globals();
        let era = globals.era(&target);
        if let Some(variables) = globals.known_in(era) {
            return Some(variables);
        }
        let variables = plane.present_variables(&self.name).await?;
        globals.are(era, variables.clone());
        Some(variables)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u32, Arc<SessionHandle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session, unless there are `most` already, or as many of its account as that may have.
    pub(crate) fn join(
        self: &Arc<Self>,
        handle: &Arc<SessionHandle>,
        most: u32,
        of_account: Option<u32>,
    ) -> Result<Membership, Full> {
        let mut sessions = self.sessions();
        if sessions.len() >= most as usize || self.removed.load(Ordering::Acquire) {
            return Err(Full::Database);
        }
        if is_full(&sessions, &handle.who(), of_account, handle.id) {
            return Err(Full::Account);
        }
        sessions.insert(handle.id, Arc::clone(handle));
        self.look_again();
        Ok(Membership {
            database: Arc::clone(self),
            handle: Arc::clone(handle),
        })
    }

    /// The session belongs to somebody else now (`COM_CHANGE_USER`), if the account may have one more.
    pub(crate) fn change_user(
        &self,
        handle: &SessionHandle,
        who: Who,
        of_account: Option<u32>,
    ) -> Result<(), Full> {
        let sessions = self.sessions();
        if is_full(&sessions, &who, of_account, handle.id) {
            return Err(Full::Account);
        }
        *handle.who() = who;
        Ok(())
    }

    /// A session may have been idle for too long sooner than was thought.
    pub(crate) fn look_again(&self) {
        self.due.store(0, Ordering::Release);
    }

    /// Ends the sessions that have been idle for too long at this second. While none can have been,
    /// it looks at none.
    pub(crate) fn end_idle(&self, now: u64, in_transaction: Option<u64>) {
        if now < self.due.load(Ordering::Acquire) {
            return;
        }
        self.due.store(u64::MAX, Ordering::Release);
        let sessions = self.sessions();
        let mut next = u64::MAX;
        for session in sessions.values() {
            let due = session.due(now, in_transaction);
            if due <= now {
                session.mailbox.send(Order::End);
            } else {
                next = next.min(due);
            }
        }
        // unless somebody wants it looked at again
        self.due.fetch_min(next, Ordering::AcqRel);
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

    /// Its backends, for who needs one.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        self.pool
            .get_or_init(|| Pool::new((*self.pool_limits).clone()))
    }

    /// Its backends, if anybody has needed one yet.
    pub(crate) fn used_pool(&self) -> Option<&Arc<Pool>> {
        self.pool.get()
    }

    /// Its backends, and what has happened to them.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        let unused = || PoolStatus {
            backends_max: self.pool_limits.backends_max,
            ..PoolStatus::default()
        };
        PoolStatus {
            sessions: self.session_count(),
            sleeping_answers: self.sleeping_answers.load(Ordering::Relaxed),
            carried: self.carried(),
            ..self.used_pool().map_or_else(unused, |pool| pool.status())
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

/// Whether an account has all the sessions it may have, not counting the one with this id.
fn is_full(
    sessions: &HashMap<u32, Arc<SessionHandle>>,
    who: &Who,
    most: Option<u32>,
    but: u32,
) -> bool {
    most.is_some_and(|most| {
        let of_account =
            |session: &&Arc<SessionHandle>| session.id != but && *session.who() == *who;
        sessions.values().filter(of_account).count() >= most as usize
    })
}

/// All databases.
pub(crate) struct Directory {
    databases: RwLock<HashMap<DatabaseName, Arc<Database>>>,
    pool_limits: Arc<PoolLimits>,
}

impl Directory {
    /// An empty one; these are the limits of each database's backends.
    pub(crate) fn new(pool: PoolLimits) -> Self {
        Self {
            databases: RwLock::default(),
            pool_limits: Arc::new(pool),
        }
    }

    pub(crate) fn find(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.databases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Adds a database, its door shut; one that is there already stays as it is.
    pub(crate) fn add(&self, name: &DatabaseName) {
        let mut databases = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        databases.entry(name.clone()).or_insert_with(|| {
            Arc::new(Database {
                name: name.clone(),
                door: Door::new(),
                tally: OnceLock::new(),
                restriction: Restriction::default(),
                pool: OnceLock::new(),
                pool_limits: Arc::clone(&self.pool_limits),
                sleeping_answers: AtomicU64::new(0),
                sessions: Mutex::default(),
                due: AtomicU64::new(0),
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
