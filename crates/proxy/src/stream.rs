//! A client's socket: TCP or Unix, plain or TLS, compressed or not.

mod compressed;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use compressed::Compressed;
use dormouse_link::has_closed;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A TCP address, and the proxy's address that it connected to.
    Tcp {
        /// The client's.
        from: SocketAddr,
        /// The proxy's.
        to: SocketAddr,
    },
    /// The proxy's Unix socket; the server calls it `localhost`.
    Unix,
}

impl Peer {
    /// The host as the server's account table would see it (names are not resolved).
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Tcp { from, .. } => from.ip().to_canonical().to_string(),
            Self::Unix => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { from, .. } => write!(f, "{}:{}", from.ip().to_canonical(), from.port()),
            Self::Unix => f.write_str("localhost"),
        }
    }
}

/// A connected socket.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How long a statement may run after its client has left: a client may send a statement and leave
/// without waiting for the reply.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The client left at least [`GRACE`] ago.
pub(crate) struct Departed;

/// Poll interval for the disconnect of a client that has sent more before it got its reply: while bytes
/// are unread, a disconnect causes no event.
const DISCONNECT_POLL: Duration = Duration::from_millis(250);

impl Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
        }
    }

    /// Whether the peer will send no more: it has closed or reset the connection, or has shut down its
    /// sending direction. One system call.
    fn is_closed(&self) -> bool {
        match self {
            Self::Tcp(socket) => has_closed(socket),
            Self::Unix(socket) => has_closed(socket),
        }
    }

    /// Whether there are bytes to read. If not, clears the readiness of the socket.
    fn has_bytes(&self) -> bool {
        let peek = |result: rustix::io::Result<(usize, usize)>| match result {
            Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            result => Ok(result?),
        };
        let (mut byte, flags) = ([0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        let peeked = match self {
            Self::Tcp(socket) => socket.try_io(Interest::READABLE, || {
                peek(rustix::net::recv(socket, &mut byte[..], flags))
            }),
            Self::Unix(socket) => socket.try_io(Interest::READABLE, || {
                peek(rustix::net::recv(socket, &mut byte[..], flags))
            }),
        };
        peeked.is_ok()
    }

    /// Waits until the peer will send no more, without reading what it has sent.
    pub(crate) async fn closed(&self) {
        loop {
            if poll_fn(|cx| self.poll_read_ready(cx)).await.is_err() {
                // the event loop is ending, and this task with it
                std::future::pending::<()>().await;
            }
            if self.is_closed() {
                return;
            }
            if self.has_bytes() {
                tokio::time::sleep(DISCONNECT_POLL).await;
            }
        }
    }
}

/// A client's byte stream.
pub(crate) enum ClientStream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    Compressed(Box<Compressed<ClientStream>>),
    /// Closed: TLS could not be started.
    Closed(tokio::io::Empty),
}

impl ClientStream {
    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls().is_some()
    }

    /// Its TLS session.
    pub(crate) fn tls(&self) -> Option<&rustls::ServerConnection> {
        match self {
            Self::Tls(stream) => Some(stream.get_ref().1),
            Self::Compressed(stream) => stream.inner().tls(),
            Self::Plain(_) | Self::Closed(_) => None,
        }
    }

    /// The socket below all layers.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Compressed(stream) => stream.inner().socket(),
            Self::Closed(_) => None,
        }
    }

    /// Waits until the client has left, and then for [`GRACE`]. Polled together with a wait for the server.
    /// A client that has only shut down its sending direction counts as one that has left.
    pub(crate) async fn departure(&self) -> Departed {
        match self.socket() {
            Some(socket) => socket.closed().await,
            None => std::future::pending().await,
        }
        Box::pin(tokio::time::sleep(GRACE)).await;
        Departed
    }

    /// Whether it is compressed. Then the sequence numbers of its packets may be wrong.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(_))
    }

    /// The same stream with the compressed protocol from here on.
    pub(crate) fn compressed(self) -> Self {
        Self::Compressed(Box::new(Compressed::new(self)))
    }
}

/// Forwards the four methods of a byte stream to the variant.
macro_rules! delegate {
    ($name:ident: $($variant:ident),+) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_read(cx, buf)),+ }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_write(cx, buf)),+ }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_flush(cx)),+ }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_shutdown(cx)),+ }
            }
        }
    };
}

delegate!(Socket: Tcp, Unix);
delegate!(ClientStream: Plain, Tls, Compressed, Closed);
