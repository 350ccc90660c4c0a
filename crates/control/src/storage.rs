//! How much disk databases take, and what follows from it.
//!
//! A database that has used its quota up, and every database while the disk has less free than is
//! kept in reserve, is restricted: what could make it larger is refused, what reads, removes or
//! frees is not (`Doors::restrict`).
//!
//! One task looks, at one database after another. An active one is looked at every [`LONGEST`]; one
//! with a quota that is in use sooner, in the time in which it could be full at the rate last seen,
//! presumed to be [`PRESUMED`] at least, but not within [`SOONEST`]. So a quota is passed by no more
//! than is written in that time, plus what the statements that run then still write. Others are
//! looked at once after a start, one in each round. While all sleep nobody looks.
//!
//! That a database is full is in the catalog before it is restricted, and a start restricts it
//! again before its traffic is opened.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dormouse_policy::Cause;
use dormouse_policy::storage::{Fill, fill};
use dormouse_types::{Bytes, Carried, InstanceId, State};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::EventKind;
use crate::catalog::{Change, Durability, Entry};
use crate::database::Database;
use crate::world::{World, now, within};

/// An active database is looked at at least as often.
const LONGEST: Duration = Duration::from_secs(10);
/// None is looked at more often.
const SOONEST: Duration = Duration::from_millis(500);
/// A database that is in use may grow by as many bytes in a second at any time.
const PRESUMED: u64 = 16 << 20;
/// A look may take this part of the time between two.
const EFFORT: u32 = 10;

/// Tells how much of the disk is free.
type Free = dyn Fn() -> io::Result<Bytes> + Send + std::marker::Sync;

/// The disk that holds the files of all databases.
#[derive(Clone)]
pub struct Disk {
    reserve: Bytes,
    free: Arc<Free>,
}

impl Disk {
    /// A disk of which `reserve` is to stay free. `free` tells, at once, how much is.
    pub fn new(
        reserve: Bytes,
        free: impl Fn() -> io::Result<Bytes> + Send + std::marker::Sync + 'static,
    ) -> Self {
        Self {
            reserve,
            free: Arc::new(free),
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

/// What is known of the disk.
#[derive(Default)]
pub(crate) struct Storage {
    /// Why no database may grow now.
    disk_full: Mutex<Option<Arc<str>>>,
    /// A database has become active.
    pub(crate) nudge: Notify,
}

impl Storage {
    /// Why no database may grow now, because of the disk.
    pub(crate) fn disk_full(&self) -> Option<Arc<str>> {
        self.full().clone()
    }

    fn full(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.disk_full
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen of a database last.
struct Look {
    at: Instant,
    due: Instant,
    used: Option<Bytes>,
    carried: Carried,
}

/// Looks until dormouse stops.
pub(crate) async fn watch(world: Arc<World>) {
    let mut looks: HashMap<InstanceId, Look> = HashMap::new();
    // what is asleep is as large as it was: those of which that is not known are looked at once
    let mut unseen = world.databases();
    unseen.retain(|database| database.view().storage.is_none());
    loop {
        // between two rounds, and before the first after a wake: its statement comes first
        tokio::select! {
            () = tokio::time::sleep(SOONEST) => {}
            () = world.ending() => return,
        }
        look_at_disk(&world).await;
        let active = world.active();
        if looks.len() > active.len() {
            looks.retain(|id, _| active.iter().any(|database| database.instance == *id));
        }
        for database in active.iter().chain(unseen.pop().as_ref()) {
            let look = looks.get(&database.instance);
            if look.is_none_or(|look| is_due(&world, database, look)) {
                let look = measure(&world, database, look).await;
                looks.insert(database.instance, look);
            }
        }
        if active.is_empty() && unseen.is_empty() && world.storage.disk_full().is_none() {
            looks.clear();
            tokio::select! {
                () = world.storage.nudge.notified() => {}
                () = world.ending() => return,
            }
        }
    }
}

fn is_due(world: &World, database: &Database, look: &Look) -> bool {
    let used = || {
        world.doors.activity(&database.name).running > 0
            || world.doors.carried(&database.name) != look.carried
    };
    let now = now();
    now >= look.due && (now.saturating_duration_since(look.at) >= LONGEST || used())
}

async fn measure(world: &World, database: &Database, before: Option<&Look>) -> Look {
    let at = now();
    let carried = world.doors.carried(&database.name);
    let limit = world.config.deadlines.ask;
    let used = match within(limit, world.driver.storage(database.instance)).await {
        Ok(used) => Some(used),
        Err(reason) => {
            debug!(database = %database.name, reason, "cannot tell how much disk it takes");
            None
        }
    };
    let took = now().saturating_duration_since(at);
    let mut pause = LONGEST;
    if let Some(used) = used {
        judge(world, database, used).await;
        if let Some(quota) = database.spec().storage_quota {
            let grown = before.and_then(|look| {
                let since = at.saturating_duration_since(look.at).as_millis().max(1);
                let bytes = used.0.saturating_sub(look.used?.0);
                u64::try_from(u128::from(bytes) * 1000 / since).ok()
            });
            let rate = grown.unwrap_or(0).max(PRESUMED);
            let room = quota.0.saturating_sub(used.0);
            pause = Duration::from_millis(room.saturating_mul(1000) / rate);
        }
    }
    Look {
        at,
        due: at + pause.clamp(SOONEST, LONGEST).max(took * EFFORT),
        used,
        carried,
    }
}

/// What follows from a database's files taking so much.
pub(crate) async fn judge(world: &World, database: &Database, used: Bytes) {
    let view = database.view();
    let before = view.fill;
    let quota = database.spec().storage_quota;
    let now = quota.map_or(Fill::Fine, |quota| fill(used, quota, before));
    if view.storage != Some(used) || before != now {
        database.change(|v| {
            v.storage = Some(used);
            v.fill = now;
        });
        database.meter().storage(world.moment(), used);
    }
    let mib = |size: Bytes| size.0 >> 20;
    if before == now && view.storage.map(mib) == Some(mib(used)) {
        // what it is told may have changed
        return world.restrict(database);
    }
    let mut changes = vec![Change::Storage {
        name: database.name.clone(),
        used,
        full: now == Fill::Full,
    }];
    let of = quota.map_or_else(String::new, |quota| {
        format!(" of its storage quota of {quota}")
    });
    let said = match (before, now) {
        _ if before == now => None,
        (_, Fill::Full) => Some(format!(
            "{used} are used{of}: what could make it larger is refused from now on"
        )),
        (Fill::Full, _) => Some(format!("{used} are used{of}: it may grow again")),
        (_, Fill::Warn(percent)) if now > before => {
            Some(format!("{used} are used{of}, more than {percent} %"))
        }
        _ => None,
    };
    if let Some(reason) = said {
        if now > before {
            warn!(database = %database.name, reason, "storage");
        } else {
            info!(database = %database.name, reason, "storage");
        }
        changes.push(noted(database, reason));
    }
    // once somebody was refused, a crash does not undo it
    if let Err(error) = world.catalog.write(Durability::Soon, changes).await {
        error!(database = %database.name, %error, hint = error.hint(), "cannot write the catalog");
        // what was not written counts as not seen: the next look writes it
        database.change(|v| v.storage = None);
    }
    world.restrict(database);
}

/// Restricts every database while the disk has too little left, and until it has a tenth more than
/// the reserve.
pub(crate) async fn look_at_disk(world: &World) {
    let Some(disk) = &world.config.disk else {
        return;
    };
    let free = match (disk.free)() {
        Ok(free) => free,
        Err(error) => {
            debug!(%error, "cannot tell how much of the disk is free");
            return;
        }
    };
    let was_full = world.storage.full().is_some();
    let enough = if was_full {
        disk.reserve.0 + disk.reserve.0 / 10
    } else {
        disk.reserve.0
    };
    let is_full = free.0 < enough;
    if is_full == was_full {
        return;
    }
    let place = world.config.data_dir.display();
    let reserve = disk.reserve;
    let reason = if is_full {
        let reason = format!(
            "the disk of {place} has {free} left, and {reserve} are kept free (disk_reserve)"
        );
        error!(reason, "no database may grow");
        *world.storage.full() = Some(reason.as_str().into());
        reason
    } else {
        let reason = format!("the disk of {place} has {free} left: it may grow again");
        info!(%free, "databases may grow again");
        *world.storage.full() = None;
        reason
    };
    let mut changes = Vec::new();
    for database in world.databases() {
        world.restrict(&database);
        if database.state() == State::Active {
            changes.push(noted(&database, reason.clone()));
        }
    }
    if let Err(error) = world.catalog.write(Durability::Soon, changes).await {
        error!(%error, hint = error.hint(), "cannot write the catalog");
    }
}

fn noted(database: &Database, reason: String) -> Change {
    Change::Ledger(Box::new(Entry {
        database: database.name.clone(),
        event: EventKind::Noted,
        from: None,
        to: None,
        cause: Cause::Storage,
        reason,
        duration_ms: None,
        figures: database.view().figures(),
    }))
}
