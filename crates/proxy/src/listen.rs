//! Binding the addresses that the proxy listens on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TCP address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The error of the system call.
        #[source]
        source: io::Error,
    },
    /// The Unix socket cannot be bound.
    #[error("cannot listen on {}: {source}", path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// The error of the system call.
        #[source]
        source: io::Error,
    },
    /// No thread or event loop could be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// Bound sockets; connections are not accepted yet.
pub struct Listeners {
    pub(crate) tcp: Option<std::net::TcpListener>,
    pub(crate) unix: Option<std::os::unix::net::UnixListener>,
}

/// TCP keepalive of client connections: idle time before the first probe, interval, number of probes. A
/// client whose machine or network has vanished is noticed after two minutes.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 6);

/// Makes the listen queue as long as the kernel allows (`somaxconn`). A client that the kernel drops from
/// a full queue believes that it is connected and waits for the greeting.
fn lengthen_queue(listener: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(listener, i32::MAX)?)
}

/// Accepted sockets inherit this from the listening one (`tcp(7)`).
fn keep_alive(listener: &impl AsFd) -> io::Result<()> {
    let (idle, interval, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, idle)?;
    sockopt::set_tcp_keepintvl(listener, interval)?;
    Ok(sockopt::set_tcp_keepcnt(listener, count)?)
}

pub(crate) fn bind_tcp(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let listen = |address: SocketAddr| {
        let listener = std::net::TcpListener::bind(address)?;
        lengthen_queue(&listener)?;
        keep_alive(&listener)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen(address).map_err(|source| StartError::Tcp { address, source })
}

pub(crate) fn bind_unix(path: &Path) -> Result<std::os::unix::net::UnixListener, StartError> {
    let listen = || {
        // a socket file without a listener was left by a process that was killed
        if std::os::unix::net::UnixStream::connect(path).is_err() && is_socket(path) {
            std::fs::remove_file(path)?;
        }
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        lengthen_queue(&listener)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| StartError::Unix {
        path: path.to_owned(),
        source,
    })
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}
