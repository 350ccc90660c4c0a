//! OK, ERR and EOF packets survive encoding and parsing. First byte: bit 0: session tracking.
#![no_main]

use dormouse_wire::{Capabilities, EofPacket, ErrPacket, OkPacket, Status, is_progress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((track, payload)) = bytes.split_first() else { return };
    let caps = Capabilities::PROTOCOL_41.set(Capabilities::SESSION_TRACK, track & 1 == 1);
    if let Ok(ok) = OkPacket::parse(payload, caps) {
        let flagged = ok.status.contains(Status::SESSION_STATE_CHANGED);
        // the encoder does not write the flag without changes
        if flagged != ok.session_changes.is_empty() {
            assert_eq!(OkPacket::parse(&ok.encode(caps, track & 2 == 2), caps), Ok(ok));
        }
    }
    if let Ok(err) = ErrPacket::parse(payload) {
        assert_eq!(ErrPacket::parse(&err.encode(caps)), Ok(err));
    }
    if let Ok(eof) = EofPacket::parse(payload) {
        assert_eq!(eof.encode(), payload);
    }
    let _ = is_progress(payload);
});
