//! Read buffers, shared by all sessions of a thread.
//!
//! A buffer is held only between a read that brought bytes and the write that passes them on, so
//! ten thousand idle sessions hold none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes in a buffer.
pub(crate) const SIZE: usize = 32 << 10;

/// Length of a thread's free list; further buffers are freed.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer from the thread's free list; dropping it returns it.
pub(crate) struct Chunk {
    /// Always initialised to its full length, so that reads need not do it.
    buffer: Vec<u8>,
    /// Number of filled bytes.
    len: usize,
}

impl Chunk {
    fn take() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self {
            buffer: kept.unwrap_or_else(|| vec![0; SIZE]),
            len: 0,
        }
    }

    /// One with these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut chunk = Self::take();
        if chunk.buffer.len() < bytes.len() {
            chunk.buffer.resize(bytes.len(), 0);
        }
        if let Some(filled) = chunk.buffer.get_mut(..bytes.len()) {
            filled.copy_from_slice(bytes);
        }
        chunk.len = bytes.len();
        chunk
    }

    /// Waits for bytes; an empty chunk means the peer has closed.
    pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        poll_fn(|cx| Self::poll_read(stream, cx)).await
    }

    /// [`read`](Self::read) as a poll.
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self>> {
        let mut chunk = Self::take();
        let read = chunk.poll_fill(stream, cx);
        read.map(|result| result.map(|_| chunk))
    }

    /// Waits for more bytes and appends them; returns their number, 0 if the peer has closed. A full
    /// buffer grows.
    pub(crate) async fn read_more<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_more(stream, cx)).await
    }

    /// [`read_more`](Self::read_more) as a poll.
    pub(crate) fn poll_more<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.len == self.buffer.len() {
            self.buffer.resize(self.len * 2, 0);
        }
        self.poll_fill(stream, cx)
    }

    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(self.buffer.get_mut(self.len..).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let n = room.filled().len();
        self.len += n;
        Poll::Ready(Ok(n))
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        SIZE.saturating_sub(self.len)
    }

    /// Replaces a range by bytes of at most the same length.
    pub(crate) fn replace(&mut self, range: Range<usize>, bytes: &[u8]) {
        let end = range.start + bytes.len();
        if let Some(place) = self.buffer.get_mut(range.start..end) {
            place.copy_from_slice(bytes);
            self.buffer.copy_within(range.end..self.len, end);
            self.len -= range.end - end;
        }
    }

    /// Drops the first `n` bytes.
    pub(crate) fn discard(&mut self, n: usize) {
        let n = n.min(self.len);
        self.buffer.copy_within(n..self.len, 0);
        self.len -= n;
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() != SIZE {
            return;
        }
        // a thread that is ending has no free list any more; then the buffer is freed
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < KEPT
            {
                free.push(buffer);
            }
        });
    }
}
