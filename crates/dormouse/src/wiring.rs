//! Where the configuration becomes the data path, and the data path meets the plane.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_api::model::Listening;
use dormouse_control::{Activity, Plane, Target, Traffic, Veto};
use dormouse_engine::Secret;
use dormouse_types::DatabaseName;

use crate::Outcome;
use crate::config::Config;

/// What the data path is made from.
pub(crate) struct Settings<'a> {
    pub(crate) config: &'a Config,
    /// The Unix socket for clients, absolute.
    pub(crate) socket: PathBuf,
    /// TLS for clients.
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// From which the credentials on the servers come.
    pub(crate) secret: Secret,
}

/// The data path: bound, and once started accepting clients.
pub(crate) struct DataPath {
    listening: Listening,
}

impl DataPath {
    /// Takes the addresses; clients wait to be accepted until [`DataPath::start`].
    pub(crate) fn bind(settings: Settings<'_>) -> Outcome<Self> {
        let _ = (settings.config, settings.tls, settings.secret);
        Ok(Self {
            listening: Listening {
                tcp: None,
                socket: settings.socket,
            },
        })
    }

    /// Where clients connect.
    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// How the plane steers it.
    pub(crate) fn traffic(&self) -> Arc<dyn Traffic> {
        Arc::new(NoTraffic)
    }

    /// Accepts clients from now on.
    pub(crate) fn start(&mut self, _plane: Plane) -> Outcome {
        Ok(())
    }

    /// Accepts no more clients, lets each session go at the end of its statement, and cuts off
    /// those that are left when the grace is over.
    pub(crate) async fn stop(self, _grace: Duration) {}
}

/// The traffic of a build without clients: there never is any.
struct NoTraffic;

#[async_trait]
impl Traffic for NoTraffic {
    fn add(&self, _database: &DatabaseName) {}
    fn remove(&self, _database: &DatabaseName) {}
    fn open(&self, _database: &DatabaseName, _target: Target) {}
    fn shut(&self, _database: &DatabaseName, _force: bool) -> bool {
        true
    }
    fn refuse(&self, _database: &DatabaseName, _reason: &str) {}
    fn activity(&self, _database: &DatabaseName) -> Activity {
        Activity::default()
    }
    async fn capture(&self, _database: &DatabaseName, _deadline: Duration) -> Vec<Veto> {
        Vec::new()
    }
    async fn release(&self, _database: &DatabaseName) {}
}
