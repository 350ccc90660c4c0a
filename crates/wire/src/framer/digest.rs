//! A number by which a reply is recognised when its command is run again on another server.
//!
//! It covers all that a client is shown and may decide by: columns, rows, errors, and of OK and EOF packets the counts, the
//! insert id, the text, the warnings and the status flags. It leaves out session tracking, and the flags that only tell how
//! the server found the rows (slow, without an index), which depend on its caches.

use std::hash::Hasher as _;

use twox_hash::XxHash64;

use crate::caps::Capabilities;
use crate::packet::Header;
use crate::reply::{EOF, ERR, EofPacket, OK, OkPacket, is_progress};
use crate::status::Status;

/// The flags that are left out: 16 and 32 say that an index is missing.
const INCIDENTAL: Status = Status(
    Status::SESSION_STATE_CHANGED.0 | Status::WAS_SLOW.0 | Status::METADATA_CHANGED.0 | 16 | 32,
);

/// The digest of a reply that is being read. It does not depend on the pieces in which it arrives.
#[derive(Debug, Default)]
pub(super) struct Digest(XxHash64);

impl Digest {
    /// Adds bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Adds the header of a packet whose payload follows as it is.
    pub(super) fn header(&mut self, header: Header) {
        let [a, b, c, ..] = header.len.to_le_bytes();
        self.raw(&[a, b, c, header.seq]);
    }

    /// Adds a packet that may have parts which are left out.
    pub(super) fn packet(&mut self, payload: &[u8], caps: Capabilities) {
        let ok = || OkPacket::parse(payload, Capabilities::SESSION_TRACK);
        match payload.first() {
            Some(&ERR) if caps.contains(Capabilities::PROGRESS) && is_progress(payload) => {}
            Some(&EOF) if let Ok(eof) = EofPacket::parse(payload) => {
                self.raw(&[EOF]);
                self.end(eof.warnings, eof.status);
            }
            Some(&first @ (OK | EOF)) if let Ok(ok) = ok() => {
                self.raw(&[first]);
                self.end(ok.warnings, ok.status);
                self.raw(&ok.affected.to_le_bytes());
                self.raw(&ok.last_insert_id.to_le_bytes());
                self.raw(&ok.info);
            }
            _ => self.raw(payload),
        }
    }

    fn end(&mut self, warnings: u16, status: Status) {
        self.raw(&warnings.to_le_bytes());
        self.raw(&status.without(INCIDENTAL).0.to_le_bytes());
    }

    /// The number.
    pub(super) fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ok: &OkPacket, eof: bool) -> u64 {
        let mut digest = Digest::default();
        let payload = ok.encode(Capabilities::SESSION_TRACK, eof);
        digest.packet(&payload, Capabilities::SESSION_TRACK);
        digest.finish()
    }

    #[test]
    fn what_a_client_is_shown_makes_the_digest_and_what_is_incidental_does_not() {
        let ok = OkPacket {
            affected: 3,
            last_insert_id: 7,
            status: Status::IN_TRANS,
            warnings: 1,
            info: b"Rows matched: 3".to_vec(),
            session_changes: Vec::new(),
        };
        let same = [
            OkPacket {
                status: Status::IN_TRANS.with(Status::WAS_SLOW).with(Status(48)),
                ..ok.clone()
            },
            OkPacket {
                session_changes: vec![crate::reply::SessionChange::State(true)],
                ..ok.clone()
            },
        ];
        for other in same {
            assert_eq!(of(&other, false), of(&ok, false), "{other:?}");
        }
        let others = [
            OkPacket {
                affected: 2,
                ..ok.clone()
            },
            OkPacket {
                last_insert_id: 8,
                ..ok.clone()
            },
            OkPacket {
                status: Status::AUTOCOMMIT,
                ..ok.clone()
            },
            OkPacket {
                warnings: 0,
                ..ok.clone()
            },
            OkPacket {
                info: b"Rows matched: 4".to_vec(),
                ..ok.clone()
            },
        ];
        for other in others {
            assert_ne!(of(&other, false), of(&ok, false), "{other:?}");
        }
        assert_ne!(of(&ok, true), of(&ok, false));
    }
}
