use proptest::prelude::*;

use super::*;

fn packets(bytes: &[u8]) -> Vec<(usize, u8)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(&head) = bytes[at..].first_chunk() {
        let header = Header::parse(head);
        found.push((header.len, header.seq));
        at += HEADER + header.len;
    }
    assert_eq!(at, bytes.len());
    found
}

#[test]
fn long_payloads_are_split_and_end_with_a_shorter_packet() {
    let cases = [
        (0, vec![(0, 254)]),
        (MAX_PAYLOAD - 1, vec![(MAX_PAYLOAD - 1, 254)]),
        (MAX_PAYLOAD, vec![(MAX_PAYLOAD, 254), (0, 255)]),
        (MAX_PAYLOAD + 1, vec![(MAX_PAYLOAD, 254), (1, 255)]),
        (
            2 * MAX_PAYLOAD,
            vec![(MAX_PAYLOAD, 254), (MAX_PAYLOAD, 255), (0, 0)],
        ),
    ];
    for (len, expected) in cases {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        let next = write_packet(&mut out, 254, &payload);
        assert_eq!(packets(&out), expected);
        let last = expected[expected.len() - 1].1;
        assert_eq!(next, last.wrapping_add(1));
        let mut buffer = PacketBuffer::new(len);
        out.chunks(1 << 20).for_each(|chunk| buffer.push(chunk));
        assert_eq!(buffer.next(), Ok(Some((last, payload))));
        assert!(buffer.is_empty());
        if len > 0 {
            let mut small = PacketBuffer::new(len - 1);
            small.push(&out);
            assert_eq!(small.next(), Err(TooLarge { limit: len - 1 }));
        }
    }
}

#[test]
fn a_packet_that_is_too_large_is_refused_by_its_header() {
    let mut buffer = PacketBuffer::new(100);
    buffer.push(&[101, 0, 0]);
    assert_eq!(buffer.next(), Ok(None));
    buffer.push(&[0]);
    assert_eq!(buffer.next(), Err(TooLarge { limit: 100 }));
}

#[test]
fn bytes_after_a_packet_stay_in_the_buffer() {
    let mut buffer = PacketBuffer::new(100);
    buffer.push(b"\x02\0\0\x07hi\x16\x03\x01");
    assert_eq!(buffer.next(), Ok(Some((7, b"hi".to_vec()))));
    assert_eq!(buffer.next(), Ok(None));
    assert_eq!(buffer.take_rest(), b"\x16\x03\x01");
    assert!(buffer.is_empty());
}

proptest! {
    #[test]
    fn a_header_is_decoded_as_encoded(bytes: [u8; 4]) {
        prop_assert_eq!(Header::parse(bytes).bytes(), bytes);
    }

    #[test]
    fn payloads_are_assembled_however_they_are_split(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
        cut in 1usize..30,
    ) {
        let mut stream = Vec::new();
        let mut seq = 250;
        for payload in &payloads {
            seq = write_packet(&mut stream, seq, payload);
        }
        let mut buffer = PacketBuffer::new(64);
        let mut got = Vec::new();
        for chunk in stream.chunks(cut) {
            buffer.push(chunk);
            while let Some((_, payload)) = buffer.next().unwrap() {
                got.push(payload);
            }
        }
        prop_assert_eq!(got, payloads);
    }
}
