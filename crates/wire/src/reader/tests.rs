use proptest::prelude::*;

use super::*;

#[test]
fn lengths_have_the_shortest_encoding() {
    let cases: [(u64, &[u8]); 9] = [
        (0, &[0]),
        (250, &[0xFA]),
        (251, &[0xFC, 0xFB, 0]),
        (0xFFFF, &[0xFC, 0xFF, 0xFF]),
        (0x1_0000, &[0xFD, 0, 0, 1]),
        (0xFF_FFFF, &[0xFD, 0xFF, 0xFF, 0xFF]),
        (0x100_0000, &[0xFE, 0, 0, 0, 1, 0, 0, 0, 0]),
        (
            u64::MAX,
            &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        (0xFE, &[0xFC, 0xFE, 0]),
    ];
    for (n, bytes) in cases {
        let mut out = Vec::new();
        put_lenenc_int(&mut out, n);
        assert_eq!(out, bytes, "{n}");
        let mut r = Reader::new(bytes);
        assert_eq!((r.lenenc_int(), r.remaining()), (Ok(n), 0));
        for cut in 0..bytes.len() {
            assert!(
                Reader::new(&bytes[..cut]).lenenc_int().is_err(),
                "{n} cut at {cut}"
            );
        }
    }
}

#[test]
fn null_and_error_markers_are_not_lengths() {
    for mark in [0xFB, 0xFF] {
        assert!(
            Reader::new(&[mark, 0, 0, 0, 0, 0, 0, 0, 0])
                .lenenc_int()
                .is_err()
        );
    }
}

#[test]
fn integers_are_little_endian() {
    let bytes = [1, 2, 0, 3, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0x80, 9];
    let mut r = Reader::new(&bytes);
    assert_eq!(
        (r.u8(), r.u16(), r.u24(), r.u32()),
        (Ok(1), Ok(2), Ok(3), Ok(4))
    );
    assert_eq!((r.u64(), r.peek()), (Ok(0x8000_0000_0000_0005), Some(9)));
    assert_eq!(
        (r.u16(), r.rest(), r.remaining()),
        (Err(Malformed("it ends too early")), &[9u8][..], 0)
    );
}

#[test]
fn a_length_beyond_the_packet_is_refused_without_reading() {
    let mut huge = vec![0xFE];
    huge.extend_from_slice(&u64::MAX.to_le_bytes());
    assert!(Reader::new(&huge).lenenc_bytes().is_err());
}

#[test]
fn a_text_ends_at_its_nul() {
    let mut r = Reader::new(b"ab\0\0cd");
    assert_eq!(
        (r.nul_bytes(), r.nul_bytes()),
        (Ok(&b"ab"[..]), Ok(&b""[..]))
    );
    assert!(r.nul_bytes().is_err());
    assert_eq!(r.nul_or_rest(), b"cd");
    let mut out = Vec::new();
    put_nul_bytes(&mut out, b"a\0b");
    assert_eq!(out, b"a\0");
}

proptest! {
    #[test]
    fn bytes_are_decoded_as_encoded(text in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut out = Vec::new();
        put_lenenc_bytes(&mut out, &text);
        let mut r = Reader::new(&out);
        prop_assert_eq!(r.lenenc_bytes(), Ok(text.as_slice()));
        prop_assert!(r.is_empty());
    }
}
