//! How a server is reached.

use core::net::SocketAddr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{InstanceId, Pooling};

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket in a private directory on this machine.
    Unix(PathBuf),
    /// A TCP address, with TLS from the first packet after the greeting.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the server's certificate must show.
        identity: TlsIdentity,
    },
}

/// What a server's certificate must show before anything is sent to it.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// A name that the certificate is valid for.
    pub name: Arc<str>,
    /// The certificate of the authority that has signed it, in DER.
    pub authority: Arc<[u8]>,
}

impl Endpoint {
    /// A Unix socket.
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().to_owned())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp { address, .. } => address.fmt(f),
        }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where a database's statements go while its door is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The instance that serves the database.
    pub instance: InstanceId,
    /// Counts the server processes of this database; backends of an older one are dead.
    pub generation: u64,
    /// How its server is reached.
    pub endpoint: Endpoint,
    /// How sessions share backends.
    pub pooling: Pooling,
}

/// One run of a server, from its start to its end. Opaque: only the driver that made it can read it;
/// others compare and store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
