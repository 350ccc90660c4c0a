//! The API's socket: made safely, served with limits, and left in order.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_control::{Plane, Spec};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::model::{Listening, ServerStatus};
use crate::routes;

/// How many callers may be connected at once; the next ones wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// How long a caller may take over a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// The longest head and the read buffer, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// How long callers in the middle of a request may keep a stopping server.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

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

/// The bound socket, not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket with mode 0600, in place of what a dead Dormouse may have left there. The
    /// caller has made sure that no other one is alive.
    ///
    /// # Errors
    /// The system's, as when the path is longer than a socket's may be (107 bytes).
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Nobody can connect before the mode is right: it gets its name last.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers callers until `stopping` turns true; then lets those in the middle of a request
    /// finish, for a few seconds, and removes the socket.
    pub async fn serve(self, context: Arc<Context>) {
        let mut stopping = context.stopping.clone();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut callers = JoinSet::new();
        loop {
            let permit = Arc::clone(&permits).acquire_owned();
            let accepted = async {
                let permit = permit.await;
                (permit, self.listener.accept().await)
            };
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => break,
                Some(_) = callers.join_next() => {}
                (permit, accepted) = accepted => match accepted {
                    Ok((stream, _)) => {
                        let caller = serve_one(stream, Arc::clone(&context));
                        callers.spawn(async move {
                            caller.await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a caller of the API");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        if fs::remove_file(&self.path).is_err() {
            tracing::debug!(path = %self.path.display(), "the API's socket was gone already");
        }
        let all = async { while callers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::info!("callers of the API were cut off");
        }
    }
}

async fn serve_one(stream: UnixStream, context: Arc<Context>) {
    let mut stopping = context.stopping.clone();
    let service = TowerToHyperService::new(routes::router(context));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller of the API broke off");
    }
}

/// Returns when Dormouse is to stop, or whoever would say so is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _either = stopping.wait_for(|stopping| *stopping).await.is_ok();
}
