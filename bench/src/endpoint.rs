//! [`Endpoint`]: one way to reach a server under load.

use std::net::SocketAddr;
use std::path::PathBuf;

use dormouse_testkit::{Client, Reply};

/// A way to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Name in the report.
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) via: Via,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Process id of the proxy.
    pub(crate) proxy: Option<u32>,
    /// Process id of the server.
    pub(crate) server: u32,
}

/// Kind of endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The server's Unix socket.
    Socket,
    /// The server's TCP port.
    Tcp,
    /// HAProxy with TCP to the server.
    HaProxy,
    /// HAProxy with the server's Unix socket, which Dormouse also uses.
    HaProxySocket,
    /// Dormouse.
    Dormouse,
}

/// Address for clients.
#[derive(Debug, Clone)]
pub(crate) enum Via {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// Connects and logs in a client.
    pub(crate) fn connect(&self) -> anyhow::Result<Client> {
        let mut client = match &self.via {
            Via::Tcp(address) => Client::tcp(&address.to_string()),
            Via::Unix(path) => Client::unix(path),
        };
        match client.login(&self.user, &self.password, None) {
            Reply::Ok(_) => Ok(client),
            other => anyhow::bail!("login through {} failed: {other:?}", self.name),
        }
    }
}
