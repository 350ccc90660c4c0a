//! Queries and commands of the plane to running servers.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_tenant::{Caller, Outcome, Statement};
use dormouse_types::{
    Account, Bytes, Ended, Endpoint, Events, InstanceId, RunAgain, UserChange, Variables,
};

pub mod admin;

pub use dormouse_engine::admin::follow::{Fenced, Progress as Following};
pub use dormouse_engine::admin::replay::{Events as EventStates, Place};
pub use dormouse_engine::buffer_pool::PoolHits;
pub use dormouse_engine::{Converted, Origin, Progress};

/// A running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The instance.
    pub instance: InstanceId,
    /// The instance whose credentials its accounts have.
    pub origin: InstanceId,
    /// Its endpoint.
    pub endpoint: Endpoint,
}

impl Server {
    /// The running server of an instance at this endpoint, whose accounts have the credentials of another one or the same.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn reached(
        (instance, origin): (InstanceId, InstanceId),
        endpoint: Option<&Endpoint>,
    ) -> Result<Self, ServerError> {
        let stopped = || ServerError::Unreachable("it does not run".to_owned());
        Ok(Self {
            instance,
            origin,
            endpoint: endpoint.cloned().ok_or_else(stopped)?,
        })
    }
}

/// A log that a server is to apply, which stands in its files for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// From where to where it is applied: at first where the server's files stand; more than one stretch if several servers
    /// have written it.
    pub stretches: Vec<(Place, Place)>,
    /// The statements in between that may define events, with their default schemas.
    pub definitions: Vec<(String, String)>,
}

/// Data needed while a database's server sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The accounts that may log in.
    pub accounts: Vec<Account>,
    /// The names of its schemas.
    pub schemas: Vec<String>,
    /// The global variables that were set since the server started, with their values.
    pub globals: Vec<(String, String)>,
    /// Variables that clients query when they connect; `None`: unknown.
    pub variables: Option<Variables>,
    /// When its event scheduler runs the next event.
    pub events: Events,
}

/// Why a command to a server failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The server could not be reached, the connection broke, or the deadline passed.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// The server does not let Dormouse's own account in, or refuses it its rights: a user of the database has
    /// changed the account.
    #[error(
        "it refuses Dormouse's own account, which a user of the database has probably changed: {0}"
    )]
    LockedOut(String),
    /// The request makes no sense: the caller's mistake.
    #[error("{0}")]
    BadRequest(String),
    /// The server returned an error.
    #[error("it refused: {0}")]
    Refused(String),
}

fn follows_none() -> ServerError {
    ServerError::BadRequest("these servers follow none".to_owned())
}

/// Queries and commands of the plane to running servers. Every verb but [`manage`](Servers::manage) is
/// idempotent and may be cancelled at any await; the caller sets the deadline.
#[async_trait]
pub trait Servers: Send + Sync + 'static {
    /// The version string in the servers' greeting.
    fn version(&self) -> String;

    /// SQL for a start for maintenance, after which the server lets Dormouse in.
    fn repair_sql(&self) -> String;

    /// Brings the rights of the accounts in a server, which has no other connections, to this version's; returns what
    /// was taken away.
    async fn harden(&self, server: &Server) -> Result<Vec<String>, ServerError>;

    /// Sets the password of the owner's account `admin` (given as SHA1(SHA1(password))), unlocks and enrolls
    /// it.
    async fn secure_owner(&self, server: &Server, stage2: [u8; 20]) -> Result<(), ServerError>;

    /// Adds, changes or drops an account; `false` if there was nothing to do.
    async fn change_user(&self, server: &Server, change: &UserChange) -> Result<bool, ServerError>;

    /// The accounts that a login with this user name may use: those of the name, and anonymous ones.
    async fn accounts(&self, server: &Server, user: &str) -> Result<Vec<Account>, ServerError>;

    /// Adds the credential with which the proxy logs in as this account; `false` if the account does not
    /// exist.
    async fn enroll(&self, server: &Server, user: &str, host: &str) -> Result<bool, ServerError>;

    /// Makes an understudy of a server that no database has: takes every account but Dormouse's away, and limits what its
    /// sessions use.
    async fn make_understudy(&self, server: &Server) -> Result<(), ServerError>;

    /// Makes an account without rights on an understudy, with the credential with which the proxy logs in, in place of
    /// those of the same user with other hosts. Sessions go on.
    async fn enroll_on_understudy(
        &self,
        server: &Server,
        user: &str,
        host: &str,
    ) -> Result<(), ServerError>;

    /// Takes every account but Dormouse's away from an understudy. Sessions go on.
    async fn empty_understudy(&self, server: &Server) -> Result<(), ServerError>;

    /// Gives the accounts of a server that runs on files of elsewhere the credentials of its own instance.
    async fn take_over(&self, server: &Server, from: &Origin) -> Result<(), ServerError>;

    /// Applies the log that the server's files have for that, on a connection with the credentials of its origin.
    /// Returns when it has been applied, which has no deadline. Not to be repeated.
    async fn replay(
        &self,
        _server: &Server,
        _origin: &Origin,
        _replay: &Replay,
    ) -> Result<(), ServerError> {
        let what = "these servers apply no logs".to_owned();
        Err(ServerError::BadRequest(what))
    }

    /// Whether the server keeps a log.
    async fn keeps_log(&self, _server: &Server) -> Result<bool, ServerError> {
        Ok(false)
    }

    /// Keeps all of the server's log, or only the last of it.
    async fn keep_log(&self, _server: &Server, _keeps: bool) -> Result<(), ServerError> {
        Ok(())
    }

    /// Has the server write changed pages, so that its stop is short; waits for that, at most for this time. Returns whether there
    /// are few left.
    async fn write_pages(&self, _server: &Server, _limit: Duration) -> Result<bool, ServerError> {
        Ok(true)
    }

    /// Takes away what a move or a copy had set when Dormouse ended; keeps all of its log, or only the last of it.
    async fn go_on_as_usual(&self, server: &Server, keeps_log: bool) -> Result<(), ServerError> {
        self.unfence(server).await?;
        self.keep_log(server, keeps_log).await
    }

    /// Takes that back: the server does not stop.
    async fn write_pages_as_usual(&self, _server: &Server) -> Result<(), ServerError> {
        Ok(())
    }

    /// The last transaction in the server's log.
    async fn logged(&self, _server: &Server) -> Result<String, ServerError> {
        Err(follows_none())
    }

    /// Notes in a server that its files have all up to these transactions of the server that it is to follow.
    async fn begin_to_follow(&self, _server: &Server, _position: &str) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// Lets the server follow the one that is reached at this address with this password. `acknowledges`: commits there may
    /// wait for it.
    async fn follow(
        &self,
        _server: &Server,
        _address: SocketAddr,
        _password: &str,
        _acknowledges: bool,
    ) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// How far a server has followed.
    async fn following(&self, _server: &Server) -> Result<Following, ServerError> {
        Err(follows_none())
    }

    /// Waits until the server has applied these transactions; `false` if that takes longer than the limit.
    async fn reaches(
        &self,
        _server: &Server,
        _position: &str,
        _limit: Duration,
    ) -> Result<bool, ServerError> {
        Err(follows_none())
    }

    /// Lets commits of the server wait until a server that follows it has them, or not.
    async fn wait_for_replica(&self, _server: &Server, _waits: bool) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// Lets commits of the server go on that wait for a follower which has them already.
    async fn remind_replica(&self, _server: &Server) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// Lets commits go on that wait for a replica which was sent them, and hold the server's log, so that nothing can be
    /// written to remind it; returns whether they were let go. `others`: how many connected replicas may lack them.
    async fn release_commits(&self, _server: &Server, _others: usize) -> Result<bool, ServerError> {
        Err(follows_none())
    }

    /// Removes the files of the server's log but the last two.
    async fn purge_own_log(&self, _server: &Server) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// The events of a server, with their states.
    async fn events(&self, _server: &Server) -> Result<EventStates, ServerError> {
        Err(follows_none())
    }

    /// Lets the server take no changes but Dormouse's, and no event run; returns what its successor needs.
    async fn fence(&self, _server: &Server) -> Result<Fenced, ServerError> {
        Err(follows_none())
    }

    /// Takes a fence away, if there is one.
    async fn unfence(&self, _server: &Server) -> Result<(), ServerError> {
        Ok(())
    }

    /// Ends the following of a server: it takes changes, and its events have these states. `waits`: its commits wait for a
    /// replica.
    async fn promote(
        &self,
        _server: &Server,
        _events: &EventStates,
        _waits: bool,
    ) -> Result<(), ServerError> {
        Err(follows_none())
    }

    /// Removes the files of the server's log before this one.
    async fn purge_log(&self, _server: &Server, _to: &str) -> Result<(), ServerError> {
        Ok(())
    }

    /// Holds commits, and writes to tables without a log, until what is returned is dropped; what was acknowledged before
    /// is in the files then.
    async fn quiesce(&self, server: &Server) -> Result<Box<dyn Send>, ServerError>;

    /// Checks every table; returns what is damaged, as `schema.table: reason`.
    async fn check(&self, server: &Server) -> Result<Vec<String>, ServerError>;

    /// Runs a statement about accounts or global variables in place of the caller, if its account may. On one
    /// server these run one after another. Not idempotent, and not to be cancelled.
    async fn manage(
        &self,
        server: &Server,
        caller: &Caller,
        statement: &Statement,
    ) -> Result<Outcome, ServerError>;

    /// The current global variables that clients query.
    async fn variables(&self, server: &Server) -> Result<Variables, ServerError>;

    /// Whether the server has stored code that changes sessions in ways that no reply reports.
    async fn hides_changes(&self, server: &Server) -> Result<bool, ServerError>;

    /// What keeps interrupted statements from being run again.
    async fn run_again(&self, _server: &Server) -> Result<RunAgain, ServerError> {
        let what = "these servers do not tell".to_owned();
        Err(ServerError::BadRequest(what))
    }

    /// Kills a connection and the statement that runs on it; does nothing if it no longer exists.
    async fn end(&self, server: &Server, thread: u32, what: Ended) -> Result<(), ServerError>;

    /// All data needed while the server sleeps.
    async fn snapshot(&self, server: &Server) -> Result<Snapshot, ServerError>;

    /// The MEMORY tables that have rows, as `schema.table`: the rows are lost with the server's process.
    /// `None` if the query would take longer than `patience`.
    async fn memory_tables(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<Option<Vec<String>>, ServerError>;

    /// Sets global variables again after a restart; returns those that could not be set, each with the
    /// reason.
    async fn apply_globals(
        &self,
        server: &Server,
        globals: &[(String, String)],
    ) -> Result<Vec<String>, ServerError>;

    /// Records the hot pages, unless they have not all been read back yet, and shrinks the buffer pool to
    /// this size; returns when it is shrunk. Cancels a running [`hydrate`](Self::hydrate).
    async fn shrink(&self, server: &Server, to: Bytes) -> Result<(), ServerError>;

    /// Grows the buffer pool to this size.
    async fn grow(&self, server: &Server, to: Bytes) -> Result<(), ServerError>;

    /// Reads the recorded hot pages back, in bursts that leave the disk to statements; returns the size read.
    /// Until it returns, the hot pages are not recorded anew, neither by [`shrink`](Self::shrink) nor by a
    /// server that stops. Call it again after a `shrink` that was not followed by a suspend.
    async fn hydrate(&self, server: &Server) -> Result<Bytes, ServerError>;

    /// The counters of the buffer pool since the server started.
    async fn hits(&self, server: &Server) -> Result<PoolHits, ServerError>;

    /// Encrypts everything with the newest key that the server has; returns when all is done, which has no
    /// deadline. `None` if the server has no keys.
    async fn encrypt(&self, server: &Server) -> Result<Option<Converted>, ServerError>;

    /// How far that is, and the first tables that are not encrypted, as `schema.table`.
    async fn encryption(&self, server: &Server) -> Result<(Progress, Vec<String>), ServerError>;

    /// Closes the connection that is kept to the server: it is about to be frozen or stopped, or has ended.
    async fn forget(&self, instance: InstanceId);
}
