//! How the control path steers the data path.

use std::time::Duration;

use dormouse_types::{
    Activity, Carried, DatabaseName, PoolStatus, SessionStatus, Target, Veto, VetoReason,
};
use tokio::sync::oneshot;

use crate::accept::Proxy;
use crate::mailbox::Order;

impl Proxy {
    /// A database exists: logins to it are possible. Its door is shut.
    pub fn add(&self, database: &DatabaseName) {
        self.shared.directory.add(database);
    }

    /// A database is no more: its sessions end.
    pub fn remove(&self, database: &DatabaseName) {
        self.shared.directory.remove(database);
    }

    /// Lets statements flow; those held go first.
    pub fn open(&self, database: &DatabaseName, target: Target) {
        if let Some(database) = self.shared.directory.find(database) {
            database.door.open(target);
        }
    }

    /// Holds statements from now on, if none is running, or in any case with `force`. Says whether
    /// they are held.
    pub fn shut(&self, database: &DatabaseName, force: bool) -> bool {
        self.shared
            .directory
            .find(database)
            .is_none_or(|database| database.door.shut(force))
    }

    /// Holds statements from now on and waits until those that run have ended. If that takes too
    /// long they flow again, and the answer is `false`.
    pub async fn drain(&self, database: &DatabaseName, deadline: Duration) -> bool {
        match self.shared.directory.find(database) {
            Some(database) => database.door.drain(deadline).await,
            None => true,
        }
    }

    /// Refuses held and later statements for this reason until the door is opened or shut.
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

    /// What has passed since the proxy began, the logins left out; all zero for an unknown database.
    #[must_use]
    pub fn carried(&self, database: &DatabaseName) -> Carried {
        let found = self.shared.directory.find(database);
        found.map_or_else(Carried::default, |database| database.carried())
    }

    /// Refuses, for this reason, statements that could make the database larger or change what it
    /// holds; `None`: none any more.
    pub fn restrict(&self, database: &DatabaseName, reason: Option<&str>) {
        if let Some(database) = self.shared.directory.find(database) {
            database.restriction.change(reason);
        }
    }

    /// The backends of a database and what has happened to them; all zero for an unknown one.
    #[must_use]
    pub fn pool(&self, database: &DatabaseName) -> PoolStatus {
        let found = self.shared.directory.find(database);
        found.map_or_else(PoolStatus::default, |database| database.pool_status())
    }

    /// The sessions of a database, by their ids.
    #[must_use]
    pub fn sessions(&self, database: &DatabaseName) -> Vec<SessionStatus> {
        let found = self.shared.directory.find(database);
        found.map_or_else(Vec::new, |database| {
            database.session_statuses(self.shared.seconds())
        })
    }

    /// With the door shut and the server running: every session notes its state. Returns what
    /// cannot be restored.
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
            session.mailbox.send(Order::Capture(reply));
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
                // it has ended meanwhile, or never got there: nothing to lose
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

    /// With the door shut and every session captured: all backends are given up.
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
            session.mailbox.send(Order::Release(reply));
            told.push(done);
        }
        let until = tokio::time::Instant::now() + deadline;
        for done in told {
            let _ = tokio::time::timeout_at(until, done).await;
        }
        if let Some(pool) = database.used_pool() {
            pool.clear();
        }
    }
}
