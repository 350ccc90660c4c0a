//! What the plane asks of a running server.

use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{Account, Bytes, Endpoint, Events, InstanceId, Variables};

pub mod admin;

pub use dormouse_engine::buffer_pool::PoolHits;

/// A server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The instance.
    pub instance: InstanceId,
    /// How it is reached.
    pub endpoint: Endpoint,
}

impl Server {
    /// The server of an instance that is reached like this.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn reached(
        instance: InstanceId,
        endpoint: Option<&Endpoint>,
    ) -> Result<Self, ServerError> {
        let stopped = || ServerError::Unreachable("it does not run".to_owned());
        Ok(Self {
            instance,
            endpoint: endpoint.cloned().ok_or_else(stopped)?,
        })
    }
}

/// What must be known of a database while its server sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The accounts that may log in.
    pub accounts: Vec<Account>,
    /// The names of its schemas.
    pub schemas: Vec<String>,
    /// The global variables that were set since the server started, with their values.
    pub globals: Vec<(String, String)>,
    /// What clients ask for when they connect; `None`: it is not known.
    pub variables: Option<Variables>,
    /// When its event scheduler has something to do.
    pub events: Events,
}

/// Why a server did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It could not be reached, or the connection broke, or it took too long.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("it refused: {0}")]
    Refused(String),
}

/// What the plane asks of running servers. Every verb is idempotent and may be abandoned at any
/// await; the caller sets the deadline.
#[async_trait]
pub trait Servers: Send + Sync + 'static {
    /// The version string the servers greet with.
    fn version(&self) -> String;

    /// Gives the owner's account `admin` this password (SHA1(SHA1(password))), unlocks it, and
    /// enrolls it.
    async fn secure_owner(&self, server: &Server, stage2: [u8; 20]) -> Result<(), ServerError>;

    /// The accounts that a login with this user name may use: those of the name, and anonymous ones.
    async fn accounts(&self, server: &Server, user: &str) -> Result<Vec<Account>, ServerError>;

    /// Adds the credential with which the proxy logs in as this account; `false` if there is no
    /// such account.
    async fn enroll(&self, server: &Server, user: &str, host: &str) -> Result<bool, ServerError>;

    /// The global variables that clients ask for, as they are now.
    async fn variables(&self, server: &Server) -> Result<Variables, ServerError>;

    /// Ends a connection of the server's and the statement that runs on it; it may already be gone.
    async fn end(&self, server: &Server, thread: u32) -> Result<(), ServerError>;

    /// All that must be known while the server sleeps.
    async fn snapshot(&self, server: &Server) -> Result<Snapshot, ServerError>;

    /// The MEMORY tables that have rows, as `schema.table`: they end with the server's process. `None` if it
    /// would work longer than `patience` on that.
    async fn memory_tables(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<Option<Vec<String>>, ServerError>;

    /// Sets global variables again that a restart has lost; answers with those it could not set,
    /// each with the reason.
    async fn apply_globals(
        &self,
        server: &Server,
        globals: &[(String, String)],
    ) -> Result<Vec<String>, ServerError>;

    /// Notes which pages are hot, unless they are not all back yet, and makes the buffer pool this
    /// small; says when it is. Ends a [`hydrate`](Self::hydrate) that goes on.
    async fn shrink(&self, server: &Server, to: Bytes) -> Result<(), ServerError>;

    /// Makes the buffer pool this large.
    async fn grow(&self, server: &Server, to: Bytes) -> Result<(), ServerError>;

    /// Reads the hot pages back as they were last noted, in bursts that leave the disk to statements,
    /// and says when they are there and how much came. Until then they are not noted anew, neither
    /// by [`shrink`](Self::shrink) nor by a server that stops. To be begun again after a `shrink`
    /// that did not suspend the server.
    async fn hydrate(&self, server: &Server) -> Result<Bytes, ServerError>;

    /// What the buffer pool was asked since the server started.
    async fn hits(&self, server: &Server) -> Result<PoolHits, ServerError>;

    /// Gives up whatever connection is kept to the server: it is about to be frozen or stopped,
    /// or it is gone.
    async fn forget(&self, instance: InstanceId);
}
