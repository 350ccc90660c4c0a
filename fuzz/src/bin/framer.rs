//! The framer finds the same end of a reply however its bytes are split. First byte: kind of the reply;
//! second: capabilities; third: piece length.
#![no_main]

use dormouse_wire::{Capabilities, Event, Malformed, ReplyEnd, ReplyFramer, ReplyKind};
use libfuzzer_sys::fuzz_target;

const KINDS: [ReplyKind; 9] = [
    ReplyKind::None,
    ReplyKind::Simple,
    ReplyKind::Text,
    ReplyKind::ResultSet,
    ReplyKind::Execute,
    ReplyKind::Prepare,
    ReplyKind::Fetch,
    ReplyKind::FieldList,
    ReplyKind::Stream,
];

fn frame(
    kind: ReplyKind,
    caps: Capabilities,
    bytes: &[u8],
    piece: usize,
) -> Result<(usize, Option<ReplyEnd>, u8), Malformed> {
    let mut framer = ReplyFramer::new(kind, caps);
    let mut fed = 0;
    for chunk in bytes.chunks(piece) {
        let mut rest = chunk;
        loop {
            let step = framer.feed(rest)?;
            fed += step.consumed;
            rest = &rest[step.consumed..];
            match step.event {
                Event::More => break assert!(rest.is_empty()),
                Event::LocalInfile => framer.resume_after_infile(),
                Event::End(end) => return Ok((fed, Some(end), framer.last_seq())),
            }
        }
    }
    Ok((fed, None, framer.last_seq()))
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, caps, piece, bytes @ ..] = bytes else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let caps = Capabilities::PROTOCOL_41
        .set(Capabilities::DEPRECATE_EOF, caps & 1 != 0)
        .set(Capabilities::SESSION_TRACK, caps & 2 != 0)
        .set(Capabilities::PROGRESS, caps & 4 != 0);
    let whole = frame(kind, caps, bytes, bytes.len().max(1));
    let pieces = frame(kind, caps, bytes, usize::from(*piece).max(1));
    if bytes.is_empty() {
        return;
    }
    assert_eq!(whole, pieces);
});
