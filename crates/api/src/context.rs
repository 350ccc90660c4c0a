//! Shared data of the request handlers. Created by `dormouse up`, passed to [`Server`](crate::Server).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use dormouse_control::{Plane, Root, Spec};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::bucket::Buckets;
use crate::model::{DataRoot, Listening, ServerStatus};

/// Number of invalid tokens per minute from one address, unless configured.
const FAILED_TOKENS: u32 = 20;

/// Shared data of the request handlers.
pub struct Context {
    pub(crate) plane: Plane,
    pub(crate) defaults: Spec,
    pub(crate) listen: Listening,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) failed_tokens: Buckets,
    /// The user of this process, who is an admin like root.
    pub(crate) own_uid: u32,
    about: About,
    started: (Timestamp, Instant),
}

/// Constant fields of `GET /v1/status`.
#[derive(Debug, Clone)]
pub struct About {
    /// Dormouse's version.
    pub version: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The API's own socket.
    pub api: PathBuf,
    /// The API's address for TLS, if it has one.
    pub api_listen: Option<SocketAddr>,
    /// The database server's version.
    pub engine: String,
    /// Capabilities of the driver on this machine, as text.
    pub capabilities: String,
}

impl Context {
    /// A new context. `stopping` becomes true when Dormouse stops.
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
            failed_tokens: Buckets::new(FAILED_TOKENS),
            own_uid: rustix::process::geteuid().as_raw(),
            about,
            started,
        }
    }

    /// Allows this many invalid tokens per minute from one address.
    #[must_use]
    pub fn with_failed_tokens(mut self, per_minute: u32) -> Self {
        self.failed_tokens = Buckets::new(per_minute);
        self
    }

    pub(crate) fn status(&self, databases: BTreeMap<String, usize>) -> ServerStatus {
        let offer = self.plane.offer();
        ServerStatus {
            version: self.about.version.clone(),
            pid: std::process::id(),
            started: self.started.0,
            uptime_seconds: self.started.1.elapsed().as_secs(),
            data_dir: self.about.data_dir.clone(),
            listen: self.listen.clone(),
            api: self.about.api.clone(),
            api_listen: self.about.api_listen,
            engine: self.about.engine.clone(),
            versions: offer.servers.iter().map(|server| server.series).collect(),
            roots: offer.roots.into_iter().map(data_root).collect(),
            capabilities: self.about.capabilities.clone(),
            understudies: self.plane.understudies().counts(),
            databases,
        }
    }
}

fn data_root(root: Root) -> DataRoot {
    let disk = root.disk.as_ref().ok();
    DataRoot {
        dir: root.dir,
        free: disk.map(|disk| disk.free),
        size: disk.map(|disk| disk.size),
        trouble: root.disk.err(),
    }
}

/// Returns when Dormouse stops, or when the sender of `stopping` is dropped.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _either = stopping.wait_for(|stopping| *stopping).await.is_ok();
}
