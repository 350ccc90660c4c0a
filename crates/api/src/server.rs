//! HTTP server: on the API's Unix socket, which it creates with safe permissions and removes, and over TLS.
//!
//! The two have connections of their own, so that strangers on the network cannot lock out the local admin.

use std::collections::HashMap;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::bucket::Source;
use crate::connection::{self, HEAD_DEADLINE};
use crate::context::{Context, stopped};
use crate::gate::Peer;

/// Maximum number of concurrent connections on the Unix socket; further ones wait in the listen queue.
const MAX_CONNECTIONS: usize = 128;
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
        let accept = |cx: &mut Poller<'_>| {
            let accepted = self.listener.poll_accept(cx);
            accepted.map_ok(|(stream, _)| stream)
        };
        let removed = || {
            if fs::remove_file(&self.path).is_err() {
                tracing::debug!(path = %self.path.display(), "the API's socket had been removed already");
            }
        };
        accept_all(accept, MAX_CONNECTIONS, &context, serve_local, removed).await;
    }
}

async fn serve_local(stream: UnixStream, context: Arc<Context>) {
    match stream.peer_cred() {
        Ok(credentials) => {
            connection::serve(stream, Peer::Local(credentials.uid()), context).await;
        }
        Err(error) => tracing::warn!(%error, "the user of a connection to the API is not known"),
    }
}

/// Limits of the server over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsLimits {
    /// Maximum number of concurrent connections; further ones wait in the listen queue.
    pub connections: usize,
    /// The same of one address; further ones are closed.
    pub connections_per_address: u32,
}

/// A server for TLS that is bound and does not serve yet.
pub struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    limits: TlsLimits,
}

impl TlsServer {
    /// Binds the address. Nothing is served without TLS.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        limits: TlsLimits,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            acceptor: TlsAcceptor::from(tls),
            limits,
        })
    }

    /// The address, with the actual port.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopping` becomes true; then waits a few seconds for running requests.
    pub async fn serve(self, context: Arc<Context>) {
        let accept = |cx: &mut Poller<'_>| self.listener.poll_accept(cx);
        let seats = Seats::default();
        let most = self.limits.connections_per_address;
        let acceptor = self.acceptor.clone();
        let one = move |(stream, address): (TcpStream, SocketAddr), context| {
            let seat = seats.take(Source::of(address.ip()), most);
            let acceptor = acceptor.clone();
            async move {
                match seat {
                    Some(seat) => serve_remote(stream, address, &acceptor, context, seat).await,
                    None => tracing::debug!(
                        %address,
                        most,
                        "too many connections to the API from one address (connections_per_address)"
                    ),
                }
            }
        };
        accept_all(accept, self.limits.connections, &context, one, || {}).await;
    }
}

async fn serve_remote(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    context: Arc<Context>,
    _seat: Seat,
) {
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(HEAD_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            connection::serve(stream, Peer::Remote(address.ip()), context).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS on a connection to the API"),
        Err(_) => tracing::debug!(%address, "a TLS handshake with the API took too long"),
    }
}

/// Accepts up to `most` connections at a time until Dormouse stops; then calls `closed` and waits for them.
async fn accept_all<T, F>(
    accept: impl Fn(&mut Poller<'_>) -> Poll<io::Result<T>>,
    most: usize,
    context: &Arc<Context>,
    one: impl Fn(T, Arc<Context>) -> F,
    closed: impl FnOnce(),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut stopping = context.stopping.clone();
    let permits = Arc::new(Semaphore::new(most));
    let mut callers = JoinSet::new();
    loop {
        let permit = Arc::clone(&permits).acquire_owned();
        let accepted = async {
            let permit = permit.await;
            (permit, poll_fn(&accept).await)
        };
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => break,
            Some(_) = callers.join_next() => {}
            (permit, accepted) = accepted => match accepted {
                Ok(accepted) => {
                    let caller = one(accepted, Arc::clone(context));
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
    closed();
    let all = async { while callers.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
        tracing::info!("connections to the API were closed in the middle of a request");
    }
}

/// Number of connections of each source.
#[derive(Clone, Default)]
struct Seats(Arc<Mutex<HashMap<Source, u32>>>);

/// One counted connection; dropping it removes it from the count.
struct Seat {
    seats: Seats,
    source: Source,
}

impl Seats {
    /// Counts a connection, unless its source has `most` already.
    fn take(&self, source: Source, most: u32) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: self.clone(),
            source,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_source_are_counted_while_they_last() {
        let (seats, home) = (Seats::default(), Source::Uid(1));
        let seat = seats.take(home, 1);
        assert!(seat.is_some() && seats.take(home, 1).is_none());
        assert!(seats.take(Source::Uid(2), 1).is_some());
        drop(seat);
        assert!(seats.take(home, 1).is_some());
        assert!(seats.0.lock().unwrap().is_empty());
    }
}
