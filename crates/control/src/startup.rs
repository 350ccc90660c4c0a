//! Start of the plane: opens the catalog, removes incomplete instances, and starts an actor for each database.
//!
//! An instance is removed only if the catalog says that no database has it: its creation or removal was
//! interrupted, or this catalog assigned its id and no database claimed it. An instance whose id the catalog
//! never assigned (the catalog was lost, or is an old copy) is never removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dormouse_driver::{Desired, Driver, History, Run};
use dormouse_engine::rights;
use dormouse_types::{InstanceId, State, Units};
use jiff::Timestamp;
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::actors::start_actor;
use crate::admission::Admission;
use crate::backups;
use crate::backups::state::Backups;
use crate::backups::vault::Vault;
use crate::branches;
use crate::calendar;
use crate::catalog::{
    Catalog, Change, Contents, DatabaseRow, Durability, InstanceRow, Phase, Role,
};
use crate::config::PlaneConfig;
use crate::create::Creator;
use crate::database::Database;
use crate::database::context::Context;
use crate::doors::Doors;
use crate::error::Error;
use crate::history;
use crate::history::state::Histories;
use crate::instance::host::Host;
use crate::instance::room::Room;
use crate::lock::Lock;
use crate::meter::Meter;
use crate::metering::{self, Metering};
use crate::moves;
use crate::outcome::reading::Outcomes;
use crate::rebuild::{self, Found};
use crate::registry::Registry;
use crate::replicas;
use crate::servers::Servers;
use crate::shed;
use crate::spares::Spares;
use crate::status::Event;
use crate::storage::{self, Storage};
use crate::tasks::Tasks;
use crate::time::within;
use crate::understudy::Understudies;
use crate::warm::{self, WarmPool};

/// Number of events that a slow subscriber may lag behind.
const EVENTS_BEHIND: usize = 1024;

/// A started plane.
pub(crate) struct Started {
    pub(crate) creator: Creator,
    pub(crate) events: broadcast::Sender<Event>,
    /// What was found that the catalog did not know, for whoever runs Dormouse.
    pub(crate) found: Vec<String>,
}

/// Opens the catalog, removes incomplete instances, and starts the actors and the background tasks.
pub(crate) async fn start(
    config: &PlaneConfig,
    driver: Arc<dyn Driver>,
    servers: Arc<dyn Servers>,
    doors: Arc<dyn Doors>,
) -> Result<Started, Error> {
    let events = broadcast::Sender::new(EVENTS_BEHIND);
    let (lock, catalog, contents) = open(config, events.clone()).await?;
    let tasks = Arc::new(Tasks::new(lock));
    let vault = config.backup.clone();
    let vault = vault.map(|backup| Vault::new(backup, config.data_dir.clone()));
    let backups = Arc::new(Backups::new(vault, contents.backups.clone()));
    let parts = (catalog, tasks, backups);
    let creator = assemble(config, driver, servers, doors, parts);
    let found = clear_up(&creator, &contents).await?;
    creator.context.storage.look_at_disk().await;
    let databases: Vec<_> = { contents.databases.iter().cloned() }
        .chain(found.rebuilt)
        .collect();
    let instances = databases.iter().map(|row| row.instance).collect();
    start_actors(&creator, databases).await?;
    for database in creator.context.registry.all() {
        let of_it = |row: &&InstanceRow| {
            row.serves
                .as_ref()
                .is_some_and(|(name, role)| *name == database.name && *role == Role::Replica)
        };
        let found = contents.instances.iter().filter(of_it).map(|row| row.id);
        replicas::keep::begin(&creator, &database, found.collect());
    }
    spawn_background(&creator, instances);
    if config.shed {
        creator.context.tasks.spawn(shed::watch(creator.clone()));
    }
    Ok(Started {
        creator,
        events,
        found: found.told,
    })
}

/// Takes the lock and reads the catalog.
async fn open(
    config: &PlaneConfig,
    events: broadcast::Sender<Event>,
) -> Result<(Lock, Catalog, Contents), Error> {
    let (dir, keep) = (config.data_dir.clone(), config.ledger_keep);
    let opened = tokio::task::spawn_blocking(move || {
        make_dir(&dir)?;
        let lock = Lock::of_plane(&dir)?;
        let (catalog, contents) = Catalog::open(&dir, keep, events)?;
        rebuild::check(&catalog, &contents)?;
        Ok((lock, catalog, contents))
    });
    opened.await.map_err(|_| Error::Stopping)?
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

/// Creates the parts of the plane.
fn assemble(
    config: &PlaneConfig,
    driver: Arc<dyn Driver>,
    servers: Arc<dyn Servers>,
    doors: Arc<dyn Doors>,
    (catalog, tasks, backups): (Catalog, Arc<Tasks>, Arc<Backups>),
) -> Creator {
    let host = Arc::new(Host {
        driver,
        servers,
        keys: Arc::clone(&config.keys),
        room: Room::new(config.capacity),
        deadlines: config.deadlines,
    });
    let registry = Arc::new(Registry::new(config.databases_most));
    let admission = Arc::new(Admission::new(config.wakes_at_once));
    let storage = Arc::new(Storage::new(storage::Parts {
        host: Arc::clone(&host),
        doors: Arc::clone(&doors),
        catalog: catalog.clone(),
        registry: Arc::clone(&registry),
        calendar: config.calendar.clone(),
        disk: config.disk.clone(),
        place: config.data_dir.clone(),
    }));
    let metering = Arc::new(Metering::new(metering::Parts {
        catalog: catalog.clone(),
        doors: Arc::clone(&doors),
        registry: Arc::clone(&registry),
        storage: Arc::clone(&storage),
        calendar: config.calendar.clone(),
        prices: config.prices.clone(),
        ladder: config.ladder.clone(),
        keep: config.usage_keep,
    }));
    let spares = Arc::new(Spares {
        host: Arc::clone(&host),
        catalog: catalog.clone(),
        admission: Arc::clone(&admission),
    });
    let warm = Arc::new(WarmPool::new(warm::Parts {
        spares: Arc::clone(&spares),
        size: config.warm_pool,
        units: config.defaults.units.min,
    }));
    let understudies = Arc::new(Understudies::new(spares, config.understudies));
    let context = Arc::new(Context {
        host,
        doors,
        catalog,
        registry,
        admission,
        metering,
        storage,
        backups,
        wants_replicas: replicas::Wanted::default(),
        histories: Histories::new(config.archive_every),
        outcomes: Outcomes::default(),
        moves: moves::counts::MoveCounter::default(),
        tasks,
        data_dir: config.data_dir.clone(),
        calendar: config.calendar.clone(),
        time_zone: config.time_zone.clone(),
        frozen_at_most: config.frozen_at_most,
        baseline: config.ladder.baseline,
    });
    Creator {
        context,
        warm,
        understudies,
    }
}

/// Removes instances that are half made, half removed, or have lost their files; puts warm ones into the
/// pool. Instances whose ids this catalog did not assign are left alone.
async fn clear_up(creator: &Creator, contents: &Contents) -> Result<Found, Error> {
    let (host, warm) = (&creator.context.host, &creator.warm);
    let present: BTreeSet<InstanceId> = within(host.deadlines.start, host.driver.list())
        .await
        .map_err(|error| Error::Machine {
            doing: "listing the instances".to_owned(),
            reason: error.to_string(),
        })?
        .into_iter()
        .collect();
    let Contents {
        databases,
        instances,
        last_instance,
        ..
    } = contents;
    let claimed: BTreeSet<InstanceId> = databases.iter().map(|d| d.instance).collect();
    let known: BTreeMap<InstanceId, Phase> = instances.iter().map(|i| (i.id, i.phase)).collect();
    let unknown: BTreeSet<InstanceId> = present
        .iter()
        .filter(|id| matches!(known.get(id), None | Some(Phase::Foreign)))
        .copied()
        .collect();
    let catalog = &creator.context.catalog;
    let mut found = rebuild::rebuild(host, catalog, contents, &unknown).await?;
    let named: BTreeSet<InstanceId> = contents.manifests.iter().map(|(id, _)| *id).collect();
    let own_mark = |(id, by): &(InstanceId, i32)| (*by == contents.installation).then_some(*id);
    let unclaimed: BTreeSet<InstanceId> = contents.unclaimed.iter().filter_map(own_mark).collect();
    for id in unknown {
        if found.rebuilt.iter().any(|row| row.instance == id) {
            continue;
        }
        if unclaimed.contains(&id) && !named.contains(&id) {
            info!(instance = %id, "no database had it, and the catalog does not know it: removing it");
            remove_unknown(creator, id).await?;
            continue;
        }
        stop_unknown(creator, id).await;
        if known.contains_key(&id) {
            continue;
        }
        // files with a name are never removed
        let last = if named.contains(&id) {
            0
        } else {
            *last_instance
        };
        if unknown_instance(creator, id, last).await? == Left::Alone && !named.contains(&id) {
            found.told.push(format!(
                "the files of instance {id} belong to no database that is known, and no name stands beside them: they are \
                 left alone"
            ));
        }
    }
    for InstanceRow {
        id,
        phase,
        rights: of,
        serves,
        kept_until,
        ..
    } in instances
    {
        match phase {
            Phase::Preparing | Phase::Removing => warm.discard(*id).await,
            Phase::Warm
                if present.contains(id) && *of == rights::CURRENT && host.is_first_choice(*id) =>
            {
                warm.add(*id);
            }
            Phase::Warm => warm.discard(*id).await,
            Phase::Claimed if matches!(serves, Some((_, Role::Replica))) => {
                let of = serves.as_ref().map(|(name, _)| name);
                if !databases.iter().any(|row| Some(&row.name) == of) {
                    warm.discard(*id).await;
                }
            }
            Phase::Claimed if matches!(serves, Some((_, Role::Former))) => {
                // a crash may have left its server
                stop_unknown(creator, *id).await;
                if kept_until.is_none_or(|until| until <= Timestamp::now()) {
                    warm.discard(*id).await;
                }
            }
            Phase::Claimed if !claimed.contains(id) => {
                warn!(instance = %id, "claimed by an unknown database: left alone");
            }
            Phase::Claimed => {}
            Phase::Foreign if found.rebuilt.iter().any(|row| row.instance == *id) => {}
            Phase::Foreign => warn!(instance = %id, "id not assigned by this catalog: left alone"),
        }
    }
    Ok(found)
}

/// Removes an instance that no database had when the catalog was lost. Its id is not assigned again meanwhile.
async fn remove_unknown(creator: &Creator, id: InstanceId) -> Result<(), Error> {
    let removing = Change::Instance {
        id,
        phase: Phase::Removing,
        version: String::new(),
    };
    let catalog = &creator.context.catalog;
    catalog.write(Durability::Now, vec![removing]).await?;
    creator.warm.discard(id).await;
    Ok(())
}

/// Stops a server that nobody can reach.
async fn stop_unknown(creator: &Creator, id: InstanceId) {
    let host = &creator.context.host;
    let running = within(host.deadlines.ask, host.driver.observe(id)).await;
    if !running.is_ok_and(|seen| seen.run != Run::Stopped) {
        return;
    }
    warn!(instance = %id, "stopping its server: it belongs to no database that is known");
    let stopped = Desired {
        run: Run::Stopped,
        units: Units(1),
        history: History::Off,
    };
    if let Err(error) = within(host.deadlines.stop, host.driver.apply(id, stopped)).await {
        warn!(instance = %id, %error, "cannot stop it");
    }
}

/// Handles an instance of the driver that has no row.
async fn unknown_instance(creator: &Creator, id: InstanceId, last: u32) -> Result<Left, Error> {
    if id.0 <= last {
        info!(instance = %id, "left over from an instance that was removed: removing the rest");
        creator.warm.discard(id).await;
        return Ok(Left::Removed);
    }
    warn!(instance = %id, "the catalog never assigned its id: left alone");
    // its id is in use and must not be assigned
    let foreign = Change::Instance {
        id,
        phase: Phase::Foreign,
        version: String::new(),
    };
    let catalog = &creator.context.catalog;
    catalog.write(Durability::Now, vec![foreign]).await?;
    Ok(Left::Alone)
}

/// What became of an instance without a row.
#[derive(PartialEq, Eq)]
enum Left {
    Alone,
    Removed,
}

/// Starts the actor of every database, each with its meter.
async fn start_actors(creator: &Creator, databases: Vec<DatabaseRow>) -> Result<(), Error> {
    let context = &creator.context;
    let now = context.calendar.moment();
    let mut meters = context.catalog.meters(now.month().days().start)?;
    let mut model: Option<Arc<Database>> = None;
    for mut row in databases {
        if row.state != State::Creating
            && let Some(reason) = context.host.hindrance(row.instance).await
        {
            warn!(database = %row.name, reason, "it cannot be started");
            (row.state, row.reason) = (State::Failed, reason);
        }
        let baseline = context.baseline;
        let meter = match meters.remove(&row.origin) {
            Some((mark, spent)) => {
                let found = (mark, (now.month(), spent));
                Meter::resumed(row.name.clone(), row.origin, baseline, found, now)
            }
            None => Meter::new(row.name.clone(), row.origin, baseline, now),
        };
        if row.state == State::Creating {
            remove_half_made(creator, &row).await;
            continue;
        }
        let database = start_actor(context, row, Arc::new(Mutex::new(meter)));
        match &model {
            Some(model) => database.share(model),
            None => model = Some(database),
        }
    }
    Ok(())
}

async fn remove_half_made(creator: &Creator, row: &DatabaseRow) {
    info!(database = %row.name, "its creation was interrupted: removing it");
    let gone = vec![
        Change::Gone {
            name: row.name.clone(),
            instance: row.instance,
            origin: row.origin,
        },
        Change::Instance {
            id: row.instance,
            phase: Phase::Removing,
            version: String::new(),
        },
    ];
    match creator.context.catalog.write(Durability::Now, gone).await {
        Ok(()) => creator.warm.discard(row.instance).await,
        Err(error) => warn!(database = %row.name, %error, "cannot remove it"),
    }
}

/// Starts the background tasks.
fn spawn_background(creator: &Creator, instances: Vec<InstanceId>) {
    let Context {
        metering,
        storage,
        registry,
        calendar,
        tasks,
        ..
    } = &*creator.context;
    let ends = || Arc::clone(tasks);
    let catalog = creator.context.catalog.clone();
    let of = instances.clone();
    tasks.spawn(async move {
        if let Err(error) = catalog.write_manifests(&instances).await {
            warn!(%error, "cannot write the files with names and settings");
        }
    });
    tasks.spawn(backups::watch::watch(creator.clone()));
    tasks.spawn(history::watch::watch(creator.clone()));
    tasks.spawn(Arc::clone(metering).run(ends()));
    tasks.spawn(Arc::clone(&creator.warm).keep_full(ends()));
    creator.understudies.keep(tasks);
    tasks.spawn(moves::expiry::watch(creator.clone()));
    tasks.spawn(moves::history::resume(creator.clone()));
    tasks.spawn(replicas::keep::watch(creator.clone()));
    let understudies = Arc::clone(&creator.understudies);
    let until = ends();
    tasks.spawn(async move { understudies.want_all(&until, of).await });
    tasks.spawn(Arc::clone(storage).watch(ends()));
    tasks.spawn(branches::expiry::watch(
        Arc::clone(registry),
        calendar.clone(),
        ends(),
    ));
    tasks.spawn(calendar::watch::watch(
        calendar.clone(),
        Arc::clone(registry),
        ends(),
    ));
}
