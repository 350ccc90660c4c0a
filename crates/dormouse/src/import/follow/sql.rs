//! Values and rows as SQL.

use std::io::Write as _;

use dormouse_binlog::follow::Value;

use super::tables::{Column, Kind, Table};

/// Writes a value.
pub(crate) fn value(out: &mut Vec<u8>, column: &Column, value: &Value) {
    // writing to memory does not fail
    let _written = match (value, &column.kind) {
        (Value::Null, _) => out.write_all(b"NULL"),
        (Value::Integer { signed, bytes }, Kind::Unsigned) => {
            let unused = 64 - 8 * u32::from((*bytes).clamp(1, 8));
            let unsigned = signed.cast_unsigned() << unused >> unused;
            write!(out, "{unsigned}")
        }
        (Value::Integer { signed, .. }, _) => write!(out, "{signed}"),
        (Value::Number(number), _) => write!(out, "{number}"),
        // a FLOAT is compared as a double: this is the same number
        (Value::Float(float), _) => write!(out, "{:e}", f64::from(*float)),
        (Value::Double(double), _) => write!(out, "{double:e}"),
        (Value::Text(text), _) => write!(out, "'{text}'"),
        (Value::Bytes(bytes), Kind::Uuid) => write!(out, "'{}'", uuid(bytes)),
        (Value::Bytes(bytes), Kind::Text(charset)) => {
            let written = write!(out, "_{charset}");
            string(out, bytes, 0);
            written
        }
        (Value::Bytes(bytes), Kind::Binary(length)) => {
            out.extend_from_slice(b"_binary");
            string(out, bytes, length.saturating_sub(bytes.len()));
            Ok(())
        }
        (Value::Bytes(bytes), _) => {
            out.extend_from_slice(b"_binary");
            string(out, bytes, 0);
            Ok(())
        }
    };
}

/// A string in quotes, with zeros at its end.
fn string(out: &mut Vec<u8>, bytes: &[u8], zeros: usize) {
    out.push(b'\'');
    for byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(b"\\'"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            _ => out.push(*byte),
        }
    }
    (0..zeros).for_each(|_| out.extend_from_slice(b"\\0"));
    out.push(b'\'');
}

/// A UUID as text. The server stores its fields in the order in which they sort by time, the last one first, if it has
/// a version below 6 and the variant of RFC 4122; it takes no UUID of which this cannot be told.
fn uuid(bytes: &[u8]) -> String {
    let mut stored = [0; 16];
    stored
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    let [node @ .., s0, s1, v0, v1, m0, m1, a, b, c, d] = stored;
    let swapped = [
        [a, b, c, d].as_slice(),
        &[m0, m1],
        &[v0, v1],
        &[s0, s1],
        &node,
    ]
    .concat();
    let bytes = match s0 & 0x80 != 0 && (1..0x60).contains(&v0) {
        true => swapped,
        false => stored.to_vec(),
    };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

/// `INSERT INTO … VALUES `, without rows.
pub(crate) fn insert(out: &mut Vec<u8>, table: &Table) {
    out.extend_from_slice(b"INSERT INTO ");
    out.extend_from_slice(table.name.as_bytes());
    out.extend_from_slice(b" (");
    let mut first = true;
    for column in table.columns.iter().filter(|column| !column.generated) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(column.name.as_bytes());
    }
    out.extend_from_slice(b") VALUES ");
}

/// `(…)`: a new row. `None`: a value is not in the log.
#[must_use]
pub(crate) fn row(out: &mut Vec<u8>, table: &Table, row: &[Option<Value>]) -> Option<()> {
    out.push(b'(');
    let mut first = true;
    for (column, of) in table.columns.iter().zip(row) {
        if column.generated {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        value(out, column, of.as_ref()?);
    }
    out.push(b')');
    Some(())
}

/// ` WHERE …`: the row with this key; without a key, one of those with these values.
#[must_use]
pub(crate) fn find(out: &mut Vec<u8>, table: &Table, row: &[Option<Value>]) -> Option<()> {
    out.extend_from_slice(b" WHERE ");
    let mut first = true;
    let by_key = !table.key.is_empty();
    for (at, column) in table.columns.iter().enumerate() {
        if by_key && !table.key.contains(&at) || column.generated && !by_key {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b" AND ");
        }
        let of = row.get(at)?.as_ref()?;
        out.extend_from_slice(column.name.as_bytes());
        out.extend_from_slice(b" <=> ");
        value(out, column, of);
        // values that a collation takes as equal are others
        if !by_key && let (Kind::Text(_), Value::Bytes(bytes)) = (&column.kind, of) {
            out.extend_from_slice(b" AND BINARY ");
            out.extend_from_slice(column.name.as_bytes());
            out.extend_from_slice(b" <=> _binary");
            string(out, bytes, 0);
        }
    }
    if !by_key {
        out.extend_from_slice(b" LIMIT 1");
    }
    Some(())
}

/// `UPDATE … SET …`, without its `WHERE`. `Some(false)`: nothing changes.
#[must_use]
pub(crate) fn update(
    out: &mut Vec<u8>,
    table: &Table,
    before: &[Option<Value>],
    after: &[Option<Value>],
) -> Option<bool> {
    out.extend_from_slice(b"UPDATE ");
    out.extend_from_slice(table.name.as_bytes());
    out.extend_from_slice(b" SET ");
    let mut first = true;
    for ((column, before), after) in table.columns.iter().zip(before).zip(after) {
        if column.generated || before == after && !column.touched {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(column.name.as_bytes());
        out.push(b'=');
        value(out, column, after.as_ref()?);
    }
    Some(!first)
}
