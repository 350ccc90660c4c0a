//! The interface of the data path for the control path.
//!
//! The proxy implements it; the binary connects the two. A database's door is *open* (statements pass
//! to its server), *shut* (statements are held, and each held statement requests a wake), or *refusing*
//! (statements get an error).

use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{
    Access, Activity, Carried, DatabaseName, InstanceId, PoolStatus, Reads, Replica, SessionStatus,
    Target, Veto,
};

/// The interface of the data path for the control path. Every verb is idempotent.
#[async_trait]
pub trait Doors: Send + Sync + 'static {
    /// Adds a database: its sessions may be accepted. Its door starts shut.
    fn add(&self, database: &DatabaseName);

    /// Removes a database: its sessions get an error and end.
    fn remove(&self, database: &DatabaseName);

    /// Opens the door; held statements pass first, in order of arrival.
    fn open(&self, database: &DatabaseName, target: Target);

    /// Shuts the door. Without `force` it returns `false` and changes nothing if a statement is running; with
    /// `force` (the server died) it always shuts.
    fn shut(&self, database: &DatabaseName, force: bool) -> bool;

    /// Shuts the door and waits until running statements have ended. If that takes longer than the deadline,
    /// opens it again and returns `false`.
    async fn drain(&self, database: &DatabaseName, deadline: Duration) -> bool;

    /// The same, but also waits until no transaction is open: sessions in one may end it.
    async fn drain_transactions(&self, database: &DatabaseName, deadline: Duration) -> bool {
        self.drain(database, deadline).await
    }

    /// Ends the sessions whose statements are running, at once, and the statements with them.
    fn end_running(&self, database: &DatabaseName);

    /// Refuses held and new statements with this reason, until the door is opened or shut again: the server
    /// cannot be started, or the spend limit is used up.
    fn refuse(&self, database: &DatabaseName, reason: &str);

    /// The load now; all zero for a database that is not known.
    fn activity(&self, database: &DatabaseName) -> Activity;

    /// With the door shut and the server running: every session notes its state so that it can
    /// be restored on another server, and vetoes if it has state that cannot be. Sessions that do
    /// not answer in time veto with the reason `unresponsive`. The caller may cancel it at any await, when a
    /// statement has arrived; then the door is opened again.
    async fn capture(&self, database: &DatabaseName, deadline: Duration) -> Vec<Veto>;

    /// With the door shut and every session captured: closes all backends, so that the server can stop.
    async fn release(&self, database: &DatabaseName);

    /// Statements and bytes since Dormouse started; all zero for a database that is not known.
    fn carried(&self, database: &DatabaseName) -> Carried;

    /// Refuses statements that could add or change data, with this reason; those that read, remove or free
    /// pass. `None` ends that. Applies until the next call, whether the door is open or shut.
    fn restrict(&self, database: &DatabaseName, reason: Option<&str>);

    /// Sets the addresses whose clients may connect, and ends the sessions of others.
    fn set_access(&self, database: &DatabaseName, access: &Access);

    /// Holds statements of all sessions but those that show this key in their connection attributes. `None` ends that;
    /// held statements then run.
    fn reserve(&self, database: &DatabaseName, key: Option<&str>);

    /// Sets the servers that follow that of a database and are not far behind, and where statements run that only read.
    fn set_replicas(&self, _database: &DatabaseName, _replicas: Vec<Replica>, _reads: Reads) {}

    /// Whether statements still run on a replica that may not be read any more.
    fn reads_on(&self, _database: &DatabaseName, _replica: InstanceId) -> bool {
        false
    }

    /// A database's backends, with counters.
    fn pool(&self, database: &DatabaseName) -> PoolStatus;

    /// A database's sessions, sorted by id.
    fn sessions(&self, database: &DatabaseName) -> Vec<SessionStatus>;
}
