//! HTTP server on the API's socket: creates it with safe permissions, serves with limits, removes it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::context::{Context, stopped};
use crate::routes;

/// Maximum number of concurrent connections; further ones wait in the listen queue.
const MAX_CONNECTIONS: usize = 128;
/// Deadline for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of a request's head and of the read buffer, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// How long a stopping server waits for running requests.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// A server that is bound and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Creates the socket with mode 0600 and replaces a stale one. The caller has checked that no other
    /// Dormouse is running.
    ///
    /// # Errors
    /// Those of the system, for example if the path is longer than 107 bytes.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // no client can connect before the mode is set: the socket gets its name last
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

    /// Serves until `stopping` becomes true; then waits a few seconds for running requests and removes
    /// the socket.
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
                        tracing::warn!(%error, "cannot accept a connection to the API");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        if fs::remove_file(&self.path).is_err() {
            tracing::debug!(path = %self.path.display(), "the API's socket had been removed already");
        }
        let all = async { while callers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::info!("connections to the API were closed in the middle of a request");
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
        tracing::debug!(%error, "a connection to the API failed");
    }
}
