//! Knows where a server's reply ends, and what its end says, without copying rows.
//!
//! Two layers: packets are cut by their headers here; what a packet means for the reply is in
//! [`phase`]. Of a packet that is a row, a column or a continuation only the header and the first
//! byte are looked at. The others are kept up to [`KEPT`] bytes, in place if they came in one piece.

mod phase;

use crate::caps::Capabilities;
use crate::command::ReplyKind;
use crate::packet::{HEADER, Header};
use crate::reader::Malformed;
use crate::reply::SessionChange;
use crate::status::Status;

use phase::{Verdict, Want};

/// The most bytes kept of one packet. A longer OK or ERR packet is understood by its start; what it
/// says of changes in the session is then left out of [`ReplyFramer::take_changes`].
pub const KEPT: usize = 64 * 1024;

/// What [`ReplyFramer::feed`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many of the bytes belong to this reply.
    pub consumed: usize,
    /// How many of these, at their end, are the beginning of a packet that may say something of the
    /// session. Who wants to [`retrack`](crate::reply::retrack) it keeps them back until the rest is there.
    pub held: usize,
    /// The length of the packet that the consumed bytes end with, header and all, if it has
    /// [`Status::SESSION_STATE_CHANGED`]; else 0. The reply may go on behind it.
    pub tracks: usize,
    /// What comes next.
    pub event: Event,
}

/// What comes next in a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All bytes were consumed and the reply goes on.
    More,
    /// The server asks the client for a file: packets of the client's follow, up to an empty one.
    /// Then call [`ReplyFramer::resume_after_infile`] and go on feeding.
    LocalInfile,
    /// The reply is complete.
    End(ReplyEnd),
}

/// What the last packet of a reply said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyEnd {
    /// The session's status; `None` after an error, a text, or a prepare that ends without EOF.
    pub status: Option<Status>,
    /// How many warnings there are.
    pub warnings: u16,
    /// The error's number, if it was one.
    pub error: Option<u16>,
    /// Rows changed, by the last OK packet.
    pub affected: u64,
    /// The first automatic value made, by the last OK packet.
    pub last_insert_id: u64,
    /// How many rows there were, if the reply was one result with columns and nothing else.
    pub rows: Option<u64>,
    /// The statement, if the reply was to COM_STMT_PREPARE and no error.
    pub prepared: Option<Prepared>,
    /// Whether any packet of the reply had [`Status::SESSION_STATE_CHANGED`].
    pub session_changes: bool,
}

/// What the server says of a statement it prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// The statement's id on this connection.
    pub statement: u32,
    /// How many columns its result has; 0 if it has none.
    pub columns: u16,
    /// How many parameters it takes.
    pub params: u16,
}

/// Follows one reply. Use a new one for each command.
#[derive(Debug)]
pub struct ReplyFramer {
    reply: phase::Reply,
    cut: Cut,
    kept: Vec<u8>,
    seq: Option<u8>,
    /// What the number of the first packet must be, if that is to be checked.
    first_seq: Option<u8>,
    end: Option<ReplyEnd>,
    /// As [`Step::tracks`].
    tracks: usize,
}

/// Where in a packet the next byte lies.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// In the header, of which this many bytes are there.
    Header {
        bytes: [u8; HEADER],
        have: usize,
        continuation: bool,
    },
    /// Right after the header; the packet's first byte decides what it is.
    First(Header),
    /// In a payload that is to be understood; this many bytes are to come.
    Keep { header: Header, left: usize },
    /// In a payload that is not looked at; this many bytes are to come.
    Skip { left: usize, continues: bool },
}

const START: Cut = Cut::Header {
    bytes: [0; HEADER],
    have: 0,
    continuation: false,
};

impl ReplyFramer {
    /// Waits for the first byte of a reply of this kind on a connection with these capabilities.
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
        }
    }

    /// The same; the reply is to a command whose last packet has this sequence number, so its first
    /// has the next one. Another number means that it is the reply to another command.
    #[must_use]
    pub fn following(mut self, command_seq: u8) -> Self {
        self.first_seq = Some(command_seq.wrapping_add(1));
        self
    }

    /// Looks at the next bytes from the server. After the end it consumes nothing and says
    /// [`Event::End`] again.
    ///
    /// # Errors
    /// The bytes are no reply of this kind; the connection cannot be used any more.
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

    /// The same, but it stops behind each packet that tells of a change in the session: with
    /// [`Event::More`] not all bytes may have been consumed.
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
                Some(Verdict::Ends(end)) => {
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

    /// How many bytes of a packet that may have to be changed have been seen.
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

    /// What a packet that is there as a whole means.
    fn understood(&mut self, payload: &[u8], header: Header) -> Result<Verdict, Malformed> {
        let verdict = self.reply.packet(payload, header.len)?;
        if self.reply.take_tracks() {
            self.tracks = HEADER + header.len;
        }
        Ok(verdict)
    }

    /// The client has sent its file: the server's answer to it follows.
    pub fn resume_after_infile(&mut self) {
        self.reply.resume_after_infile();
    }

    /// The sequence number of the last packet whose header was seen; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u8 {
        self.seq.unwrap_or(0)
    }

    /// The sequence number of the packet after that; 1 before the first.
    #[must_use]
    pub fn next_seq(&self) -> u8 {
        self.last_seq().wrapping_add(1)
    }

    /// Whether no byte of the reply has been seen yet: an error may take its place.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.seq.is_none() && matches!(self.cut, Cut::Header { have: 0, .. })
    }

    /// Whether the bytes so far end with a whole packet: an error may be put in here.
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

    /// What the reply has said so far of changes in the session, once.
    pub fn take_changes(&mut self) -> Vec<SessionChange> {
        self.reply.take_changes()
    }

    /// One step within a packet: how many bytes it used, and what a packet that it completed
    /// means. `None`: there are no more bytes.
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
                self.cut = match (continuation, header.len) {
                    (true, _) => Cut::Skip {
                        left: header.len,
                        continues: header.continues(),
                    },
                    (false, 0) => return self.empty_packet(used),
                    (false, _) => Cut::First(header),
                };
                // a continuation may be empty: only the next step sees it end
                Ok((used, Some(Verdict::GoesOn)))
            }
            Cut::First(header) => {
                let Some(&first) = bytes.first() else {
                    return Ok((0, None));
                };
                self.cut = match self.reply.wants(first, header.len)? {
                    Want::Nothing => Cut::Skip {
                        left: header.len,
                        continues: header.continues(),
                    },
                    Want::Payload if bytes.len() >= header.len && !header.continues() => {
                        self.cut = START;
                        let verdict = self.understood(&bytes[..header.len.min(KEPT)], header)?;
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
                self.understood(&kept, header)
                    .map(|verdict| (used, Some(verdict)))
            }
            Cut::Skip { left, continues } => {
                let used = bytes.len().min(left);
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

    /// The shortest way over rows that are there as a whole: how many bytes they are.
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
        at
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
