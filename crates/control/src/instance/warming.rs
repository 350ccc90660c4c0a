//! Warming after a wake: grows the buffer pool and reads its hot pages back, in the background.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_types::Bytes;
use tokio::task::JoinHandle;
use tracing::{Instrument, info};

use super::host::Host;
use crate::servers::{PoolHits, Server, ServerError};
use crate::time::{Late, now, within};

/// Delay before the pool grows, so that the first statements after a wake do not wait for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Minimum size of the hot pages read back for a report.
const REPORTED: Bytes = Bytes::mib(16);

/// The task that grows the buffer pool; dropping this aborts it.
pub(super) struct Warming(JoinHandle<()>);

impl Drop for Warming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The hot pages have been read back.
pub(crate) struct Warmed {
    /// How much was read.
    pub(crate) read: Bytes,
    /// When reading began.
    pub(crate) began: Instant,
    /// Hit ratio since the server woke, in millionths.
    pub(crate) hit_ratio_ppm: Option<u32>,
}

impl Warming {
    /// Grows the pool to this size, which is that of the limits in force: the catalog may already have larger
    /// units.
    pub(super) fn begin<F>(
        host: Arc<Host>,
        server: Server,
        pool: Bytes,
        since: Option<PoolHits>,
        report: impl FnOnce(Warmed) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let warm = async move {
            tokio::time::sleep(PAUSE).await;
            match warm(&host, &server, pool, since).await {
                Ok(Some(warmed)) => report(warmed).await,
                Ok(None) => {}
                Err(error) => info!(%error, "the buffer pool could not be warmed"),
            }
        };
        Self(tokio::spawn(warm.in_current_span()))
    }
}

async fn warm(
    host: &Host,
    server: &Server,
    pool: Bytes,
    since: Option<PoolHits>,
) -> Result<Option<Warmed>, Late<ServerError>> {
    within(host.deadlines.start, host.servers.grow(server, pool)).await?;
    let began = now();
    // no deadline: the duration depends on the number of pages, and a sleep cancels it
    let read = host.servers.hydrate(server).await.map_err(Late::Failed)?;
    if read < REPORTED {
        return Ok(None);
    }
    let hits = within(host.deadlines.ask, host.servers.hits(server)).await;
    let hit_ratio_ppm = hits.ok().and_then(|hits| hits.ratio_ppm_since(since?));
    Ok(Some(Warmed {
        read,
        began,
        hit_ratio_ppm,
    }))
}
