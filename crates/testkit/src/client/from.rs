//! Clients at other addresses of the loopback network.

use std::net::{IpAddr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::{Client, PATIENCE};

impl Client {
    /// Connects by TCP from this address (any of 127.0.0.0/8) without reading the greeting.
    #[must_use]
    pub fn silent_from(from: &str, address: &str) -> Self {
        let from: IpAddr = from.parse().expect("an address");
        let to: SocketAddr = address.parse().expect("an address");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::new(from, 0)).expect("an address of this machine");
        connect(&socket, &to).expect("it listens");
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self::new(Box::new(stream))
    }

    /// The same, and reads the greeting.
    #[must_use]
    pub fn tcp_from(from: &str, address: &str) -> Self {
        let mut client = Self::silent_from(from, address);
        client.greet();
        client
    }
}
