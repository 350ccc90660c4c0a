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
//! looked at once after a start, one in each round. While all sleep there are no looks.
//!
//! That a database is full is in the catalog before it is restricted, and a start restricts it
//! again before its traffic is opened.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_policy::Cause;
use dormouse_policy::storage::{Fill, fill};
use dormouse_types::{Bytes, Carried, InstanceId, State};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::calendar::Calendar;
use crate::catalog::{Catalog, Change, Durability, Entry};
use crate::database::Database;
use crate::disk::Disk;
use crate::doors::Doors;
use crate::instance::host::Host;
use crate::registry::Registry;
use crate::status::EventKind;
use crate::tasks::Tasks;
use crate::time::{now, within};

/// An active database is looked at at least as often.
const LONGEST: Duration = Duration::from_secs(10);
/// None is looked at more often.
const SOONEST: Duration = Duration::from_millis(500);
/// A database that is in use may grow by as many bytes in a second at any time.
const PRESUMED: u64 = 16 << 20;
/// A look may take this part of the time between two.
const EFFORT: u32 = 10;

/// Watches how much disk databases take.
pub(crate) struct Storage {
    parts: Parts,
    /// Why no database may grow now.
    disk_full: Mutex<Option<Arc<str>>>,
    /// A database has become active.
    woke: Notify,
}

/// What [`Storage`] works with.
pub(crate) struct Parts {
    pub(crate) host: Arc<Host>,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) catalog: Catalog,
    pub(crate) registry: Arc<Registry>,
    pub(crate) calendar: Calendar,
    pub(crate) disk: Option<Disk>,
    /// What is on the disk; for messages.
    pub(crate) place: PathBuf,
}

/// What was seen of a database last.
struct Look {
    at: Instant,
    due: Instant,
    used: Option<Bytes>,
    carried: Carried,
}

impl Storage {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            disk_full: Mutex::default(),
            woke: Notify::new(),
        }
    }

    /// Why no database may grow now, because of the disk.
    pub(crate) fn disk_full(&self) -> Option<Arc<str>> {
        self.full().clone()
    }

    /// A database has become active: it is looked at soon.
    pub(crate) fn database_woke(&self) {
        self.woke.notify_one();
    }

    /// Passes on to the data path whether a database may grow and change, if that has changed. To be called
    /// after each change of its quota, size, spend limit or disk.
    pub(crate) fn restrict(&self, database: &Database) {
        let disk = self.disk_full();
        database.restrict(disk.as_deref(), &*self.parts.doors);
    }

    /// Looks until Dormouse stops.
    pub(crate) async fn watch(self: Arc<Self>, tasks: Arc<Tasks>) {
        let registry = &self.parts.registry;
        let mut looks: HashMap<InstanceId, Look> = HashMap::new();
        // what is asleep is as large as it was: those of which that is not known are looked at once
        let mut unseen = registry.all();
        unseen.retain(|database| database.view().storage.is_none());
        loop {
            // between two rounds, and before the first after a wake: its statement comes first
            tokio::select! {
                () = tokio::time::sleep(SOONEST) => {}
                () = tasks.ending() => return,
            }
            self.look_at_disk().await;
            let active = registry.active();
            if looks.len() > active.len() {
                looks.retain(|id, _| active.iter().any(|database| database.instance == *id));
            }
            for database in active.iter().chain(unseen.pop().as_ref()) {
                let look = looks.get(&database.instance);
                if look.is_none_or(|look| self.is_due(database, look)) {
                    let look = self.measure(database, look).await;
                    looks.insert(database.instance, look);
                }
            }
            if active.is_empty() && unseen.is_empty() && self.disk_full().is_none() {
                looks.clear();
                tokio::select! {
                    () = self.woke.notified() => {}
                    () = tasks.ending() => return,
                }
            }
        }
    }

    fn is_due(&self, database: &Database, look: &Look) -> bool {
        let doors = &self.parts.doors;
        let used = || {
            doors.activity(&database.name).running > 0
                || doors.carried(&database.name) != look.carried
        };
        let now = now();
        now >= look.due && (now.saturating_duration_since(look.at) >= LONGEST || used())
    }

    async fn measure(&self, database: &Database, before: Option<&Look>) -> Look {
        let host = &self.parts.host;
        let at = now();
        let carried = self.parts.doors.carried(&database.name);
        let measured = within(host.deadlines.ask, host.driver.storage(database.instance)).await;
        let used = match measured {
            Ok(used) => Some(used),
            Err(error) => {
                debug!(database = %database.name, %error, "cannot measure its files");
                None
            }
        };
        let took = now().saturating_duration_since(at);
        let mut pause = LONGEST;
        if let Some(used) = used {
            self.apply_quota(database, used).await;
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
    pub(crate) async fn apply_quota(&self, database: &Database, used: Bytes) {
        let view = database.view();
        let before = view.fill;
        let quota = database.spec().storage_quota;
        let now = quota.map_or(Fill::Fine, |quota| fill(used, quota, before));
        if view.storage != Some(used) || before != now {
            database.change(|v| {
                v.storage = Some(used);
                v.fill = now;
            });
            let moment = self.parts.calendar.moment();
            database.meter().storage(moment, used);
        }
        let mib = |size: Bytes| size.0 >> 20;
        if before == now && view.storage.map(mib) == Some(mib(used)) {
            // the disk may have filled up meanwhile
            return self.restrict(database);
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
        // once a statement was refused, a crash does not undo it
        if let Err(error) = self.parts.catalog.write(Durability::Soon, changes).await {
            error!(database = %database.name, %error, hint = error.hint(), "cannot write the catalog");
            // what was not written counts as not seen: the next look writes it
            database.change(|v| v.storage = None);
        }
        self.restrict(database);
    }

    /// Restricts every database while the disk has too little left, and until it has a tenth more than
    /// the reserve.
    pub(crate) async fn look_at_disk(&self) {
        let Some(disk) = &self.parts.disk else {
            return;
        };
        let free = match disk.free() {
            Ok(free) => free,
            Err(error) => {
                debug!(%error, "cannot measure how much of the disk is free");
                return;
            }
        };
        let was_full = self.full().is_some();
        let enough = if was_full {
            disk.reserve.0 + disk.reserve.0 / 10
        } else {
            disk.reserve.0
        };
        let is_full = free.0 < enough;
        if is_full == was_full {
            return;
        }
        let (place, reserve) = (self.parts.place.display(), disk.reserve);
        let reason = if is_full {
            let reason = format!(
                "the disk of {place} has {free} left, and {reserve} are kept free (disk_reserve)"
            );
            error!(reason, "no database may grow");
            *self.full() = Some(reason.as_str().into());
            reason
        } else {
            let reason = format!("the disk of {place} has {free} left: it may grow again");
            info!(%free, "databases may grow again");
            *self.full() = None;
            reason
        };
        let mut changes = Vec::new();
        for database in self.parts.registry.all() {
            self.restrict(&database);
            if database.state() == State::Active {
                changes.push(noted(&database, reason.clone()));
            }
        }
        if let Err(error) = self.parts.catalog.write(Durability::Soon, changes).await {
            error!(%error, hint = error.hint(), "cannot write the catalog");
        }
    }

    fn full(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.disk_full
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
