//! The streams of a client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A byte stream to the other side.
pub(super) trait Stream: Read + Write + Send {
    fn finish_sending(&self) -> io::Result<()>;

    /// Makes closing it send a reset.
    fn reset_on_close(&self) -> io::Result<()>;

    /// Waits, without reading, until the other side has closed it.
    fn is_cut_within(&self, time: Duration) -> bool;

    /// Encodes a command's packets for this stream.
    fn packed(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    /// Sends bytes made by [`packed`](Self::packed), or a part of them.
    fn write_packed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
}

fn reset_on_close(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(
        socket,
        Some(Duration::ZERO),
    )?)
}

fn is_cut_within(socket: impl AsFd, time: Duration) -> bool {
    let mut sockets = [PollFd::new(&socket, PollFlags::RDHUP)];
    let time = Timespec::try_from(time).expect("seconds");
    poll(&mut sockets, Some(&time)).is_ok_and(|n| n > 0)
}

impl Stream for TcpStream {
    fn finish_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        reset_on_close(self)
    }

    fn is_cut_within(&self, time: Duration) -> bool {
        is_cut_within(self, time)
    }
}

impl Stream for UnixStream {
    fn finish_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        reset_on_close(self)
    }

    fn is_cut_within(&self, time: Duration) -> bool {
        is_cut_within(self, time)
    }
}

/// TLS over TCP.
type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

impl Stream for Tls {
    fn finish_sending(&self) -> io::Result<()> {
        self.sock.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        reset_on_close(&self.sock)
    }

    fn is_cut_within(&self, time: Duration) -> bool {
        is_cut_within(&self.sock, time)
    }
}
