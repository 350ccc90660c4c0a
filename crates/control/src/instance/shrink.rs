//! Shrinking by one step: the buffer pool first, then the limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_engine::buffer_pool;
use dormouse_types::{Bytes, Units};
use tokio::task::JoinHandle;

use super::host::Host;
use crate::servers::{PoolHits, Server, ServerError};
use crate::time::{Late, now, within};

/// How long to wait for the kernel to free memory that the server has released, since it last freed some.
const LETTING_GO: Duration = Duration::from_secs(2);

/// A shrink that is under way; dropping it cancels it.
pub(super) struct Shrink {
    pub(super) to: Units,
    phase: Phase,
}

enum Phase {
    /// The buffer pool is shrinking. The result has the pool's counters from before.
    Pool(Aborting<Result<PoolHits, Late<ServerError>>>),
    /// The limits are being lowered: the time limit, and the memory in use at the last attempt.
    Limits { until: Instant, held: Option<Bytes> },
}

/// A task that is aborted when this is dropped.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shrink {
    /// Starts to shrink the buffer pool; `done` is called when that has ended.
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

    /// The result of the pool's task: `None` while it runs, `Some(Ok(Some(_)))` once with the pool's counters
    /// from before, then `Some(Ok(None))`.
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

    /// Records that the limits could not be set because this much memory is in use. Returns whether to try
    /// again: the kernel may still be freeing memory.
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
