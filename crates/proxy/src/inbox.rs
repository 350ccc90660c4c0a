//! What a client has sent and nobody has looked at yet.

use std::io;
use std::time::Duration;

use dormouse_wire::packet::{HEADER, Header};

use crate::chunk::{self, Chunk};
use crate::stream::{ClientStream, within};

/// Unread bytes of one client. Empty, it owns no buffer.
#[derive(Default)]
pub(crate) struct Inbox {
    chunk: Option<Chunk>,
    at: usize,
}

impl Inbox {
    /// The bytes at hand.
    pub(crate) fn unread(&self) -> &[u8] {
        self.chunk.as_ref().and_then(|chunk| chunk.get(self.at..)).unwrap_or_default()
    }

    /// The bytes at hand, to be changed in place.
    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        self.chunk.as_mut().and_then(|chunk| chunk.get_mut(self.at..)).unwrap_or_default()
    }

    /// Marks bytes as read.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.unread().is_empty() {
            self.chunk = None;
            self.at = 0;
        }
    }

    /// Puts freshly read bytes in; there must be none at hand.
    pub(crate) fn put(&mut self, chunk: Chunk) {
        self.at = 0;
        self.chunk = (!chunk.is_empty()).then_some(chunk);
    }

    /// Waits for more bytes; an end of the stream is an error here.
    pub(crate) async fn more(
        &mut self,
        client: &mut ClientStream,
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
                if within(deadline, chunk.read_more(client)).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }

    /// The header of the next packet, if it is at hand.
    pub(crate) fn header(&self) -> Option<Header> {
        self.unread().first_chunk::<HEADER>().map(|bytes| Header::parse(*bytes))
    }

    /// Waits until `n` bytes are at hand. `n` must fit a chunk.
    pub(crate) async fn at_least(
        &mut self,
        n: usize,
        client: &mut ClientStream,
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
