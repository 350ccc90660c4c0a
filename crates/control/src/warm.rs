//! Instances that wait, started and unclaimed, for the next `create`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_driver::{Desired, Error as DriverError, Run};
use dormouse_policy::warm::{Pool, Refill, refill};
use dormouse_types::InstanceId;
use tokio::sync::{Notify, SemaphorePermit};
use tracing::{debug, warn};

use crate::Error;
use crate::catalog::{Change, Durability, Phase};
use crate::world::{World, within};

/// How often somebody of no importance looks whether a start would be in nobody's way.
const STAND_ASIDE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pool.
#[derive(Default)]
pub(crate) struct Warm {
    ready: Mutex<VecDeque<InstanceId>>,
    /// One was claimed.
    pub(crate) nudge: Notify,
}

impl Warm {
    /// Takes one out, the oldest first.
    pub(crate) fn claim(&self) -> Option<InstanceId> {
        let claimed = self.ready().pop_front();
        self.nudge.notify_one();
        claimed
    }

    /// Puts one in.
    pub(crate) fn add(&self, id: InstanceId) {
        self.ready().push_back(id);
    }

    fn len(&self) -> usize {
        self.ready().len()
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, VecDeque<InstanceId>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the pool full until dormouse stops.
pub(crate) async fn keep_full(world: Arc<World>) {
    let mut pause = FIRST_PAUSE;
    while !world.stopping() {
        let pool = Pool {
            warm: world.warm.len(),
            preparing: 0,
        };
        if refill(world.config.warm_pool, pool) == Refill::Enough {
            tokio::select! {
                () = world.warm.nudge.notified() => {}
                () = world.ending() => {}
            }
            continue;
        }
        match prepare(&world, Importance::Background).await {
            Ok(id) => {
                world.warm.add(id);
                pause = FIRST_PAUSE;
            }
            Err(_) if world.stopping() => return,
            Err(error) => {
                warn!(%error, hint = error.hint(), ?pause, "cannot refill the warm pool");
                // a claim is no reason to try sooner
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = world.ending() => return,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Importance {
    /// A `create` waits.
    Awaited,
    /// Nobody does: every wake goes first.
    Background,
}

/// Makes an instance and starts it. What a crash leaves half made is removed at the next start.
pub(crate) async fn prepare(world: &World, importance: Importance) -> Result<InstanceId, Error> {
    let version = world.servers.version();
    let id = world.catalog.new_instance(version.clone()).await?;
    match make(world, id, importance).await {
        Ok(()) => {
            let warm = Change::Instance {
                id,
                phase: Phase::Warm,
                version,
            };
            world.catalog.write(Durability::Soon, vec![warm]).await?;
            debug!(instance = %id, "warm");
            Ok(id)
        }
        Err(error) => {
            discard(world, id).await;
            Err(error)
        }
    }
}

async fn make(world: &World, id: InstanceId, importance: Importance) -> Result<(), Error> {
    let limits = world.config.deadlines;
    let machine = |doing: &str| {
        let doing = format!("{doing} instance {id}");
        move |reason| Error::Machine { doing, reason }
    };
    within(limits.start, world.driver.provision(id))
        .await
        .map_err(machine("making"))?;
    let _admitted = admit(world, importance).await?;
    let units = world.config.defaults.units.min;
    let desired = Desired {
        run: Run::Running,
        units,
    };
    within(limits.start, world.driver.apply(id, desired))
        .await
        .map_err(machine("starting"))?;
    Ok(())
}

/// Waits until a server may start.
pub(crate) async fn admit(
    world: &World,
    importance: Importance,
) -> Result<SemaphorePermit<'_>, Error> {
    if importance == Importance::Awaited {
        return world.admission.acquire().await.map_err(|_| Error::Stopping);
    }
    loop {
        match world.admission.try_acquire() {
            Ok(permit) => return Ok(permit),
            Err(tokio::sync::TryAcquireError::Closed) => return Err(Error::Stopping),
            Err(tokio::sync::TryAcquireError::NoPermits) => tokio::time::sleep(STAND_ASIDE).await,
        }
    }
}

/// Removes an instance that is nobody's. If it cannot be removed now, the next start does.
pub(crate) async fn discard(world: &World, id: InstanceId) {
    let remove = async {
        match world.driver.remove(id).await {
            Err(DriverError::Unknown(_)) => Ok(()),
            other => other,
        }
    };
    let removed = match within(world.config.deadlines.stop, remove).await {
        Ok(()) => world
            .catalog
            .write(Durability::Soon, vec![Change::InstanceGone(id)])
            .await
            .map_err(|e| e.to_string()),
        Err(reason) => Err(reason),
    };
    if let Err(reason) = removed {
        warn!(instance = %id, reason, "an unused instance is left to the next start");
    }
}
