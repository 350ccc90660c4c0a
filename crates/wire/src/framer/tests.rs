mod model;
mod recorded;

use proptest::prelude::*;

use super::*;
use crate::packet::{MAX_PAYLOAD, write_packet};
use crate::reply::{Tracking, retrack};
use model::{BOTH, NEW, OLD, Script, script};

/// The framer's result for `bytes` that arrive in pieces with these ends; without the number of
/// rows.
pub(super) fn frame(
    kind: ReplyKind,
    caps: Capabilities,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<(usize, ReplyEnd, Vec<SessionChange>), String> {
    let mut framer = ReplyFramer::new(kind, caps);
    let mut fed = 0;
    let mut cuts = cuts.iter().copied().chain([bytes.len()]);
    loop {
        let until = cuts
            .next()
            .ok_or("the reply does not end")?
            .clamp(fed, bytes.len());
        while fed <= until {
            let chunk = &bytes[fed..until];
            let step = framer.feed(chunk).map_err(|e| e.to_string())?;
            fed += step.consumed;
            match step.event {
                Event::More if step.consumed == chunk.len() => break,
                Event::More => return Err("more, but not all consumed".into()),
                Event::LocalInfile => framer.resume_after_infile(),
                Event::End(end) => {
                    let end = ReplyEnd { rows: None, ..end };
                    return Ok((fed, end, framer.take_changes()));
                }
            }
        }
    }
}

fn whole(kind: ReplyKind, caps: Capabilities, bytes: &[u8]) -> Result<(usize, ReplyEnd), String> {
    frame(kind, caps, bytes, &[]).map(|(consumed, end, _)| (consumed, end))
}

fn stream(payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    payloads
        .iter()
        .fold(1, |seq, payload| write_packet(&mut out, seq, payload));
    out
}

fn ends(status: u16) -> ReplyEnd {
    ReplyEnd {
        status: Some(Status(status)),
        ..ReplyEnd::default()
    }
}

#[test]
fn a_command_without_reply_ends_at_once() {
    let mut framer = ReplyFramer::new(ReplyKind::None, BOTH);
    let step = framer.feed(b"\x01\0\0").unwrap();
    assert_eq!(
        step,
        Step {
            consumed: 0,
            held: 0,
            tracks: 0,
            event: Event::End(ReplyEnd::default())
        }
    );
}

#[test]
fn a_reply_consumes_no_byte_of_the_next() {
    let two = stream(&[&[0, 1, 0, 2, 0, 3, 0], &[0, 9, 0, 2, 0, 0, 0]]);
    let mut framer = ReplyFramer::new(ReplyKind::Simple, NEW);
    let step = framer.feed(&two).unwrap();
    let end = ReplyEnd {
        affected: 1,
        warnings: 3,
        ..ends(2)
    };
    assert_eq!(
        step,
        Step {
            consumed: 11,
            held: 0,
            tracks: 0,
            event: Event::End(end.clone())
        }
    );
    let again = framer.feed(&two[11..]).unwrap();
    assert_eq!(
        again,
        Step {
            consumed: 0,
            held: 0,
            tracks: 0,
            event: Event::End(end)
        }
    );
}

#[test]
fn rows_are_counted_if_there_is_one_result() {
    let result = |more: u8| {
        let end = [0xfe, 0, 0, 2 | more, 0, 0, 0];
        vec![
            vec![1],
            b"\x03def".to_vec(),
            vec![0],
            vec![0xfb],
            end.to_vec(),
        ]
    };
    let ok = vec![vec![0, 0, 0, 2, 0, 0, 0]];
    let rows = |payloads: Vec<Vec<u8>>| {
        let payloads: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
        let step = ReplyFramer::new(ReplyKind::ResultSet, NEW).feed(&stream(&payloads));
        match step.unwrap().event {
            Event::End(end) => end.rows,
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(rows(result(0)), Some(2));
    assert_eq!(rows(ok.clone()), None);
    assert_eq!(rows([result(8), result(0)].concat()), None);
    assert_eq!(rows([result(8), ok].concat()), None);
}

#[test]
fn a_row_may_look_like_an_eof_packet() {
    let columns: [&[u8]; 2] = [b"\x01", b"\x03def"];
    let eof = b"\xfe\0\0\x02\0".as_slice();
    // 0xFE begins the length of a value of 16 MiB or more; such a packet has a continuation
    let mut huge = vec![0xFE];
    huge.extend_from_slice(&(MAX_PAYLOAD as u64).to_le_bytes());
    huge.resize(9 + MAX_PAYLOAD, 0xFF);
    let old = stream(&[columns[0], columns[1], eof, b"\0", &huge, eof]);
    assert_eq!(
        whole(ReplyKind::ResultSet, OLD, &old),
        Ok((old.len(), ends(2)))
    );
    let ok = b"\xfe\0\0\x02\0\0\0".as_slice();
    let new = stream(&[columns[0], columns[1], b"\0", &huge, ok]);
    let pieces: Vec<usize> = (0..new.len()).step_by(1_000_003).collect();
    let (consumed, end, _) = frame(ReplyKind::ResultSet, NEW, &new, &pieces).unwrap();
    assert_eq!((consumed, end), (new.len(), ends(2)));
}

#[test]
fn a_payload_of_exactly_16_mib_less_one_has_an_empty_continuation() {
    let row = vec![0; MAX_PAYLOAD];
    let bytes = stream(&[b"\x01", b"\x03def", &row, b"\xfe\0\0\x02\0\0\0"]);
    for cut in 4 + MAX_PAYLOAD..4 + MAX_PAYLOAD + 40 {
        let (consumed, end, _) = frame(ReplyKind::ResultSet, NEW, &bytes, &[cut]).unwrap();
        assert_eq!((consumed, end), (bytes.len(), ends(2)));
    }
    let text = stream(&[&row]);
    assert_eq!(
        whole(ReplyKind::Text, NEW, &text),
        Ok((text.len(), ReplyEnd::default()))
    );
}

#[test]
fn progress_never_ends_a_reply_but_an_error_with_its_number_does() {
    let progress = b"\xff\xff\xff\x01\x01\x02\x88\x13\0\x04copy".as_slice();
    let bytes = stream(&[progress, progress, b"\0\0\0\x02\0\0\0"]);
    let caps = NEW | Capabilities::PROGRESS;
    assert_eq!(
        whole(ReplyKind::ResultSet, caps, &bytes),
        Ok((bytes.len(), ends(2)))
    );
    let error = ReplyEnd {
        error: Some(0xFFFF),
        ..ReplyEnd::default()
    };
    assert_eq!(
        whole(ReplyKind::ResultSet, NEW, &bytes),
        Ok((4 + progress.len(), error.clone()))
    );
    let signal = stream(&[b"\xff\xff\xff#45000mine"]);
    assert_eq!(
        whole(ReplyKind::ResultSet, caps, &signal),
        Ok((signal.len(), error))
    );
}

#[test]
fn the_cursor_flag_ends_only_replies_that_may_have_a_cursor() {
    let columns: [&[u8]; 3] = [b"\x01", b"\x03def", b"\xfe\0\0\x42\0"];
    let cursor = stream(&columns);
    let rows = stream(&[
        columns[0],
        columns[1],
        columns[2],
        b"\x011",
        b"\xfe\0\0\x42\0",
    ]);
    assert_eq!(
        whole(ReplyKind::Execute, OLD, &rows),
        Ok((cursor.len(), ends(0x42)))
    );
    assert_eq!(
        whole(ReplyKind::ResultSet, OLD, &rows),
        Ok((rows.len(), ends(0x42)))
    );
    let new = stream(&[columns[0], columns[1], b"\xfe\0\0\x42\0\0\0"]);
    assert_eq!(
        whole(ReplyKind::Execute, NEW, &new),
        Ok((new.len(), ends(0x42)))
    );
}

#[test]
fn a_file_request_comes_before_the_result() {
    let ask = stream(&[b"\xfb/etc/hosts"]);
    let mut framer = ReplyFramer::new(ReplyKind::ResultSet, NEW);
    let step = framer.feed(&ask).unwrap();
    assert_eq!(
        step,
        Step {
            consumed: ask.len(),
            held: 0,
            tracks: 0,
            event: Event::LocalInfile
        }
    );
    assert_eq!((framer.last_seq(), framer.next_seq()), (1, 2));
    framer.resume_after_infile();
    let mut answer = Vec::new();
    write_packet(&mut answer, 4, b"\0\x07\0\x02\0\0\0");
    let step = framer.feed(&answer).unwrap();
    let end = ReplyEnd {
        affected: 7,
        ..ends(2)
    };
    assert_eq!(
        step,
        Step {
            consumed: answer.len(),
            held: 0,
            tracks: 0,
            event: Event::End(end)
        }
    );
    assert_eq!(framer.last_seq(), 4);
}

#[test]
fn a_boundary_is_where_an_error_may_be_inserted() {
    let bytes = stream(&[b"\x01", b"\x03def", b"\x011", b"\xfe\0\0\x02\0\0\0"]);
    let boundaries = [0, 5, 13, 19];
    for cut in 0..bytes.len() {
        let mut framer = ReplyFramer::new(ReplyKind::ResultSet, NEW);
        framer.feed(&bytes[..cut]).unwrap();
        assert_eq!(framer.at_boundary(), boundaries.contains(&cut), "{cut}");
        assert_eq!(framer.is_untouched(), cut == 0, "{cut}");
        let headers = [4, 9, 17, 23].iter().filter(|&&seen| cut >= seen).count();
        assert_eq!(usize::from(framer.last_seq()), headers, "{cut}");
    }
}

#[test]
fn a_very_long_last_packet_is_decoded_from_its_start() {
    let mut ok = b"\0\x01\0\x02\x40\0\0\0\xfd\0\0\x02".to_vec();
    ok.resize(12 + 0x2_0000, 0);
    let bytes = stream(&[&ok]);
    for cuts in [vec![], vec![5], vec![70_000, 70_001]] {
        let (consumed, end, changes) = frame(ReplyKind::Simple, BOTH, &bytes, &cuts).unwrap();
        assert_eq!(
            (consumed, end.affected, end.session_changes),
            (bytes.len(), 1, true)
        );
        assert_eq!(changes, []);
    }
}

#[test]
fn malformed_replies_are_refused() {
    let eof = b"\xfe\0\0\x02\0".as_slice();
    let cases: [(ReplyKind, Capabilities, &[&[u8]]); 12] = [
        (ReplyKind::Simple, NEW, &[b"\x01"]),
        (ReplyKind::Simple, NEW, &[b""]),
        (ReplyKind::Simple, NEW, &[b"\0"]),
        (ReplyKind::Simple, NEW, &[b"\xff\x01"]),
        (ReplyKind::Prepare, NEW, &[b"\0\x01"]),
        (ReplyKind::Prepare, NEW, &[b"\x01"]),
        (
            ReplyKind::Prepare,
            OLD,
            &[b"\0\x01\0\0\0\0\0\x01\0\0\0\0", b"\x03def", b"\x03def"],
        ),
        (ReplyKind::ResultSet, OLD, &[b"\x01", b"\x03def", b"\x011"]),
        (ReplyKind::ResultSet, OLD, &[b"\x02", b"\x03def", eof]),
        (ReplyKind::ResultSet, NEW, &[b"\xfd\0\0\x01"]),
        (ReplyKind::ResultSet, NEW, &[b"\x01", b""]),
        (ReplyKind::Fetch, OLD, &[b"\xfe\0"]),
    ];
    for (kind, caps, payloads) in cases {
        let found = whole(kind, caps, &stream(payloads));
        assert!(
            found.as_ref().is_err_and(|e| e.contains("malformed")),
            "{payloads:?}: {found:?}"
        );
    }
}

/// Ends of pieces of `bytes`: every `step` bytes, after `start`.
fn cuts(bytes: &[u8], start: usize, step: usize) -> Vec<usize> {
    (start..bytes.len()).step_by(step).collect()
}

proptest! {
    #[test]
    fn finds_the_end_of_any_reply_however_it_is_split(
        script in script(), start in 0usize..20, step in 1usize..50, rest: Vec<u8>,
    ) {
        let Script { kind, caps, bytes, end, changes } = script;
        let expected = Ok((bytes.len(), end, changes));
        let followed = [bytes.as_slice(), &rest].concat();
        prop_assert_eq!(&frame(kind, caps, &followed, &[]), &expected);
        prop_assert_eq!(&frame(kind, caps, &followed, &cuts(&followed, start, step)), &expected);
        for cut in 0..bytes.len().min(400) {
            prop_assert_eq!(&frame(kind, caps, &bytes, &[cut]), &expected, "cut at {}", cut);
        }
        let cut_short = frame(kind, caps, &bytes[..bytes.len() - 1], &[]);
        prop_assert_eq!(cut_short, Err("the reply does not end".to_owned()));
    }

    #[test]
    fn the_result_for_any_bytes_does_not_depend_on_how_they_are_split(
        bytes in proptest::collection::vec(prop_oneof![0u8..4, Just(0xFE), Just(0xFF), Just(0xFB), any::<u8>()], 0..80),
        kind in 0usize..model::KINDS.len(), bits: u64, step in 1usize..9,
    ) {
        let (kind, caps) = (model::KINDS[kind], Capabilities(bits));
        let at_once = frame(kind, caps, &bytes, &[]);
        let in_pieces = frame(kind, caps, &bytes, &cuts(&bytes, 0, step));
        prop_assert_eq!(at_once, in_pieces);
    }
}

/// The bytes that a relay forwards of a reply that arrives in pieces of this length.
fn passed_on(script: &Script, piece: usize, tracking: Tracking) -> Vec<u8> {
    let mut framer = ReplyFramer::new(script.kind, script.caps);
    let mut out = Vec::new();
    let mut hand = Vec::new();
    for piece in script.bytes.chunks(piece.max(1)) {
        let mut seen = hand.len();
        hand.extend_from_slice(piece);
        loop {
            let step = framer.feed_to_change(&hand[seen..]).unwrap();
            seen += step.consumed;
            let begin = seen - step.tracks;
            if step.tracks > 0
                && let Some(packet) = retrack(&hand[begin..seen], tracking)
            {
                hand.splice(begin..seen, packet.iter().copied());
                seen = begin + packet.len();
            }
            if step.event == Event::LocalInfile {
                framer.resume_after_infile();
            }
            if seen == hand.len() || matches!(step.event, Event::End(_)) {
                out.extend(hand.drain(..seen - step.held));
                break;
            }
        }
    }
    out.extend(hand);
    out
}

proptest! {
    #[test]
    fn changes_not_for_the_client_are_removed_however_the_reply_is_split(
        script in script(),
        piece in 1_usize..40,
    ) {
        for tracking in [Tracking::Nothing, Tracking::AllButState, Tracking::All] {
            let whole = passed_on(&script, usize::MAX, tracking);
            prop_assert_eq!(&passed_on(&script, piece, tracking), &whole);
            let (_, _, told) = frame(script.kind, script.caps, &whole, &[]).unwrap();
            let state = |change: &SessionChange| matches!(change, SessionChange::State(_));
            match tracking {
                Tracking::Nothing => prop_assert_eq!(told, []),
                Tracking::AllButState => prop_assert!(!told.iter().any(state)),
                Tracking::All => prop_assert_eq!(&told, &script.changes),
            }
        }
    }
}
