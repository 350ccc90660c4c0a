//! An instance that follows the primary of a database: a copy of its files, which applies the primary's log.
//!
//! The first start of a copy recovers it with the log that it has of the primary; the last transaction in there is where it
//! follows on. The second start begins a log of its own, with the primary's transactions under their own names, so that
//! others can follow it in turn.

use std::sync::Arc;
use std::time::Duration;

use dormouse_driver::Check;
use dormouse_types::{InstanceId, Units};

use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::instance::Instance;
use crate::instance::host::Host;
use crate::servers::{Following, Server, ServerError};
use crate::time::within;

/// An instance that follows the primary of a database.
pub(crate) struct Follower {
    pub(crate) instance: Instance,
    host: Arc<Host>,
}

impl Follower {
    /// Copies the files of a database that is awake and keeps a log, and lets the copy follow it. `tell` is called with what
    /// it does. If that fails, nothing is left.
    pub(crate) async fn seed(
        creator: &Creator,
        database: &Arc<Database>,
        units: Units,
        tell: impl Fn(&'static str),
    ) -> Result<Self, Error> {
        tell("copying its files");
        let copy = creator.copy_of(database, Check::Nothing).await?;
        let host = Arc::clone(&creator.context.host);
        let instance = Instance::new(Arc::clone(&host), copy.id, units);
        let mut follower = Self {
            instance: instance.of(database.instance),
            host,
        };
        tell("starting the copy");
        let begun = async {
            let _admitted = creator
                .context
                .admission
                .start(crate::admission::Importance::Background)
                .await?;
            follower.begin(database).await
        };
        match begun.await {
            Ok(()) => Ok(follower),
            Err(error) => {
                creator.warm.discard(copy.id).await;
                Err(error)
            }
        }
    }

    /// One that was found in the catalog.
    pub(crate) fn found(instance: Instance, host: Arc<Host>) -> Self {
        Self { instance, host }
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.instance.id()
    }

    /// Its server.
    pub(crate) fn server(&self) -> Result<Server, ServerError> {
        self.instance.server()
    }

    async fn begin(&mut self, database: &Database) -> Result<(), Error> {
        let id = self.id();
        let failed = |doing: &str, reason: String| Error::Machine {
            doing: format!(
                "{doing} instance {id}, which is to follow '{}'",
                database.name
            ),
            reason,
        };
        self.instance.set_follows();
        let started = self.instance.start().await;
        started.map_err(|error| failed("starting", error.to_string()))?;
        let position = self.ask(async |host, server| host.servers.logged(server).await);
        let position = position
            .await
            .map_err(|reason| failed("reading the log of", reason))?;
        self.instance.disconnect().await;
        let restarted = async {
            self.instance.stop().await?;
            self.instance.start().await
        };
        let restarted = restarted.await;
        restarted.map_err(|error| failed("starting", error.to_string()))?;
        let begun =
            self.ask(async |host, server| host.servers.begin_to_follow(server, &position).await);
        begun.await.map_err(|reason| failed("preparing", reason))?;
        self.follow(database).await
    }

    /// Follows the server that the database has now.
    pub(crate) async fn follow(&self, database: &Database) -> Result<(), Error> {
        let id = self.id();
        let failed = |reason: String| Error::Machine {
            doing: format!("letting instance {id} follow '{}'", database.name),
            reason,
        };
        let source = database.server();
        let source = source.map_err(|error| failed(error.to_string()))?;
        let feed = self.host.driver.feed(id, source.instance, &source.endpoint);
        let upstream = within(self.host.deadlines.ask, feed).await;
        let upstream = upstream.map_err(|error| failed(error.to_string()))?;
        self.ask(async |host, server| {
            let (address, password) = (upstream.address, upstream.password.as_str());
            host.servers.follow(server, address, password).await
        })
        .await
        .map_err(failed)
    }

    /// How far it is.
    pub(crate) async fn progress(&self) -> Result<Following, String> {
        self.ask(async |host, server| host.servers.following(server).await)
            .await
    }

    /// Waits until it has these transactions; `false` if that takes longer.
    pub(crate) async fn reaches(&self, position: &str, limit: Duration) -> Result<bool, String> {
        let server = self.server().map_err(|error| error.to_string())?;
        let reaches = self.host.servers.reaches(&server, position, limit);
        reaches.await.map_err(|error| error.to_string())
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Host, &Server) -> Result<T, ServerError>,
    ) -> Result<T, String> {
        let asked = async { question(&self.host, &self.server()?).await };
        within(self.host.deadlines.ask, asked)
            .await
            .map_err(|error| error.to_string())
    }
}
