//! One way to reach a server under load.

use std::net::SocketAddr;
use std::path::PathBuf;

use dormouse_testkit::{Client, Reply};

/// A way to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// For people.
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    pub(crate) via: Via,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The process in between.
    pub(crate) proxy: Option<u32>,
    /// The server's process.
    pub(crate) server: u32,
}

/// Which way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The server's Unix socket.
    Socket,
    /// The server's TCP port.
    Tcp,
    /// HAProxy, which reaches the server by TCP.
    HaProxy,
    /// HAProxy, which reaches the server by its Unix socket, as Dormouse does.
    HaProxySocket,
    /// Dormouse.
    Dormouse,
}

/// Where a client connects.
#[derive(Debug, Clone)]
pub(crate) enum Via {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// A client, logged in.
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
