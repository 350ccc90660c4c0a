//! Encodes and edits text results in a server's format (MariaDB Knowledge Base, "Result Set
//! Packets").

use crate::caps::Capabilities;
use crate::packet::{HEADER, Header, write_packet};
use crate::reader::{Reader, put_lenenc_bytes, put_lenenc_int};
use crate::reply::{EofPacket, OkPacket};
use crate::status::Status;

/// `utf8mb4_general_ci`.
const UTF8MB4: u16 = 45;
/// `binary`: the collation of numbers.
const BINARY: u16 = 63;
/// `NOT NULL`.
const NOT_NULL: u16 = 1;

/// A result column that does not belong to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Vec<u8>,
    /// The collation's number.
    pub collation: u16,
    /// Maximum length of a value, in bytes.
    pub length: u32,
    /// The type's number (`enum_field_types`).
    pub kind: u8,
    /// Flags: `NOT NULL` is 1, `UNSIGNED` 32, `BINARY` 128.
    pub flags: u16,
    /// Digits after the decimal point; 31 and 39 mean unspecified.
    pub decimals: u8,
}

impl Column {
    /// A text column of up to 256 characters.
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

    /// A column of unsigned integers.
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

/// The packets of a complete result, from sequence number 1 on.
#[must_use]
pub fn result(
    columns: &[Column],
    rows: &[Vec<Value>],
    capabilities: Capabilities,
    status: Status,
) -> Vec<u8> {
    complete(columns, rows, capabilities, status, encode_row)
}

/// The same as the result of a prepared statement. All columns must be texts.
#[must_use]
pub fn binary_result(
    columns: &[Column],
    rows: &[Vec<Value>],
    capabilities: Capabilities,
    status: Status,
) -> Vec<u8> {
    complete(columns, rows, capabilities, status, encode_binary_row)
}

fn complete(
    columns: &[Column],
    rows: &[Vec<Value>],
    capabilities: Capabilities,
    status: Status,
    encode_row: fn(&[Value]) -> Vec<u8>,
) -> Vec<u8> {
    complete_with(columns, rows, capabilities, status, &encode_row)
}

fn complete_with(
    columns: &[Column],
    rows: &[Vec<Value>],
    capabilities: Capabilities,
    status: Status,
    encode_row: &dyn Fn(&[Value]) -> Vec<u8>,
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
        put(&encode_row(row));
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

/// As [`edit_rows`], for the result of a prepared statement all of whose columns are texts.
#[must_use]
pub fn edit_binary_rows(
    reply: &[u8],
    capabilities: Capabilities,
    edit: impl FnOnce(Vec<Vec<Value>>) -> Option<Vec<Vec<Value>>>,
) -> Option<Vec<u8>> {
    edit_with(
        reply,
        capabilities,
        (parse_binary_row, encode_binary_row),
        edit,
    )
}

/// Applies `edit` to the rows of a text result and renumbers the packets. Returns `None` if the
/// reply is not one successful result, or if `edit` returns `None`.
#[must_use]
pub fn edit_rows(
    reply: &[u8],
    capabilities: Capabilities,
    edit: impl FnOnce(Vec<Vec<Value>>) -> Option<Vec<Vec<Value>>>,
) -> Option<Vec<u8>> {
    edit_with(reply, capabilities, (parse_row, encode_row), edit)
}

/// How a row is parsed, and how it is encoded.
type Format = (fn(&[u8], u8) -> Option<Vec<Value>>, fn(&[Value]) -> Vec<u8>);

fn edit_with(
    reply: &[u8],
    capabilities: Capabilities,
    (parse, encode): Format,
    edit: impl FnOnce(Vec<Vec<Value>>) -> Option<Vec<Vec<Value>>>,
) -> Option<Vec<u8>> {
    let parts = Parts::of(reply, capabilities)?;
    let rows: Option<Vec<_>> = { parts.rows.iter() }
        .map(|row| parse(row, parts.columns))
        .collect();
    Some(parts.with_rows(edit(rows?)?.iter().map(|row| encode(row))))
}

/// The packets of a complete result with at least one column.
struct Parts<'a> {
    columns: u8,
    /// The number of columns, their definitions, and the EOF packet behind them.
    before: Vec<&'a [u8]>,
    rows: Vec<&'a [u8]>,
    last: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(reply: &'a [u8], capabilities: Capabilities) -> Option<Self> {
        let mut packets = Vec::new();
        let mut rest = reply;
        while let Some((header, tail)) = rest.split_first_chunk::<HEADER>() {
            let (payload, tail) = tail.split_at_checked(Header::parse(*header).len)?;
            packets.push(payload);
            rest = tail;
        }
        let (&&[columns], _) = packets.split_first()? else {
            return None;
        };
        let eof = usize::from(!capabilities.contains(Capabilities::DEPRECATE_EOF));
        let (before, rest) = packets.split_at_checked(1 + usize::from(columns) + eof)?;
        let (last, rows) = rest.split_last()?;
        (last.first() == Some(&0xfe) && columns > 0).then(|| Self {
            columns,
            before: before.to_vec(),
            rows: rows.to_vec(),
            last,
        })
    }

    /// The numbers of the columns' types: behind the type follow two bytes of flags, the decimals, and two bytes of filler.
    fn kinds(&self) -> Option<Vec<u8>> {
        let definitions = self.before.get(1..1 + usize::from(self.columns))?.iter();
        definitions
            .map(|column| column.get(column.len().checked_sub(6)?).copied())
            .collect()
    }

    fn with_rows(&self, rows: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seq = 1;
        let mut put = |payload: &[u8]| seq = write_packet(&mut out, seq, payload);
        self.before.iter().for_each(|payload| put(payload));
        rows.for_each(|row| put(&row));
        put(self.last);
        out
    }
}

/// A text result as that of a prepared statement. Returns `None` if the reply is not one successful result, or has columns
/// of other types than texts and integers of four or eight bytes.
#[must_use]
pub fn binary_rows(reply: &[u8], capabilities: Capabilities) -> Option<Vec<u8>> {
    let parts = Parts::of(reply, capabilities)?;
    let kinds = parts.kinds()?;
    let rows: Option<Vec<_>> = { parts.rows.iter() }
        .map(|row| encode_typed_row(&parse_row(row, parts.columns)?, &kinds))
        .collect();
    Some(parts.with_rows(rows?.into_iter()))
}

/// See [`encode_binary_row`].
fn encode_typed_row(row: &[Value], kinds: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; 1 + (row.len() + 9) / 8];
    for (n, (value, kind)) in row.iter().zip(kinds).enumerate() {
        let Some(bytes) = value else {
            *payload.get_mut(1 + (n + 2) / 8)? |= 1 << ((n + 2) % 8);
            continue;
        };
        let number = || std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
        match kind {
            // MYSQL_TYPE_LONG, of 4 bytes
            3 => payload.extend_from_slice(number()?.to_le_bytes().get(..4)?),
            // MYSQL_TYPE_LONGLONG
            8 => payload.extend_from_slice(&number()?.to_le_bytes()),
            0x0f | 0xfc..=0xfe => put_lenenc_bytes(&mut payload, bytes),
            _ => return None,
        }
    }
    Some(payload)
}

fn encode_row(row: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    for value in row {
        match value {
            Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
            None => payload.push(0xfb),
        }
    }
    payload
}

/// A header, a bit for each NULL (the first two bits are unused), and the values that are not NULL.
fn encode_binary_row(row: &[Value]) -> Vec<u8> {
    let mut payload = vec![0; 1 + (row.len() + 9) / 8];
    for (n, value) in row.iter().enumerate() {
        match value {
            Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
            None => payload[1 + (n + 2) / 8] |= 1 << ((n + 2) % 8),
        }
    }
    payload
}

fn parse_row(row: &[u8], columns: u8) -> Option<Vec<Value>> {
    let mut reader = Reader::new(row);
    let values = (0..columns).map(|_| {
        if reader.peek() == Some(0xfb) {
            reader.u8().ok()?;
            return Some(None);
        }
        Some(Some(reader.lenenc_bytes().ok()?.to_vec()))
    });
    let values: Option<Vec<Value>> = values.collect();
    values.filter(|_| reader.remaining() == 0)
}

/// See [`encode_binary_row`].
fn parse_binary_row(row: &[u8], columns: u8) -> Option<Vec<Value>> {
    let (head, values) = row.split_at_checked(1 + (usize::from(columns) + 9) / 8)?;
    let nulls = head.split_first().filter(|(first, _)| **first == 0)?.1;
    let mut reader = Reader::new(values);
    let values = (0..usize::from(columns)).map(|n| {
        let bits = nulls.get((n + 2) / 8)?;
        if bits & (1 << ((n + 2) % 8)) != 0 {
            return Some(None);
        }
        Some(Some(reader.lenenc_bytes().ok()?.to_vec()))
    });
    let values: Option<Vec<Value>> = values.collect();
    values.filter(|_| reader.remaining() == 0)
}

/// Replaces values in the only row of a text result; `None` in `values` keeps the old value. Returns
/// `None` if the reply is not one result with one row of as many columns.
#[must_use]
pub fn replace_row(reply: &[u8], values: &[Value], capabilities: Capabilities) -> Option<Vec<u8>> {
    edit_rows(reply, capabilities, |mut rows| {
        let [row] = rows.as_mut_slice() else {
            return None;
        };
        if row.len() != values.len() {
            return None;
        }
        for (old, new) in row.iter_mut().zip(values) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        Some(rows)
    })
}

/// Replaces the status flags of a stored reply whose rows begin with a short text. In the last packet the
/// flags are at offset 3: in EOF by its layout, in OK because both counts before them are 0.
pub fn set_status(reply: &mut [u8], status: Status) {
    let mut rest = reply;
    while let Some(header) = rest.first_chunk().map(|bytes| Header::parse(*bytes)) {
        let packet = rest.get_mut(HEADER..HEADER + header.len);
        if let Some([0xfe, _, _, low, high, ..]) = packet {
            [*low, *high] = status.0.to_le_bytes();
        }
        rest = rest.get_mut(HEADER + header.len..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PacketBuffer;
    use crate::text::{Limits, TextOutcome, TextResultSet};

    #[test]
    fn a_stored_reply_gets_the_current_status() {
        let rows = vec![vec![Some(b"Warning".to_vec())]];
        for bits in [Capabilities::NONE, Capabilities::DEPRECATE_EOF] {
            let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS | bits;
            let result = |status| result(&[Column::text("Level")], &rows, capabilities, status);
            let now = Status::AUTOCOMMIT.with(Status::IN_TRANS);
            let mut reply = result(Status::AUTOCOMMIT);
            set_status(&mut reply, now);
            assert_eq!(reply, result(now));
        }
        set_status(&mut [5, 0, 0, 1, 0xfe], Status::AUTOCOMMIT);
    }

    #[test]
    fn a_result_is_decoded_as_encoded() {
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
    fn texts_in_the_result_of_a_prepared_statement_are_replaced() {
        let columns = [Column::text("Variable_name"), Column::text("Value")];
        let row = |value: Option<&str>| vec![Some(b"Ssl_cipher".to_vec()), value.map(Into::into)];
        for bits in [Capabilities::NONE, Capabilities::DEPRECATE_EOF] {
            let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS | bits;
            let make = |rows: &[Vec<Value>]| {
                binary_result(&columns, rows, capabilities, Status::AUTOCOMMIT)
            };
            let reply = make(&[row(None), row(Some(""))]);
            let edited = edit_binary_rows(&reply, capabilities, |mut rows| {
                assert_eq!(rows.len(), 2);
                assert_eq!(rows.remove(0), row(None));
                rows[0][1] = Some(b"TLS_AES_256_GCM_SHA384".to_vec());
                Some(rows)
            });
            assert_eq!(edited, Some(make(&[row(Some("TLS_AES_256_GCM_SHA384"))])));
        }
    }

    #[test]
    fn a_text_result_becomes_that_of_a_prepared_statement() {
        let code = Column {
            kind: 3,
            ..Column::number("Code")
        };
        let columns = [Column::text("Level"), code, Column::number("n")];
        let rows = vec![
            vec![Some(b"Note".to_vec()), Some(b"1051".to_vec()), None],
            vec![None, Some(b"4294967295".to_vec()), Some(b"7".to_vec())],
        ];
        let binary: Vec<Vec<Value>> = vec![vec![None], vec![None, None]];
        for bits in [Capabilities::NONE, Capabilities::DEPRECATE_EOF] {
            let capabilities = Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS | bits;
            let text = result(&columns, &rows, capabilities, Status::AUTOCOMMIT);
            let encode: &dyn Fn(&[Value]) -> Vec<u8> = &|row: &[Value]| match row.len() {
                1 => b"\0\x10\x04Note\x1b\x04\0\0".to_vec(),
                _ => b"\0\x04\xff\xff\xff\xff\x07\0\0\0\0\0\0\0".to_vec(),
            };
            let expected =
                complete_with(&columns, &binary, capabilities, Status::AUTOCOMMIT, encode);
            assert_eq!(binary_rows(&text, capabilities), Some(expected));
            let double = Column {
                kind: 5,
                ..Column::number("d")
            };
            let row = [vec![Some(b"1".to_vec())]];
            let other = result(&[double], &row, capabilities, Status::AUTOCOMMIT);
            assert_eq!(binary_rows(&other, capabilities), None);
            assert_eq!(binary_rows(b"\x01\0\0\x01\xff", capabilities), None);
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
