//! What the handlers of all requests share. Made by `dormouse up`, passed to [`Server`](crate::Server).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use dormouse_control::{Plane, Spec};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::model::{Listening, ServerStatus};

/// What the handlers need.
pub struct Context {
    pub(crate) plane: Plane,
    pub(crate) defaults: Spec,
    pub(crate) listen: Listening,
    pub(crate) stopping: watch::Receiver<bool>,
    about: About,
    started: (Timestamp, Instant),
}

/// What `GET /v1/status` says beside figures.
#[derive(Debug, Clone)]
pub struct About {
    /// Dormouse's version.
    pub version: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The API's own socket.
    pub api: PathBuf,
    /// The database server's version.
    pub engine: String,
    /// What the machine lets the driver do, in words.
    pub capabilities: String,
}

impl Context {
    /// Puts together what the handlers need. `stopping` turns true when Dormouse is to stop.
    #[must_use]
    pub fn new(
        plane: Plane,
        defaults: Spec,
        listen: Listening,
        about: About,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let started = (Timestamp::now(), Instant::now());
        Self {
            plane,
            defaults,
            listen,
            stopping,
            about,
            started,
        }
    }

    pub(crate) fn status(&self, databases: BTreeMap<String, usize>) -> ServerStatus {
        ServerStatus {
            version: self.about.version.clone(),
            pid: std::process::id(),
            started: self.started.0,
            uptime_seconds: self.started.1.elapsed().as_secs(),
            data_dir: self.about.data_dir.clone(),
            listen: self.listen.clone(),
            api: self.about.api.clone(),
            engine: self.about.engine.clone(),
            capabilities: self.about.capabilities.clone(),
            databases,
        }
    }
}

/// Returns when Dormouse is to stop, or whoever would say so is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _either = stopping.wait_for(|stopping| *stopping).await.is_ok();
}
