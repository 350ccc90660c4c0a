//! What all sessions of the proxy share.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use dormouse_types::{Access, Marker};
use dormouse_wire::reply::ErrPacket;
use tokio::sync::{Semaphore, oneshot};

use crate::config::{ProxyConfig, Tls};
use crate::control_path::ControlPath;
use crate::directory::Directory;
use crate::guard::{Client, Guard, Seat};
use crate::handle::OWN_IDS;
use crate::refusal;
use crate::understudies::Understudies;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) control: Arc<dyn ControlPath>,
    pub(crate) directory: Directory,
    pub(crate) guard: Arc<Guard>,
    pub(crate) understudies: Understudies,
    /// TLS for clients; replaced when certificates are loaded again.
    tls: RwLock<Option<Tls>>,
    /// Addresses that may connect; replaced when the configuration is loaded again.
    access: RwLock<Arc<Access>>,
    /// Permits for checks of passwords that take milliseconds of CPU.
    pub(crate) slow_checks: Arc<Semaphore>,
    handshakes: Arc<Mutex<Handshakes>>,
    next_id: AtomicU32,
    /// The random number of this run of Dormouse in [markers](Marker), and the next marker's number.
    run: u64,
    next_marker: AtomicU64,
    born: Instant,
    pub(crate) stopping: AtomicBool,
}

/// The logins in progress, from the oldest on; each can be told to give up.
#[derive(Default)]
struct Handshakes {
    begun: u64,
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One slot of the limit on logins in progress (`handshakes`); freed on drop.
pub(crate) struct HandshakeSlot {
    all: Arc<Mutex<Handshakes>>,
    number: u64,
    given_up: oneshot::Receiver<()>,
}

impl HandshakeSlot {
    /// Waits until the slot is given to another login, because this one is the oldest of all.
    pub(crate) async fn until_given_up(&mut self) {
        if (&mut self.given_up).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        open(&self.all).open.remove(&self.number);
    }
}

fn open(handshakes: &Mutex<Handshakes>) -> MutexGuard<'_, Handshakes> {
    handshakes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// What the sessions of a new proxy share.
    pub(crate) fn new(config: ProxyConfig, control: Arc<dyn ControlPath>) -> Arc<Self> {
        Arc::new(Self {
            directory: Directory::new(config.pool.clone()),
            guard: Guard::new(&config.limits),
            understudies: Understudies::default(),
            tls: RwLock::new(config.tls.clone()),
            access: RwLock::new(Arc::new(config.access.clone())),
            slow_checks: Arc::new(Semaphore::new(config.workers.max(1))),
            config,
            control,
            handshakes: Arc::default(),
            next_id: AtomicU32::new(1),
            run: RandomState::new().hash_one(std::process::id()),
            next_marker: AtomicU64::new(1),
            born: Instant::now(),
            stopping: AtomicBool::new(false),
        })
    }

    /// A marker that no other transaction has.
    pub(crate) fn next_marker(&self) -> Marker {
        Marker::new(self.run, self.next_marker.fetch_add(1, Ordering::Relaxed))
    }

    /// TLS for clients that connect now.
    pub(crate) fn tls(&self) -> Option<Tls> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        tls.clone()
    }

    /// Replaces TLS for clients that connect from now on.
    pub(crate) fn set_tls(&self, tls: Tls) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// The addresses that may connect.
    pub(crate) fn access(&self) -> Arc<Access> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&access)
    }

    /// Replaces the addresses that may connect.
    pub(crate) fn set_access(&self, access: Access) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }

    /// Counts a connection (`connections`).
    pub(crate) fn seat(&self) -> Result<Seat, ErrPacket> {
        let seat = self.guard.seat();
        seat.map_err(|reached| refusal::limit(reached.limit, reached.value))
    }

    /// Whether connections from this address begin with a PROXY header.
    pub(crate) fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let trusted = &self.config.trusted_proxies;
        !trusted.is_empty() && trusted.contain(address)
    }

    /// Admits a connection from this address: it is not excluded by a list, has failed logins left, and
    /// has room for another connection. Nothing has been sent to or read from the client yet.
    pub(crate) fn let_in(&self, address: IpAddr) -> Result<Seat, ErrPacket> {
        let host = address.to_canonical();
        let admitted = self.access().check(host);
        admitted.map_err(|list| refusal::not_admitted(host, list, None))?;
        let now = Instant::now();
        let client = Client::at(address);
        if let Some(reached) = self.guard.blocked(client, now)
            && !self.guard.somebody_has_entered(client)
        {
            return Err(refusal::too_many_failures(&host.to_string(), &reached));
        }
        let seat = self.guard.seat_of(address);
        seat.map_err(|reached| refusal::limit(reached.limit, reached.value))
    }

    /// Seconds since the proxy began: a coarse clock for idle sessions.
    pub(crate) fn seconds(&self) -> u64 {
        self.born.elapsed().as_secs()
    }

    /// The Unix socket for clients; empty if there is none.
    pub(crate) fn socket(&self) -> &str {
        let socket = self.config.socket.as_deref().and_then(Path::to_str);
        socket.unwrap_or_default()
    }

    /// Takes a slot. If none is free, the oldest login in progress loses its: a client that logs in
    /// takes milliseconds, so the oldest ones are those that do not intend to.
    pub(crate) fn handshake_slot(&self) -> HandshakeSlot {
        let (give_up, given_up) = oneshot::channel();
        let mut handshakes = open(&self.handshakes);
        while handshakes.open.len() >= self.config.limits.handshakes as usize {
            if let Some((_, oldest)) = handshakes.open.pop_first() {
                let _ = oldest.send(());
            }
        }
        handshakes.begun += 1;
        let number = handshakes.begun;
        handshakes.open.insert(number, give_up);
        HandshakeSlot {
            all: Arc::clone(&self.handshakes),
            number,
            given_up,
        }
    }

    /// A new connection id. An id is reused after one billion others. Ids of the proxy are above those
    /// that servers give, so that `KILL` can tell the two apart.
    pub(crate) fn connection_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed) % OWN_IDS + OWN_IDS
    }
}
