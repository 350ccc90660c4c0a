//! What became of everything since the last run.
//!
//! An instance is removed only if the catalog says that it is nobody's: half made, half removed,
//! or handed out by this catalog and not claimed. What the catalog never handed out (it was lost,
//! or is an old copy) is left alone, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dormouse_driver::Driver;
use dormouse_types::{InstanceId, State};
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::actor::Actor;
use crate::catalog::{Catalog, Change, Contents, DatabaseRow, Durability, Phase};
use crate::database::Database;
use crate::lock::Lock;
use crate::meter::Meter;
use crate::metering::write_down;
use crate::storage::look_at_disk;
use crate::warm::{discard, keep_full};
use crate::world::{Parts, World, within};
use crate::{Doors, Error, PlaneConfig, Servers, calendar, storage};

/// How many of the newest events a slow subscriber may be behind.
const EVENTS_BEHIND: usize = 1024;

/// Opens the catalog and starts to look after what it tells of.
pub(crate) async fn start(
    config: PlaneConfig,
    driver: Arc<dyn Driver>,
    servers: Arc<dyn Servers>,
    doors: Arc<dyn Doors>,
) -> Result<Arc<World>, Error> {
    let events = broadcast::Sender::new(EVENTS_BEHIND);
    let (dir, keep, sender) = (config.data_dir.clone(), config.ledger_keep, events.clone());
    let opened = tokio::task::spawn_blocking(move || {
        make_dir(&dir)?;
        let lock = Lock::of_plane(&dir)?;
        Catalog::open(&dir, keep, sender).map(|(catalog, contents)| (lock, catalog, contents))
    });
    let (lock, catalog, contents) = opened.await.map_err(|_| Error::Stopping)??;
    let world = World::new(Parts {
        config,
        driver,
        servers,
        doors,
        catalog,
        events,
        lock,
    });
    let present: BTreeSet<InstanceId> = within(world.config.deadlines.start, world.driver.list())
        .await
        .map_err(|reason| Error::Machine {
            doing: "listing the instances".to_owned(),
            reason,
        })?
        .into_iter()
        .collect();
    let Contents {
        databases,
        instances,
        last_instance,
    } = contents;
    let claimed: BTreeSet<InstanceId> = databases.iter().map(|d| d.instance).collect();
    let known: BTreeMap<InstanceId, Phase> = instances.iter().map(|i| (i.id, i.phase)).collect();
    for id in &present {
        if !known.contains_key(id) {
            strange(&world, *id, last_instance).await?;
        }
    }
    for (id, phase) in known {
        match phase {
            Phase::Preparing | Phase::Removing => discard(&world, id).await,
            Phase::Warm if present.contains(&id) => world.warm.add(id),
            Phase::Warm => discard(&world, id).await,
            Phase::Claimed if !claimed.contains(&id) => {
                warn!(instance = %id, "claimed, but by no database that is known: left alone");
            }
            Phase::Claimed => {}
            Phase::Foreign => warn!(instance = %id, "not of this catalog: left alone"),
        }
    }
    let now = world.moment();
    let mut meters = world.catalog.meters(now.month().days().start)?;
    look_at_disk(&world).await;
    let mut model: Option<Arc<Database>> = None;
    for row in databases {
        let baseline = world.config.ladder.baseline;
        let meter = match meters.remove(&row.instance) {
            Some((mark, spent)) => {
                let found = (mark, (now.month(), spent));
                Meter::resumed(row.name.clone(), row.instance, baseline, found, now)
            }
            None => Meter::new(row.name.clone(), row.instance, baseline, now),
        };
        let Some(database) = adopt(&world, row, meter).await else {
            continue;
        };
        match &model {
            Some(model) => database.share(model),
            None => model = Some(database),
        }
    }
    world.spawn(write_down(Arc::clone(&world)));
    world.spawn(keep_full(Arc::clone(&world)));
    world.spawn(storage::watch(Arc::clone(&world)));
    world.spawn(calendar::watch(Arc::clone(&world)));
    Ok(world)
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|e| Error::Machine {
        doing: format!("making the data directory {}", dir.display()),
        reason: e.to_string(),
    })
}

/// Files that have no row.
async fn strange(world: &World, id: InstanceId, last: u32) -> Result<(), Error> {
    if id.0 <= last {
        info!(instance = %id, "left over from an instance that was removed: removing the rest");
        discard(world, id).await;
        return Ok(());
    }
    warn!(instance = %id, "the catalog never handed this instance out: it is left alone");
    // its id is taken, and stays so
    let foreign = Change::Instance {
        id,
        phase: Phase::Foreign,
        version: String::new(),
    };
    world.catalog.write(Durability::Now, vec![foreign]).await
}

async fn adopt(world: &Arc<World>, row: DatabaseRow, meter: Meter) -> Option<Arc<Database>> {
    if row.state == State::Creating {
        info!(database = %row.name, "it was only half made: removing it");
        let gone = vec![
            Change::Gone {
                name: row.name.clone(),
                instance: row.instance,
            },
            Change::Instance {
                id: row.instance,
                phase: Phase::Removing,
                version: String::new(),
            },
        ];
        match world.catalog.write(Durability::Now, gone).await {
            Ok(()) => discard(world, row.instance).await,
            Err(error) => warn!(database = %row.name, %error, "cannot remove it"),
        }
        return None;
    }
    let name = row.name.clone();
    let dropping = row.state == State::Dropping;
    let database = Database::new(row, Arc::new(Mutex::new(meter)));
    world.edit(|d| d.known.insert(name.clone(), Arc::clone(&database)));
    if !dropping {
        world.doors.add(&name);
        world.restrict(&database);
    }
    world.spawn(Actor::found(Arc::clone(world), Arc::clone(&database)).run(true));
    Some(database)
}
