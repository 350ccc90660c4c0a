//! [`ReplyFramer`]: finds the end of a server's reply and decodes its last packet, without copying rows.
//!
//! Two layers: this file splits the bytes into packets; [`phase`] decides what a packet means for the
//! reply. Of rows, column definitions and continuations only the header and the first byte are read.
//! Other packets are buffered up to [`KEPT`] bytes, or read in place if they arrive in one piece.

mod digest;
mod phase;

use crate::caps::Capabilities;
use crate::command::ReplyKind;
use crate::packet::{HEADER, Header};
use crate::reader::Malformed;
use crate::reply::SessionChange;
use crate::status::Status;

use digest::Digest;
use phase::{Verdict, Want};

/// Maximum number of bytes buffered of one packet. A longer OK or ERR packet is decoded from its start;
/// [`ReplyFramer::take_changes`] then lacks its session changes.
pub const KEPT: usize = 64 * 1024;

/// Result of [`ReplyFramer::feed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of bytes that belong to this reply.
    pub consumed: usize,
    /// Number of bytes, at the end of the consumed ones, that are the beginning of a packet which may
    /// contain session changes. A caller that [`retrack`](crate::reply::retrack)s holds them back until
    /// the packet is complete.
    pub held: usize,
    /// Length, with header, of the last consumed packet if it has [`Status::SESSION_STATE_CHANGED`];
    /// else 0. The reply may continue after it.
    pub tracks: usize,
    /// What follows.
    pub event: Event,
}

/// What follows the bytes consumed so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All bytes were consumed; the reply continues.
    More,
    /// The server requests a file: the client sends packets up to an empty one. Then call
    /// [`ReplyFramer::resume_after_infile`] and continue feeding.
    LocalInfile,
    /// The reply is complete.
    End(ReplyEnd),
}

/// Contents of the last packet of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyEnd {
    /// Status flags; `None` after an error, a text, or a prepare that ends without EOF.
    pub status: Option<Status>,
    /// Number of warnings.
    pub warnings: u16,
    /// Error number of an ERR packet.
    pub error: Option<u16>,
    /// Affected rows of the last OK packet.
    pub affected: u64,
    /// First generated AUTO_INCREMENT value of the last OK packet.
    pub last_insert_id: u64,
    /// Number of rows, if the reply was exactly one result with columns.
    pub rows: Option<u64>,
    /// The prepared statement, if the command was COM_STMT_PREPARE and succeeded.
    pub prepared: Option<Prepared>,
    /// Whether any packet of the reply had [`Status::SESSION_STATE_CHANGED`].
    pub session_changes: bool,
    /// A number by which the reply is recognised when its command is run again, if it was
    /// [wanted](ReplyFramer::digest): equal for what a client cannot tell apart.
    pub digest: Option<u64>,
}

/// A prepared statement, as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// Statement id on this connection.
    pub statement: u32,
    /// Number of result columns; 0 without a result.
    pub columns: u16,
    /// Number of parameters.
    pub params: u16,
}

/// Parser of one reply; use a new one for each command.
///
/// ```
/// use dormouse_wire::{Capabilities, Event, Malformed, ReplyFramer, ReplyKind};
///
/// // the reply to `SELECT 7`: number of columns, column definition, row, OK
/// let reply = [
///     &b"\x01\0\0\x01\x01"[..],
///     b"\x17\0\0\x02\x03def\0\0\0\x017\0\x0c\x3f\0\x01\0\0\0\x03\x81\0\0\0\0",
///     b"\x02\0\0\x03\x017",
///     b"\x07\0\0\x04\xfe\0\0\x02\0\0\0",
/// ]
/// .concat();
/// let mut framer = ReplyFramer::new(ReplyKind::ResultSet, Capabilities::DEPRECATE_EOF);
///
/// // it arrives in two pieces; bytes of the next reply are not consumed
/// let (first, second) = reply.split_at(20);
/// let step = framer.feed(first)?;
/// assert_eq!((step.consumed, step.event), (20, Event::More));
/// let step = framer.feed(&[second, b"\x07\0\0\x01"].concat())?;
/// assert_eq!(step.consumed, second.len());
/// assert!(matches!(step.event, Event::End(end) if end.rows == Some(1)));
/// # Ok::<(), Malformed>(())
/// ```
#[derive(Debug)]
pub struct ReplyFramer {
    reply: phase::Reply,
    cut: Cut,
    kept: Vec<u8>,
    seq: Option<u8>,
    /// Expected sequence number of the first packet, if it is checked.
    first_seq: Option<u8>,
    end: Option<ReplyEnd>,
    /// As [`Step::tracks`].
    tracks: usize,
    /// The digest of what was read, if wanted.
    digest: Option<Box<Digest>>,
}

/// Position of the next byte in a packet.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// In the header, of which `have` bytes have arrived.
    Header {
        bytes: [u8; HEADER],
        have: usize,
        continuation: bool,
    },
    /// After the header; the packet's first byte decides its kind.
    First(Header),
    /// In a payload that will be decoded; `left` bytes are missing.
    Keep { header: Header, left: usize },
    /// In a payload that is skipped; `left` bytes are missing.
    Skip { left: usize, continues: bool },
}

const START: Cut = Cut::Header {
    bytes: [0; HEADER],
    have: 0,
    continuation: false,
};

impl ReplyFramer {
    /// A framer before the first byte of a reply of this kind on a connection with these capabilities.
    #[must_use]
    pub fn new(kind: ReplyKind, caps: Capabilities) -> Self {
        let end = (kind == ReplyKind::None).then(ReplyEnd::default);
        Self {
            reply: phase::Reply::new(kind, caps),
            cut: START,
            kept: Vec::new(),
            seq: None,
            first_seq: None,
            end,
            tracks: 0,
            digest: None,
        }
    }

    /// Makes the framer find the [digest](ReplyEnd::digest) of the reply, of which no byte has been read.
    pub fn digest(&mut self) {
        self.digest = Some(Box::default());
    }

    /// Makes the framer check the first packet's sequence number: it must follow `command_seq`, that of
    /// the command's last packet. Any other number means that the reply belongs to another command.
    #[must_use]
    pub fn following(mut self, command_seq: u8) -> Self {
        self.first_seq = Some(command_seq.wrapping_add(1));
        self
    }

    /// Processes the next bytes from the server. After the end it consumes nothing and returns
    /// [`Event::End`] again.
    ///
    /// # Errors
    /// The bytes are not a reply of this kind; the connection must be closed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            let step = self.feed_to_change(&bytes[at..])?;
            at += step.consumed;
            if step.event != Event::More || at == bytes.len() {
                return Ok(Step {
                    consumed: at,
                    ..step
                });
            }
        }
    }

    /// As [`feed`](Self::feed), but stops after each packet with session changes: with [`Event::More`]
    /// not all bytes may have been consumed.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_to_change(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        if let Some(end) = &self.end {
            return Ok(Step {
                consumed: 0,
                held: 0,
                tracks: 0,
                event: Event::End(end.clone()),
            });
        }
        let mut at = 0;
        self.tracks = 0;
        loop {
            at += self.pass_rows(&bytes[at..]);
            let (used, verdict) = self.advance(&bytes[at..])?;
            at += used;
            let event = match verdict {
                Some(Verdict::GoesOn) if self.tracks == 0 => continue,
                Some(Verdict::GoesOn) => Event::More,
                Some(Verdict::Infile) => Event::LocalInfile,
                Some(Verdict::Ends(mut end)) => {
                    end.digest = self.digest.take().map(|digest| digest.finish());
                    self.end = Some(end.clone());
                    Event::End(end)
                }
                None => Event::More,
            };
            return Ok(Step {
                consumed: at,
                held: self.held(),
                tracks: self.tracks,
                event,
            });
        }
    }

    /// Number of bytes seen of a packet that may have session changes.
    fn held(&self) -> usize {
        match self.cut {
            Cut::Header {
                have,
                continuation: false,
                ..
            } => have,
            Cut::First(_) => HEADER,
            Cut::Keep { header, left } if header.len <= KEPT => HEADER + header.len - left,
            Cut::Header { .. } | Cut::Keep { .. } | Cut::Skip { .. } => 0,
        }
    }

    /// Decodes a complete packet.
    fn decode(&mut self, payload: &[u8], header: Header) -> Result<Verdict, Malformed> {
        if let Some(digest) = &mut self.digest {
            digest.packet(payload, self.reply.capabilities());
        }
        let verdict = self.reply.packet(payload, header.len)?;
        if self.reply.take_tracks() {
            self.tracks = HEADER + header.len;
        }
        Ok(verdict)
    }

    /// Continues after the client has sent its file: the server's answer to it follows.
    pub fn resume_after_infile(&mut self) {
        self.reply.resume_after_infile();
    }

    /// Sequence number of the last packet whose header was read; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u8 {
        self.seq.unwrap_or(0)
    }

    /// Sequence number of the next packet; 1 before the first.
    #[must_use]
    pub fn next_seq(&self) -> u8 {
        self.last_seq().wrapping_add(1)
    }

    /// Whether no byte of the reply has been read: an ERR packet may be sent in its place.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.seq.is_none() && matches!(self.cut, Cut::Header { have: 0, .. })
    }

    /// Whether the bytes so far end with a complete packet: an ERR packet may be inserted here.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        matches!(
            self.cut,
            Cut::Header {
                have: 0,
                continuation: false,
                ..
            }
        )
    }

    /// Takes the session changes that the reply has reported so far.
    pub fn take_changes(&mut self) -> Vec<SessionChange> {
        self.reply.take_changes()
    }

    /// One step within a packet: the number of bytes used, and the verdict on a completed packet.
    /// `None`: there are no more bytes.
    fn advance(&mut self, bytes: &[u8]) -> Result<(usize, Option<Verdict>), Malformed> {
        match self.cut {
            Cut::Header {
                bytes: mut head,
                have,
                continuation,
            } => {
                let used = bytes.len().min(HEADER - have);
                head[have..have + used].copy_from_slice(&bytes[..used]);
                if have + used < HEADER {
                    self.cut = Cut::Header {
                        bytes: head,
                        have: have + used,
                        continuation,
                    };
                    return Ok((used, None));
                }
                let header = Header::parse(head);
                if self.seq.is_none() && self.first_seq.is_some_and(|seq| seq != header.seq) {
                    return Err(Malformed("a reply to another command"));
                }
                self.seq = Some(header.seq);
                if continuation {
                    self.digest_header(header);
                }
                self.cut = match (continuation, header.len) {
                    (true, _) => Cut::Skip {
                        left: header.len,
                        continues: header.continues(),
                    },
                    (false, 0) => return self.empty_packet(used),
                    (false, _) => Cut::First(header),
                };
                // a continuation may be empty: the next step ends it
                Ok((used, Some(Verdict::GoesOn)))
            }
            Cut::First(header) => {
                let Some(&first) = bytes.first() else {
                    return Ok((0, None));
                };
                self.cut = match self.reply.wants(first, header.len)? {
                    Want::Nothing => {
                        self.digest_header(header);
                        Cut::Skip {
                            left: header.len,
                            continues: header.continues(),
                        }
                    }
                    Want::Payload if bytes.len() >= header.len && !header.continues() => {
                        self.cut = START;
                        let verdict = self.decode(&bytes[..header.len.min(KEPT)], header)?;
                        return Ok((header.len, Some(verdict)));
                    }
                    Want::Payload => Cut::Keep {
                        header,
                        left: header.len,
                    },
                };
                Ok((0, Some(Verdict::GoesOn)))
            }
            Cut::Keep { header, left } => {
                let used = bytes.len().min(left);
                let room = KEPT.saturating_sub(self.kept.len()).min(used);
                self.kept.extend_from_slice(&bytes[..room]);
                if used < left {
                    self.cut = Cut::Keep {
                        header,
                        left: left - used,
                    };
                    return Ok((used, None));
                }
                self.cut = after(header.continues());
                let kept = std::mem::take(&mut self.kept);
                if header.continues() {
                    return Err(Malformed("a packet that ends a reply has 16 MiB"));
                }
                self.decode(&kept, header)
                    .map(|verdict| (used, Some(verdict)))
            }
            Cut::Skip { left, continues } => {
                let used = bytes.len().min(left);
                if let Some(digest) = &mut self.digest {
                    digest.raw(&bytes[..used]);
                }
                if used < left {
                    self.cut = Cut::Skip {
                        left: left - used,
                        continues,
                    };
                    return Ok((used, None));
                }
                self.cut = after(continues);
                let verdict = if continues {
                    Verdict::GoesOn
                } else {
                    self.reply.skipped()
                };
                Ok((used, Some(verdict)))
            }
        }
    }

    /// Fast path: skips complete rows; returns their length in bytes.
    fn pass_rows(&mut self, bytes: &[u8]) -> usize {
        if !self.reply.in_rows() || !self.at_boundary() {
            return 0;
        }
        let mut at = 0;
        let mut rows = 0;
        while let Some(&[a, b, c, seq, first]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let header = Header::parse([a, b, c, seq]);
            let end = at + HEADER + header.len;
            let plain = header.len > 0 && !header.continues() && first < phase::LEAST_SPECIAL;
            if !plain || end > bytes.len() {
                break;
            }
            self.seq = Some(seq);
            at = end;
            rows += 1;
        }
        self.reply.passed_rows(rows);
        if let Some(digest) = &mut self.digest {
            digest.raw(&bytes[..at]);
        }
        at
    }

    fn digest_header(&mut self, header: Header) {
        if let Some(digest) = &mut self.digest {
            digest.header(header);
        }
    }

    fn empty_packet(&mut self, used: usize) -> Result<(usize, Option<Verdict>), Malformed> {
        self.cut = START;
        let verdict = self.reply.empty_packet()?;
        Ok((used, Some(verdict)))
    }
}

fn after(continues: bool) -> Cut {
    Cut::Header {
        bytes: [0; HEADER],
        have: 0,
        continuation: continues,
    }
}

#[cfg(test)]
mod tests;
