//! Reads a stream of packets as text result sets. First byte: capabilities.
#![no_main]

use dormouse_wire::{Capabilities, Limits, PacketBuffer, TextOutcome, TextResultSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((new, stream)) = bytes.split_first() else { return };
    let caps = Capabilities::PROTOCOL_41
        .set(Capabilities::DEPRECATE_EOF, new & 1 != 0)
        .set(Capabilities::PROGRESS, new & 2 != 0);
    let limits = Limits { rows: 100, bytes: 10_000 };
    let mut set = TextResultSet::new(caps, limits);
    let mut buffer = PacketBuffer::new(1000);
    for chunk in stream.chunks(7) {
        buffer.push(chunk);
        while let Ok(Some((_, payload))) = buffer.next() {
            match set.on_payload(&payload) {
                Ok(Some(TextOutcome::Rows { columns, rows })) => {
                    assert!(rows.len() <= limits.rows);
                    assert!(rows.iter().all(|row| row.len() == columns.len()));
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
});
