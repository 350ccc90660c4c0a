//! The methods of [`Proxy`] that the control path calls: doors, restrictions, captures and counters of
//! each database.

use std::time::Duration;

use dormouse_types::{
    Access, Activity, Carried, DatabaseName, InstanceId, PoolStatus, Reads, Replica, SessionStatus,
    Target, Veto, VetoReason,
};
use tokio::sync::oneshot;

use crate::accept::Proxy;
use crate::handle::LeaseState;
use crate::mailbox::SessionOrder;
use crate::opening;

impl Proxy {
    /// Adds a database with its door shut; from now on logins to it are possible.
    pub fn add(&self, database: &DatabaseName) {
        self.shared.directory.add(database);
    }

    /// Removes a database and ends its sessions.
    pub fn remove(&self, database: &DatabaseName) {
        self.shared.directory.remove(database);
    }

    /// Replaces the lists of addresses that may connect to a database, and ends the sessions that they
    /// exclude at the end of their statements.
    pub fn set_access(&self, database: &DatabaseName, access: Access) {
        if let Some(database) = self.shared.directory.find(database) {
            database.set_access(access);
        }
    }

    /// Opens the door; sessions that carry locks go first, then held statements.
    pub fn open(&self, database: &DatabaseName, target: Target) {
        if let Some(database) = self.shared.directory.find(database) {
            opening::open(&database, target);
        }
    }

    /// Shuts the door if no statement is running, or in any case with `force`. Returns whether it is
    /// shut.
    pub fn shut(&self, database: &DatabaseName, force: bool) -> bool {
        self.shared
            .directory
            .find(database)
            .is_none_or(|database| database.door.shut(force))
    }

    /// Shuts the door and waits until running statements have ended. If that takes too long, opens it
    /// again and returns `false`.
    pub async fn drain(&self, database: &DatabaseName, deadline: Duration) -> bool {
        match self.shared.directory.find(database) {
            Some(database) => database.door.drain(deadline).await,
            None => true,
        }
    }

    /// The same, but also waits until no transaction is open.
    pub async fn drain_transactions(&self, database: &DatabaseName, deadline: Duration) -> bool {
        match self.shared.directory.find(database) {
            Some(database) => database.door.drain_transactions(deadline).await,
            None => true,
        }
    }

    /// Ends the sessions whose statements are running, at once: their clients find the connection closed.
    pub fn end_running(&self, database: &DatabaseName) {
        let Some(database) = self.shared.directory.find(database) else {
            return;
        };
        for session in database.all_sessions() {
            if session.lease() == LeaseState::Running {
                session.cut();
            }
        }
    }

    /// Refuses held and later statements with this reason until the door is opened or shut.
    pub fn refuse(&self, database: &DatabaseName, reason: &str) {
        if let Some(database) = self.shared.directory.find(database) {
            database.door.refuse(reason);
        }
    }

    /// The load now; all zero for an unknown database.
    #[must_use]
    pub fn activity(&self, database: &DatabaseName) -> Activity {
        let Some(database) = self.shared.directory.find(database) else {
            return Activity::default();
        };
        Activity {
            sessions: database.session_count(),
            ..database.door.activity()
        }
    }

    /// Traffic since the proxy started, without logins; all zero for an unknown database.
    #[must_use]
    pub fn carried(&self, database: &DatabaseName) -> Carried {
        let found = self.shared.directory.find(database);
        found.map_or_else(Carried::default, |database| database.carried())
    }

    /// Refuses, with this reason, statements that could make the database larger or change its contents;
    /// `None` ends that.
    pub fn restrict(&self, database: &DatabaseName, reason: Option<&str>) {
        if let Some(database) = self.shared.directory.find(database) {
            database.restriction.change(reason);
        }
    }

    /// Holds statements of all sessions but those that show this key; `None` ends that.
    pub fn reserve(&self, database: &DatabaseName, key: Option<&str>) {
        if let Some(database) = self.shared.directory.find(database) {
            database.reservation.change(key);
        }
    }

    /// Sets the servers that follow that of a database and are not far behind, and where statements run that only read.
    pub fn set_replicas(&self, database: &DatabaseName, replicas: Vec<Replica>, reads: Reads) {
        if let Some(database) = self.shared.directory.find(database) {
            database.set_replicas(replicas, reads);
        }
    }

    /// Whether statements still run on a replica that may not be read any more.
    #[must_use]
    pub fn reads_on(&self, database: &DatabaseName, replica: InstanceId) -> bool {
        let found = self.shared.directory.find(database);
        found.is_some_and(|database| database.reads_on(replica))
    }

    /// Status and counters of a database's pool; all zero for an unknown database.
    #[must_use]
    pub fn pool(&self, database: &DatabaseName) -> PoolStatus {
        let found = self.shared.directory.find(database);
        found.map_or_else(PoolStatus::default, |database| database.pool_status())
    }

    /// The sessions of a database, ordered by id.
    #[must_use]
    pub fn sessions(&self, database: &DatabaseName) -> Vec<SessionStatus> {
        let found = self.shared.directory.find(database);
        found.map_or_else(Vec::new, |database| {
            database.session_statuses(self.shared.seconds())
        })
    }

    /// Makes every session read its state; the door must be shut and the server running. Returns the
    /// state that cannot be restored.
    pub async fn capture(&self, database: &DatabaseName, deadline: Duration) -> Vec<Veto> {
        let Some(database) = self.shared.directory.find(database) else {
            return Vec::new();
        };
        let mut asked = Vec::new();
        for session in database
            .all_sessions()
            .into_iter()
            .filter(|session| session.has_backend())
        {
            let (reply, answer) = oneshot::channel();
            session.mailbox.send(SessionOrder::Capture(reply));
            asked.push((session, answer));
        }
        let until = tokio::time::Instant::now() + deadline;
        let mut vetoes = Vec::new();
        for (session, answer) in asked {
            let id = session.id;
            match tokio::time::timeout_at(until, answer).await {
                Ok(Ok(pins)) => {
                    vetoes.extend(pins.into_iter().map(|pin| Veto {
                        session: id,
                        reason: VetoReason::Pinned(pin),
                    }));
                }
                // the session has ended meanwhile: it has no state to lose
                Ok(Err(_)) => {}
                Err(_) if database.session(id).is_none() => {}
                Err(_) => vetoes.push(Veto {
                    session: id,
                    reason: VetoReason::Unresponsive,
                }),
            }
        }
        vetoes
    }

    /// Makes every session give up its backend; the door must be shut and all sessions captured.
    pub async fn release(&self, database: &DatabaseName, deadline: Duration) {
        let Some(database) = self.shared.directory.find(database) else {
            return;
        };
        let mut told = Vec::new();
        for session in database
            .all_sessions()
            .into_iter()
            .filter(|session| session.has_backend())
        {
            let (reply, done) = oneshot::channel();
            session.mailbox.send(SessionOrder::Release(reply));
            told.push(done);
        }
        let until = tokio::time::Instant::now() + deadline;
        for done in told {
            let _ = tokio::time::timeout_at(until, done).await;
        }
        if let Some(pool) = database.used_pool() {
            pool.clear();
        }
        database.replicas.clear();
        database.door.parked();
    }
}
