//! The control plane: the interface for its callers.

use std::sync::Arc;
use std::time::Duration;

use dormouse_driver::{Driver, Offer, Place};
use dormouse_policy::Cause;
use dormouse_policy::lifecycle::{Notes, Order};
use dormouse_policy::{SettingsPatch, Spec};
use dormouse_tenant::{Caller, Outcome, Statement};
use dormouse_types::{
    Account, DatabaseName, PoolStatus, SessionStatus, State, Usage, Variables, WokenBy,
};
use tokio::sync::broadcast;

use crate::catalog::{Change, Durability};
use crate::config::PlaneConfig;
use crate::create::Creator;
use crate::database::Database;
use crate::database::context::Context;
use crate::doors::Doors;
use crate::error::Error;
use crate::history::watch::store_rest;
use crate::principal::Principal;
use crate::servers::{Server, Servers};
use crate::startup::{self, Started};
use crate::status::{Created, Event, EventFilter, Status};
use crate::time::within;
use crate::usage::{UsageQuery, UsageReport};
use crate::wakes::WakesReport;
use backups::Backups;
use branches::Branches;
use moves::Moves;
use statements::Statements;
use tokens::Tokens;
use transfers::Transfer;
use understudies::Understudies;

mod accounts;
pub mod backups;
pub mod branches;
mod changes;
mod encryption;
pub mod moves;
mod on_demand;
pub mod statements;
pub mod tokens;
pub mod transfers;
pub mod understudies;
mod users;

/// Time limit for transitions to end when Dormouse stops; the next start settles the rest.
const GRACE: Duration = Duration::from_secs(5);

/// The control plane. Clones share it.
#[derive(Clone)]
pub struct Plane {
    creator: Creator,
    context: Arc<Context>,
    shared: Arc<Shared>,
    /// Who gives its orders, for the ledger.
    principal: Principal,
}

/// State that only callers of the plane need.
struct Shared {
    defaults: Spec,
    events: broadcast::Sender<Event>,
    /// Held while settings are changed.
    settings: tokio::sync::Mutex<()>,
    /// What the start found that the catalog did not know.
    found: Vec<String>,
}

impl Plane {
    /// Opens the catalog in the data directory, removes incomplete instances, and starts the actors, which
    /// observe their databases.
    ///
    /// # Errors
    /// [`Error::Busy`] if another Dormouse uses the directory, [`Error::Catalog`] if the catalog
    /// cannot be used, [`Error::Machine`] for the rest.
    pub async fn start(
        config: PlaneConfig,
        driver: Arc<dyn Driver>,
        servers: Arc<dyn Servers>,
        doors: Arc<dyn Doors>,
    ) -> Result<Self, Error> {
        let started = Box::pin(startup::start(&config, driver, servers, doors)).await?;
        let Started {
            creator,
            events,
            found,
        } = started;
        Ok(Self {
            context: Arc::clone(&creator.context),
            creator,
            shared: Arc::new(Shared {
                defaults: config.defaults,
                events,
                found,
                settings: tokio::sync::Mutex::default(),
            }),
            principal: Principal::Dormouse,
        })
    }

    /// What the start found that the catalog did not know, for whoever runs Dormouse.
    #[must_use]
    pub fn found(&self) -> &[String] {
        &self.shared.found
    }

    /// The same plane for the orders of someone else: the ledger names them.
    #[must_use]
    pub fn acting_for(&self, principal: Principal) -> Self {
        Self {
            principal,
            ..self.clone()
        }
    }

    /// The tokens of the API.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens {
            catalog: &self.context.catalog,
            principal: &self.principal,
        }
    }

    /// Branches of databases.
    #[must_use]
    pub fn branches(&self) -> Branches<'_> {
        Branches {
            creator: &self.creator,
            principal: &self.principal,
        }
    }

    /// Moves of databases to other instances.
    #[must_use]
    pub fn moves(&self) -> Moves<'_> {
        Moves {
            creator: &self.creator,
            principal: &self.principal,
        }
    }

    /// Backups of databases.
    #[must_use]
    pub fn backups(&self) -> Backups<'_> {
        Backups {
            creator: &self.creator,
            principal: &self.principal,
        }
    }

    /// Servers that answer in place of those of sleeping databases.
    #[must_use]
    pub fn understudies(&self) -> Understudies<'_> {
        Understudies {
            creator: &self.creator,
        }
    }

    /// The settings of a database that sets none.
    #[must_use]
    pub fn defaults(&self) -> Spec {
        self.shared.defaults.clone()
    }

    /// Makes a database, awake and ready for its user `admin`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Limit`], [`Error::NoRepository`] with a history, or an error of the machine or the server.
    pub async fn create(&self, name: &DatabaseName, spec: Spec) -> Result<Created, Error> {
        self.create_at(name, spec, Place::default()).await
    }

    /// The same in a data root, and by a server, that its caller names.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); [`Error::Invalid`] if there is no such root or server.
    pub async fn create_at(
        &self,
        name: &DatabaseName,
        spec: Spec,
        place: Place,
    ) -> Result<Created, Error> {
        if self.context.tasks.stopping() {
            return Err(Error::Stopping);
        }
        if spec.history {
            self.context.backups.vault()?;
        }
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        creator.create(name.clone(), spec, place, by).await
    }

    /// Every database, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        self.context
            .registry
            .all()
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

    /// One database, including data that only its running server has.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn look(&self, name: &DatabaseName) -> Result<Status, Error> {
        let database = self.find(name)?;
        let mut status = self.status(&database);
        if status.state == State::Active {
            let limit = self.context.host.deadlines.ask;
            let asked = within(limit, async {
                let server = database.server()?;
                self.context
                    .host
                    .servers
                    .memory_tables(&server, limit)
                    .await
            });
            tokio::select! {
                asked = asked => status.memory_tables = asked.ok().flatten(),
                () = database.until(|now| now.state != State::Active) => status = self.status(&database),
            }
        }
        match self.encryption(&database).await {
            Ok(encryption) => status.encryption = encryption,
            Err(error) => tracing::warn!(database = %name, %error, "cannot read its keys"),
        }
        Ok(status)
    }

    fn status(&self, database: &Database) -> Status {
        database.status(
            &*self.context.host.driver,
            &*self.context.doors,
            self.context.metering.spend(database),
        )
    }

    /// The backends of a database, with counters.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn pool(&self, name: &DatabaseName) -> Result<PoolStatus, Error> {
        self.find(name)?;
        Ok(self.context.doors.pool(name))
    }

    /// The sessions of a database, sorted by id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn sessions(&self, name: &DatabaseName) -> Result<Vec<SessionStatus>, Error> {
        self.find(name)?;
        Ok(self.context.doors.sessions(name))
    }

    /// Changes the settings. Those of size and sleep take effect at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Catalog`]: nothing has changed.
    /// [`Error::Refused`] if its history was turned on or off and its server cannot be restarted now: the next start
    /// does it.
    pub async fn set(&self, name: &DatabaseName, settings: SettingsPatch) -> Result<Status, Error> {
        let before = self.find(name)?.spec();
        let after = settings.clone().applied_to(before.clone());
        if after.history && !before.history {
            self.context.backups.vault()?;
        }
        let status = self
            .change_spec(name, |spec| settings.applied_to(spec))
            .await?;
        if before != after
            && let Some(database) = self.context.registry.find(name)
        {
            match database.replicas() {
                Some(replicas) => replicas.wake(),
                None => self.context.wants_replicas.add(name),
            }
        }
        if before.keeps_log() == after.keeps_log() || status.state == State::Parked {
            return Ok(status);
        }
        let later = match (before.history == after.history, after.keeps_log()) {
            (true, true) => {
                "it gets replicas when its server has started next, with a log".to_owned()
            }
            (true, false) => "its server keeps a log until it starts next".to_owned(),
            (false, on) => {
                let turned = if on { "on" } else { "off" };
                format!("its history is turned {turned} when its server starts next")
            }
        };
        self.restart(name, &later).await?;
        self.show(name)
    }

    async fn change_spec(
        &self,
        name: &DatabaseName,
        change: impl FnOnce(Spec) -> Spec + Send,
    ) -> Result<Status, Error> {
        let database = self.find(name)?;
        let _alone = self.shared.settings.lock().await;
        let before = database.spec();
        let spec = change(before.clone());
        if spec.units != before.units {
            self.context.host.room.check_range(spec.units)?;
        }
        if spec != before {
            let change = Change::Spec {
                name: name.clone(),
                spec: Box::new(spec.clone()),
            };
            let entry = changes::entry(&database, &before, &spec, self.principal.clone());
            let mut changes = vec![change];
            // a new key alone is nothing to tell
            if !entry.reason.is_empty() {
                changes.push(Change::Ledger(Box::new(entry)));
            }
            self.context.catalog.write(Durability::Now, changes).await?;
            database.set_spec(spec.clone());
            if spec.access != before.access {
                self.context.doors.set_access(name, &spec.access);
            }
            if spec.reserved != before.reserved {
                self.context.doors.reserve(name, spec.reserved.as_deref());
            }
            if spec.spend_limit != before.spend_limit {
                self.context.metering.limit_changed(&database).await;
            }
            if spec.storage_quota != before.storage_quota
                && let Some(used) = database.view().storage
            {
                self.context.storage.apply_quota(&database, used).await;
            }
            self.context.storage.restrict(&database);
        }
        self.show(name)
    }

    /// Reserves it for the sessions that show this key in their connection attributes: statements of others are held.
    /// `None` ends that.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Catalog`].
    pub async fn reserve(&self, name: &DatabaseName, key: Option<String>) -> Result<(), Error> {
        let reserved = |spec| Spec {
            reserved: key,
            ..spec
        };
        self.change_spec(name, reserved).await.map(drop)
    }

    /// Wakes it; returns when it is active.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`] if its server cannot be started.
    pub async fn wake(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Wake).await?;
        self.show(name)
    }

    /// Suspends it, unless it sleeps already.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use.
    pub async fn suspend(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Suspend).await?;
        self.show(name)
    }

    /// Parks it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use, a session vetoes, or rows of MEMORY tables
    /// would be lost.
    pub async fn park(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::Park).await?;
        self.show(name)
    }

    /// Parks it although rows of its MEMORY tables are lost.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use or a session vetoes.
    pub async fn park_and_lose(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.order(name, Order::ParkAndLose).await?;
        self.show(name)
    }

    /// Removes it with all its data. What its history lacks is stored before.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Machine`] if its files cannot be removed now; the actor retries until it
    /// succeeds.
    pub async fn drop_database(&self, name: &DatabaseName) -> Result<(), Error> {
        let database = self.find(name)?;
        let doing = format!("dropping database '{name}'");
        let host = &self.context.host;
        host.check_there(database.seat(), &doing).await?;
        store_rest(&self.creator, &database).await;
        self.order(name, Order::Drop).await
    }

    /// Writes an entry of the ledger about an import or export, which its client has done.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Catalog`].
    pub async fn note_transfer(
        &self,
        name: &DatabaseName,
        transfer: Transfer,
    ) -> Result<(), Error> {
        let database = self.find(name)?;
        let entry = transfers::entry(&database.name, &transfer, self.principal.clone());
        let changes = vec![Change::Ledger(Box::new(entry))];
        self.context.catalog.write(Durability::Now, changes).await
    }

    /// Entries of the ledger.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn events(&self, filter: EventFilter) -> Result<Vec<Event>, Error> {
        self.context.catalog.events(&filter)
    }

    /// Why the server of a database failed last, if that was within the last two minutes.
    #[must_use]
    pub fn last_failure(&self, name: &DatabaseName) -> Option<String> {
        const LATELY: i64 = 120;
        let filter = EventFilter {
            database: Some(name.clone()),
            present: true,
            after: None,
            limit: 20,
        };
        let events = self.events(filter).ok()?;
        let now = self.context.calendar.timestamp().as_second();
        let failed =
            |event: &&Event| event.cause == Cause::Failed && now - event.at.as_second() <= LATELY;
        let last = events.iter().rev().find(failed)?;
        Some(last.reason.clone())
    }

    /// Entries of the ledger as they are written. A slow subscriber loses the oldest; [`Plane::events`] still
    /// has them.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Usage of databases, up to now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no database ever had the name; [`Error::Catalog`].
    pub async fn usage(&self, query: UsageQuery) -> Result<UsageReport, Error> {
        self.context.metering.usage(query).await
    }

    /// What woke a database in the last while, up to now, and what that cost.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] if that is too long; [`Error::Catalog`].
    pub async fn wakes(&self, name: &DatabaseName, last: Duration) -> Result<WakesReport, Error> {
        self.context.metering.wakes(name, last).await
    }

    /// Usage of a database since Dormouse started, up to now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn used(&self, name: &DatabaseName) -> Result<Usage, Error> {
        let database = self.find(name)?;
        let used = database.meter().total(self.context.calendar.moment());
        Ok(used)
    }

    /// Whether sessions may be accepted for it.
    #[must_use]
    pub fn exists(&self, name: &DatabaseName) -> bool {
        self.context
            .registry
            .find(name)
            .is_some_and(|d| d.state() != State::Dropping)
    }

    /// Requests the server for a held statement of this user. Returns at once; the door opens or refuses later. `by` is
    /// called if the statement is the first: the ledger names it.
    pub fn demand(&self, name: &DatabaseName, user: &str, by: &dyn Fn() -> WokenBy) {
        if let Some(database) = self.context.registry.find(name) {
            database.demand(user, by);
        }
    }

    /// Whether it has a schema of this name; `None` if that is not known without its server.
    #[must_use]
    pub fn has_schema(&self, name: &DatabaseName, schema: &str) -> Option<bool> {
        let view = self.context.registry.find(name)?.view();
        match view.notes() {
            Notes::Fresh => view
                .noted
                .schemas
                .as_ref()
                .map(|all| all.iter().any(|s| s == schema)),
            Notes::Stale | Notes::Awaited => None,
        }
    }

    /// Its global variables when it went to sleep; `None` if they are unknown without its server, or if a
    /// server of another version will serve it.
    #[must_use]
    pub fn variables(&self, name: &DatabaseName) -> Option<Variables> {
        /// A server adds it if it keeps a binary log.
        const LOG: &str = "-log";
        let database = self.context.registry.find(name)?;
        let noted = database.fresh_notes()?;
        let all = noted.variables.as_ref()?;
        let version = all.get("version")?;
        let bare = version.strip_suffix(LOG).unwrap_or(version);
        // that of its own server, which need not be that of new databases
        let present = self.context.host.version_of(database.seat());
        if !present.ends_with(bare) {
            return None;
        }
        if database.state() == State::Suspended {
            return Some(all.clone());
        }
        // the next server need not keep one because this one did, for a move
        let next = match database.spec().keeps_log() {
            true => format!("{bare}{LOG}"),
            false => bare.to_owned(),
        };
        Some(match next == version {
            true => all.clone(),
            false => all.with("version", &next),
        })
    }

    /// Its current global variables: queried from the server while it is active, else as
    /// [`variables`](Self::variables); `None` if unknown.
    pub async fn present_variables(&self, name: &DatabaseName) -> Option<Variables> {
        let database = self.find(name).ok()?;
        if database.state() != State::Active {
            return self.variables(name);
        }
        let limit = self.context.host.deadlines.ask;
        let asked = within(limit, async {
            self.context
                .host
                .servers
                .variables(&database.server()?)
                .await
        });
        // a server that is being frozen does not answer: use the notes
        tokio::select! {
            asked = asked => asked.ok(),
            () = database.until(accounts::asleep) => self.variables(name),
        }
    }

    /// Whether its server has stored code that changes sessions in ways that no reply reports; `None` while it does
    /// not answer.
    pub async fn hides_changes(&self, name: &DatabaseName) -> Option<bool> {
        let database = self.find(name).ok()?;
        let server = database.server().ok()?;
        let servers = &self.context.host.servers;
        let limit = self.context.host.deadlines.ask;
        // a server that is being frozen does not answer
        tokio::select! {
            asked = within(limit, servers.hides_changes(&server)) => asked.ok(),
            () = database.until(accounts::asleep) => None,
        }
    }

    /// The accounts that a login with this user name may use, including anonymous ones: read from the server
    /// while it is active, else from the notes. The database is woken only if the notes are missing or stale.
    /// Waits at most `patience`, also through deaths and restarts of the server. A failed database is started
    /// again when its delay is over.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Accounts`] if they could not be read in time.
    pub async fn accounts(
        &self,
        name: &DatabaseName,
        user: &str,
        address: &str,
        patience: Duration,
    ) -> Result<Vec<Account>, Error> {
        let database = self.find(name)?;
        accounts::read(&self.context, &database, (user, address), patience).await
    }

    /// Adds the credential with which the proxy logs in as this account; `false` if the account does not
    /// exist.
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
        let limit = self.context.host.deadlines.ask;
        let enroll = async {
            let _may = database.may_change().await;
            let server = database.server()?;
            self.context.host.servers.enroll(&server, user, host).await
        };
        within(limit, enroll).await.map_err(|error| Error::Server {
            database: name.clone(),
            reason: error.to_string(),
        })
    }

    /// Runs a statement about accounts or global variables in place of the caller, on the server of this
    /// generation, if its account may. It runs to its end also if the caller stops waiting.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if another server runs, or none; [`Error::Server`]: it is not
    /// known whether the statement has run.
    pub async fn manage(
        &self,
        name: &DatabaseName,
        generation: u64,
        caller: Caller,
        statement: Statement,
    ) -> Result<Outcome, Error> {
        let database = self.find(name)?;
        let context = Arc::clone(&self.context);
        let kind = statement.kind();
        let (by, of) = (format!("{}@{}", caller.user, caller.host), name.clone());
        let run = tokio::spawn(async move {
            // the caller may have left, and its pass of the door with it
            let _may = database.may_change().await;
            let server = present(&database, generation)?;
            let outcome = context
                .host
                .servers
                .manage(&server, &caller, &statement)
                .await;
            match &outcome {
                Ok(Outcome::Done(_)) => {
                    tracing::info!(database = %of, by, kind, "run in an owner's place")
                }
                Ok(Outcome::Failed { code, .. }) => {
                    tracing::info!(database = %of, by, kind, code, "refused");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(database = %of, by, kind, %error, "the outcome is not known")
                }
            }
            outcome.map_err(|error| server_failed(&database, error.to_string()))
        });
        match run.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Error::Server {
                database: name.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// Statements that the end of a server has interrupted, and those that are to end.
    #[must_use]
    pub fn statements(&self) -> Statements<'_> {
        Statements(&self.context)
    }

    /// The data roots and servers that there are for databases.
    #[must_use]
    pub fn offer(&self) -> Offer {
        self.context.host.driver.offer()
    }

    /// The version string in the servers' greeting.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.context.host.servers.version()
    }

    /// Stops the plane: transitions finish or are left to the next start; servers keep running.
    pub async fn stop(&self) {
        let Context {
            tasks, admission, ..
        } = &*self.context;
        tasks.end();
        admission.close();
        for database in self.context.registry.all() {
            database.wake_actor();
        }
        tasks.join(GRACE).await;
        self.creator.warm.empty().await;
        self.creator.understudies.empty().await;
        self.context.metering.write_all().await;
    }

    fn find(&self, name: &DatabaseName) -> Result<Arc<Database>, Error> {
        self.context
            .registry
            .find(name)
            .ok_or_else(|| Error::NotFound(name.clone()))
    }

    async fn order(&self, name: &DatabaseName, order: Order) -> Result<(), Error> {
        let database = self.find(name)?;
        if self.context.tasks.stopping() {
            return Err(Error::Stopping);
        }
        let answer = database.order(order, self.principal.clone())?;
        match tokio::time::timeout(self.context.host.deadlines.order, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => {
                let reason = "it is not finished yet; look again later".to_owned();
                Err(Error::Server {
                    database: name.clone(),
                    reason,
                })
            }
        }
    }
}

/// The server of this generation.
fn present(database: &Database, generation: u64) -> Result<Server, Error> {
    let view = database.view();
    if view.state != State::Active || view.generation != generation {
        let reasons = vec!["its accounts can be changed while it is active only".to_owned()];
        return Err(Error::Refused {
            database: database.name.clone(),
            state: view.state,
            reasons,
        });
    }
    let server = database.server();
    server.map_err(|error| server_failed(database, error.to_string()))
}

fn server_failed(database: &Database, reason: String) -> Error {
    Error::Server {
        database: database.name.clone(),
        reason,
    }
}
