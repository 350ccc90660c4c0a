//! Accepting connections and handing each to a worker.
//!
//! A worker is a thread with its own event loop. A session, its client socket and its backend socket
//! stay on one worker, so a statement is never passed between threads.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dormouse_types::Access;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::ErrPacket;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::config::{ProxyConfig, Tls};
use crate::control_path::ControlPath;
use crate::listen::{Listeners, StartError, bind_tcp, bind_unix};
use crate::mailbox::SessionOrder;
use crate::session::{Arrival, serve};
use crate::shared::Shared;
use crate::stream::{Peer, Socket};

/// The running data path.
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    workers: Vec<Handle>,
    address: Option<SocketAddr>,
    socket: Option<PathBuf>,
    stop: watch::Sender<bool>,
}

impl Proxy {
    /// Binds the addresses and starts the workers; databases are added with
    /// [`add`](Proxy::add). Clients are accepted after [`accept`](Proxy::accept).
    ///
    /// # Errors
    /// An address is in use or not permitted.
    pub fn start(
        config: ProxyConfig,
        control: Arc<dyn ControlPath>,
    ) -> Result<(Arc<Self>, Listeners), StartError> {
        let tcp = config.listen.map(bind_tcp).transpose()?;
        let address = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        let unix = config.socket.as_deref().map(bind_unix).transpose()?;
        let workers = (0..config.workers.max(1))
            .map(start_worker)
            .collect::<Result<Vec<_>, _>>()?;
        let socket = config.socket.clone();
        let shared = Shared::new(config, control);
        let (stop, _) = watch::channel(false);
        let proxy = Arc::new(Self {
            shared,
            workers,
            address,
            socket,
            stop,
        });
        Ok((proxy, Listeners { tcp, unix }))
    }

    /// The TCP address it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The Unix socket it listens on.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Replaces TLS for clients that connect from now on.
    pub fn set_tls(&self, tls: Tls) {
        self.shared.set_tls(tls);
    }

    /// Replaces the lists of addresses that may connect to any database, and ends the sessions that they
    /// exclude at the end of their statements.
    pub fn set_access_of_all(&self, access: Access) {
        self.shared.set_access(access);
        let access = self.shared.access();
        for database in self.shared.directory.all() {
            database.end_excluded(|peer| match peer {
                Peer::Tcp { from, .. } => access.check(from.ip()).is_err(),
                Peer::Unix => false,
            });
        }
    }

    /// Starts accepting clients. Must be called in a tokio runtime, which runs the sweep of idle
    /// sessions.
    pub fn accept(self: &Arc<Self>, listeners: Listeners) {
        let Some(first) = self.workers.first() else {
            return;
        };
        let turn = Arc::new(AtomicUsize::new(0));
        if let Some(listener) = listeners.tcp {
            first.spawn(Arc::clone(self).accept_tcp(listener, Arc::clone(&turn)));
        }
        if let Some(listener) = listeners.unix {
            first.spawn(Arc::clone(self).accept_unix(listener, turn));
        }
        // not on a worker: a timer would make its event loop set and clear a system timer at each wait
        tokio::spawn(Arc::clone(self).sweep());
    }

    fn next_worker(&self, turn: &AtomicUsize) -> Option<&Handle> {
        self.workers
            .get(turn.fetch_add(1, Ordering::Relaxed) % self.workers.len())
    }

    async fn accept_tcp(self: Arc<Self>, listener: std::net::TcpListener, turn: Arc<AtomicUsize>) {
        let Ok(listener) = TcpListener::from_std(listener) else {
            return;
        };
        let mut stop = self.stop.subscribe();
        while self.accepts() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted
                .and_then(|(stream, from)| Ok((stream.local_addr()?, stream.into_std()?, from)))
            {
                Ok((to, stream, from)) => self.hand_tcp(stream, from, to, &turn),
                Err(error) => pause_accepting(&error).await,
            }
        }
    }

    fn hand_tcp(
        &self,
        stream: std::net::TcpStream,
        from: SocketAddr,
        to: SocketAddr,
        turn: &AtomicUsize,
    ) {
        let shared = Arc::clone(&self.shared);
        let seats = shared.seat().and_then(|seat| {
            // the client's address is known only when the balancer's header has been read
            let mut seats = vec![seat];
            if !shared.is_trusted_proxy(from.ip()) {
                seats.push(shared.let_in(from.ip())?);
            }
            Ok(seats)
        });
        let seats = match seats {
            Ok(seats) => seats,
            Err(error) => {
                debug!(%from, code = error.code, "refused at once");
                return turn_away(stream, &error);
            }
        };
        let id = shared.connection_id();
        let slot = shared.handshake_slot();
        let Some(worker) = self.next_worker(turn) else {
            return;
        };
        worker.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else {
                return;
            };
            let _ = stream.set_nodelay(true);
            let arrival = Box::new(Arrival {
                peer: Peer::Tcp { from, to },
                id,
                slot,
                seats,
            });
            serve(shared, Socket::Tcp(stream), arrival).await;
        });
    }

    async fn accept_unix(
        self: Arc<Self>,
        listener: std::os::unix::net::UnixListener,
        turn: Arc<AtomicUsize>,
    ) {
        let Ok(listener) = UnixListener::from_std(listener) else {
            return;
        };
        let mut stop = self.stop.subscribe();
        while self.accepts() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => {
                    let shared = Arc::clone(&self.shared);
                    let seat = match shared.seat() {
                        Ok(seat) => seat,
                        Err(error) => {
                            turn_away(stream, &error);
                            continue;
                        }
                    };
                    let id = shared.connection_id();
                    let slot = shared.handshake_slot();
                    let Some(worker) = self.next_worker(&turn) else {
                        return;
                    };
                    worker.spawn(async move {
                        let Ok(stream) = UnixStream::from_std(stream) else {
                            return;
                        };
                        let arrival = Box::new(Arrival {
                            peer: Peer::Unix,
                            id,
                            slot,
                            seats: vec![seat],
                        });
                        serve(shared, Socket::Unix(stream), arrival).await;
                    });
                }
                Err(error) => pause_accepting(&error).await,
            }
        }
    }

    /// Whether the proxy is not stopping.
    fn accepts(&self) -> bool {
        !self.shared.stopping.load(Ordering::Acquire)
    }

    /// Ends sessions that have been idle for too long, every second; trims pools every ten seconds.
    async fn sweep(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let in_transaction = self.shared.config.limits.idle_transaction_timeout;
        let in_transaction = in_transaction.map(|limit| limit.as_secs());
        for turn in 1_u64.. {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = stop.changed() => return,
            }
            let seldom = turn % 10 == 0;
            let now = self.shared.seconds();
            if seldom {
                self.shared.understudies.trim(Instant::now());
            }
            for database in self.shared.directory.all() {
                if seldom && let Some(pool) = database.used_pool() {
                    pool.trim(Instant::now());
                    database.replicas.trim(Instant::now());
                }
                database.end_idle(now, in_transaction);
            }
        }
    }

    /// Stops accepting and ends every session at the end of its statement; returns when all have
    /// ended or the deadline has passed.
    pub async fn stop(&self, deadline: Duration) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        let all = || {
            let databases = self.shared.directory.all();
            databases
                .iter()
                .flat_map(|database| database.all_sessions())
                .collect::<Vec<_>>()
        };
        for session in all() {
            session.mailbox.send(SessionOrder::End);
        }
        let until = tokio::time::Instant::now() + deadline;
        while !all().is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Sends an error as the first and last packet, and closes the connection. Nothing is waited for: the
/// packet fits the empty buffer of a new socket. The client has not said yet which protocol it speaks, so the
/// packet has no SQLSTATE.
fn turn_away(mut stream: impl Write, error: &ErrPacket) {
    let mut packet = Vec::new();
    write_packet(&mut packet, 0, &error.encode(Capabilities::NONE));
    let _ = stream.write_all(&packet);
}

/// Accepting failed, most likely because no file descriptor is left. Pauses, so that the loop does
/// not spin.
async fn pause_accepting(error: &io::Error) {
    warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Starts a thread that runs an event loop for as long as the process lives.
fn start_worker(n: usize) -> Result<Handle, StartError> {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Worker)?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name(format!("proxy-{n}"))
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(StartError::Worker)?;
    Ok(handle)
}
