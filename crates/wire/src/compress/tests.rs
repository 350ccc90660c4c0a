use proptest::prelude::*;

use super::*;

/// Packs all of `content` into packets numbered from 0.
fn packed(content: &[u8]) -> Vec<u8> {
    let (mut packer, mut out, mut at) = (Packer::default(), Vec::new(), 0);
    for seq in 0.. {
        at += packer.pack(seq, &content[at..], &mut out);
        if at == content.len() {
            break;
        }
    }
    out
}

/// Unpacks pieces of `bytes` into rooms of this size.
fn unpacked(bytes: &[u8], piece: usize, room: usize) -> Result<Vec<u8>, BadPacket> {
    let (mut unpacker, mut out, mut room) = (Unpacker::default(), Vec::new(), vec![0; room]);
    for mut piece in bytes.chunks(piece) {
        loop {
            let step = unpacker.unpack(piece, &mut room)?;
            out.extend_from_slice(&room[..step.produced]);
            piece = &piece[step.consumed..];
            if step.consumed + step.produced == 0 {
                assert!(piece.is_empty(), "bytes are left");
                break;
            }
        }
    }
    Ok(out)
}

/// A packet with this header and content.
fn packet(seq: u8, content_len: usize, content: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = content.len().to_le_bytes();
    let [d, e, f, ..] = content_len.to_le_bytes();
    [&[a, b, c, seq, d, e, f], content].concat()
}

fn zipped(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 1000);
    let mut zlib = Compress::new(Compression::best(), true);
    let status = zlib.compress_vec(content, &mut out, FlushCompress::Finish);
    assert!(matches!(status, Ok(Status::StreamEnd)));
    out
}

#[test]
fn short_or_incompressible_content_is_sent_uncompressed() {
    assert_eq!(packed(&[7; 49]), packet(0, 0, &[7; 49]));
    let shorter = packed(&[7; 50]);
    assert!(shorter.len() < 50 && shorter[4] == 50, "{shorter:?}");
    let mut x = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    })
    .take(1000)
    .collect();
    assert_eq!(packed(&noise), packet(0, 0, &noise));
}

#[test]
fn sequence_numbers_count_both_sides_and_restart_with_each_command() {
    let mut unpacker = Unpacker::default();
    let mut read = |seq| {
        let read = unpacker.unpack(&packet(seq, 0, b"x"), &mut [0; 9]);
        read.map(|_| (unpacker.take_seq(), unpacker.take_seq()))
    };
    assert_eq!(read(0), Ok((1, 2)));
    assert_eq!(read(3), Ok((4, 5)));
    assert_eq!(read(0), Ok((1, 2)));
    assert_eq!(read(9), Err(BadPacket::OutOfOrder));
}

#[test]
fn one_step_never_goes_beyond_one_packet() {
    let bytes = [packet(0, 0, b"first"), packet(0, 0, b"second")].concat();
    let (mut unpacker, mut room) = (Unpacker::default(), [0; 100]);
    let step = unpacker.unpack(&bytes, &mut room).unwrap();
    assert_eq!(&room[..step.produced], b"first");
    // the answer to the first command is numbered behind it
    assert_eq!(unpacker.take_seq(), 1);
    let step = unpacker.unpack(&bytes[step.consumed..], &mut room).unwrap();
    assert_eq!(&room[..step.produced], b"second");
}

#[test]
fn a_packet_that_contradicts_its_header_is_refused() {
    let content = vec![b'a'; 100_000];
    let stream = zipped(&content);
    let ends_early = &stream[..stream.len() - 1];
    for (what, bad) in [
        ("longer than said", packet(0, content.len() - 1, &stream)),
        ("shorter than said", packet(0, content.len() + 1, &stream)),
        ("cut off", packet(0, content.len(), ends_early)),
        (
            "trailed by more",
            packet(0, content.len(), &[&stream[..], &[0]].concat()),
        ),
        ("nothing", packet(0, 1, b"")),
        ("no stream", packet(0, 100, &[0xff; 60])),
        ("a bomb", packet(0, 60, &zipped(&vec![0; 8 << 20]))),
    ] {
        for (piece, room) in [(1, 1), (7, 1000), (usize::MAX, 1 << 20)] {
            let read = unpacked(&bad, piece, room);
            assert_eq!(read, Err(BadPacket::Corrupt), "{what}, {piece} {room}");
        }
    }
    let good = unpacked(&packet(0, content.len(), &stream), 13, 1 << 10);
    assert_eq!(good, Ok(content));
}

proptest! {
    #[test]
    fn packed_content_is_unpacked_however_it_is_split(
        parts in prop::collection::vec((any::<u8>(), 0_usize..9000), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        piece in 1_usize..70_000,
        room in 1_usize..70_000,
    ) {
        let mut content = noise.clone();
        for (byte, n) in parts {
            content.extend(std::iter::repeat_n(byte, n));
            content.extend_from_slice(&noise);
        }
        prop_assert_eq!(unpacked(&packed(&content), piece, room), Ok(content));
    }

    #[test]
    fn no_bytes_cause_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        stream in any::<bool>(),
        piece in 1_usize..50,
        room in 1_usize..50,
    ) {
        let bytes = if stream { packet(0, 100, &[&[0x78, 0x9c], &bytes[..]].concat()) } else { bytes };
        let _ = unpacked(&bytes, piece, room);
    }
}
