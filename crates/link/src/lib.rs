//! A connection to a server: a Unix socket or TCP, plain or with TLS.
//!
//! A link connects to an [`Endpoint`], sends the client's address ([`proxy_header`]), and may switch to TLS
//! once ([`Link::secure`]).
//!
//! A server that died is known not to have read the whole of the last command in two cases: a write of the
//! command failed, on any socket; or the read of its reply failed with `ECONNRESET` on a Unix socket
//! ([`Link::proves_unread`]).
//!
//! Invariants:
//! - nothing is written to a TCP peer that is known to have closed: the kernel would accept bytes that
//!   are never read;
//! - over TCP only the PROXY header, the greeting and the request for TLS are unencrypted, and the
//!   server's certificate is checked against its [`TlsIdentity`](dormouse_types::TlsIdentity).
//!
//! Called by `engine` (the plane's own connections) and `proxy` (backends).

mod origin;
mod presented;
mod socket;
mod tls;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dormouse_types::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

pub use origin::{Origin, proxy_header};
pub use presented::{Cipher, ClientCertificate, Presented};
use socket::Socket;
pub use socket::has_closed;

/// A connection to a server, registered with one thread's event loop. Flush after writing: TLS buffers.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Why an idle connection cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// The server has closed it.
    Closed,
    /// The server has sent bytes that answer no command.
    Bytes,
}

impl Link {
    /// Connects, without TLS. Callers set their own deadline.
    ///
    /// # Errors
    /// The server does not listen there, or no file descriptor is left.
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let socket = match endpoint {
            Endpoint::Unix(path) => tokio::net::UnixStream::connect(path)
                .await?
                .into_std()?
                .into(),
            Endpoint::Tcp { address, .. } => {
                let stream = tokio::net::TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream.into_std()?.into()
            }
        };
        Self::over(socket)
    }

    /// For tests: a link over one end of a non-blocking socket pair.
    ///
    /// # Errors
    /// The event loop cannot register the socket.
    pub fn over_unix(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Self::over(stream.into())
    }

    fn over(raw: socket::Raw) -> io::Result<Self> {
        let stream = Stream::Plain(Socket::new(raw)?);
        Ok(Self { stream })
    }

    /// Starts TLS. The caller has read exactly the server's greeting and has sent the request for TLS.
    ///
    /// # Errors
    /// The handshake failed, or the certificate does not match the endpoint's identity.
    pub async fn secure(self, endpoint: &Endpoint) -> io::Result<Self> {
        self.secure_as(endpoint, Presented::default()).await
    }

    /// As [`secure`](Self::secure), with a certificate or a cipher that the account requires.
    ///
    /// # Errors
    /// As those of [`secure`](Self::secure); the server does not have the cipher, or does not accept the
    /// certificate.
    pub async fn secure_as(self, endpoint: &Endpoint, presented: Presented) -> io::Result<Self> {
        let socket = match self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(_) => return Err(io::Error::other("TLS has already started")),
        };
        let stream = Stream::Tls(Box::new(tls::connect(socket, endpoint, presented).await?));
        Ok(Self { stream })
    }

    /// Moves the link to the current thread's event loop.
    ///
    /// # Errors
    /// The event loop cannot register the socket.
    pub fn move_here(self) -> io::Result<Self> {
        let stream = match self.stream {
            Stream::Plain(socket) => Stream::Plain(socket.move_here()?),
            Stream::Tls(mut tls) => {
                tls.get_mut().0.register_here()?;
                Stream::Tls(tls)
            }
        };
        Ok(Self { stream })
    }

    /// Whether this read error, before any byte of a reply, proves that the server had not read everything
    /// that was sent. A Unix socket reports `ECONNRESET` if its peer closed with bytes unread
    /// (`unix(7)`); a TCP reset does not tell what was read.
    #[must_use]
    pub fn proves_unread(&self, error: &io::Error) -> bool {
        self.socket().is_unix() && error.kind() == io::ErrorKind::ConnectionReset
    }

    /// Whether what the server had sent when it ended can be read in any case: then a reply that does not come was not
    /// sent. So it is on a Unix socket; a TCP reset, or what stands between, may take bytes with it.
    #[must_use]
    pub fn loses_nothing(&self) -> bool {
        self.socket().is_unix()
    }

    /// Checks that the connection is open and has nothing to read. One system call if so.
    ///
    /// # Errors
    /// The reason why the connection cannot be used.
    pub fn check_idle(&mut self) -> Result<(), Unusable> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.check_idle(),
            Stream::Tls(stream) => tls::check_idle(stream),
        }
    }

    fn socket(&self) -> &Socket {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
