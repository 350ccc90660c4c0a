//! An instance's buffer pool: warming after a wake, and its hit ratio for the ledger.

use std::sync::Arc;

use dormouse_engine::buffer_pool;

use super::Instance;
use super::rekeying::Rekeying;
use super::warming::{Warmed, Warming};
use crate::servers::{PoolHits, ServerError};
use crate::time::{Late, within};

impl Instance {
    /// Grows the buffer pool and reads the hot pages back, in the background, because growing holds the pool's
    /// latches for milliseconds and would delay the first statements. Calls `report` when enough pages are back.
    pub(crate) fn warm_up<F>(&mut self, report: impl FnOnce(Warmed) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        self.rekey();
        let server = self.server();
        let (host, units) = (Arc::clone(&self.host), self.units);
        let awake = self.awake();
        awake.pool.forget_ratio();
        awake.warming = server.ok().map(|server| {
            Warming::begin(
                host,
                server,
                buffer_pool::awake(units),
                awake.pool.since(),
                report,
            )
        });
    }

    /// Encrypts the server's files with the newest key, in the background, unless that is under way.
    fn rekey(&mut self) {
        let Ok(server) = self.server() else { return };
        let host = Arc::clone(&self.host);
        let rekeying = &mut self.awake().rekeying;
        if rekeying.as_ref().is_none_or(Rekeying::is_over) {
            *rekeying = Rekeying::begin(&host, server);
        }
    }

    /// Starts to count page requests at zero, for a server that was just started.
    pub(crate) fn count_from_start(&mut self) {
        self.awake().pool.begin(PoolHits::default());
        self.awake().next_units = None;
    }

    /// Reads the counters of the buffer pool, stores the hit ratio, and starts to count at them.
    pub(crate) async fn count_hits(&mut self) -> Result<(), Late<ServerError>> {
        let hits = self.hits().await?;
        self.count(hits);
        Ok(())
    }

    /// The counters of the buffer pool since its server started.
    pub(crate) async fn hits(&self) -> Result<PoolHits, Late<ServerError>> {
        let asked = async { self.host.servers.hits(&self.server()?).await };
        within(self.host.deadlines.ask, asked).await
    }

    /// Stores the hit ratio up to these counters, and starts to count at them.
    pub(crate) fn count(&mut self, hits: PoolHits) {
        self.awake().pool.restart_at(hits);
    }

    /// The hit ratio up to the last [`Instance::count`], in millionths.
    pub(crate) fn hit_ratio(&self) -> Option<u32> {
        self.awake.as_ref()?.pool.ratio_ppm
    }

    /// Clears the hit ratio, after it was written to the ledger.
    pub(crate) fn forget_ratio(&mut self) {
        if let Some(awake) = &mut self.awake {
            awake.pool.forget_ratio();
        }
    }
}
