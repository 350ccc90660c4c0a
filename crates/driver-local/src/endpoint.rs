//! Endpoints of the instances' servers.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use dormouse_engine::{Layout, tls};
use dormouse_types::Endpoint;

/// How clients reach the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Unix socket in the instance's directory; no open port.
    #[default]
    Unix,
    /// TCP with TLS, on a free port of the loopback interface.
    Tcp,
}

/// Chooses the TCP address for a server's start and saves it in a file for [`of`], also for the next driver.
/// If another process takes the port first, the start fails; the next start chooses again. A server for maintenance has
/// no address, since it may let everybody in.
pub(crate) fn choose(layout: &Layout, transport: Transport) -> io::Result<Option<SocketAddr>> {
    let file = layout.address();
    if transport == Transport::Unix || layout.maintenance().is_file() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    }
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    fs::write(file, address.to_string())?;
    Ok(Some(address))
}

/// Endpoint of the server that was started last.
pub(crate) fn of(layout: &Layout) -> Endpoint {
    let saved = || {
        let address = fs::read_to_string(layout.address()).ok()?.parse().ok()?;
        let identity = tls::identity(&fs::read_to_string(layout.key()).ok()?)?;
        Some(Endpoint::Tcp { address, identity })
    };
    saved().unwrap_or_else(|| Endpoint::Unix(layout.socket()))
}
