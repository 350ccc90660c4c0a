//! The socket of a link, registered for reading only.
//!
//! A Unix socket becomes writable each time its peer has read. Tokio's sockets are registered for that,
//! which wakes a worker after each statement for nothing. Here a write that finds the buffer full, which
//! is rare, waits on a registration of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::Noise;

/// A non-blocking socket.
#[derive(Debug)]
pub(crate) enum Raw {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connected socket, registered with one thread's event loop.
#[derive(Debug)]
pub(crate) struct Socket {
    raw: AsyncFd<Raw>,
    /// The same socket registered for writing, while a write waits for buffer space.
    full: Option<AsyncFd<Raw>>,
}

impl From<UnixStream> for Raw {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TcpStream> for Raw {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Reads directly, past the event loop's readiness.
impl io::Read for &Raw {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Raw::read(self, room)
    }
}

impl Raw {
    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => (&*stream).read(room),
            Self::Tcp(stream) => (&*stream).read(room),
        }
    }

    /// Over TCP checks first whether the peer has closed: the kernel would still accept the bytes, and
    /// whether they were read could not be known.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => (&*stream).write(bytes),
            Self::Tcp(_) if self.is_closed() => Err(io::ErrorKind::BrokenPipe.into()),
            Self::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    /// Whether the peer has closed its end. One system call.
    fn is_closed(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut sockets = [PollFd::new(self, PollFlags::RDHUP)];
        // a signal may interrupt even a poll that does not wait
        retry_on_intr(|| poll(&mut sockets, Some(&Timespec::default()))).is_ok()
            && sockets
                .iter()
                .any(|socket| socket.revents().intersects(gone))
    }

    fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Socket {
    pub(crate) fn new(raw: Raw) -> io::Result<Self> {
        Ok(Self {
            raw: register(raw, Interest::READABLE)?,
            full: None,
        })
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.raw.get_ref(), Raw::Unix(_))
    }

    pub(crate) fn raw(&self) -> &Raw {
        self.raw.get_ref()
    }

    /// Moves the socket to the current thread's event loop.
    pub(crate) fn move_here(self) -> io::Result<Self> {
        Self::new(self.raw.into_inner())
    }

    /// The same in place, for a socket inside a TLS stream.
    pub(crate) fn register_here(&mut self) -> io::Result<()> {
        *self = Self::new(self.raw.get_ref().try_clone()?)?;
        Ok(())
    }

    /// Checks that the socket is open and has nothing to read.
    pub(crate) fn silence(&self) -> Result<(), Noise> {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(self.raw.get_ref(), &mut byte[..], flags) {
            Err(rustix::io::Errno::AGAIN) => Ok(()),
            Ok((0, _)) | Err(_) => Err(Noise::Closed),
            Ok(_) => Err(Noise::Bytes),
        }
    }
}

#[expect(
    deprecated,
    reason = "deprecated for types whose descriptor may change, which this one's does not; its successor is unsafe"
)]
fn register(raw: Raw, interest: Interest) -> io::Result<AsyncFd<Raw>> {
    AsyncFd::with_interest(raw, interest)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.raw.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            let wanted = room.len();
            match ready.try_io(|raw| raw.get_ref().read(room)) {
                Ok(Ok(n)) => {
                    if (1..wanted).contains(&n) {
                        // drained: epoll reports what arrives next (epoll(7), edge-triggered)
                        ready.clear_ready();
                    }
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.full.is_none() {
            match self.raw.get_ref().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            let again = self.raw.get_ref().try_clone()?;
            self.full = Some(register(again, Interest::WRITABLE)?);
        }
        while let Some(full) = &self.full {
            let mut ready = ready!(full.poll_write_ready(cx))?;
            if let Ok(done) = ready.try_io(|raw| raw.get_ref().write(bytes)) {
                self.full = None;
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.raw.get_ref().shutdown())
    }
}
