//! Text results of our own making, as a server would send them (MariaDB Knowledge Base, "Result Set
//! Packets").

use crate::caps::Capabilities;
use crate::packet::{HEADER, Header, write_packet};
use crate::reader::{Reader, put_lenenc_bytes, put_lenenc_int};
use crate::reply::{EofPacket, OkPacket};
use crate::status::Status;

/// `utf8mb4_general_ci`.
const UTF8MB4: u16 = 45;
/// `binary`: numbers have it.
const BINARY: u16 = 63;
/// `NOT NULL`.
const NOT_NULL: u16 = 1;

/// One column of a result that belongs to no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Vec<u8>,
    /// The collation's number.
    pub collation: u16,
    /// The longest value, in bytes.
    pub length: u32,
    /// The type's number (`enum_field_types`).
    pub kind: u8,
    /// Flags: `NOT NULL` is 1, `UNSIGNED` 32, `BINARY` 128.
    pub flags: u16,
    /// Digits after the point; 31 and 39 mean none given.
    pub decimals: u8,
}

impl Column {
    /// A text of up to 256 characters.
    #[must_use]
    pub fn text(name: &str) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            collation: UTF8MB4,
            length: 1024,
            kind: 0xfd,
            flags: 0,
            decimals: 39,
        }
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn number(name: &str) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            collation: BINARY,
            length: 20,
            kind: 8,
            flags: NOT_NULL | 32 | 128,
            decimals: 0,
        }
    }

    fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.name.len() + 32);
        put_lenenc_bytes(&mut out, b"def");
        // schema, table, original table
        for _ in 0..3 {
            put_lenenc_bytes(&mut out, b"");
        }
        put_lenenc_bytes(&mut out, &self.name);
        put_lenenc_bytes(&mut out, b"");
        if capabilities.contains(Capabilities::EXTENDED_METADATA) {
            put_lenenc_bytes(&mut out, b"");
        }
        put_lenenc_int(&mut out, 12);
        out.extend_from_slice(&self.collation.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.push(self.kind);
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&[self.decimals, 0, 0]);
        out
    }
}

/// One value; `None` is NULL.
pub type Value = Option<Vec<u8>>;

/// The packets of a whole result, from sequence number 1 on.
#[must_use]
pub fn result(
    columns: &[Column],
    rows: &[Vec<Value>],
    capabilities: Capabilities,
    status: Status,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seq = 1;
    let mut put = |payload: &[u8]| seq = write_packet(&mut out, seq, payload);
    let mut count = Vec::new();
    put_lenenc_int(&mut count, columns.len() as u64);
    put(&count);
    for column in columns {
        put(&column.encode(capabilities));
    }
    let eof = EofPacket {
        status,
        ..EofPacket::default()
    };
    let new = capabilities.contains(Capabilities::DEPRECATE_EOF);
    if !new {
        put(&eof.encode());
    }
    for row in rows {
        let mut payload = Vec::new();
        for value in row {
            match value {
                Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
                None => payload.push(0xfb),
            }
        }
        put(&payload);
    }
    if new {
        let ok = OkPacket {
            status,
            ..OkPacket::default()
        };
        put(&ok.encode(capabilities, true));
    } else {
        put(&eof.encode());
    }
    out
}

/// Replaces values in the only row of a text result; `None` in `values` keeps what is there. The
/// answer is `None` if the reply is not one result with one row of so many columns.
#[must_use]
pub fn replace_row(reply: &[u8], values: &[Value], capabilities: Capabilities) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(reply.len() + 32);
    let mut rest = reply;
    let eof = usize::from(!capabilities.contains(Capabilities::DEPRECATE_EOF));
    let before = 1 + values.len() + eof;
    for n in 0.. {
        let (header, tail) = rest.split_first_chunk::<HEADER>()?;
        let header = Header::parse(*header);
        let (payload, tail) = tail.split_at_checked(header.len)?;
        if n == 0 && payload != [u8::try_from(values.len()).ok()?] {
            return None;
        }
        if n < before {
            write_packet(&mut out, header.seq, payload);
            rest = tail;
            continue;
        }
        write_packet(&mut out, header.seq, &replaced(payload, values)?);
        out.extend_from_slice(tail);
        // what follows must be the end
        let (header, last) = tail.split_first_chunk::<HEADER>()?;
        let is_end = last.first() == Some(&0xfe) && Header::parse(*header).len == last.len();
        return is_end.then_some(out);
    }
    None
}

fn replaced(row: &[u8], values: &[Value]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(row);
    let mut out = Vec::with_capacity(row.len() + 32);
    for value in values {
        let old = reader.lenenc_bytes().ok()?;
        put_lenenc_bytes(&mut out, value.as_deref().unwrap_or(old));
    }
    (reader.remaining() == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PacketBuffer;
    use crate::text::{Limits, TextOutcome, TextResultSet};

    #[test]
    fn a_result_is_read_back_as_it_was_made() {
        let columns = [Column::text("name"), Column::number("n")];
        let rows = vec![
            vec![Some(b"shop".to_vec()), Some(b"7".to_vec())],
            vec![None, Some(vec![b'8'; 300])],
        ];
        for bits in [
            Capabilities::NONE,
            Capabilities::DEPRECATE_EOF,
            Capabilities::EXTENDED_METADATA,
        ] {
            let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS | bits;
            let mut packets = PacketBuffer::new(1 << 20);
            packets.push(&result(&columns, &rows, capabilities, Status::AUTOCOMMIT));
            let mut parser = TextResultSet::new(capabilities, Limits::default());
            let mut outcome = None;
            while let Some((_, payload)) = packets.next().unwrap() {
                assert!(outcome.is_none(), "nothing follows the end");
                outcome = parser.on_payload(&payload).unwrap();
            }
            let Some(TextOutcome::Rows { rows: read, .. }) = outcome else {
                panic!("no rows");
            };
            assert_eq!(read, rows);
        }
    }

    #[test]
    fn the_values_of_a_single_row_are_replaced() {
        let columns = [Column::number("FOUND_ROWS()"), Column::number("n")];
        let row = |a: &str, b: &str| vec![Some(a.into()), Some(b.into())];
        let capabilities = Capabilities::OWN_CLIENT;
        let make = |rows: &[Vec<Value>]| result(&columns, rows, capabilities, Status::AUTOCOMMIT);
        let values = [Some(b"12345".to_vec()), None];
        assert_eq!(
            replace_row(&make(&[row("1", "2")]), &values, capabilities),
            Some(make(&[row("12345", "2")]))
        );
        for other in [make(&[]), make(&[row("1", "2"), row("3", "4")]), vec![1, 2]] {
            assert_eq!(replace_row(&other, &values, capabilities), None);
        }
        let three = [None, None, None];
        assert_eq!(
            replace_row(&make(&[row("1", "2")]), &three, capabilities),
            None
        );
    }
}
