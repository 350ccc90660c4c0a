use proptest::prelude::*;

use super::rows::TableMap;
use super::*;

proptest! {
    /// Whatever a source sends gives an event or an error.
    #[test]
    fn any_bytes_give_an_event_or_an_error(
        kind in any::<u8>(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        checksums in any::<bool>(),
    ) {
        let mut bytes = vec![0; 19];
        bytes[4] = kind;
        bytes.extend(body);
        let mut decoder = Decoder::default();
        decoder.expect_checksums(checksums);
        let _ = decoder.event(&bytes);
    }

    /// Rows of any bytes, of a table of any columns, come to an end.
    #[test]
    fn any_rows_of_any_table_end(
        kinds in proptest::collection::vec(any::<u8>(), 1..20),
        meta in proptest::collection::vec(any::<u8>(), 40..60),
        data in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut body = vec![7, 0, 0, 0, 0, 0, 0, 0, 1, b's', 0, 1, b't', 0];
        body.push(kinds.len() as u8);
        body.extend(&kinds);
        body.push(meta.len() as u8);
        body.extend(&meta);
        let Ok(table) = TableMap::read(Reader(&body)) else { return Ok(()) };
        let mut body = vec![7, 0, 0, 0, 0, 0, 0, 0, kinds.len() as u8];
        body.extend(vec![0xFF; kinds.len().div_ceil(8)]);
        body.extend(data);
        let rows = Rows::read(Reader(&body), RowKind::Insert, 1, false).unwrap();
        prop_assert!(rows.changes(&table).unwrap().count() <= 300);
    }
}

fn form(kind: u8, meta: &[u8], bytes: &[u8]) -> Value {
    let form = value::Form::read(kind, &mut Reader(meta)).unwrap();
    let mut body = Reader(bytes);
    let value = form.value(&mut body).unwrap();
    assert!(body.0.is_empty(), "{kind}: {value:?}");
    value
}

#[test]
fn values_are_read_as_the_server_writes_them() {
    let text = |text: &str| Value::Text(text.to_owned());
    let integer = |signed, bytes| Value::Integer { signed, bytes };
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    for (kind, meta, raw, expected) in [
        (1, &[][..], &[0xFF][..], integer(-1, 1)),
        (9, &[], &[0xFE, 0xFF, 0xFF], integer(-2, 3)),
        (9, &[], &[0xFF, 0xFF, 0x7F], integer(0x7F_FFFF, 3)),
        (13, &[], &[126], Value::Number(2026)),
        (13, &[], &[0], Value::Number(0)),
        (10, &[], &[0x7D, 0xD5, 0x0F], text("2026-11-29")),
        (10, &[], &[0, 0, 0], text("0000-00-00")),
        (17, &[0], &[0, 0, 0, 0], text("0000-00-00 00:00:00")),
        (
            17,
            &[0],
            &[0x66, 0x4F, 0x12, 0x80],
            text("2024-05-23 09:55:12"),
        ),
        (
            17,
            &[6],
            &[0, 0, 0, 1, 0, 0, 9],
            text("1970-01-01 00:00:01.000009"),
        ),
        (18, &[0], &[0x80, 0, 0, 0, 0], text("0000-00-00 00:00:00")),
        (19, &[0], &[0x80, 0x10, 0x83], text("01:02:03")),
        (19, &[0], &[0x7F, 0xEF, 0x7D], text("-01:02:03")),
        (19, &[2], &[0x7F, 0xEF, 0x7C, 0xCE], text("-01:02:03.50")),
        (246, &[4, 2], &[0x8C, 0x22], text("12.34")),
        (246, &[4, 2], &[0x73, 0xDD], text("-12.34")),
        (246, &[1, 1], &[0x85], text("0.5")),
        (16, &[3, 1], &[0x05, 0x55], Value::Number(0x555)),
        (254, &[247, 1], &[2], Value::Number(2)),
        (
            254,
            &[248, 8],
            &[1, 0, 0, 0, 0, 0, 0, 0x80],
            Value::Number(1 << 63 | 1),
        ),
        (254, &[254, 10], &[2, b'a', b'b'], bytes(b"ab")),
        // CHAR(255) of utf8mb4: 1020 bytes
        (254, &[0xCE, 0xFC], &[2, 0, b'a', b'b'], bytes(b"ab")),
        (15, &[0, 1], &[1, 0, b'a'], bytes(b"a")),
        (252, &[2], &[1, 0, b'a'], bytes(b"a")),
        (140, &[2], &[2, 0, 0, b'a'], bytes(b"a")),
    ] {
        assert_eq!(
            form(kind, meta, raw),
            expected,
            "type {kind} {meta:?} {raw:?}"
        );
    }
}
