use super::*;

fn run(session: &mut Session, text: &str) {
    session.ran(text.as_bytes(), Effects::of(text.as_bytes()), false);
}

fn restored(session: &Session) -> Vec<String> {
    session
        .restore()
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

fn answers(user_variables: &str) -> Vec<Answer> {
    let rows = |row: &[Option<&str>]| {
        Some(vec![
            row.iter()
                .map(|c| c.map(|c| c.as_bytes().to_vec()))
                .collect(),
        ])
    };
    vec![
        rows(&[
            Some("61"),
            None,
            Some("0"),
            Some("latin1"),
            Some("latin1"),
            Some("latin1_bin"),
        ]),
        Some(vec![]),
        rows(&[Some(user_variables)]),
        Some(vec![]),
        rows(&[Some("0")]),
    ]
}

#[test]
fn settings_are_replayed_in_order_and_once() {
    let mut session = Session::new(None);
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
        ["SET autocommit=0", "USE shop", "SET NAMES utf8mb4"]
    );
    assert_eq!(session.knowledge(), Knowledge::Known);
    assert_eq!(session.schema().map(|s| s.to_vec()), Some(b"shop".to_vec()));
}

#[test]
fn a_relative_setting_is_replayed_as_often_as_it_ran() {
    let mut session = Session::new(None);
    let text = "SET sql_mode=CONCAT(@@sql_mode,',ANSI')";
    run(&mut session, text);
    run(&mut session, text);
    assert_eq!(restored(&session), [text, text]);
}

#[test]
fn a_failed_use_changes_nothing_but_a_failed_set_may_have() {
    let mut session = Session::new(None);
    session.ran(b"USE nowhere", Effects::of(b"USE nowhere"), true);
    assert_eq!(
        (session.knowledge(), session.schema()),
        (Knowledge::Known, None)
    );
    session.ran(b"SET a=1, b=2", Effects::of(b"SET a=1, b=2"), true);
    assert_eq!(session.knowledge(), Knowledge::Unknown);
}

#[test]
fn a_capture_replaces_the_log() {
    let mut session = Session::new(None);
    run(&mut session, "SET NAMES latin1");
    run(&mut session, "CALL p()");
    assert_eq!(session.knowledge(), Knowledge::Unknown);
    session.captured(&answers("0"));
    assert_eq!(
        (session.knowledge(), session.pins()),
        (Knowledge::Known, vec![])
    );
    assert_eq!(
        session.restore_schema().map(|s| s.to_vec()),
        Some(b"a".to_vec())
    );
    assert!(
        restored(&session)
            .iter()
            .all(|text| text != "SET NAMES latin1")
    );
}

#[test]
fn a_full_log_asks_for_a_probe() {
    let mut session = Session::new(None);
    for n in 0..=LOG_STATEMENTS {
        run(&mut session, &format!("SET wait_timeout={n}"));
    }
    assert_eq!(session.knowledge(), Knowledge::Unknown);
}

#[test]
fn pins_hold_as_long_as_their_reason() {
    let mut session = Session::new(None);
    session.saw_status(Status(Status::AUTOCOMMIT.0 | Status::IN_TRANS.0));
    assert_eq!(session.pins(), [Pin::Transaction]);
    session.saw_status(Status::AUTOCOMMIT);
    assert_eq!(session.pins(), []);
    run(&mut session, "SET TRANSACTION READ ONLY");
    assert_eq!(session.pins(), [Pin::TransactionCharacteristics]);
    run(&mut session, "SELECT 1");
    assert_eq!(session.pins(), []);
    session.captured(&answers("1"));
    assert_eq!(session.pins(), [Pin::UserVariable]);
    session.reset();
    assert_eq!(session.pins(), []);
}

#[test]
fn losing_the_backend_tells_what_is_lost() {
    let mut session = Session::new(None);
    run(&mut session, "SET NAMES latin1");
    assert_eq!(session.lost_backend(), []);
    run(&mut session, "CALL p()");
    assert_eq!(session.lost_backend(), [Pin::Unreadable]);
    session.captured(&answers("3"));
    assert_eq!(session.lost_backend(), [Pin::UserVariable]);
}
