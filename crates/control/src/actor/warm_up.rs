//! After a wake: the buffer pool grows and gets its hot pages back, behind the traffic; and how much
//! of what statements asked of it was in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_engine::buffer_pool;
use dormouse_policy::Cause;
use dormouse_types::Bytes;
use tracing::info;

use super::{Actor, Growing, Hitch};
use crate::catalog::{Change, Durability, Entry};
use crate::database::Database;
use crate::world::{World, now, within};
use crate::{EventKind, Figures, PoolHits};

/// How long the first statements have the server to themselves.
const BEHIND: Duration = Duration::from_millis(100);

/// The ledger says that hot pages are back if they were at least this much.
const TOLD: Bytes = Bytes::mib(16);

/// What a server's buffer pool was asked when its database last woke, or changed its size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// `None`: it is not known, for dormouse has found the server awake.
    since: Option<PoolHits>,
    /// Of what was asked since then, what was in the pool; known from a sleep to the next wake, and
    /// while a change of size is written down.
    pub(super) ratio_ppm: Option<u32>,
}

impl Asked {
    /// By a server that was just started.
    pub(super) fn nothing() -> Self {
        Self {
            since: Some(PoolHits::default()),
            ratio_ppm: None,
        }
    }

    /// What was asked up to now is counted, and from now on anew.
    pub(super) fn now(&mut self, hits: PoolHits) {
        *self = Self {
            ratio_ppm: self.since.and_then(|then| hits.ratio_ppm_since(then)),
            since: Some(hits),
        };
    }
}

impl Actor {
    /// Grows the buffer pool and reads the hot pages back, behind the doors: growing holds the
    /// pool's latches for milliseconds, which the first statements should not wait for.
    pub(super) fn grow(&mut self) {
        self.asked.ratio_ppm = None;
        let warming = Warming {
            world: Arc::clone(&self.world),
            database: Arc::clone(&self.database),
            pool: buffer_pool::awake(self.database.view().units),
            since: self.asked.since,
        };
        self.growing = Some(Growing(tokio::spawn(async move {
            tokio::time::sleep(BEHIND).await;
            if let Err(reason) = warming.grow().await {
                let database = &warming.database.name;
                info!(%database, reason, "the buffer pool is not what it was");
            }
        })));
    }

    /// With the door shut: what the pool was asked since the database woke.
    pub(super) async fn note_hits(&mut self) -> Result<(), Hitch> {
        let limit = self.world.config.deadlines.ask;
        let hits = within(limit, async {
            self.world.servers.hits(&self.database.server()?).await
        });
        match self.unless_wanted(hits).await {
            Ok(hits) => self.asked.now(hits),
            Err(Hitch::Failed(reason)) => {
                info!(database = %self.database.name, reason, "the hit ratio is not known");
            }
            wanted => return wanted.map(drop),
        }
        Ok(())
    }
}

/// What goes on behind the doors.
struct Warming {
    world: Arc<World>,
    database: Arc<Database>,
    /// For the size that it has: a larger one may only be written yet.
    pool: Bytes,
    since: Option<PoolHits>,
}

impl Warming {
    async fn grow(&self) -> Result<(), String> {
        let servers = &self.world.servers;
        let limit = self.world.config.deadlines.start;
        let server = self.database.server().map_err(|error| error.to_string())?;
        within(limit, servers.grow(&server, self.pool)).await?;
        let began = now();
        // takes as long as there is to read; a nap ends it
        let read = servers.hydrate(&server).await;
        let read = read.map_err(|error| error.to_string())?;
        if read >= TOLD {
            self.tell(read, began).await;
        }
        Ok(())
    }

    async fn tell(&self, read: Bytes, began: Instant) {
        let limit = self.world.config.deadlines.ask;
        let hits = async { self.world.servers.hits(&self.database.server()?).await };
        let hits = within(limit, hits).await;
        let ratio = hits.ok().and_then(|hits| hits.ratio_ppm_since(self.since?));
        let took = now().saturating_duration_since(began).as_millis();
        let entry = Entry {
            database: self.database.name.clone(),
            event: EventKind::Noted,
            from: None,
            to: None,
            cause: Cause::Load,
            reason: format!("its hot pages are back: {read}"),
            duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            figures: Figures {
                hit_ratio_ppm: ratio,
                ..self.database.view().figures()
            },
        };
        let change = vec![Change::Ledger(Box::new(entry))];
        if let Err(error) = self.world.catalog.write(Durability::Soon, change).await {
            info!(database = %self.database.name, %error, "not in the ledger: its hot pages are back");
        }
    }
}
