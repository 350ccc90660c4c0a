//! Read buffers, shared by all sessions of a thread.
//!
//! A buffer is held only between a read that brought bytes and the write that passes them on, so
//! ten thousand idle sessions hold none.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::pin;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes in a buffer.
pub(crate) const SIZE: usize = 32 << 10;

/// Buffers kept by a thread for later; more are given back to the allocator.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer on loan; dropping it gives it back.
pub(crate) struct Chunk(Vec<u8>);

impl Chunk {
    fn take() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| Vec::with_capacity(SIZE)))
    }

    /// Waits for bytes; an empty chunk means the peer has closed.
    pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        poll_fn(|cx| {
            let mut chunk = Self::take();
            let read = pin!(stream.read_buf(&mut chunk.0)).poll(cx);
            read.map(|result| result.map(|_| chunk))
        })
        .await
    }

    /// Waits for more bytes behind those it has; returns how many came, 0 if the peer has closed.
    /// There must be room.
    pub(crate) async fn read_more<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> io::Result<usize> {
        debug_assert!(self.room() > 0);
        stream.read_buf(&mut self.0).await
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        SIZE.saturating_sub(self.0.len())
    }

    /// Drops the first `n` bytes.
    pub(crate) fn discard(&mut self, n: usize) {
        self.0.drain(..n.min(self.0.len()));
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if buffer.capacity() != SIZE {
            return;
        }
        buffer.clear();
        // a thread that is ending has no store left; the buffer is then freed
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < KEPT
            {
                free.push(buffer);
            }
        });
    }
}
