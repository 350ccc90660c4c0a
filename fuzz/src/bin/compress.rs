//! Unpacks compressed packets in pieces. First byte: bit 0: pack the input first; other bits: piece length.
#![no_main]

use dormouse_wire::{Packer, Unpacker};
use libfuzzer_sys::fuzz_target;

fn unpack(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (mut unpacker, mut out, mut room) = (Unpacker::default(), Vec::new(), [0; 64]);
    for mut piece in bytes.chunks(piece) {
        loop {
            let step = unpacker.unpack(piece, &mut room).ok()?;
            out.extend_from_slice(&room[..step.produced]);
            piece = &piece[step.consumed..];
            if step.consumed + step.produced == 0 {
                assert!(piece.is_empty());
                break;
            }
        }
    }
    Some(out)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let piece = usize::from(how >> 1) + 1;
    if how & 1 == 1 {
        let mut packed = Vec::new();
        assert_eq!(Packer::default().pack(0, bytes, &mut packed), bytes.len());
        assert_eq!(unpack(&packed, piece).as_deref(), Some(bytes));
    } else {
        let _ = unpack(bytes, piece);
    }
});
