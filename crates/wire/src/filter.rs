//! [`RowFilter`]: edits rows while a reply passes, sans-IO.
//!
//! Concerned are results with a single column that has a certain name, anywhere in a reply: the results of a procedure or
//! of several statements in one text are known by nothing else. All other bytes pass unchanged, but for the numbers
//! of the packets behind a row that was left out.
//!
//! Such a result begins with a packet of the one byte 1. No other packet has that content: in a row, the byte would say
//! that a value of one byte follows.

use std::borrow::Cow;

use crate::caps::Capabilities;
use crate::packet::{HEADER, Header};
use crate::reader::{Reader, put_lenenc_bytes};

/// The longest definition of a column that is looked at, and the longest row that is edited.
const LONGEST: usize = 1 << 20;

/// What to do with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It stays.
    Kept,
    /// It is left out.
    Gone,
    /// This value stands in its place.
    Instead(Vec<u8>),
}

/// Which results are concerned, and what becomes of their rows.
pub trait EditRows {
    /// Whether the rows of a result with this only column are edited.
    fn concerns(&self, column: &[u8]) -> bool;

    /// What becomes of a row with this value.
    fn edit(&self, value: &[u8]) -> Edited;
}

/// The filter of one reply.
#[derive(Debug)]
pub struct RowFilter<E> {
    edit: E,
    /// Whether rows are those of a prepared statement.
    binary: bool,
    /// Number of EOF packets of a result.
    ends: u8,
    phase: Phase,
    /// Number of bytes that pass before the next header.
    passing: usize,
    /// Whether the next packet continues the one before.
    continues: bool,
    /// The beginning of a packet that must be seen as a whole.
    kept: Vec<u8>,
    /// Number of rows that were left out.
    gone: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Another packet than those below is next.
    Other,
    /// The definition of the only column is next.
    Column,
    /// In a result that is concerned; this number of EOF packets is still to come.
    Rows { ends: u8 },
}

/// What becomes of a packet.
enum Verdict {
    /// It is not complete.
    More,
    Pass,
    Drop,
    Instead(Vec<u8>),
}

impl<E: EditRows> RowFilter<E> {
    /// A filter before the first byte of a reply on a connection with these capabilities. `binary`: it is the reply to
    /// `COM_STMT_EXECUTE`.
    #[must_use]
    pub fn new(edit: E, capabilities: Capabilities, binary: bool) -> Self {
        let ends = match capabilities.contains(Capabilities::DEPRECATE_EOF) {
            true => 1,
            false => 2,
        };
        Self {
            edit,
            binary,
            ends,
            phase: Phase::Other,
            passing: 0,
            continues: false,
            kept: Vec::new(),
            gone: 0,
        }
    }

    /// The next bytes for the client in place of these. At the end of a packet nothing is held back.
    pub fn pass<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.has_nothing_to_change(bytes) {
            return Cow::Borrowed(bytes);
        }
        let mut input = std::mem::take(&mut self.kept);
        input.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(input.len());
        let mut rest = &input[..];
        while !rest.is_empty() {
            if self.passing > 0 {
                let (part, tail) = rest.split_at(rest.len().min(self.passing));
                out.extend_from_slice(part);
                self.passing -= part.len();
                rest = tail;
                continue;
            }
            let Some((header, payload)) = rest.split_first_chunk::<HEADER>() else {
                break;
            };
            let header = Header::parse(*header);
            let verdict = match self.continues {
                true => Verdict::Pass,
                false => self.judge(header, payload),
            };
            let numbered = |len| Header {
                len,
                seq: header.seq.wrapping_sub(self.gone),
            };
            match verdict {
                Verdict::More => break,
                Verdict::Pass => {
                    out.extend_from_slice(&numbered(header.len).bytes());
                    self.passing = header.len;
                    self.continues = header.continues();
                    rest = payload;
                }
                Verdict::Drop => {
                    self.gone = self.gone.wrapping_add(1);
                    rest = payload.get(header.len..).unwrap_or_default();
                }
                Verdict::Instead(row) => {
                    out.extend_from_slice(&numbered(row.len()).bytes());
                    out.extend_from_slice(&row);
                    rest = payload.get(header.len..).unwrap_or_default();
                }
            }
        }
        self.kept = rest.to_vec();
        Cow::Owned(out)
    }

    /// Looks at the headers alone; notes how far the packets reach if these bytes pass as they are.
    fn has_nothing_to_change(&mut self, bytes: &[u8]) -> bool {
        if self.phase != Phase::Other || !self.kept.is_empty() || self.gone != 0 {
            return false;
        }
        let (mut passing, mut continues) = (self.passing, self.continues);
        let mut rest = bytes;
        loop {
            let Some(tail) = rest.get(passing..) else {
                passing -= rest.len();
                break;
            };
            passing = 0;
            if tail.is_empty() {
                break;
            }
            let Some((header, payload)) = tail.split_first_chunk::<HEADER>() else {
                return false;
            };
            let header = Header::parse(*header);
            if header.len == 1 && !continues && matches!(payload, [] | [1, ..]) {
                return false;
            }
            (passing, continues) = (header.len, header.continues());
            rest = payload;
        }
        (self.passing, self.continues) = (passing, continues);
        true
    }

    fn judge(&mut self, header: Header, payload: &[u8]) -> Verdict {
        let whole = payload.get(..header.len);
        match self.phase {
            Phase::Other if header.len == 1 => {
                let Some(first) = payload.first() else {
                    return Verdict::More;
                };
                if *first == 1 {
                    self.phase = Phase::Column;
                }
                Verdict::Pass
            }
            Phase::Other => Verdict::Pass,
            Phase::Column => {
                let long = header.len > LONGEST;
                let Some(definition) = whole.filter(|_| !long) else {
                    if long {
                        self.phase = Phase::Other;
                        return Verdict::Pass;
                    }
                    return Verdict::More;
                };
                let concerned = name_of(definition).is_some_and(|name| self.edit.concerns(name));
                self.phase = match concerned {
                    true => Phase::Rows { ends: self.ends },
                    false => Phase::Other,
                };
                Verdict::Pass
            }
            Phase::Rows { ends } => {
                if header.len == 0 {
                    return Verdict::Pass;
                }
                let Some(first) = payload.first() else {
                    return Verdict::More;
                };
                // a value that begins so has more than 16 MiB, and continues
                match (*first, header.continues()) {
                    (0xfe, false) if ends > 1 => self.phase = Phase::Rows { ends: ends - 1 },
                    (0xfe | 0xff, false) => self.phase = Phase::Other,
                    _ if header.len > LONGEST => {}
                    _ => {
                        return whole.map_or(Verdict::More, |row| self.row(row));
                    }
                }
                Verdict::Pass
            }
        }
    }

    fn row(&self, row: &[u8]) -> Verdict {
        // a header and the bits of NULLs
        let (head, value) = match (self.binary, row) {
            (true, [0, 0, value @ ..]) => (&row[..2], value),
            (false, value) => (&row[..0], value),
            _ => return Verdict::Pass,
        };
        let mut reader = Reader::new(value);
        let Ok(value) = reader.lenenc_bytes() else {
            return Verdict::Pass;
        };
        match self.edit.edit(value) {
            Edited::Kept => Verdict::Pass,
            Edited::Gone => Verdict::Drop,
            Edited::Instead(value) => {
                let mut new = head.to_vec();
                put_lenenc_bytes(&mut new, &value);
                Verdict::Instead(new)
            }
        }
    }
}

/// The name in the definition of a column: behind catalog, schema, table and original table.
fn name_of(definition: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(definition);
    for _ in 0..4 {
        reader.lenenc_bytes().ok()?;
    }
    reader.lenenc_bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::write_packet;
    use crate::rows::{Column, Value, binary_result, result};
    use crate::status::Status;

    /// Rows of `shown`: `drop` goes, `long` becomes `l`.
    struct Edits;

    impl EditRows for Edits {
        fn concerns(&self, column: &[u8]) -> bool {
            column.starts_with(b"shown")
        }

        fn edit(&self, value: &[u8]) -> Edited {
            match value {
                b"drop" => Edited::Gone,
                b"long" => Edited::Instead(b"l".to_vec()),
                _ => Edited::Kept,
            }
        }
    }

    fn rows(values: &[&str]) -> Vec<Vec<Value>> {
        let row = |value: &&str| vec![Some(value.as_bytes().to_vec())];
        values.iter().map(row).collect()
    }

    /// The packets of these replies, numbered on.
    fn joined(replies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seq = 1;
        for reply in replies {
            let mut rest = &reply[..];
            while let Some((header, tail)) = rest.split_first_chunk::<HEADER>() {
                let (payload, tail) = tail.split_at(Header::parse(*header).len);
                seq = write_packet(&mut out, seq, payload);
                rest = tail;
            }
        }
        out
    }

    #[test]
    fn rows_are_edited_wherever_they_stand_and_however_they_arrive() {
        let many = vec!["1"; 300];
        for (bits, binary) in [
            (Capabilities::NONE, false),
            (Capabilities::DEPRECATE_EOF, false),
            (Capabilities::NONE, true),
            (Capabilities::DEPRECATE_EOF, true),
        ] {
            let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS | bits;
            let make = |column: &str, values: &[&str]| {
                let columns = [Column::text(column)];
                let make = if binary { binary_result } else { result };
                make(&columns, &rows(values), capabilities, Status::AUTOCOMMIT)
            };
            let ok = b"\x07\0\0\x01\0\0\0\x02\0\0\0".to_vec();
            let reply = |shown: &[&str]| {
                joined(&[
                    make("other", &["drop", "long", "", "1"]),
                    make("shown for me", shown),
                    make("shown", &[]),
                    make("other", &many),
                    ok.clone(),
                ])
            };
            let sent = reply(&["drop", "long", "x", "drop"]);
            let expected = reply(&["l", "x"]);
            for size in [1, 2, 3, 5, 7, 64, sent.len()] {
                let mut filter = RowFilter::new(Edits, capabilities, binary);
                let mut passed = Vec::new();
                for part in sent.chunks(size) {
                    passed.extend_from_slice(&filter.pass(part));
                }
                assert!(passed == expected, "{bits:?} binary {binary} in {size}");
            }
        }
    }

    #[test]
    fn a_reply_without_such_a_result_is_not_copied() {
        let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS;
        let columns = [Column::text("shown"), Column::text("b")];
        let both = vec![vec![Some(b"drop".to_vec()), None]];
        let reply = result(&columns, &both, capabilities, Status::AUTOCOMMIT);
        let mut filter = RowFilter::new(Edits, capabilities, false);
        // within a row, and behind it
        let (first, second) = reply.split_at(reply.len() - 11);
        let passed = [filter.pass(first), filter.pass(second)];
        assert!(matches!(passed, [Cow::Borrowed(_), Cow::Borrowed(_)]));
        assert_eq!(filter.passing, 0);
    }
}
