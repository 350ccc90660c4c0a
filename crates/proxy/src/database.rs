//! One database as the data path sees it: its door, its sessions, its backends, its counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use dormouse_types::{
    Access, Carried, DatabaseName, InstanceId, PoolStatus, Reads, Replica, SessionStatus, Variables,
};
use dormouse_wire::reply::ErrPacket;

use crate::carriers::Carriers;
use crate::config::PoolLimits;
use crate::control_path::ControlPath;
use crate::door::Door;
use crate::guard::DatabaseBuckets;
use crate::handle::{OWN_IDS, SessionHandle, Who};
use crate::mailbox::SessionOrder;
use crate::pool::Pool;
use crate::refusal;
use crate::replicas::Replicas;
use crate::reservation::Reservation;
use crate::stream::Peer;
use crate::tally::{Restriction, Tally};

/// One database as the data path sees it.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) door: Arc<Door>,
    /// Traffic of its sessions after their logins; made for the first session.
    tally: OnceLock<Arc<Tally>>,
    /// Why statements that write are refused.
    pub(crate) restriction: Restriction,
    /// For whom it is reserved.
    pub(crate) reservation: Reservation,
    /// Its replicas.
    pub(crate) replicas: Replicas,
    /// Made for the first session that needs a backend: most databases may be asleep.
    pool: OnceLock<Arc<Pool>>,
    pool_limits: Arc<PoolLimits>,
    /// The sessions that carry locks to its next server.
    pub(crate) carriers: Carriers,
    /// Number of statements answered while it slept.
    pub(crate) sleeping_answers: AtomicU64,
    sessions: Mutex<HashMap<u32, Arc<SessionHandle>>>,
    /// Failed logins and wakes.
    pub(crate) buckets: DatabaseBuckets,
    /// Addresses that may connect; empty lists for most databases.
    access: RwLock<Option<Arc<Access>>>,
    /// The earliest second at which a session may exceed its idle limit.
    due: AtomicU64,
    removed: AtomicBool,
}

/// Why a session cannot join a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The database has reached its session limit, or has just been removed.
    Database,
    /// The account has reached its session limit.
    Account,
}

/// A session as a member of its database; dropping it removes the session.
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
    /// A database whose door is shut.
    pub(crate) fn new(name: DatabaseName, pool_limits: Arc<PoolLimits>) -> Arc<Self> {
        Arc::new(Self {
            name,
            door: Door::new(),
            tally: OnceLock::new(),
            restriction: Restriction::default(),
            reservation: Reservation::default(),
            replicas: Replicas::default(),
            pool: OnceLock::new(),
            pool_limits,
            carriers: Carriers::default(),
            sleeping_answers: AtomicU64::new(0),
            sessions: Mutex::default(),
            buckets: DatabaseBuckets::default(),
            access: RwLock::default(),
            due: AtomicU64::new(0),
            removed: AtomicBool::new(false),
        })
    }

    /// The database has been dropped: refuses statements and logins, and ends its sessions.
    pub(crate) fn dropped(&self) {
        self.removed.store(true, Ordering::Release);
        self.door.refuse("it has been dropped");
        self.set_replicas(Vec::new(), Reads::Primary);
        for session in self.all_sessions() {
            session.mailbox.send(SessionOrder::End);
        }
    }

    /// Replaces the lists of addresses that may connect, and ends the sessions that they exclude.
    pub(crate) fn set_access(&self, access: Access) {
        let access = (access != Access::default()).then(|| Arc::new(access));
        let mut present = self.access.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *present != access;
        *present = access;
        drop(present);
        if changed {
            self.end_excluded(|peer| self.check_access(peer).is_err());
        }
    }

    /// Whether the database's lists admit a client.
    pub(crate) fn check_access(&self, peer: &Peer) -> Result<(), ErrPacket> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        match (&*access, peer) {
            (Some(access), Peer::Tcp { from, .. }) => access.check(from.ip()).map_err(|list| {
                refusal::not_admitted(from.ip().to_canonical(), list, Some(&self.name))
            }),
            (None, _) | (_, Peer::Unix) => Ok(()),
        }
    }

    /// Ends the sessions of clients that are excluded.
    pub(crate) fn end_excluded(&self, is_excluded: impl Fn(&Peer) -> bool) {
        for session in self.all_sessions() {
            if is_excluded(session.peer()) {
                session.mailbox.send(SessionOrder::End);
            }
        }
    }

    /// Counts the traffic of its sessions.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        self.tally.get_or_init(Arc::default)
    }

    /// The traffic of its sessions so far.
    pub(crate) fn carried(&self) -> Carried {
        self.tally
            .get()
            .map_or_else(Carried::default, |tally| tally.carried())
    }

    /// The server's present global variables. They are cached: a server that is awake is asked once, and
    /// again after a statement that may have set some.
    pub(crate) async fn present_variables(&self, control: &dyn ControlPath) -> Option<Variables> {
        let Some(target) = self.door.target() else {
            return control.present_variables(&self.name).await;
        };
        let globals = self.pool().globals();
        let era = globals.era(&target);
        if let Some(variables) = globals.known_in(era) {
            return Some(variables);
        }
        let variables = control.present_variables(&self.name).await?;
        globals.are(era, variables.clone());
        Some(variables)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u32, Arc<SessionHandle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session, unless the database already has `most` sessions or its account `of_account`.
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
        self.recheck_idle();
        Ok(Membership {
            database: Arc::clone(self),
            handle: Arc::clone(handle),
        })
    }

    /// Gives the session another account (`COM_CHANGE_USER`), unless that account already has
    /// `of_account` sessions.
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

    /// Notes that a limit has changed: the next [`end_idle`](Self::end_idle) checks all sessions.
    pub(crate) fn recheck_idle(&self) {
        self.due.store(0, Ordering::Release);
    }

    /// Ends the sessions that exceed their idle limit at the second `now`. Checks none of them before
    /// the earliest second at which one can.
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
                session.mailbox.send(SessionOrder::End);
            } else {
                next = next.min(due);
            }
        }
        // `fetch_min`: a concurrent `recheck_idle` has set it to 0, which must stay
        self.due.fetch_min(next, Ordering::AcqRel);
    }

    /// All sessions.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<SessionHandle>> {
        self.sessions().values().cloned().collect()
    }

    /// The status of each session at this second, ordered by id.
    pub(crate) fn session_statuses(&self, now: u64) -> Vec<SessionStatus> {
        let everyone = self.all_sessions();
        let mut all: Vec<_> = everyone.iter().map(|session| session.status(now)).collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Takes the replicas on which statements may read, and where they do.
    pub(crate) fn set_replicas(&self, replicas: Vec<Replica>, reads: Reads) {
        self.replicas.change(replicas, reads, &self.pool_limits);
    }

    /// Whether statements still run on a replica that may not be read any more.
    pub(crate) fn reads_on(&self, replica: InstanceId) -> bool {
        self.replicas.reads_on(replica)
    }

    /// The pool of its backends.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        self.pool
            .get_or_init(|| Pool::new((*self.pool_limits).clone()))
    }

    /// The pool, if a session has needed a backend yet.
    pub(crate) fn used_pool(&self) -> Option<&Arc<Pool>> {
        self.pool.get()
    }

    /// The status of the pool and the traffic of the sessions.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        let unused = || PoolStatus {
            backends_max: self.pool_limits.backends_max,
            ..PoolStatus::default()
        };
        PoolStatus {
            sessions: self.session_count(),
            sleeping_answers: self.sleeping_answers.load(Ordering::Relaxed),
            carried: self.carried(),
            reads: self.replicas.counters.status(),
            ..self.used_pool().map_or_else(unused, |pool| pool.status())
        }
    }

    /// The number of sessions.
    pub(crate) fn session_count(&self) -> u32 {
        u32::try_from(self.sessions().len()).unwrap_or(u32::MAX)
    }

    /// No session has a thread of the next server yet.
    pub(crate) fn forget_threads(&self) {
        for session in self.sessions().values() {
            session.thread.store(0, Ordering::SeqCst);
        }
    }

    /// The session with this id: the id that its client was given, or that of its backend on the server.
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

/// Whether an account has `most` sessions, not counting the session with the id `but`.
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
