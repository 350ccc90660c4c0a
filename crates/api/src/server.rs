//! The API's socket: made safely, served with limits, and left in order.

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

/// How many callers may be connected at once; the next ones wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// How long a caller may take over a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// The longest head and the read buffer, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// How long callers in the middle of a request may keep a stopping server.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

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
