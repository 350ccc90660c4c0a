//! PROXY protocol header: sends the client's address to the server before all other bytes, so that the
//! host part of accounts (`user@host`) works.

use std::net::{IpAddr, SocketAddr};

use dormouse_types::Endpoint;

/// A client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// On this machine; its host is `localhost` for the server.
    Local,
    /// Connected over TCP.
    Tcp {
        /// The client's address.
        from: SocketAddr,
        /// The address it connected to.
        to: SocketAddr,
    },
}

/// Signature of version 2 (haproxy.org, "The PROXY protocol", §2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// PROXY protocol header with the client's address (haproxy.org, "The PROXY protocol": version 1, §2.1;
/// version 2, §2.2). Empty for a local client over a Unix socket, which the server takes for local anyway.
#[must_use]
pub fn proxy_header(endpoint: &Endpoint, origin: &Origin) -> Vec<u8> {
    match (origin, endpoint) {
        (Origin::Tcp { from, to }, _) => addresses(from, to),
        (Origin::Local, Endpoint::Unix(_)) => Vec::new(),
        (Origin::Local, Endpoint::Tcp { .. }) => local(),
    }
}

/// Version 1: one line of text.
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

/// Version 2 with family `AF_UNIX` and empty paths, which the server reads as `localhost`
/// (`sql/proxy_protocol.cc`). Version 1 has no such family.
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
