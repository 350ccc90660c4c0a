//! Bytes that were read from a client and not processed yet.

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use dormouse_wire::packet::{HEADER, Header};
use tokio::io::AsyncRead;

use crate::chunk::{self, Chunk};
use crate::deadline::within;

/// Bytes taken from an inbox.
pub(crate) enum Bytes {
    /// Still in the buffer they were read into.
    Chunk {
        chunk: Chunk,
        /// Where they begin.
        at: usize,
    },
    /// In a buffer of their own size.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Copies the bytes out of the read buffer and releases the buffer, before a wait that may be long.
    pub(crate) fn settle(&mut self) {
        if let Self::Chunk { .. } = self {
            *self = Self::Owned(self.to_vec());
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Chunk { chunk, at } => chunk.get(*at..).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Chunk { chunk, at } => chunk.get_mut(*at..).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Unprocessed bytes of one client. All bytes of the client pass through it; while empty, it owns no
/// buffer.
#[derive(Default)]
pub(crate) struct Inbox {
    chunk: Option<Chunk>,
    at: usize,
    /// Number of bytes received since [`take_received`](Self::take_received).
    received: u64,
}

impl Inbox {
    /// The number of bytes received since the last call.
    pub(crate) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// The buffered bytes.
    pub(crate) fn unread(&self) -> &[u8] {
        self.chunk
            .as_ref()
            .and_then(|chunk| chunk.get(self.at..))
            .unwrap_or_default()
    }

    /// Takes the next `n` bytes, which must be buffered; does not copy them if nothing follows.
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        if self.unread().len() == n
            && let Some(chunk) = self.chunk.take()
        {
            return Bytes::Chunk {
                chunk,
                at: std::mem::take(&mut self.at),
            };
        }
        let bytes = self.unread().get(..n).unwrap_or_default().to_vec();
        self.consume(n);
        Bytes::Owned(bytes)
    }

    /// Removes bytes that were processed.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.unread().is_empty() {
            self.chunk = None;
            self.at = 0;
        }
    }

    /// Adds bytes that were just read; the inbox must be empty.
    pub(crate) fn put(&mut self, chunk: Chunk) {
        self.at = 0;
        self.received += chunk.len() as u64;
        self.chunk = (!chunk.is_empty()).then_some(chunk);
    }

    /// Waits for more bytes; the end of the stream is an error.
    pub(crate) async fn more<S: AsyncRead + Unpin>(
        &mut self,
        client: &mut S,
        deadline: Duration,
    ) -> io::Result<()> {
        match &mut self.chunk {
            None => {
                let chunk = within(deadline, Chunk::read(client)).await?;
                if chunk.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.put(chunk);
            }
            Some(chunk) => {
                if chunk.room() == 0 || self.at > chunk::SIZE / 2 {
                    chunk.discard(self.at);
                    self.at = 0;
                }
                let read = within(deadline, chunk.read_more(client)).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.received += read as u64;
            }
        }
        Ok(())
    }

    /// The header of the next packet, if it is buffered.
    pub(crate) fn header(&self) -> Option<Header> {
        self.unread()
            .first_chunk::<HEADER>()
            .map(|bytes| Header::parse(*bytes))
    }

    /// Writes a sequence number into the header of the next packet, which must be buffered.
    pub(crate) fn number(&mut self, seq: u8) {
        let at = self.at + HEADER - 1;
        if let Some(byte) = self.chunk.as_mut().and_then(|chunk| chunk.get_mut(at)) {
            *byte = seq;
        }
    }

    /// Waits until `n` bytes are buffered. `n` must fit a chunk.
    pub(crate) async fn at_least<S: AsyncRead + Unpin>(
        &mut self,
        n: usize,
        client: &mut S,
        deadline: Duration,
    ) -> io::Result<()> {
        while self.unread().len() < n {
            if let Some(chunk) = &mut self.chunk
                && chunk.len() - self.at + chunk.room() < n
            {
                chunk.discard(self.at);
                self.at = 0;
            }
            self.more(client, deadline).await?;
        }
        Ok(())
    }
}
