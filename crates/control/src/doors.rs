//! What the control path asks of the data path.
//!
//! The proxy implements it; the binary connects the two. A database's door is *open* (statements flow
//! to its server) or *shut* (statements are held, and each held statement asks the plane for a wake).

use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{Activity, Carried, DatabaseName, PoolStatus, SessionStatus, Target, Veto};

/// What the control path asks of the data path. Every verb is idempotent.
#[async_trait]
pub trait Doors: Send + Sync + 'static {
    /// A database exists: sessions may be accepted for it. Its door starts shut.
    fn add(&self, database: &DatabaseName);

    /// A database is no more: its sessions get an error and end.
    fn remove(&self, database: &DatabaseName);

    /// Lets statements flow; those held go first, in order of arrival.
    fn open(&self, database: &DatabaseName, target: Target);

    /// Holds every statement from now on. With `force` false it answers `false` and changes
    /// nothing if a statement is running; with `force` true (the server died) it always holds.
    fn shut(&self, database: &DatabaseName, force: bool) -> bool;

    /// Holds every statement from now on and waits until those that run have ended. If that takes
    /// longer than the deadline they flow again, and the answer is `false`.
    async fn drain(&self, database: &DatabaseName, deadline: Duration) -> bool;

    /// Held statements get this error and so do later ones, until the door is opened or shut
    /// anew: the server cannot be started.
    fn refuse(&self, database: &DatabaseName, reason: &str);

    /// The load now; all zero for a database that is not known.
    fn activity(&self, database: &DatabaseName) -> Activity;

    /// With the door shut and the server running: every session notes its state so that it can
    /// be restored on another server, and says no if it has state that cannot be. Sessions that do
    /// not answer in time veto with the pin `unresponsive`. It may be abandoned at any await: a
    /// statement arrived, and the door is opened again.
    async fn capture(&self, database: &DatabaseName, deadline: Duration) -> Vec<Veto>;

    /// With the door shut and every session captured: gives up all backends, so that the server
    /// can stop.
    async fn release(&self, database: &DatabaseName);

    /// What has passed since dormouse started; all zero for a database that is not known.
    fn carried(&self, database: &DatabaseName) -> Carried;

    /// From now on statements that could make it larger or change what it holds get an error with
    /// this reason; those that read, remove or free do not. `None`: every statement flows again.
    /// It holds until it is said otherwise, whatever becomes of its doors.
    fn restrict(&self, database: &DatabaseName, reason: Option<&str>);

    /// A database's backends and what has happened to them.
    fn pool(&self, database: &DatabaseName) -> PoolStatus;

    /// A database's sessions, by their ids.
    fn sessions(&self, database: &DatabaseName) -> Vec<SessionStatus>;
}
