//! What all sessions of the proxy share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use crate::config::ProxyConfig;
use crate::control_path::ControlPath;
use crate::directory::Directory;
use crate::guard::Guard;
use crate::handle::OWN_IDS;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) control: Arc<dyn ControlPath>,
    pub(crate) directory: Directory,
    pub(crate) guard: Arc<Guard>,
    handshakes: Arc<AtomicU32>,
    next_id: AtomicU32,
    born: Instant,
    pub(crate) stopping: AtomicBool,
}

/// One slot of the limit on logins in progress (`handshakes`); freed on drop.
pub(crate) struct HandshakeSlot(Arc<AtomicU32>);

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// What the sessions of a new proxy share.
    pub(crate) fn new(config: ProxyConfig, control: Arc<dyn ControlPath>) -> Arc<Self> {
        Arc::new(Self {
            directory: Directory::new(config.pool.clone()),
            config,
            control,
            guard: Arc::new(Guard::default()),
            handshakes: Arc::new(AtomicU32::new(0)),
            next_id: AtomicU32::new(1),
            born: Instant::now(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Whether the limit on logins in progress is reached (`handshakes`).
    pub(crate) fn is_full_of_handshakes(&self) -> bool {
        self.handshakes.load(Ordering::Acquire) >= self.config.limits.handshakes
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

    /// Takes a slot; the acceptor has waited until one was free.
    pub(crate) fn handshake_slot(&self) -> HandshakeSlot {
        self.handshakes.fetch_add(1, Ordering::AcqRel);
        HandshakeSlot(Arc::clone(&self.handshakes))
    }

    /// A new connection id. An id is reused after two billion others. Ids of the proxy are above those
    /// that servers give, so that `KILL` can tell the two apart.
    pub(crate) fn connection_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed) | OWN_IDS
    }
}
