//! The control plane, as the rest of dormouse sees it.

use std::sync::Arc;

use dormouse_driver::Driver;
use dormouse_types::{Account, DatabaseName};
use tokio::sync::broadcast;

use crate::{Created, Error, Event, EventFilter, PlaneConfig, Servers, Spec, Status, Traffic};

/// The control plane. Clones are the same plane.
#[derive(Clone)]
pub struct Plane {
    shared: Arc<Shared>,
}

struct Shared {
    config: PlaneConfig,
    servers: Arc<dyn Servers>,
    events: broadcast::Sender<Event>,
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
        _driver: Arc<dyn Driver>,
        servers: Arc<dyn Servers>,
        _traffic: Arc<dyn Traffic>,
    ) -> Result<Self, Error> {
        let events = broadcast::Sender::new(1024);
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                servers,
                events,
            }),
        })
    }

    /// What a database gets whose owner wishes nothing.
    #[must_use]
    pub fn defaults(&self) -> Spec {
        self.shared.config.defaults
    }

    /// Makes a database, awake and ready for its user `admin`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Limit`], or what the machine or the server said.
    pub async fn create(&self, name: &DatabaseName, _spec: Spec) -> Result<Created, Error> {
        Err(Error::NotFound(name.clone()))
    }

    /// Every database, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        Vec::new()
    }

    /// One database.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn show(&self, name: &DatabaseName) -> Result<Status, Error> {
        Err(Error::NotFound(name.clone()))
    }

    /// Makes it active, and says so when it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`] if its server cannot be started.
    pub async fn wake(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.show(name)
    }

    /// Makes it suspended, if it is not asleep already.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use.
    pub async fn suspend(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.show(name)
    }

    /// Makes it parked.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is in use or a session vetoes.
    pub async fn park(&self, name: &DatabaseName) -> Result<Status, Error> {
        self.show(name)
    }

    /// Removes it with all its data.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Machine`] if its files cannot be removed now: this goes on by itself.
    pub async fn drop_database(&self, name: &DatabaseName) -> Result<(), Error> {
        Err(Error::NotFound(name.clone()))
    }

    /// Entries of the ledger.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn events(&self, _filter: EventFilter) -> Result<Vec<Event>, Error> {
        Ok(Vec::new())
    }

    /// Entries of the ledger as they are written. Who reads too slowly loses the oldest, and can
    /// get them from [`Plane::events`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Whether sessions may be accepted for it.
    #[must_use]
    pub fn exists(&self, _name: &DatabaseName) -> bool {
        false
    }

    /// A statement is held: its server is needed. Returns at once; the traffic is opened, or
    /// refused, when that is decided.
    pub async fn demand(&self, _name: &DatabaseName, _why: &str) {}

    /// The accounts of a user name: from the server while it is active, else as noted when it went
    /// to sleep. Wakes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`] if they cannot be had in time.
    pub async fn accounts(&self, name: &DatabaseName, _user: &str) -> Result<Vec<Account>, Error> {
        Err(Error::NotFound(name.clone()))
    }

    /// Whether it has a schema of this name; `None` if that is not known without its server.
    #[must_use]
    pub fn has_schema(&self, _name: &DatabaseName, _schema: &str) -> Option<bool> {
        None
    }

    /// Adds the credential with which the proxy logs in as this account; `false` if there is no
    /// such account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is not active; [`Error::Server`].
    pub async fn enroll(
        &self,
        name: &DatabaseName,
        _user: &str,
        _host: &str,
    ) -> Result<bool, Error> {
        Err(Error::NotFound(name.clone()))
    }

    /// The version string the servers greet with.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.shared.servers.version()
    }

    /// Dormouse is stopping: transitions are finished or left to the next start, servers keep running.
    pub async fn stop(&self) {}
}
