//! One HTTP connection, on either socket, with its limits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::context::{Context, stopped};
use crate::gate::Peer;
use crate::routes;

/// Deadline for the head of a request; also how long a connection may be idle between two requests.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum size of a request's head and of the read buffer, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Maximum number of fields in a request's head.
const MAX_FIELDS: usize = 64;
/// How long a peer may accept nothing of a response.
const STALL: Duration = Duration::from_secs(30);

/// Serves the requests of one connection.
pub(crate) async fn serve<S>(stream: S, peer: Peer, context: Arc<Context>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stopping = context.stopping.clone();
    let service = TowerToHyperService::new(routes::router(context, peer));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "a connection to the API failed");
    }
}

/// A stream whose writes fail if the peer accepts nothing for [`STALL`].
struct Patient<S> {
    stream: S,
    /// When a write that waits fails.
    stall: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            stall: Box::pin(tokio::time::sleep(STALL)),
            waits: false,
        }
    }

    fn patiently<T>(
        &mut self,
        cx: &mut Poller<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waits = false;
            return done;
        }
        if !self.waits {
            self.waits = true;
            self.stall.as_mut().reset(Instant::now() + STALL);
        }
        ready!(self.stall.as_mut().poll(cx));
        let message = format!(
            "it accepted nothing of the response for {} s",
            STALL.as_secs()
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patiently(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.patiently(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patiently(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_ends_the_write_and_a_slow_one_does_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Patient::new(ours);
        let began = Instant::now();
        let slow = async {
            for _ in 0..8 {
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                let mut some = [0; 16];
                tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut some)
                    .await
                    .unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 128]), slow);
        written.unwrap();
        ours.write_all(&[0; 16]).await.unwrap();
        let stalled = ours.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL);
    }
}
