//! How the server of an instance is reached.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use dormouse_engine::{Layout, tls};
use dormouse_types::Endpoint;

/// How servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Over a Unix socket in the instance's directory; no port is open.
    #[default]
    Unix,
    /// Over TCP with TLS, on a free port of the loopback interface.
    Tcp,
}

/// Chooses the address of a server that is about to start, and notes it for [`of`], which a later
/// driver asks too. Another process may take the port before the server does: then the start fails, and
/// the next one chooses again.
pub(crate) fn choose(layout: &Layout, transport: Transport) -> io::Result<Option<SocketAddr>> {
    let file = layout.address();
    if transport == Transport::Unix {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    }
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    fs::write(file, address.to_string())?;
    Ok(Some(address))
}

/// How the server is reached that was started last.
pub(crate) fn of(layout: &Layout) -> Endpoint {
    let noted = || {
        let address = fs::read_to_string(layout.address()).ok()?.parse().ok()?;
        let identity = tls::identity(&fs::read_to_string(layout.key()).ok()?)?;
        Some(Endpoint::Tcp { address, identity })
    };
    noted().unwrap_or_else(|| Endpoint::Unix(layout.socket()))
}
