//! I/O operations with a deadline.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Writes and flushes all bytes; each wait for the peer has the deadline. The clock is read only if
/// the peer does not accept them at once.
pub(crate) async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    deadline: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await;
        let written = match now {
            Poll::Ready(result) => result?,
            Poll::Pending => within(deadline, stream.write(bytes)).await?,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_flush(cx))).await {
        Poll::Ready(result) => result,
        Poll::Pending => within(deadline, stream.flush()).await,
    }
}

/// An I/O operation with a deadline.
pub(crate) async fn within<T>(
    deadline: Duration,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(deadline, operation)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
