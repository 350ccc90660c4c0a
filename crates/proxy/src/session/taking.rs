//! Taking a command from what the client has sent.

use std::io;

use dormouse_wire::command::Command;
use dormouse_wire::compress::BadPacket;
use dormouse_wire::packet::{HEADER, Header, MAX_PAYLOAD};

use super::{Attendant, Over};
use crate::chunk;
use crate::chunk::Chunk;
use crate::deadline::within;
use crate::inbox::Bytes;
use crate::refusal;

/// The longest command, other than a query, that is gathered in memory before it is looked at.
const GATHERED: usize = 1 << 20;

/// The longest command that is gathered in memory because something has to be put into it.
pub(super) const LONGEST_GATHERED: usize = 64 << 20;

/// A command, or the beginning of a long one.
pub(super) struct Incoming {
    pub(super) command: Command,
    /// The packet from its header on.
    pub(super) bytes: Bytes,
    /// How many bytes of the packet are still to come.
    pub(super) left: usize,
    /// Whether another packet continues it.
    pub(super) continues: bool,
}

impl Incoming {
    /// A command of our own making.
    pub(super) fn made(command: Command, argument: &[u8]) -> Self {
        let mut packet = Vec::with_capacity(argument.len() + HEADER + 1);
        dormouse_wire::packet::write_packet(&mut packet, 0, &[&[command as u8], argument].concat());
        Self {
            command,
            bytes: Bytes::Owned(packet),
            left: 0,
            continues: false,
        }
    }

    /// Whether all of it is in memory, so that it can be sent a second time.
    pub(super) fn is_whole(&self) -> bool {
        self.left == 0 && !self.continues
    }

    /// The number of the last packet of one that is whole.
    pub(super) fn last_seq(&self) -> u8 {
        let before = self.bytes.len().saturating_sub(HEADER) / (HEADER + MAX_PAYLOAD);
        // they are counted round 256
        before.to_le_bytes()[0]
    }

    /// The payload as far as it is there, its first byte being the command.
    pub(super) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The payload behind the command byte, as far as it is there.
    pub(super) fn argument(&self) -> &[u8] {
        self.payload().get(1..).unwrap_or_default()
    }
}

impl Attendant {
    /// Takes the next command; some of it is at hand. Errors in the framing end the session, as
    /// they do on the server; a command that does not exist is answered, and `None` returned.
    pub(super) async fn take(&mut self) -> Result<Option<Incoming>, Over> {
        self.at_least(HEADER).await?;
        let Some(header) = self.inbox.header() else {
            return Err(Over);
        };
        if self.client.is_compressed() {
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
        self.gather(command, header).await.map(Some)
    }

    async fn at_least(&mut self, n: usize) -> Result<(), Over> {
        let timeout = self.shared.config.limits.read_timeout;
        let read = self.inbox.at_least(n, &mut self.client, timeout).await;
        match read {
            Ok(()) => Ok(()),
            Err(error) => Err(self.unreadable(&error).await),
        }
    }

    /// The client cannot be read any more; if that is its own fault, it is told.
    pub(super) async fn unreadable(&mut self, error: &io::Error) -> Over {
        let bad = error.get_ref().and_then(|error| error.downcast_ref());
        match bad {
            Some(BadPacket::OutOfOrder) => self.end_with(&refusal::out_of_order()).await,
            Some(BadPacket::Corrupt) => self.end_with(&refusal::cannot_unpack()).await,
            None => Over,
        }
    }

    async fn gather(&mut self, command: Command, header: Header) -> Result<Incoming, Over> {
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
            // all of it must be read to be allowed
            Command::Query if self.database().restriction.is_set() => GATHERED.min(total),
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

    /// Reads the rest of a command behind the beginning of its payload; `None` if it is longer than may be
    /// gathered: then it is skipped.
    pub(super) async fn gather_rest(
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

    /// Reads and forgets the next `left` bytes, and the packets that continue them.
    pub(super) async fn skip(&mut self, mut left: usize, mut continues: bool) -> Result<(), Over> {
        let timeout = self.shared.config.limits.read_timeout;
        loop {
            let n = self.inbox.unread().len().min(left);
            self.inbox.consume(n);
            left -= n;
            if left > 0 {
                match within(timeout, Chunk::read(&mut self.client)).await {
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
