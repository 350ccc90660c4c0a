//! Backends on replicas: taken from their pools, and given back.

use std::sync::Arc;
use std::time::Duration;

use dormouse_types::Target;

use crate::backend::{Backend, BackendError, ChangeCounts, Connection};
use crate::pool::{Need, Offer, Pool};
use crate::replicas::ReplicaServer;
use crate::session::context::SessionContext;
use crate::session::hold::reuse;

/// How long a statement waits until a replica has what its session has seen.
pub(crate) const BEHIND: Duration = Duration::from_millis(50);

/// How long a replica that was behind, or did not answer, gets no statement.
const REST: Duration = Duration::from_millis(250);
const LONG_REST: Duration = Duration::from_secs(2);

/// Why a statement does not run on a replica.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Away {
    /// It cannot be used.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// It does not answer in time.
    #[error("it does not answer")]
    Silent,
    /// It has not what the session has seen.
    #[error("it is behind")]
    Behind,
    /// All its backends are in use.
    #[error("all its backends are in use")]
    Busy,
    /// What the session has seen is not known.
    #[error("the position of the primary is not known")]
    Unknown,
    /// Its settings differ in a way that a session cannot set.
    #[error("its global variables are not those of the primary")]
    Unlike,
}

impl Away {
    /// How long the replica gets no statement.
    pub(crate) fn rest(&self) -> Option<Duration> {
        match self {
            Self::Backend(BackendError::Gone(_) | BackendError::Malformed(_))
            | Self::Silent
            | Self::Unlike => Some(LONG_REST),
            Self::Behind => Some(REST),
            Self::Backend(_) | Self::Busy | Self::Unknown => None,
        }
    }
}

impl From<std::io::Error> for Away {
    fn from(error: std::io::Error) -> Self {
        BackendError::from(error).into()
    }
}

pub(crate) async fn within<T>(
    limit: Duration,
    doing: impl Future<Output = Result<T, Away>>,
) -> Result<T, Away> {
    let done = tokio::time::timeout(limit, Box::pin(doing)).await;
    done.unwrap_or(Err(Away::Silent))
}

/// A backend on the replica, in the state of whatever session used it last.
pub(crate) async fn backend(
    cx: &SessionContext,
    server: &ReplicaServer,
    schema: bool,
) -> Result<Box<Backend>, Away> {
    backend_in(cx, &server.pool, &server.target, schema).await
}

pub(crate) async fn backend_in(
    cx: &SessionContext,
    pool: &Arc<Pool>,
    target: &Arc<Target>,
    schema: bool,
) -> Result<Box<Backend>, Away> {
    let identity = &cx.identity;
    let need = Need {
        identity: Arc::clone(identity),
        target: Arc::clone(target),
        schema,
        session: Some(cx.handle().id),
    };
    let grant = match pool.ask(&need, true) {
        Offer::Now(grant) => grant,
        Offer::Wait(receiver) => {
            let granted = tokio::time::timeout(BEHIND, receiver).await;
            pool.gave_up();
            granted.ok().and_then(Result::ok).ok_or(Away::Busy)?
        }
    };
    let place = match reuse(cx, grant)? {
        Ok(backend) => return Ok(backend),
        Err(place) => place,
    };
    let before = ChangeCounts::now(&place);
    let (user, host) = (&identity.account_user, &identity.account_host);
    let credential = cx.control().credential(target.origin, user, host);
    let names = identity.security.names();
    let sign = |names| cx.control().client_certificate(target.instance, names);
    let certificate = names.map(sign).transpose().map_err(BackendError::from)?;
    let connection = Connection::connect(target, identity, credential, certificate).await?;
    Ok(Backend::new(connection, target, identity, place, before))
}

/// Gives a backend to the pool of its replica.
pub(crate) fn give_back(server: &ReplicaServer, backend: Box<Backend>) {
    server.pool.give_back(backend);
    server.tidy();
}
