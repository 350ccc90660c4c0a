//! The warm pool: instances with running servers that no database has claimed, for the next `create`. They are in the first
//! data root and of the first server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_driver::Place;
use dormouse_policy::warm::{Pool, Refill, refill};
use dormouse_types::{InstanceId, Units};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::admission::Importance;
use crate::catalog::{Change, Durability, Phase};
use crate::error::Error;
use crate::spares::Spares;
use crate::tasks::Tasks;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The warm pool; it creates instances and removes unused ones.
pub(crate) struct WarmPool {
    parts: Parts,
    ready: Mutex<VecDeque<InstanceId>>,
    /// Notified when an instance was claimed.
    claimed: Notify,
}

/// Dependencies of [`WarmPool`].
pub(crate) struct Parts {
    pub(crate) spares: Arc<Spares>,
    /// Number of instances to keep.
    pub(crate) size: usize,
    /// Units of each.
    pub(crate) units: Units,
}

impl WarmPool {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            ready: Mutex::default(),
            claimed: Notify::new(),
        }
    }

    /// Claims the oldest instance, or creates one.
    pub(crate) async fn claim(&self) -> Result<InstanceId, Error> {
        let ready = self.ready().pop_front();
        self.claimed.notify_one();
        match ready {
            Some(id) => Ok(id),
            None => self.prepare(Importance::Awaited, &Place::default()).await,
        }
    }

    /// Creates an instance elsewhere than those of the pool, or of another server, for a database that waits for it.
    pub(crate) async fn make(&self, place: &Place) -> Result<InstanceId, Error> {
        self.prepare(Importance::Awaited, place).await
    }

    /// Adds an instance that an earlier run has made.
    pub(crate) fn add(&self, id: InstanceId) {
        self.ready().push_back(id);
    }

    /// Removes its instances, with their servers: they belong to nobody, and Dormouse ends.
    pub(crate) async fn empty(&self) {
        let ready = std::mem::take(&mut *self.ready());
        for id in ready {
            self.discard(id).await;
        }
    }

    /// Keeps the pool full until Dormouse stops.
    pub(crate) async fn keep_full(self: Arc<Self>, tasks: Arc<Tasks>) {
        let mut pause = FIRST_PAUSE;
        while !tasks.stopping() {
            let pool = Pool {
                warm: self.ready().len(),
                preparing: 0,
            };
            if refill(self.parts.size, pool) == Refill::Enough {
                tokio::select! {
                    () = self.claimed.notified() => {}
                    () = tasks.ending() => {}
                }
                continue;
            }
            match self
                .prepare(Importance::Background, &Place::default())
                .await
            {
                Ok(id) => {
                    self.add(id);
                    pause = FIRST_PAUSE;
                }
                Err(_) if tasks.stopping() => return,
                Err(error) => {
                    warn!(%error, hint = error.hint(), ?pause, "cannot refill the warm pool");
                    // a claim does not shorten the delay
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = tasks.ending() => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Creates an instance and starts it. After a crash, the next start removes a half-made one.
    async fn prepare(&self, importance: Importance, place: &Place) -> Result<InstanceId, Error> {
        let Parts { spares, units, .. } = &self.parts;
        let id = spares.make(*units, importance, place).await?.id();
        let warm = Change::Instance {
            id,
            phase: Phase::Warm,
            version: spares.host.version(place.series),
        };
        if let Err(error) = spares.catalog.write(Durability::Soon, vec![warm]).await {
            self.discard(id).await;
            return Err(error);
        }
        debug!(instance = %id, "warm");
        Ok(id)
    }

    /// Removes an instance that no database has. If that fails, the next start tries again.
    pub(crate) async fn discard(&self, id: InstanceId) {
        self.parts.spares.discard(id).await;
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<InstanceId>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
