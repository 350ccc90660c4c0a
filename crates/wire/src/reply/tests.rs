use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TRACK: Capabilities =
    Capabilities(Capabilities::SESSION_TRACK.0 | Capabilities::PROTOCOL_41.0);

fn ok(payload: &[u8]) -> OkPacket {
    OkPacket::parse(payload, TRACK).unwrap()
}

#[test]
fn ok_without_text_is_seven_bytes() {
    let packet = OkPacket {
        affected: 1,
        last_insert_id: 2,
        status: Status::AUTOCOMMIT,
        ..OkPacket::default()
    };
    assert_eq!(packet.encode(TRACK, false), [0, 1, 2, 2, 0, 0, 0]);
    assert_eq!(packet.encode(TRACK, true), [0xFE, 1, 2, 2, 0, 0, 0]);
    assert_eq!(ok(&[0xFE, 1, 2, 2, 0, 0, 0]), packet);
}

#[test]
fn reads_session_changes_as_servers_send_them() {
    // SET @@session.session_track_state_change=1, USE mysql, on MariaDB 10.11
    let payload = b"\0\0\0\x02\x40\0\0\0\x0b\x01\x06\x05mysql\x02\x011";
    let expected = vec![
        SessionChange::Schema(b"mysql".to_vec()),
        SessionChange::State(true),
    ];
    assert_eq!(ok(payload).session_changes, expected);
    let documented = b"\0\0\0\x02\x40\0\0\0\x04\x02\x02\x011";
    assert_eq!(ok(documented).session_changes, [SessionChange::State(true)]);
    assert_eq!(
        ok(b"\0\0\0\x02\x40\0\0\0\x03\x02\x010").session_changes,
        [SessionChange::State(false)]
    );
    let variable = ok(b"\0\0\0\x02\x40\0\0\0\x11\x00\x0f\x0aautocommit\x03OFF");
    let name = b"autocommit".to_vec();
    let expected = SessionChange::SystemVariable {
        name,
        value: b"OFF".to_vec(),
    };
    assert_eq!(variable.session_changes, [expected]);
}

#[test]
fn without_tracking_changes_are_neither_sent_nor_read() {
    let plain = TRACK - Capabilities::SESSION_TRACK;
    let packet = OkPacket {
        status: Status::SESSION_STATE_CHANGED.with(Status::IN_TRANS),
        info: b"hi".to_vec(),
        session_changes: vec![SessionChange::State(true)],
        ..OkPacket::default()
    };
    let payload = packet.encode(plain, false);
    assert_eq!(payload, b"\0\0\0\x01\0\0\0\x02hi");
    assert_eq!(OkPacket::parse(&payload, plain).unwrap().info, b"hi");
}

#[test]
fn text_in_the_documented_layout_is_read_completely() {
    let text = b"Rows matched: 1";
    let payload = [b"\0\0\0\x02\0\0\0".as_slice(), text].concat();
    assert_eq!(ok(&payload).info, text);
}

#[test]
fn truncated_changes_are_refused() {
    for cut in 10..19 {
        let payload = &b"\0\0\0\x02\x40\0\0\0\x0b\x01\x06\x05mysql\x02\x011"[..cut];
        assert!(OkPacket::parse(payload, TRACK).is_err(), "cut at {cut}");
    }
}

#[test]
fn an_error_has_an_sqlstate_with_protocol_41() {
    let err = ErrPacket::new(1045, "28000", "Access denied");
    assert_eq!(err.encode(TRACK), b"\xff\x15\x04#28000Access denied");
    assert_eq!(err.encode(Capabilities::NONE), b"\xff\x15\x04Access denied");
    assert_eq!(ErrPacket::parse(&err.encode(TRACK)), Ok(err.clone()));
    assert_eq!(err.to_string(), "1045 (28000): Access denied");
    assert_eq!(ErrPacket::new(1, "wrong length", "").sqlstate(), "HY000");
    assert_eq!(
        ErrPacket::parse(b"\xff\x15\x04#280").unwrap().message,
        "#280"
    );
    assert!(ErrPacket::parse(b"\xff\x15").is_err() && ErrPacket::parse(b"\0\0\0").is_err());
}

#[test]
fn a_progress_report_is_not_an_error() {
    assert!(is_progress(
        b"\xff\xff\xff\x01\x01\x02\x88\x13\x00\x0ccopy to tmp t"
    ));
    assert!(!is_progress(
        b"\xff\xff\xff#HY000a signal with the highest number"
    ));
    assert!(!is_progress(b"\xff\x15\x04#28000Access denied"));
    assert!(!is_progress(b"\xff\xff") && !is_progress(b""));
}

#[test]
fn eof_is_five_bytes() {
    let eof = EofPacket {
        warnings: 3,
        status: Status::AUTOCOMMIT,
    };
    assert_eq!(eof.encode(), [0xFE, 3, 0, 2, 0]);
    assert_eq!(EofPacket::parse(&eof.encode()), Ok(eof));
    assert!(
        EofPacket::parse(b"\xfe").is_err() && EofPacket::parse(&[0xFE, 0, 0, 0, 0, 0, 0]).is_err()
    );
}

fn change() -> impl Strategy<Value = SessionChange> {
    let bytes = || vec(any::<u8>(), 0..300);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(name, value)| SessionChange::SystemVariable { name, value }),
        bytes().prop_map(SessionChange::Schema),
        any::<bool>().prop_map(SessionChange::State),
        bytes().prop_map(SessionChange::Gtids),
        bytes().prop_map(SessionChange::TransactionCharacteristics),
        bytes().prop_map(SessionChange::TransactionState),
        (6u8.., bytes()).prop_map(|(kind, data)| SessionChange::Other(kind, data)),
    ]
}

pub(crate) fn ok_packet() -> impl Strategy<Value = OkPacket> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u16>(), any::<u16>());
    (numbers, vec(any::<u8>(), 0..40), vec(change(), 0..4)).prop_map(
        |(numbers, info, session_changes)| {
            let (affected, last_insert_id, status, warnings) = numbers;
            let status = if session_changes.is_empty() {
                Status(status).without(Status::SESSION_STATE_CHANGED)
            } else {
                Status(status).with(Status::SESSION_STATE_CHANGED)
            };
            OkPacket {
                affected,
                last_insert_id,
                status,
                warnings,
                info,
                session_changes,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_ok_is_decoded_as_encoded(packet in ok_packet(), eof_header: bool) {
        prop_assert_eq!(OkPacket::parse(&packet.encode(TRACK, eof_header), TRACK), Ok(packet));
    }

    #[test]
    fn no_bytes_cause_a_panic(mut bytes: Vec<u8>, lead in proptest::option::of(0usize..3), bits: u64) {
        if let Some(lead) = lead {
            bytes.insert(0, [OK, EOF, ERR][lead]);
        }
        let _ = OkPacket::parse(&bytes, Capabilities(bits));
        let _ = OkPacket::parse(&bytes, TRACK);
        let _ = ErrPacket::parse(&bytes).map(|err| err.to_string());
        let _ = EofPacket::parse(&bytes);
        let _ = is_progress(&bytes);
    }
}
