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

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "`c`".to_owned(),
            kind,
            generated: false,
            touched: false,
            is_enum: false,
        }
    }

    fn written(kind: Kind, of: Value) -> String {
        let mut out = Vec::new();
        value(&mut out, &column(kind), &of);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_written_so_that_the_server_stores_the_same() {
        let integer = |signed, bytes| Value::Integer { signed, bytes };
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let latin = || Kind::Text("latin1".to_owned());
        for (kind, value, expected) in [
            (Kind::Plain, integer(-1, 1), "-1"),
            (Kind::Unsigned, integer(-1, 1), "255"),
            (Kind::Unsigned, integer(-1, 3), "16777215"),
            (Kind::Unsigned, integer(-1, 8), "18446744073709551615"),
            (Kind::Plain, Value::Float(1.1), "1.100000023841858e0"),
            (Kind::Plain, Value::Text("-1.50".to_owned()), "'-1.50'"),
            (latin(), bytes(b"it's\\\0"), "_latin1'it\\'s\\\\\\0'"),
            (Kind::Binary(4), bytes(b"ab"), "_binary'ab\\0\\0'"),
            (Kind::Plain, Value::Null, "NULL"),
        ] {
            assert_eq!(written(kind, value), expected);
        }
    }

    #[test]
    fn a_uuid_is_read_as_it_is_stored() {
        // version 4: the fields stand in reverse order; version 7: as they are
        for (stored, text) in [
            (
                "aabbccddee0088994677445500112233",
                "00112233-4455-4677-8899-aabbccddee00",
            ),
            (
                "018f3c1e11117abc8def0123456789ab",
                "018f3c1e-1111-7abc-8def-0123456789ab",
            ),
            (
                "001122334455f677f899aabbccddee00",
                "00112233-4455-f677-f899-aabbccddee00",
            ),
        ] {
            let at = |at: usize| u8::from_str_radix(&stored[at * 2..at * 2 + 2], 16).unwrap();
            let stored: Vec<u8> = (0..16).map(at).collect();
            assert_eq!(uuid(&stored), text);
        }
    }

    #[test]
    fn a_row_is_found_by_its_key_or_by_all_of_its_values() {
        let mut table = Table {
            name: "`s`.`t`".to_owned(),
            columns: vec![
                column(Kind::Plain),
                column(Kind::Text("utf8mb4".to_owned())),
            ],
            key: vec![0],
            is_sequence: false,
        };
        let row = [
            Some(Value::Integer {
                signed: 7,
                bytes: 4,
            }),
            Some(Value::Bytes(b"a".to_vec())),
        ];
        let text = |table: &Table| {
            let mut out = Vec::new();
            find(&mut out, table, &row).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&table), " WHERE `c` <=> 7");
        table.key.clear();
        assert_eq!(
            text(&table),
            " WHERE `c` <=> 7 AND `c` <=> _utf8mb4'a' AND BINARY `c` <=> _binary'a' LIMIT 1"
        );
        let mut out = Vec::new();
        assert_eq!(find(&mut out, &table, &[None, None]), None);
    }
}
