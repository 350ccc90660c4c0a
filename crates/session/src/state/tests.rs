use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::status::Status;

use super::*;
use crate::effects::Effects;
use crate::effects::Kind;
use crate::lexer::Mode;
use crate::probe::tests::{but, clean, probe, rows};
use dormouse_types::Pin;

fn ran(session: &mut SessionState, text: &str, end: &ReplyEnd) {
    let text = text.as_bytes();
    session.ran(
        text,
        Effects::of(text, Mode::default()),
        Kind::of(text),
        end,
    );
}

fn run(session: &mut SessionState, text: &str) {
    ran(session, text, &ReplyEnd::default());
}

fn fail(session: &mut SessionState, text: &str) {
    let end = ReplyEnd {
        error: Some(1064),
        ..ReplyEnd::default()
    };
    ran(session, text, &end);
}

/// The counters of a server on which so many temporary tables and statements were made.
fn counted(tables: &'static str, prepared: &'static str) -> crate::probe::Answer {
    rows(&[
        &[Some("Com_create_temporary_table"), Some(tables)],
        &[Some("Com_prepare_sql"), Some(prepared)],
    ])
}

fn texts(statements: &[Vec<u8>]) -> Vec<String> {
    let text = |text: &Vec<u8>| String::from_utf8_lossy(text).into_owned();
    statements.iter().map(text).collect()
}

fn restored(session: &SessionState) -> Vec<String> {
    texts(&session.restore())
}

#[test]
fn settings_are_replayed_in_order_and_once() {
    let mut session = SessionState::new(None);
    for text in [
        "SET NAMES utf8mb4",
        "SET autocommit=0",
        "USE shop",
        "SET NAMES utf8mb4",
    ] {
        run(&mut session, text);
    }
    assert_eq!(
        restored(&session),
        ["SET autocommit=0", "SET NAMES utf8mb4"]
    );
    assert_eq!(session.certainty(), Certainty::Known);
    assert_eq!(session.schema().map(|s| s.to_vec()), Some(b"shop".to_vec()));
}

#[test]
fn a_statement_that_is_repeated_takes_no_room_if_nothing_in_between_has_read_what_it_sets() {
    let kept = |texts: &[&str]| {
        let mut session = SessionState::new(None);
        for text in texts {
            run(&mut session, text);
        }
        session.restore().len()
    };
    assert_eq!(kept(&["SET @a = 1"; 100]), 1);
    assert_eq!(kept(&["SET @a = 1", "SET @b = 'x'", "SET @a = 1"]), 2);
    assert_eq!(
        kept(&[
            "SET time_zone = '+01:00'",
            "SET @a = 1",
            "SET time_zone = '+01:00'"
        ]),
        2
    );
    // the second one depends on the first
    assert_eq!(
        kept(&["SET NAMES utf8mb4", "SET @a = \"x\"", "SET NAMES utf8mb4"]),
        3
    );
}

#[test]
fn a_relative_setting_is_replayed_as_often_as_it_ran() {
    let mut session = SessionState::new(None);
    let text = "SET sql_mode=CONCAT(@@sql_mode,',ANSI')";
    run(&mut session, text);
    run(&mut session, text);
    assert_eq!(restored(&session), [text, text]);
}

#[test]
fn a_failed_use_changes_nothing_but_a_failed_set_may_have() {
    let mut session = SessionState::new(None);
    fail(&mut session, "USE nowhere");
    assert_eq!(
        (session.certainty(), session.schema()),
        (Certainty::Known, None)
    );
    fail(&mut session, "SET a=1, b=2");
    assert_eq!(session.certainty(), Certainty::Unknown);
}

#[test]
fn a_capture_replaces_the_log() {
    let mut session = SessionState::new(None);
    run(&mut session, "SET NAMES latin1");
    run(&mut session, "CALL p()");
    assert_eq!(session.certainty(), Certainty::Unknown);
    probe(&mut session, &clean());
    assert_eq!(
        (session.certainty(), session.pins()),
        (Certainty::Known, vec![])
    );
    assert_eq!(
        session.restore_schema().map(|s| s.to_vec()),
        Some(b"shop".to_vec())
    );
    assert!(
        restored(&session)
            .iter()
            .all(|text| text != "SET NAMES latin1")
    );
}

#[test]
fn what_names_tables_is_restored_inside_the_schema() {
    let mut session = SessionState::new(None);
    let prepare = "PREPARE p FROM 'SELECT COUNT(*) FROM t'";
    for text in ["USE shop", "SET sql_mode=''", prepare] {
        run(&mut session, text);
    }
    assert_eq!(restored(&session), ["SET sql_mode=''"]);
    let restored: Vec<_> = session.restore_texts().collect();
    assert_eq!(restored, [(&b"p"[..], prepare.as_bytes())]);
}

#[test]
fn a_full_log_asks_for_a_probe() {
    let mut session = SessionState::new(None);
    for n in 0..=super::replay_log::MOST_STATEMENTS {
        run(&mut session, &format!("SET wait_timeout={n}"));
    }
    assert_eq!(session.certainty(), Certainty::Unknown);
}

#[test]
fn pins_hold_as_long_as_their_reason() {
    let mut session = SessionState::new(None);
    session.saw_status(Status(Status::AUTOCOMMIT.0 | Status::IN_TRANS.0));
    assert_eq!(session.pins(), [Pin::Transaction]);
    session.saw_status(Status::AUTOCOMMIT);
    assert_eq!(session.pins(), []);
    run(&mut session, "SET timestamp = UNIX_TIMESTAMP()");
    assert_eq!(session.pins(), [Pin::HiddenVariable]);
    session.reset();
    assert_eq!(session.pins(), []);
}

#[test]
fn the_next_transactions_characteristics_are_set_again_until_it_begins() {
    let mut session = SessionState::new(None);
    run(&mut session, "SET TRANSACTION READ ONLY");
    assert_eq!(session.pins(), []);
    assert!(session.is_tainted(), "no other session must inherit it");
    assert_eq!(
        texts(&session.restore_inside()),
        ["SET TRANSACTION READ ONLY"]
    );
    run(&mut session, "SELECT 1");
    assert_eq!(
        texts(&session.restore_inside()),
        ["SET TRANSACTION READ ONLY"]
    );
    run(&mut session, "SELECT 1 FROM t");
    assert_eq!(restored(&session), Vec::<String>::new());
    run(&mut session, "SET TRANSACTION READ ONLY");
    run(&mut session, "CALL p()");
    assert!(
        session.pins().contains(&Pin::HiddenVariable),
        "in doubt it pins"
    );
}

#[test]
fn a_timestamp_outlives_a_capture() {
    let mut session = SessionState::new(None);
    run(&mut session, "SET timestamp = 1000");
    probe(&mut session, &clean());
    assert!(restored(&session).contains(&"SET timestamp = 1000".to_owned()));
    session.reset();
    assert_eq!(restored(&session), Vec::<String>::new());
}

#[test]
fn a_temporary_table_pins_as_long_as_it_exists() {
    let mut session = SessionState::new(None);
    run(&mut session, "USE shop");
    run(&mut session, "CREATE TEMPORARY TABLE t (i INT)");
    let mut script = but("SESSION STATUS", counted("1", "0"));
    let shown = rows(&[&[Some("t"), Some("CREATE TEMPORARY TABLE `t` (")]]);
    script.insert(0, ("SHOW CREATE TABLE `shop`.`t`", shown));
    probe(&mut session, &script);
    assert_eq!(session.pins(), [Pin::TemporaryTable]);
    run(&mut session, "DROP TABLE t");
    assert!(session.needs_probe());
    script.remove(0);
    probe(&mut session, &script);
    assert_eq!(session.pins(), []);
}

#[test]
fn statements_prepared_as_text_are_prepared_again() {
    let mut session = SessionState::new(None);
    run(&mut session, "USE shop");
    run(&mut session, "PREPARE p FROM 'SELECT 1'");
    probe(&mut session, &but("SESSION STATUS", counted("0", "1")));
    assert_eq!(session.pins(), []);
    assert!(
        session
            .restore_texts()
            .any(|(_, text)| text == b"PREPARE p FROM 'SELECT 1'")
    );
    // on the new backend the server has counted one
    session.leave();
    probe(&mut session, &but("SESSION STATUS", counted("0", "1")));
    assert_eq!(session.pins(), []);
    run(&mut session, "USE other");
    assert_eq!(
        session.pins(),
        [Pin::TextPrepare],
        "it means the other schema"
    );
}

#[test]
fn facts_in_a_reply_need_no_probe() {
    let mut session = SessionState::new(None);
    let select = ReplyEnd {
        rows: Some(4),
        ..ReplyEnd::default()
    };
    ran(&mut session, "SELECT * FROM t", &select);
    assert!(!session.needs_probe());
    let update = ReplyEnd {
        affected: 2,
        ..ReplyEnd::default()
    };
    ran(&mut session, "UPDATE t SET i = 1", &update);
    assert!(session.is_free());
    session.leave();
    let left = session.diagnostics().unwrap();
    assert_eq!((left.row_count, left.found_rows), (2, 4));

    for (text, end) in [
        ("SELECT SQL_CALC_FOUND_ROWS * FROM t", select),
        (
            "INSERT INTO t VALUES (NULL)",
            ReplyEnd {
                last_insert_id: 7,
                ..ReplyEnd::default()
            },
        ),
        (
            "UPDATE t SET i = 1000",
            ReplyEnd {
                warnings: 1,
                ..ReplyEnd::default()
            },
        ),
        ("SHOW TABLES", ReplyEnd::default()),
    ] {
        let mut session = SessionState::new(None);
        ran(&mut session, text, &end);
        assert!(session.needs_probe(), "{text}");
    }
}

#[test]
fn losing_the_backend_returns_the_lost_state() {
    let mut session = SessionState::new(None);
    run(&mut session, "SET NAMES latin1");
    assert_eq!(session.lost_backend(), []);
    run(&mut session, "CALL p()");
    assert_eq!(session.lost_backend(), [Pin::Unreadable]);
    let locked = rows(&[&[Some("User lock")]]);
    probe(&mut session, &but("METADATA_LOCK_INFO", locked));
    assert_eq!(session.lost_backend(), [Pin::UserLock]);
}

#[test]
fn stored_code_behind_a_plain_statement_is_noticed() {
    let plain = |end: &ReplyEnd| {
        let mut session = SessionState::new(None);
        session.ran(b"SELECT f()", Effects::None, Kind::Select, end);
        session
    };
    assert_eq!(plain(&ReplyEnd::default()).certainty(), Certainty::Known);
    let told = ReplyEnd {
        session_changes: true,
        ..ReplyEnd::default()
    };
    assert_eq!(plain(&told).certainty(), Certainty::Unknown);
    let failed = |error| {
        plain(&ReplyEnd {
            error: Some(error),
            ..ReplyEnd::default()
        })
    };
    let mut doubtful = failed(1242);
    assert_eq!(doubtful.certainty(), Certainty::Doubtful, "no hurry");
    doubtful.arrived();
    assert!(doubtful.needs_probe(), "an error may hide a change");
    let mut clear = failed(1064);
    clear.arrived();
    assert!(!clear.needs_probe(), "a syntax error ran nothing");
}

#[test]
fn a_text_is_read_in_the_mode_in_which_the_server_read_it() {
    let with = |status: Status| SessionState::new(Some(b"shop"[..].into())).with_status(status);
    let ansi = Status::AUTOCOMMIT.with(Status::ANSI_QUOTES);
    let mut session = with(ansi);
    run_judged(&mut session, r#"USE "a""b""#);
    assert_eq!(session.schema().map(|s| s.to_vec()), Some(b"a\"b".to_vec()));
    let plain = Status::AUTOCOMMIT.with(Status::NO_BACKSLASH_ESCAPES);
    let hides = r"SELECT '\', GET_LOCK('a', 1), '";
    assert_eq!(with(plain).judge(hides.as_bytes(), true), Effects::Unknown);
    let default = with(Status::AUTOCOMMIT);
    assert_eq!(default.judge(hides.as_bytes(), true), Effects::None);

    // the status flags of the reply are those after the statement
    let mut session = with(Status::AUTOCOMMIT);
    let text = br"SET sql_mode = 'NO_BACKSLASH_ESCAPES', @a = '\', GET_LOCK(', @b = 1";
    let effects = session.judge(text, true);
    session.saw_status(plain);
    session.ran(text, effects, Kind::of(text), &ReplyEnd::default());
    assert!(!session.backend.locks.any(), "it was in a string");
    session.ran(
        hides.as_bytes(),
        Effects::Unknown,
        Kind::Select,
        &ReplyEnd::default(),
    );
    assert!(session.backend.locks.any());
}

#[test]
fn half_characters_are_doubted_in_double_byte_sessions_alone() {
    let text = b"SELECT '\x95\x5c', GET_LOCK('a', 1), '";
    let plain = SessionState::new(None).with_collation(45);
    assert_eq!(plain.judge(text, true), Effects::None);
    let gbk = SessionState::new(None).with_collation(28);
    assert_eq!(gbk.judge(text, true), Effects::Unknown);
    assert_eq!(
        gbk.judge("SELECT 'ä', '\\''".as_bytes(), true),
        Effects::None
    );
}

fn run_judged(session: &mut SessionState, text: &str) {
    let effects = session.judge(text.as_bytes(), true);
    session.ran(
        text.as_bytes(),
        effects,
        Kind::of(text.as_bytes()),
        &ReplyEnd::default(),
    );
}
