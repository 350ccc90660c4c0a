//! Disk space of databases, and the restrictions at a quota or a full disk.
//!
//! A database that has used up its quota is restricted, and so is every database while the free space of the
//! disk is below the reserve, or of that of its data root: statements that could make it larger are refused; those that read, remove or
//! free space are not (`Doors::restrict`).
//!
//! One task measures one database after another. An active one is measured every [`LONGEST`]. One with a
//! quota and statements is measured sooner: in the time in which it could fill the quota at the rate last
//! seen, at least [`PRESUMED`], but not within [`SOONEST`]. So it exceeds its quota by at most what is
//! written in that time, and by what the statements that run then still write. A sleeping database of unknown
//! size is measured once after a start, one per round. While all sleep, nothing is measured.
//!
//! That a database is full is in the catalog before it is restricted, and a start restricts it before it
//! admits clients.

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
use crate::disk::{Disk, Looked};
use crate::doors::Doors;
use crate::instance::host::Host;
use crate::registry::Registry;
use crate::tasks::Tasks;
use crate::time::{now, within};

mod full_roots;

use full_roots::FullRoots;

/// Maximum interval between two measurements of an active database.
const LONGEST: Duration = Duration::from_secs(10);
/// Minimum interval.
const SOONEST: Duration = Duration::from_millis(500);
/// Minimum growth in bytes per second that is assumed of a database in use.
const PRESUMED: u64 = 16 << 20;
/// Minimum interval, as a multiple of the last measurement's duration.
const EFFORT: u32 = 10;

/// Measures the disk space of databases.
pub(crate) struct Storage {
    parts: Parts,
    /// Why no database may grow now.
    disk_full: Mutex<Option<Arc<str>>>,
    full_roots: FullRoots,
    /// Notified when a database has become active.
    woke: Notify,
}

/// Dependencies of [`Storage`].
pub(crate) struct Parts {
    pub(crate) host: Arc<Host>,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) catalog: Catalog,
    pub(crate) registry: Arc<Registry>,
    pub(crate) calendar: Calendar,
    pub(crate) disk: Option<Disk>,
    /// A path on the disk, for messages.
    pub(crate) place: PathBuf,
}

/// The last measurement of a database.
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
            full_roots: FullRoots::default(),
            woke: Notify::new(),
        }
    }

    /// Why no database may grow now, because of the disk.
    pub(crate) fn disk_full(&self) -> Option<Arc<str>> {
        self.full().clone()
    }

    /// Reports that a database has become active; it is measured soon.
    pub(crate) fn database_woke(&self) {
        self.woke.notify_one();
    }

    /// Passes to the data path whether a database may grow and change, if that has changed. Call it after
    /// each change of the quota, size, spend limit or disk.
    pub(crate) fn restrict(&self, database: &Database) {
        let disk = self.disk_full().or_else(|| self.root_full(database));
        database.restrict(disk.as_deref(), &*self.parts.doors);
    }

    /// Why a database may not grow now, because of the disk of its data root.
    fn root_full(&self, database: &Database) -> Option<Arc<str>> {
        if self.full_roots.is_empty() {
            return None;
        }
        let place = self.parts.host.driver.place(database.seat())?;
        self.full_roots.of(&place.root?)
    }

    /// Measures until Dormouse stops.
    pub(crate) async fn watch(self: Arc<Self>, tasks: Arc<Tasks>) {
        let registry = &self.parts.registry;
        let mut looks: HashMap<InstanceId, Look> = HashMap::new();
        // a sleeping database does not grow: only those of unknown size are measured, once
        let mut unseen = registry.all();
        unseen.retain(|database| database.view().storage.is_none());
        loop {
            // delays each round, and the first after a wake, so that the statement that woke it runs first
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
            let any_full = self.disk_full().is_some() || !self.full_roots.is_empty();
            if active.is_empty() && unseen.is_empty() && !any_full {
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
        let measured = within(host.deadlines.ask, host.driver.storage(database.seat())).await;
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

    /// Evaluates the quota of a database whose files use `used`.
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
            // the disk may have become full meanwhile
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
        // a crash must not lift the restriction once a statement was refused
        if let Err(error) = self.parts.catalog.write(Durability::Soon, changes).await {
            error!(database = %database.name, %error, hint = error.hint(), "cannot write the catalog");
            // marks the size as unknown, so that the next measurement writes it
            database.change(|v| v.storage = None);
        }
        self.restrict(database);
    }

    /// Restricts every database while the free space is below the reserve, and until it is a tenth above the
    /// reserve.
    pub(crate) async fn look_at_disk(&self) {
        let Some(disk) = &self.parts.disk else {
            return;
        };
        let offer = self.parts.host.driver.offer();
        if self.full_roots.look(&offer, disk.reserve) {
            for database in self.parts.registry.all() {
                self.restrict(&database);
            }
        }
        let was_full = self.full().is_some();
        let Looked {
            free,
            enough,
            given,
        } = match disk.look(was_full) {
            Ok(looked) => looked,
            Err(error) => {
                debug!(%error, "cannot measure how much of the disk is free");
                return;
            }
        };
        let is_full = free < enough;
        if is_full == was_full {
            return;
        }
        let (place, reserve) = (self.parts.place.display(), disk.reserve);
        let reason = if is_full {
            let reason = match given {
                true => format!(
                    "the disk of {place} was full: {} that Dormouse had kept are used up now, until {enough} are free",
                    Disk::BALLAST
                ),
                false => format!(
                    "the disk of {place} has {free} left, and {reserve} are kept free (disk_reserve)"
                ),
            };
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
        figures: database.view().figures(),
        ..Entry::noted(&database.name, Cause::Storage, reason)
    }))
}
