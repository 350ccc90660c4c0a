//! Packets: a header of four bytes and a payload; long payloads are split over several packets.

/// Length of a packet's header in bytes.
pub const HEADER: usize = 4;

/// Maximum payload of one packet, in bytes. A payload of this length or more continues in the next packet.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// A packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the payload after the header, at most [`MAX_PAYLOAD`].
    pub len: usize,
    /// Sequence number: counts the packets of one exchange from 0, modulo 256.
    pub seq: u8,
}

impl Header {
    /// Reads a header; any four bytes are valid.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> Self {
        let [a, b, c, seq] = bytes;
        Self {
            len: usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16,
            seq,
        }
    }

    /// The bytes to send; a `len` above [`MAX_PAYLOAD`] is written as that.
    #[must_use]
    pub fn bytes(self) -> [u8; 4] {
        let [a, b, c, ..] = self.len.min(MAX_PAYLOAD).to_le_bytes();
        [a, b, c, self.seq]
    }

    /// Whether the payload continues in the next packet.
    #[must_use]
    pub fn continues(self) -> bool {
        self.len == MAX_PAYLOAD
    }
}

/// Appends a payload as one packet, or as several if it is long. Returns the next sequence number.
pub fn write_packet(out: &mut Vec<u8>, seq: u8, payload: &[u8]) -> u8 {
    let mut rest = payload;
    let mut seq = seq;
    loop {
        let (part, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        let header = Header {
            len: part.len(),
            seq,
        };
        out.extend_from_slice(&header.bytes());
        out.extend_from_slice(part);
        seq = seq.wrapping_add(1);
        rest = tail;
        if !header.continues() {
            return seq;
        }
    }
}

/// The peer's packet exceeds the limit of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent a packet of more than {limit} bytes: send less, or raise the limit")]
pub struct TooLarge {
    /// The limit, in bytes of payload.
    pub limit: usize,
}

/// Assembles payloads from the pieces that arrive. It copies: for logins and small exchanges only.
#[derive(Debug)]
pub struct PacketBuffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl PacketBuffer {
    /// A buffer that refuses payloads of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    /// Adds bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete payload and the sequence number of its last packet; `None` if it is incomplete.
    ///
    /// # Errors
    /// The payload exceeds the limit according to its headers; the connection must be closed.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end at the first None"
    )]
    pub fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, TooLarge> {
        let (mut at, mut total) = (0, 0);
        loop {
            let Some(&head) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            let header = Header::parse(head);
            total += header.len;
            if total > self.limit {
                return Err(TooLarge { limit: self.limit });
            }
            at += HEADER + header.len;
            if self.bytes.len() < at {
                return Ok(None);
            }
            if !header.continues() {
                let payload = self.cut(at, total);
                return Ok(Some((header.seq, payload)));
            }
        }
    }

    /// Removes and returns the bytes that follow the last returned packet.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Whether no bytes are buffered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Removes the first `end` bytes and returns them without their headers.
    fn cut(&mut self, end: usize, total: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(total);
        for packet in self.bytes[..end].chunks(HEADER + MAX_PAYLOAD) {
            payload.extend_from_slice(packet.get(HEADER..).unwrap_or_default());
        }
        self.bytes.drain(..end);
        payload
    }
}

#[cfg(test)]
mod tests;
