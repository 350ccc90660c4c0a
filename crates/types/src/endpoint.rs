//! [`Endpoint`]: the address of a server, and [`Target`]: the server of a database.

use core::net::SocketAddr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Carry, InstanceId, Pooling};

/// Address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket in a private directory on this machine.
    Unix(PathBuf),
    /// A TCP address, with TLS from the first packet after the greeting.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Required identity of the server's certificate.
        identity: TlsIdentity,
    },
}

/// Required identity of a server's certificate, checked before anything is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// Name for which the certificate must be valid.
    pub name: Arc<str>,
    /// Certificate of the signing authority, in DER.
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

/// The server to which a database's statements go while its door is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The instance that serves the database.
    pub instance: InstanceId,
    /// The instance that the database began with: the accounts have the credentials of that one.
    pub origin: InstanceId,
    /// Number of the server process of this database; backends of an older one are dead.
    pub generation: u64,
    /// Address of its server.
    pub endpoint: Endpoint,
    /// Whether sessions share backends.
    pub pooling: Pooling,
    /// Which state of sessions a park carries to the next server.
    pub carry: Carry,
}

/// Id of one run of a server process. Opaque: only the driver that created it can decode it; other
/// code compares and stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
