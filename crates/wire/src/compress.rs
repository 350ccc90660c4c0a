//! The compressed protocol: zlib-compressed packets that contain the ordinary ones.
//!
//! After a login with `CLIENT_COMPRESS`, all bytes of a connection are sent in packets with a
//! header of seven bytes: length, sequence number, and length before compression, or 0 if the content
//! is not compressed (MariaDB Knowledge Base, "0-packet", "Compressed packet"). Sequence numbers count the
//! packets of one exchange, of both sides together; the packets inside have sequence numbers of their own,
//! which servers ignore and some clients do not increment.
//!
//! The protocol allows the content to be split anywhere. But some clients fail if the header of a packet
//! inside is split, or if it spans more than two compressed packets (mysql-connector-python,
//! `network.py`); so callers should pack whole packets.
//!
//! Each packet is a zlib stream of its own, so an idle connection needs no zlib state:
//! an [`Unpacker`] has one from a packet's first byte to its last, and a [`Packer`] can serve any number
//! of connections. Output is limited to the caller's buffer, so neither a false length nor a high
//! compression ratio uses memory.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::packet::MAX_PAYLOAD;

/// Length of a compressed packet's header in bytes.
pub const HEADER: usize = 7;

/// Shorter contents are sent uncompressed, as by the servers (`MIN_COMPRESS_LENGTH`).
pub const WORTHWHILE: usize = 50;

/// The peer's bytes cannot be unpacked; the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// The sequence number is neither the next one nor 0, with which an exchange begins.
    #[error("the peer sent a compressed packet out of order")]
    OutOfOrder,
    /// The content is not a zlib stream of the announced length.
    #[error("the peer sent a compressed packet that cannot be unpacked")]
    Corrupt,
}

/// Compresses bytes into packets. Keeps no state between packets.
#[derive(Debug)]
pub struct Packer {
    zlib: Compress,
}

impl Default for Packer {
    fn default() -> Self {
        // five times as fast as the servers' level, with 10 % more bytes for a plain table
        Self {
            zlib: Compress::new(Compression::fast(), true),
        }
    }
}

impl Packer {
    /// Appends one packet with the beginning of `content`. Returns how many bytes of `content` it
    /// contains: [`MAX_PAYLOAD`], or all.
    pub fn pack(&mut self, seq: u8, content: &[u8], out: &mut Vec<u8>) -> usize {
        let content = content.get(..MAX_PAYLOAD).unwrap_or(content);
        let start = out.len();
        // content that does not become shorter is sent uncompressed
        out.reserve(HEADER + content.len());
        out.extend_from_slice(&[0; HEADER]);
        let mut shorter = false;
        if content.len() >= WORTHWHILE {
            self.zlib.reset();
            let status = self.zlib.compress_vec(content, out, FlushCompress::Finish);
            let len = out.len() - start - HEADER;
            shorter = matches!(status, Ok(Status::StreamEnd)) && len < content.len();
        }
        if !shorter {
            out.truncate(start + HEADER);
            out.extend_from_slice(content);
        }
        let len = out.len() - start - HEADER;
        let plain_len = if shorter { content.len() } else { 0 };
        let [a, b, c, ..] = len.to_le_bytes();
        let [d, e, f, ..] = plain_len.to_le_bytes();
        if let Some(header) = out.get_mut(start..start + HEADER) {
            header.copy_from_slice(&[a, b, c, seq, d, e, f]);
        }
        content.len()
    }
}

/// Result of [`Unpacker::unpack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Input bytes used.
    pub consumed: usize,
    /// Output bytes written.
    pub produced: usize,
}

/// Decompresses the packets of one peer, and counts the sequence numbers of both sides.
#[derive(Debug, Default)]
pub struct Unpacker {
    seq: u8,
    at: At,
}

/// Position of the next input byte in a packet.
#[derive(Debug)]
enum At {
    /// In the header, of which this many bytes have been read.
    Header([u8; HEADER], usize),
    /// In uncompressed content, of which this many bytes remain.
    Plain(usize),
    /// In a zlib stream.
    Zlib(Box<Zlib>),
}

#[derive(Debug)]
struct Zlib {
    state: Decompress,
    /// Remaining input bytes.
    packed: usize,
    /// Remaining output bytes.
    content: usize,
}

impl Default for At {
    fn default() -> Self {
        Self::Header([0; HEADER], 0)
    }
}

impl Unpacker {
    /// Allocates the sequence number of the next packet to send in this exchange.
    pub fn take_seq(&mut self) -> u8 {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        seq
    }

    /// Decompresses bytes from the peer until `room`, `input` or the packet is at its end. The sequence
    /// number is set when a packet's header has been read. Call this for one command at a time: the
    /// header of the next packet already starts its exchange.
    ///
    /// # Errors
    /// See [`BadPacket`].
    pub fn unpack(&mut self, input: &[u8], room: &mut [u8]) -> Result<Unpacked, BadPacket> {
        let mut consumed = 0;
        let mut produced = 0;
        while produced == 0 {
            let input = input.get(consumed..).unwrap_or_default();
            let step = match &mut self.at {
                At::Header(bytes, have) => {
                    let n = input.len().min(HEADER - *have);
                    bytes[*have..*have + n].copy_from_slice(&input[..n]);
                    *have += n;
                    if *have == HEADER {
                        let header = *bytes;
                        self.begin(header)?;
                    }
                    Unpacked {
                        consumed: n,
                        produced: 0,
                    }
                }
                At::Plain(left) => {
                    let n = input.len().min(room.len()).min(*left);
                    room[..n].copy_from_slice(&input[..n]);
                    *left -= n;
                    if *left == 0 {
                        self.at = At::default();
                    }
                    Unpacked {
                        consumed: n,
                        produced: n,
                    }
                }
                At::Zlib(zlib) => {
                    let (step, over) = zlib.advance(input, room)?;
                    if over {
                        self.at = At::default();
                    }
                    if over && step.consumed + step.produced == 0 {
                        continue;
                    }
                    step
                }
            };
            if step.consumed + step.produced == 0 {
                break;
            }
            consumed += step.consumed;
            produced += step.produced;
        }
        Ok(Unpacked { consumed, produced })
    }

    fn begin(&mut self, header: [u8; HEADER]) -> Result<(), BadPacket> {
        let [a, b, c, seq, d, e, f] = header;
        let number = |a, b, c| usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (packed, content): (usize, usize) = (number(a, b, c), number(d, e, f));
        debug_assert!(packed <= MAX_PAYLOAD && content <= MAX_PAYLOAD);
        if seq != self.seq && seq != 0 {
            return Err(BadPacket::OutOfOrder);
        }
        self.seq = seq.wrapping_add(1);
        self.at = match (packed, content) {
            (0, 0) => At::default(),
            (0, _) => return Err(BadPacket::Corrupt),
            (_, 0) => At::Plain(packed),
            _ => At::Zlib(Box::new(Zlib {
                state: Decompress::new(true),
                packed,
                content,
            })),
        };
        Ok(())
    }
}

impl Zlib {
    /// One step, and whether the packet is complete.
    fn advance(&mut self, input: &[u8], room: &mut [u8]) -> Result<(Unpacked, bool), BadPacket> {
        let input = input.get(..self.packed).unwrap_or(input);
        if self.content > 0 && room.is_empty() {
            let nothing = Unpacked {
                consumed: 0,
                produced: 0,
            };
            return Ok((nothing, false));
        }
        // the end of the stream has no content; catches a byte beyond the announced length
        let mut excess = [0];
        let most = room.len().min(self.content);
        let space = match room.get_mut(..most) {
            Some(space) if most > 0 => space,
            _ => &mut excess,
        };
        let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
        let status = self
            .state
            .decompress(input, space, FlushDecompress::None)
            .map_err(|_| BadPacket::Corrupt)?;
        let grown = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let step = Unpacked {
            consumed: grown(self.state.total_in(), before_in),
            produced: grown(self.state.total_out(), before_out),
        };
        let left = self.content.checked_sub(step.produced);
        self.content = left.ok_or(BadPacket::Corrupt)?;
        self.packed -= step.consumed.min(self.packed);
        let over = status == Status::StreamEnd;
        let stuck = step.consumed + step.produced == 0 && !(input.is_empty() && self.packed > 0);
        if over && (self.packed > 0 || self.content > 0) || stuck && !over {
            return Err(BadPacket::Corrupt);
        }
        Ok((step, over))
    }
}

#[cfg(test)]
mod tests;
