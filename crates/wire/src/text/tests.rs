use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::reader::{put_lenenc_bytes, put_lenenc_int};

const NEW: Capabilities = Capabilities(Capabilities::DEPRECATE_EOF.0 | Capabilities::PROGRESS.0);
const OLD: Capabilities = Capabilities::NONE;

fn column(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in ["def", "schema", "t", "t", name, name] {
        put_lenenc_bytes(&mut out, part.as_bytes());
    }
    out.extend_from_slice(b"\x0c\x2d\0\x04\0\0\0\xfd\0\0\0\0\0");
    out
}

type Row = Vec<Option<Vec<u8>>>;

fn reply(caps: Capabilities, names: &[String], rows: &[Row], status: Status) -> Vec<Vec<u8>> {
    let eof = EofPacket {
        warnings: 0,
        status,
    };
    let deprecated = caps.contains(Capabilities::DEPRECATE_EOF);
    let mut count = Vec::new();
    put_lenenc_int(&mut count, names.len() as u64);
    let mut out = vec![count];
    out.extend(names.iter().map(|name| column(name)));
    if !deprecated {
        out.push(eof.encode());
    }
    for row in rows {
        let mut payload = Vec::new();
        for value in row {
            match value {
                None => payload.push(0xFB),
                Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
            }
        }
        out.push(payload);
    }
    let ok = OkPacket {
        status,
        ..OkPacket::default()
    };
    out.push(if deprecated {
        ok.encode(caps, true)
    } else {
        eof.encode()
    });
    out
}

fn read(set: &mut TextResultSet, payloads: &[Vec<u8>]) -> Result<TextOutcome, TextError> {
    let (last, before) = payloads.split_last().unwrap();
    for payload in before {
        assert_eq!(set.on_payload(payload)?, None);
    }
    Ok(set.on_payload(last)?.expect("a result"))
}

#[test]
fn several_results_are_returned_one_after_another() {
    let mut set = TextResultSet::new(NEW, Limits::default());
    let names = vec!["a".to_owned()];
    let rows = vec![vec![Some(b"1".to_vec())], vec![None]];
    let first = reply(NEW, &names, &rows, Status::MORE_RESULTS);
    assert_eq!(
        read(&mut set, &first),
        Ok(TextOutcome::Rows {
            columns: names,
            rows
        })
    );
    assert!(set.expects_more());
    assert_eq!(
        set.on_payload(b"\xff\xff\xff\x01\x01\x01\0\0\0\0"),
        Ok(None)
    );
    let ok = OkPacket {
        affected: 3,
        ..OkPacket::default()
    };
    assert_eq!(
        set.on_payload(&ok.encode(NEW, false)),
        Ok(Some(TextOutcome::Ok(ok)))
    );
    assert!(!set.expects_more());
}

#[test]
fn an_error_may_come_in_the_middle_of_rows() {
    let mut set = TextResultSet::new(OLD, Limits::default());
    let mut payloads = reply(OLD, &["a".to_owned()], &[], Status::MORE_RESULTS);
    let err = ErrPacket::new(1317, "70100", "Query execution was interrupted");
    *payloads.last_mut().unwrap() = err.encode(Capabilities::PROTOCOL_41);
    assert_eq!(read(&mut set, &payloads), Ok(TextOutcome::Err(err)));
    assert!(!set.expects_more());
}

#[test]
fn results_that_are_too_large_or_malformed_are_refused() {
    let rows = vec![vec![Some(b"123".to_vec())]; 3];
    let payloads = reply(NEW, &["a".to_owned()], &rows, Status::default());
    for limits in [
        Limits {
            rows: 2,
            bytes: 1000,
        },
        Limits { rows: 9, bytes: 40 },
    ] {
        let error = read(&mut TextResultSet::new(NEW, limits), &payloads);
        assert_eq!(error, Err(TextError::TooLarge(limits)));
    }
    let refused = |payload: &[u8]| {
        TextResultSet::new(NEW, Limits::default())
            .on_payload(payload)
            .unwrap_err()
    };
    assert_eq!(refused(b"\xfbfile"), TextError::LocalInfile);
    assert!(matches!(refused(b""), TextError::Malformed(_)));
    assert!(matches!(refused(b"\xfd\0\0\x01"), TextError::Malformed(_)));
}

proptest! {
    #[test]
    fn every_result_is_decoded_as_encoded(
        names in vec("[a-z]{0,20}", 1..5),
        cells in vec(option::of(vec(any::<u8>(), 0..300)), 0..40),
        new: bool,
    ) {
        let caps = if new { NEW } else { OLD };
        let rows: Vec<Row> = cells.chunks_exact(names.len()).map(<[_]>::to_vec).collect();
        let payloads = reply(caps, &names, &rows, Status::AUTOCOMMIT);
        let mut set = TextResultSet::new(caps, Limits::default());
        prop_assert_eq!(read(&mut set, &payloads), Ok(TextOutcome::Rows { columns: names, rows }));
    }

    #[test]
    fn no_bytes_cause_a_panic(payloads in vec(vec(any::<u8>(), 0..30), 0..10), new: bool) {
        let mut set = TextResultSet::new(if new { NEW } else { OLD }, Limits::default());
        for payload in payloads {
            if set.on_payload(&payload).is_err() {
                break;
            }
        }
    }
}
