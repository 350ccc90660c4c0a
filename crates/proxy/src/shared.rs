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

/// A place among those who are logging in; dropping it gives it back.
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

    /// Whether as many clients are logging in as may (`handshakes`).
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

    /// A place to log in; the acceptor has waited until there was room.
    pub(crate) fn handshake_slot(&self) -> HandshakeSlot {
        self.handshakes.fetch_add(1, Ordering::AcqRel);
        HandshakeSlot(Arc::clone(&self.handshakes))
    }

    /// A connection id that no client has: they are not used again before two billion others. They
    /// lie above all that a server gives, so that `KILL` can tell which of the two is meant.
    pub(crate) fn connection_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed) | OWN_IDS
    }
}
