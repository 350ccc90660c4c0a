//! The control plane, as the rest of dormouse sees it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_driver::Driver;
use dormouse_policy::lifecycle::{Notes, Order};
use dormouse_types::{DatabaseName, PoolStatus, SessionStatus, State, Usage, Variables};
use tokio::sync::broadcast;

use crate::catalog::{Change, Durability};
use crate::database::Database;
use crate::storage::judge;
use crate::world::{World, within};
use crate::{
    Created, Doors, Error, Event, EventFilter, PlaneConfig, Servers, SettingsPatch, Spec, Status,
    UsageQuery, UsageReport, create, startup,
};

mod accounts;

/// How long a transition may take to end when dormouse stops; the next start settles the rest.
const GRACE: Duration = Duration::from_secs(5);

/// The control plane. Clones are the same plane.
#[derive(Clone)]
pub struct Plane {
    world: Arc<World>,
}

impl Plane {
    /// Opens the catalog in the data directory, finds out what became of every database since the
    /// last run, and starts to look after them.
    ///
    /// # Errors
    /// [`Error::Busy`] if another dormouse has the directory, [`Error::Catalog`] if the catalog
    /// cannot be used, [`Error::Machine`] for the rest.
    pub async fn start(
        config: PlaneConfig,
        driver: Arc<dyn Driver>,
        servers: Arc<dyn Servers>,
        doors: Arc<dyn Doors>,
    ) -> Result<Self, Error> {
        let world = Box::pin(startup::start(config, driver, servers, doors)).await?;
        Ok(Self { world })
    }

    /// What a database gets without settings of its own.
    #[must_use]
    pub fn defaults(&self) -> Spec {
        self.world.config.defaults
    }

    /// Makes a database, awake and ready for its user `admin`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Limit`], or what the machine or the server said.
    pub async fn create(&self, name: &DatabaseName, spec: Spec) -> Result<Created, Error> {
        if self.world.stopping() {
            return Err(Error::Stopping);
        }
        create::create(Arc::clone(&self.world), name.clone(), spec).await
    }

    /// Every database, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        self.world
            .databases()
            .iter()
            .map(|d| self.status(d))
            .collect()
    }

    /// One database.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn show(&self, name: &DatabaseName) -> Result<Status, Error> {
        let database = self.find(name)?;
        Ok(self.status(&database))
    }

    /// One database, with what only its server knows of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn look(&self, name: &DatabaseName) -> Result<Status, Error> {
        let database = self.find(name)?;
        let mut status = self.status(&database);
        if status.state == State::Active {
            let limit = self.world.config.deadlines.ask;
            let asked = within(limit, async {
                let server = database.server()?;
                self.world.servers.memory_tables(&server, limit).await
            });
            tokio::select! {
                asked = asked => status.memory_tables = asked.ok().flatten(),
                () = database.until(|now| now.state != State::Active) => status = self.status(&database),
            }
        }
        Ok(status)
    }

    fn status(&self, database: &Database) -> Status {
        database.status(
            &*self.world.driver,
            &*self.world.doors,
            self.world.spend(database),
        )
    }

    /// Its backends and what has happened to them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn pool(&self, name: &DatabaseName) -> Result<PoolStatus, Error> {
        self.find(name)?;
        Ok(self.world.doors.pool(name))
    }

    /// Its sessions, by their ids.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn sessions(&self, name: &DatabaseName) -> Result<Vec<SessionStatus>, Error> {
        self.find(name)?;
        Ok(self.world.doors.sessions(name))
    }

    /// Changes the owner's settings. Those about its size and its sleep hold at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Catalog`], and then nothing has changed.
    pub async fn set(&self, name: &DatabaseName, settings: SettingsPatch) -> Result<Status, Error> {
        let database = self.find(name)?;
        let _alone = self.world.settings.lock().await;
        let before = database.spec();
        let spec = settings.applied_to(before);
        if spec.units != before.units {
            self.world.room.check_range(spec.units)?;
        }
        if spec != before {
            let change = Change::Spec {
                name: name.clone(),
                spec,
            };
            self.world
                .catalog
                .write(Durability::Now, vec![change])
                .await?;
            database.set_spec(spec);
            if spec.spend_limit != before.spend_limit {
                self.world.limit_changed(&database).await;
            }
            if spec.storage_quota != before.storage_quota
                && let Some(used) = database.view().storage
            {
                judge(&self.world, &database, used).await;
            }
            self.world.restrict(&database);
        }
        self.show(name)
    }

    /// Makes it active, and says so when it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`] if its server cannot be started.
    pub async fn wake(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Wake).await?;
        self.show(name)
    }

    /// Makes it suspended, if it is not asleep already.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use.
    pub async fn suspend(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Suspend).await?;
        self.show(name)
    }

    /// Makes it parked.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use, a session vetoes, or rows of MEMORY tables
    /// would be lost.
    pub async fn park(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Park).await?;
        self.show(name)
    }

    /// Makes it parked, though rows of its MEMORY tables are lost by that.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use or a session vetoes.
    pub async fn park_and_lose(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::ParkAndLose).await?;
        self.show(name)
    }

    /// Removes it with all its data.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Machine`] if its files cannot be removed now: that is tried
    /// again until it succeeds.
    pub async fn drop_database(&self, name: &DatabaseName) -> Result<(), Error> {
        self.order(name, Order::Drop).await
    }

    /// Entries of the ledger.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn events(&self, filter: EventFilter) -> Result<Vec<Event>, Error> {
        self.world.catalog.events(&filter)
    }

    /// Entries of the ledger as they are written. Who reads too slowly loses the oldest, and can
    /// get them from [`Plane::events`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.world.events.subscribe()
    }

    /// What databases have used, up to now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there never was a database of the name; [`Error::Catalog`].
    pub async fn usage(&self, query: UsageQuery) -> Result<UsageReport, Error> {
        self.world.usage(query).await
    }

    /// What a database has used since dormouse started, up to now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn used(&self, name: &DatabaseName) -> Result<Usage, Error> {
        let database = self.find(name)?;
        let used = database.meter().total(self.world.moment());
        Ok(used)
    }

    /// Whether sessions may be accepted for it.
    #[must_use]
    pub fn exists(&self, name: &DatabaseName) -> bool {
        self.world
            .find(name)
            .is_some_and(|d| d.state() != State::Dropping)
    }

    /// A statement is held: its server is needed. Returns at once; the door is opened, or
    /// refused, when that is decided.
    pub fn demand(&self, name: &DatabaseName) {
        if let Some(database) = self.world.find(name) {
            database.demand();
        }
    }

    /// Whether it has a schema of this name; `None` if that is not known without its server.
    #[must_use]
    pub fn has_schema(&self, name: &DatabaseName, schema: &str) -> Option<bool> {
        let view = self.world.find(name)?.view();
        match view.notes() {
            Notes::Fresh => view
                .noted
                .schemas
                .as_ref()
                .map(|all| all.iter().any(|s| s == schema)),
            Notes::Stale | Notes::Awaited => None,
        }
    }

    /// What its global variables were when it went to sleep; `None` if that is not known without
    /// its server, or another version will serve it.
    #[must_use]
    pub fn variables(&self, name: &DatabaseName) -> Option<Variables> {
        let view = self.world.find(name)?.view();
        let noted = view.noted.variables.as_ref();
        let same = |all: &&Variables| {
            let noted = all.get("version");
            noted.is_some_and(|version| self.server_version().ends_with(version))
        };
        match view.notes() {
            Notes::Fresh => noted.filter(same).cloned(),
            Notes::Stale | Notes::Awaited => None,
        }
    }

    /// What its global variables are now: asked of its server while that is active, else as
    /// [`variables`](Self::variables); `None` if they are not known.
    pub async fn present_variables(&self, name: &DatabaseName) -> Option<Variables> {
        let database = self.find(name).ok()?;
        if database.state() != State::Active {
            return self.variables(name);
        }
        let limit = self.world.config.deadlines.ask;
        let asked = within(limit, async {
            self.world.servers.variables(&database.server()?).await
        });
        // a server that is being frozen does not answer: its notes do
        tokio::select! {
            asked = asked => asked.ok(),
            () = database.until(accounts::asleep) => self.variables(name),
        }
    }

    /// Adds the credential with which the proxy logs in as this account; `false` if there is no
    /// such account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is not active; [`Error::Server`].
    pub async fn enroll(&self, name: &DatabaseName, user: &str, host: &str) -> Result<bool, Error> {
        let database = self.find(name)?;
        let state = database.state();
        if state != State::Active {
            let reasons = vec!["its accounts can be changed while it is active only".to_owned()];
            return Err(Error::Refused {
                database: name.clone(),
                state,
                reasons,
            });
        }
        let limit = self.world.config.deadlines.ask;
        let enroll = async {
            let server = database.server()?;
            self.world.servers.enroll(&server, user, host).await
        };
        within(limit, enroll).await.map_err(|reason| Error::Server {
            database: name.clone(),
            reason,
        })
    }

    /// Ends a statement, and the connection it runs on, if it runs on the server of this generation;
    /// another server knows nothing of it. Returns when the server has been told.
    pub async fn end_statement(&self, name: &DatabaseName, generation: u64, thread: u32) {
        let Ok(database) = self.find(name) else {
            return;
        };
        if database.view().generation != generation {
            return;
        }
        let limit = self.world.config.deadlines.ask;
        let end = async { self.world.servers.end(&database.server()?, thread).await };
        if let Err(reason) = within(limit, end).await {
            tracing::warn!(database = %name, thread, reason, "a statement could not be ended");
        }
    }

    /// The version string the servers greet with.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.world.servers.version()
    }

    /// Dormouse is stopping: transitions are finished or left to the next start, servers keep
    /// running.
    pub async fn stop(&self) {
        self.world.stop(GRACE).await;
    }

    fn find(&self, name: &DatabaseName) -> Result<Arc<Database>, Error> {
        self.world
            .find(name)
            .ok_or_else(|| Error::NotFound(name.clone()))
    }

    async fn order(&self, name: &DatabaseName, order: Order) -> Result<(), Error> {
        let database = self.find(name)?;
        if self.world.stopping() {
            return Err(Error::Stopping);
        }
        let answer = database.order(order)?;
        match tokio::time::timeout(self.world.config.deadlines.order, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => {
                let reason = "it is still at it; look again later".to_owned();
                Err(Error::Server {
                    database: name.clone(),
                    reason,
                })
            }
        }
    }
}
