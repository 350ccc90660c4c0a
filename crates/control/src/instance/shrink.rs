//! A step down: the buffer pool first, then the limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_engine::buffer_pool;
use dormouse_types::{Bytes, Units};
use tokio::task::JoinHandle;

use super::host::Host;
use crate::servers::{PoolHits, Server, ServerError};
use crate::time::{Late, now, within};

/// How long the kernel may take to let go of memory that a server has given up, since it last let go
/// of some.
const LETTING_GO: Duration = Duration::from_secs(2);

/// A step down that is on its way; dropping it ends it.
pub(super) struct Shrink {
    pub(super) to: Units,
    phase: Phase,
}

enum Phase {
    /// The buffer pool is being made smaller; with what it was asked for before.
    Pool(Aborting<Result<PoolHits, Late<ServerError>>>),
    /// The limits are tried: until when, and how much memory was held at the last try.
    Limits { until: Instant, held: Option<Bytes> },
}

/// A task that ends with its owner.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shrink {
    /// Begins with the buffer pool; `done` is called when that is over.
    pub(super) fn begin(
        host: Arc<Host>,
        server: Result<Server, ServerError>,
        to: Units,
        done: impl FnOnce() + Send + 'static,
    ) -> Self {
        let task = tokio::spawn(async move {
            let shrink = async {
                let server = server?;
                let hits = host.servers.hits(&server).await?;
                host.servers.shrink(&server, buffer_pool::awake(to)).await?;
                Ok(hits)
            };
            let shrunk = within(host.deadlines.shrink, shrink).await;
            done();
            shrunk
        });
        Self {
            to,
            phase: Phase::Pool(Aborting(task)),
        }
    }

    /// Whether the pool is small: `None` while it is not, `Some(Ok(Some(_)))` once with what it was asked
    /// for before.
    pub(super) async fn pool<E>(&mut self) -> Option<Result<Option<PoolHits>, E>>
    where
        E: From<Late<ServerError>> + From<tokio::task::JoinError>,
    {
        let Phase::Pool(task) = &mut self.phase else {
            return Some(Ok(None));
        };
        if !task.0.is_finished() {
            return None;
        }
        let hits = match (&mut task.0).await {
            Ok(Ok(hits)) => hits,
            Ok(Err(error)) => return Some(Err(error.into())),
            Err(error) => return Some(Err(error.into())),
        };
        self.phase = Phase::Limits {
            until: now() + LETTING_GO,
            held: None,
        };
        Some(Ok(Some(hits)))
    }

    /// The limits could not be set because this much is held. Says whether to try again: the kernel may
    /// still be at it.
    pub(super) fn goes_on(&mut self, now_held: Bytes, now: Instant) -> bool {
        let Phase::Limits { until, held } = &mut self.phase else {
            return false;
        };
        if held.is_some_and(|before| now_held < before) {
            *until = now + LETTING_GO;
        }
        *held = Some(now_held);
        now < *until
    }
}
