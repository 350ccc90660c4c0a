//! Moves databases away from a data root that is nearly full, one at a time.
//!
//! Which one moves where is decided by [`shed`]. A database is left alone while something else is done with it, for a day
//! after it has moved, and for an hour after its move has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::Place;
use dormouse_policy::Cause;
use dormouse_policy::shed::{self, Disk, Movable, Seen};
use dormouse_types::{Bytes, InstanceId, State};
use jiff::SignedDuration;
use tracing::{info, warn};

use crate::calendar::DAY;
use crate::catalog::{Change, Detail, Durability, Entry, Wanted};
use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::moves::MoveOrder;
use crate::principal::Principal;
use crate::time::now;

/// How often the data roots are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How long a database is left alone after it has moved, and after its move has failed.
const SETTLED: SignedDuration = SignedDuration::from_hours(24);
const AGAIN: Duration = Duration::from_secs(3600);

/// Days whose use counts.
const DAYS: i64 = 7;

/// Moves databases until Dormouse stops.
pub(crate) async fn watch(creator: Creator) {
    let tasks = Arc::clone(&creator.context.tasks);
    let mut watcher = Watcher {
        creator,
        sheds: BTreeSet::new(),
        failed: BTreeMap::new(),
    };
    // a driver's roots stay the same
    if watcher.roots().len() < 2 {
        return;
    }
    loop {
        let round = async {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = watcher.round().await {
                warn!(%error, "cannot see which database could leave a data directory that is nearly full");
            }
        };
        tokio::select! {
            () = round => {}
            () = tasks.ending() => return,
        }
    }
}

struct Watcher {
    creator: Creator,
    /// The roots that databases are to leave.
    sheds: BTreeSet<PathBuf>,
    /// When moves have failed.
    failed: BTreeMap<InstanceId, Instant>,
}

/// A root, as the driver sees it.
struct Root {
    dir: PathBuf,
    name: String,
    disk: Option<Disk>,
}

impl Watcher {
    /// Moves a database, if one is to move.
    async fn round(&mut self) -> Result<(), Error> {
        let roots = self.roots();
        if self.sheds.is_empty() {
            return Ok(());
        }
        let (databases, movable) = self.movable(&roots).await?;
        let seen: Vec<Seen<'_>> = { roots.iter() }
            .map(|root| Seen {
                dir: &root.name,
                disk: root.disk,
                sheds: self.sheds.contains(&root.dir),
            })
            .collect();
        let Some(next) = shed::next(&seen, &movable) else {
            return Ok(());
        };
        if let (Some(database), Some(to)) = (databases.get(next.database), roots.get(next.to)) {
            self.make(database, &to.dir, next.reason).await;
        }
        Ok(())
    }

    /// All roots; notes which of them databases are to leave.
    fn roots(&mut self) -> Vec<Root> {
        let offer = self.creator.context.host.driver.offer();
        let roots = offer.roots.into_iter().map(|root| Root {
            name: root.dir.display().to_string(),
            disk: root.disk.ok().map(|disk| Disk {
                used: Bytes(disk.size.0.saturating_sub(disk.free.0)),
                size: disk.size,
            }),
            dir: root.dir,
        });
        let roots: Vec<Root> = roots.collect();
        let before = std::mem::take(&mut self.sheds);
        for root in &roots {
            let was = before.contains(&root.dir);
            if root.disk.is_some_and(|disk| disk.sheds(was)) {
                self.sheds.insert(root.dir.clone());
            }
        }
        roots
    }

    /// The databases that may move now.
    async fn movable(
        &mut self,
        roots: &[Root],
    ) -> Result<(Vec<Arc<Database>>, Vec<Movable>), Error> {
        let context = Arc::clone(&self.creator.context);
        self.failed
            .retain(|_, at| now().saturating_duration_since(*at) < AGAIN);
        let since = context.calendar.timestamp() - SETTLED;
        let mut busy = context.catalog.moved_since(since).await?;
        let running = context.backups.running().into_iter();
        busy.extend(running.map(|work| work.database));
        let used = self.used().await?;
        let root_of = |instance| {
            let dir = context.host.driver.place(instance)?.root?;
            roots.iter().position(|root| root.dir == dir)
        };
        let mut all = (Vec::new(), Vec::new());
        for database in context.registry.all() {
            let view = database.view();
            let (Some(root), Some(size)) = (root_of(view.seat), view.storage) else {
                continue;
            };
            let awake = match view.state {
                State::Parked => false,
                State::Suspended | State::Active => true,
                _ => continue,
            };
            let free = database.moving().is_none()
                && database.shared_spec().reserved.is_none()
                && !self.failed.contains_key(&database.instance)
                && !busy.contains(&database.name);
            if !free {
                continue;
            }
            let replicas = database.replicas().map(|all| all.status());
            let replicas = replicas.unwrap_or_default().into_iter();
            all.1.push(Movable {
                root,
                shuns: replicas.filter_map(|one| root_of(one.instance)).collect(),
                size,
                awake,
                active_ms: used.get(&database.instance).copied().unwrap_or(0),
                since: view.since.as_millisecond(),
            });
            all.0.push(database);
        }
        Ok(all)
    }

    /// How long each database was awake in the last days, as far as that is written.
    async fn used(&self) -> Result<BTreeMap<InstanceId, u64>, Error> {
        let context = &self.creator.context;
        let today = context.calendar.timestamp().as_millisecond() / DAY;
        let wanted = Wanted {
            database: None,
            days: today - DAYS..today + 1,
            detail: Detail::Sum,
        };
        let (all, ()) = context.catalog.usage(wanted, || ()).await?;
        let each = all.into_iter();
        Ok(each
            .map(|one| (one.instance, one.metered.used.active_ms))
            .collect())
    }

    async fn make(&mut self, database: &Arc<Database>, to: &Path, reason: String) {
        info!(database = %database.name, to = %to.display(), reason, "a database moves away");
        let reason = format!("it moves to {}: {reason}", to.display());
        let entry = Entry::noted(&database.name, Cause::Storage, reason);
        let noted = vec![Change::Ledger(Box::new(entry))];
        if let Err(error) = { &self.creator.context.catalog }
            .write(Durability::Soon, noted)
            .await
        {
            warn!(%error, "not in the ledger: why a database moves");
        }
        let order = MoveOrder {
            database: Arc::clone(database),
            place: Place {
                root: Some(to.to_path_buf()),
                series: None,
            },
            keep: Duration::ZERO,
        };
        let moved = self.creator.clone().relocate(order, Principal::Dormouse);
        if let Err(error) = moved.await {
            warn!(database = %database.name, %error, "a database stays in a data directory that is nearly full");
            self.failed.insert(database.instance, now());
        }
    }
}
