//! Reads a command from a client's bytes.

use std::io;

use dormouse_wire::command::Command;
use dormouse_wire::compress::BadPacket;
use dormouse_wire::packet::{HEADER, Header};

use super::incoming::Incoming;
use super::side::{Client, Over};
use crate::chunk::{self, Chunk};
use crate::deadline::within;
use crate::inbox::Bytes;
use crate::refusal;
use crate::tally::Restriction;

/// The longest command, other than a query, that is read whole into memory before it is handled.
const GATHERED: usize = 1 << 20;

/// The longest command that is read whole into memory because something must be inserted into it.
pub(crate) const LONGEST_GATHERED: usize = 64 << 20;

impl Client {
    /// Takes the next command, of which some bytes have been read. An error in the framing ends the
    /// session, as on a server. `None`: the command is unknown, and the client has got an error.
    pub(crate) async fn take(
        &mut self,
        restriction: &Restriction,
    ) -> Result<Option<Incoming>, Over> {
        self.at_least(HEADER).await?;
        let Some(header) = self.inbox.header() else {
            return Err(Over);
        };
        if self.stream.is_compressed() {
            self.inbox.number(0);
        } else if header.seq != 0 {
            return Err(self.end_with(&refusal::out_of_order()).await);
        }
        if header.len == 0 {
            return Err(self.end_with(&refusal::malformed()).await);
        }
        self.at_least(HEADER + 1).await?;
        let command = self
            .inbox
            .unread()
            .get(HEADER)
            .copied()
            .and_then(Command::from_byte);
        let Some(command) = command else {
            self.skip(HEADER + header.len, header.continues()).await?;
            self.reply_error(&refusal::unknown_command()).await?;
            return Ok(None);
        };
        self.gather(command, header, restriction).await.map(Some)
    }

    async fn at_least(&mut self, n: usize) -> Result<(), Over> {
        let timeout = self.read_timeout;
        let read = self.inbox.at_least(n, &mut self.stream, timeout).await;
        match read {
            Ok(()) => Ok(()),
            Err(error) => Err(self.unreadable(&error).await),
        }
    }

    /// Ends the session after a failed read from the client; one that broke the protocol gets an error.
    pub(crate) async fn unreadable(&mut self, error: &io::Error) -> Over {
        let bad = error.get_ref().and_then(|error| error.downcast_ref());
        match bad {
            Some(BadPacket::OutOfOrder) => self.end_with(&refusal::out_of_order()).await,
            Some(BadPacket::Corrupt) => self.end_with(&refusal::cannot_unpack()).await,
            None => Over,
        }
    }

    async fn gather(
        &mut self,
        command: Command,
        header: Header,
        restriction: &Restriction,
    ) -> Result<Incoming, Over> {
        let total = HEADER + header.len;
        let continues = header.continues();
        if total <= chunk::SIZE {
            self.at_least(total).await?;
            return Ok(Incoming {
                command,
                bytes: self.inbox.take(total),
                left: 0,
                continues,
            });
        }
        let keep = match command {
            // under a restriction, a query can be allowed only if it is in memory whole
            Command::Query if restriction.is_set() => GATHERED.min(total),
            Command::Query | Command::StmtSendLongData => chunk::SIZE,
            _ => GATHERED.min(total),
        };
        let mut bytes = Vec::with_capacity(keep);
        while bytes.len() < keep {
            self.at_least(1).await?;
            let unread = self.inbox.unread();
            let n = unread.len().min(keep - bytes.len());
            bytes.extend_from_slice(&unread[..n]);
            self.inbox.consume(n);
        }
        let left = total - bytes.len();
        Ok(Incoming {
            command,
            bytes: Bytes::Owned(bytes),
            left,
            continues,
        })
    }

    /// Reads the rest of a command and returns its whole payload. `None`: it is too long, and has been
    /// skipped.
    pub(crate) async fn gather_rest(
        &mut self,
        incoming: &mut Incoming,
    ) -> Result<Option<Vec<u8>>, Over> {
        let mut payload = incoming.payload().to_vec();
        loop {
            if payload.len() + incoming.left > LONGEST_GATHERED {
                self.skip(incoming.left, incoming.continues).await?;
                (incoming.left, incoming.continues) = (0, false);
                return Ok(None);
            }
            while incoming.left > 0 {
                self.at_least(1).await?;
                let unread = self.inbox.unread();
                let n = unread.len().min(incoming.left);
                payload.extend_from_slice(&unread[..n]);
                self.inbox.consume(n);
                incoming.left -= n;
            }
            if !incoming.continues {
                return Ok(Some(payload));
            }
            self.at_least(HEADER).await?;
            let Some(header) = self.inbox.header() else {
                return Err(Over);
            };
            self.inbox.consume(HEADER);
            incoming.left = header.len;
            incoming.continues = header.continues();
        }
    }

    /// Reads and discards the next `left` bytes, and the packets that continue them.
    pub(crate) async fn skip(&mut self, mut left: usize, mut continues: bool) -> Result<(), Over> {
        let timeout = self.read_timeout;
        loop {
            let n = self.inbox.unread().len().min(left);
            self.inbox.consume(n);
            left -= n;
            if left > 0 {
                match within(timeout, Chunk::read(&mut self.stream)).await {
                    Ok(chunk) if !chunk.is_empty() => self.inbox.put(chunk),
                    _ => return Err(Over),
                }
            } else if continues {
                self.at_least(HEADER).await?;
                let Some(header) = self.inbox.header() else {
                    return Err(Over);
                };
                left = HEADER + header.len;
                continues = header.continues();
            } else {
                return Ok(());
            }
        }
    }
}
