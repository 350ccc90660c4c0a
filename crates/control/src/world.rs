//! What all actors share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dormouse_driver::Driver;
use dormouse_types::{DatabaseName, State};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::database::Database;
use crate::lock::Lock;
use crate::metering::Metering;
use crate::room::Room;
use crate::storage::Storage;
use crate::warm::Warm;
use crate::{Doors, Event, PlaneConfig, Servers};

/// What all actors share.
pub(crate) struct World {
    pub(crate) config: PlaneConfig,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) servers: Arc<dyn Servers>,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) catalog: Catalog,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) directory: RwLock<Directory>,
    /// One permit per server that may start now.
    pub(crate) admission: Semaphore,
    /// One permit per process that may be looked at when dormouse starts.
    pub(crate) adoption: Semaphore,
    pub(crate) warm: Warm,
    pub(crate) room: Room,
    /// Held while an owner's settings are granted.
    pub(crate) settings: tokio::sync::Mutex<()>,
    pub(crate) metering: Metering,
    pub(crate) storage: Storage,
    stopping: AtomicBool,
    ends: Notify,
    tasks: Mutex<JoinSet<()>>,
    _lock: Lock,
}

/// The databases there are.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) known: BTreeMap<DatabaseName, Arc<Database>>,
    /// Names of databases that are being made.
    pub(crate) reserved: BTreeSet<DatabaseName>,
}

/// What a [`World`] is made of.
pub(crate) struct Parts {
    pub(crate) config: PlaneConfig,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) servers: Arc<dyn Servers>,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) catalog: Catalog,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) lock: Lock,
}

impl World {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let room = Room::new(parts.config.capacity);
        Arc::new(Self {
            admission: Semaphore::new(parts.config.wakes_at_once.max(1)),
            adoption: Semaphore::new(8),
            config: parts.config,
            driver: parts.driver,
            servers: parts.servers,
            doors: parts.doors,
            catalog: parts.catalog,
            events: parts.events,
            directory: RwLock::default(),
            warm: Warm::default(),
            room,
            settings: tokio::sync::Mutex::default(),
            metering: Metering::default(),
            storage: Storage::default(),
            stopping: AtomicBool::new(false),
            ends: Notify::new(),
            tasks: Mutex::default(),
            _lock: parts.lock,
        })
    }

    /// Runs a task that ends when the plane stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Whether dormouse is stopping: nothing new is begun.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns when dormouse is stopping.
    pub(crate) async fn ending(&self) {
        let ends = self.ends.notified();
        if !self.stopping() {
            ends.await;
        }
    }

    /// Asks every task to end, and ends those that do not in time.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Release);
        self.ends.notify_waiters();
        self.admission.close();
        self.adoption.close();
        for database in self.databases() {
            database.nudge.notify_one();
        }
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tasks.shutdown().await;
        }
        self.write_all_meters().await;
    }

    pub(crate) fn find(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.read(|d| d.known.get(name).cloned())
    }

    /// Every database, by name.
    pub(crate) fn databases(&self) -> Vec<Arc<Database>> {
        self.read(|d| d.known.values().cloned().collect())
    }

    /// Those whose servers run.
    pub(crate) fn active(&self) -> Vec<Arc<Database>> {
        let active = |database: &&Arc<Database>| database.state() == State::Active;
        self.read(|d| d.known.values().filter(active).cloned().collect())
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(
            &self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        change(
            &mut self
                .directory
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Tells the data path whether a database may grow and change, if that is news. To be called
    /// whenever something that matters to it has changed.
    pub(crate) fn restrict(&self, database: &Database) {
        let disk = self.storage.disk_full();
        database.restrict(disk.as_deref(), &*self.doors);
    }
}

/// The time, which a test may have paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits for a peer, but not for ever.
pub(crate) async fn within<T, E: Display>(
    limit: Duration,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err(no_answer(limit)),
    }
}

/// What is said of a peer that took longer than this.
pub(crate) fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f32())
}
