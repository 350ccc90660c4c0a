use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An execution of statement 7 with three parameters, the second NULL.
const FIRST: &[u8] = b"\x17\x07\0\0\0\0\x01\0\0\0\x02\x01\x08\0\xfe\0\x03\x80VALUES";
const LATER: &[u8] = b"\x17\x07\0\0\0\0\x01\0\0\0\x02\x00VALUES";
const TYPES: &[u8] = b"\x08\0\xfe\0\x03\x80";

#[test]
fn reads_the_parts_of_an_execution() {
    let first = ExecuteView::parse(FIRST, 3).unwrap();
    assert_eq!((first.statement, first.flags, first.iterations), (7, 0, 1));
    assert_eq!(
        (first.nulls, first.types, first.values),
        (&[2u8][..], Some(TYPES), &b"VALUES"[..])
    );
    let later = ExecuteView::parse(LATER, 3).unwrap();
    assert_eq!((later.types, later.values), (None, &b"VALUES"[..]));
    let bare = ExecuteView::parse(b"\x17\x07\0\0\0\x01\x01\0\0\0", 0).unwrap();
    assert_eq!((bare.flags, bare.types, bare.values), (1, None, &b""[..]));
}

#[test]
fn inserts_missing_types() {
    assert_eq!(ExecuteView::with_types(LATER, 3, TYPES), FIRST);
    assert_eq!(ExecuteView::with_types(FIRST, 3, b"xxxxxx"), FIRST);
    assert_eq!(ExecuteView::with_types(LATER, 3, b"xx"), LATER);
    assert_eq!(ExecuteView::with_types(&LATER[..9], 3, TYPES), &LATER[..9]);
}

#[test]
fn inserts_types_into_bulk_executions() {
    let first = b"\xfa\x07\0\0\0\x80\0\x08\0\xfe\0\x03\x80ROWS";
    let later = b"\xfa\x07\0\0\0\0\0ROWS";
    assert_eq!(BulkView::with_types(later, 3, TYPES), first);
    assert_eq!(BulkView::with_types(first, 3, TYPES), first);
    let view = BulkView::parse(first, 3).unwrap();
    assert_eq!(
        (view.statement, view.flags, view.types, view.values),
        (7, 128, Some(TYPES), &b"ROWS"[..])
    );
    assert!(BulkView::parse(&first[..10], 3).is_err());
}

#[test]
fn the_id_is_at_the_same_offset_in_every_command() {
    for command in [0x17, 0x18, 0x19, 0x1a, 0x1c, 0xfa] {
        let mut payload = [command, 1, 0, 0, 0, 9];
        set_statement(&mut payload, 0x0403_0201);
        assert_eq!(payload, [command, 1, 2, 3, 4, 9]);
        assert_eq!(statement_of(&payload), Some(0x0403_0201));
    }
    let mut query = *b"\x03SELECT 1";
    set_statement(&mut query, 9);
    assert_eq!((&query, statement_of(&query)), (b"\x03SELECT 1", None));
    assert_eq!(statement_of(&[0x17, 1, 2, 3]), None);
}

proptest! {
    #[test]
    fn inserted_types_are_read_back(params in 1u16..200, values in vec(any::<u8>(), 0..50), id: u32, byte: u8) {
        let n = usize::from(params);
        let types = vec![byte; 2 * n];
        let nulls = vec![byte; n.div_ceil(8)];
        let later = [&[0x17], &id.to_le_bytes()[..], &[0, 1, 0, 0, 0], &nulls, &[0], &values].concat();
        let first = ExecuteView::with_types(&later, params, &types);
        let view = ExecuteView::parse(&first, params).unwrap();
        prop_assert_eq!((view.nulls, view.types, view.values), (&nulls[..], Some(&types[..]), &values[..]));
    }

    #[test]
    fn no_bytes_cause_a_panic(mut bytes: Vec<u8>, params: u16, bulk: bool) {
        bytes.insert(0, if bulk { 0xfa } else { 0x17 });
        let _ = ExecuteView::parse(&bytes, params % 64);
        let _ = BulkView::parse(&bytes, params % 64);
        let _ = ExecuteView::with_types(&bytes, params, &bytes);
        let _ = BulkView::with_types(&bytes, params, &bytes);
        set_statement(&mut bytes, 1);
        let _ = statement_of(&bytes);
    }
}
