//! The socket to a server.
//!
//! A Unix socket reports room each time its peer has read. Registered for that, as every socket of
//! tokio's is, a worker is woken after each statement for nothing. This one is registered for
//! reading alone; a write that finds no room, which is rare, waits on a registration of its own.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use dormouse_types::Endpoint;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A connected Unix socket, for one thread's event loop.
#[derive(Debug)]
pub(crate) struct Link {
    socket: AsyncFd<UnixStream>,
    /// The same socket, registered for writing, while a write waits for room.
    full: Option<AsyncFd<UnixStream>>,
}

impl Link {
    /// Connects.
    pub(crate) async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let Endpoint::Unix(path) = endpoint else {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        };
        let stream = tokio::net::UnixStream::connect(path).await?;
        Self::new(stream.into_std()?)
    }

    /// A socket that does not block.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: register(stream, Interest::READABLE)?,
            full: None,
        })
    }

    /// Moves it to the event loop of the thread that is running.
    pub(crate) fn move_here(self) -> io::Result<Self> {
        Self::new(self.socket.into_inner())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

#[expect(
    deprecated,
    reason = "its warning is for types whose descriptor may change; its successor is unsafe"
)]
fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            let wanted = room.len();
            match ready.try_io(|socket| socket.get_ref().read(room)) {
                Ok(Ok(n)) => {
                    if (1..wanted).contains(&n) {
                        // it is empty now: what comes next is reported (epoll(7), edge-triggered)
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

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.full.is_none() {
            match self.socket.get_ref().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            let again = self.socket.get_ref().try_clone()?;
            self.full = Some(register(again, Interest::WRITABLE)?);
        }
        while let Some(full) = &self.full {
            let mut ready = ready!(full.poll_write_ready(cx))?;
            if let Ok(done) = ready.try_io(|socket| socket.get_ref().write(bytes)) {
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
        Poll::Ready(self.socket.get_ref().shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_write_without_room_waits_for_the_reader_and_loses_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let links = [ours, theirs].map(|stream| {
            stream.set_nonblocking(true).unwrap();
            Link::new(stream).unwrap()
        });
        let [mut ours, mut theirs] = links;
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move { ours.write_all(&copy).await.map(|()| ours) });
        let mut got = vec![0; sent.len()];
        theirs.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
        let ours = writer.await.unwrap().unwrap();
        assert!(ours.full.is_none(), "the second registration is gone");
        drop(ours);
        assert_eq!(theirs.read(&mut got).await.unwrap(), 0);
    }
}
