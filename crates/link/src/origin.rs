//! Who the client of a connection is, told to the server in front of everything else, so that accounts
//! bound to hosts mean what they say.

use std::net::{IpAddr, SocketAddr};

use dormouse_types::Endpoint;

/// Where the client of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// On this machine: the server calls its host `localhost`.
    Local,
    /// At a TCP address.
    Tcp {
        /// The client's address.
        from: SocketAddr,
        /// The address that it has reached.
        to: SocketAddr,
    },
}

/// The signature of version 2 (haproxy.org, "The PROXY protocol", §2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The header of the PROXY protocol that tells a server at this endpoint where the client is (haproxy.org,
/// "The PROXY protocol": version 1, §2.1; version 2, §2.2). Empty if the server knows: who comes over a
/// Unix socket is local.
#[must_use]
pub fn proxy_header(endpoint: &Endpoint, origin: &Origin) -> Vec<u8> {
    match (origin, endpoint) {
        (Origin::Tcp { from, to }, _) => addresses(from, to),
        (Origin::Local, Endpoint::Unix(_)) => Vec::new(),
        (Origin::Local, Endpoint::Tcp { .. }) => local(),
    }
}

/// Version 1: a line.
fn addresses(from: &SocketAddr, to: &SocketAddr) -> Vec<u8> {
    let (source, target) = (from.ip().to_canonical(), to.ip().to_canonical());
    let family = match (source, target) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        _ => "TCP6",
    };
    let line = format!(
        "PROXY {family} {source} {target} {} {}\r\n",
        from.port(),
        to.port()
    );
    line.into_bytes()
}

/// Version 2 with the family `AF_UNIX` and empty paths: the server takes the client for `localhost`
/// (`sql/proxy_protocol.cc`). Version 1 cannot say that.
fn local() -> Vec<u8> {
    const VERSION_2_PROXY: u8 = 0x21;
    const UNIX_STREAM: u8 = 0x31;
    const PATHS: u16 = 2 * 108;
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_2_PROXY, UNIX_STREAM]);
    header.extend(PATHS.to_be_bytes());
    header.resize(header.len() + usize::from(PATHS), 0);
    header
}
