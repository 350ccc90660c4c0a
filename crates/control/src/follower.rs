//! An instance that follows the server of another one.

use std::sync::Arc;
use std::time::Duration;

use dormouse_types::InstanceId;

use crate::instance::Instance;
use crate::instance::host::Host;
use crate::servers::{Following, Server, ServerError};
use crate::time::within;

/// An instance that follows the primary of a database. [`seed`](crate::seed) makes it.
pub(crate) struct Follower {
    pub(crate) instance: Instance,
    host: Arc<Host>,
}

impl Follower {
    /// With an instance whose files have what a follower needs.
    pub(crate) fn new(instance: Instance, host: Arc<Host>) -> Self {
        Self { instance, host }
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.instance.id()
    }

    /// Its server.
    pub(crate) fn server(&self) -> Result<Server, ServerError> {
        self.instance.server()
    }

    /// Follows this server from now on, from where it is. `acknowledges`: commits there may wait for this one.
    pub(crate) async fn follow(&self, source: &Server, acknowledges: bool) -> Result<(), String> {
        let feed = self
            .host
            .driver
            .feed(self.id(), source.instance, &source.endpoint);
        let upstream = within(self.host.deadlines.ask, feed).await;
        let upstream = upstream.map_err(|error| error.to_string())?;
        self.ask(async |host, server| {
            let (address, password) = (upstream.address, upstream.password.as_str());
            host.servers
                .follow(server, address, password, acknowledges)
                .await
        })
        .await
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

    /// The same, without the follower: it may be used meanwhile.
    pub(crate) fn reaching(
        &self,
        position: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<bool, String>> + Send + use<> {
        let (server, host, position) = (self.server(), Arc::clone(&self.host), position.to_owned());
        async move {
            let server = server.map_err(|error| error.to_string())?;
            let reaches = host.servers.reaches(&server, &position, limit);
            reaches.await.map_err(|error| error.to_string())
        }
    }

    /// Asks its server.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Host, &Server) -> Result<T, ServerError>,
    ) -> Result<T, String> {
        let asked = async { question(&self.host, &self.server()?).await };
        within(self.host.deadlines.ask, asked)
            .await
            .map_err(|error| error.to_string())
    }
}
