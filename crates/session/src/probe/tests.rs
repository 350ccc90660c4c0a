use super::captured::{quote_name, quote_text};
use super::*;
use crate::state::SessionState;

/// What a server answers to a question that contains this.
pub(crate) type Script<'a> = Vec<(&'a str, Answer)>;

pub(crate) fn rows(rows: &[&[Option<&str>]]) -> Answer {
    let column = |c: &Option<&str>| c.map(|c| c.as_bytes().to_vec());
    let row = |row: &&[Option<&str>]| row.iter().map(column).collect();
    Answer::Rows(rows.iter().map(row).collect())
}

/// A session in schema `shop` that holds nothing.
pub(crate) fn clean() -> Script<'static> {
    vec![
        (
            "ROW_COUNT()",
            rows(&[&[Some("-1"), Some("3"), Some("0"), Some("0"), Some("0")]]),
        ),
        (
            "DATABASE()",
            rows(&[&[
                Some("73686F70"),
                None,
                Some("utf8mb4"),
                None,
                Some("utf8mb4_bin"),
                Some("0"),
                Some("0"),
            ]]),
        ),
        ("SYSTEM_VARIABLES", rows(&[])),
        ("USER_VARIABLES", rows(&[])),
        (
            "SESSION STATUS",
            rows(&[
                &[Some("Com_create_temporary_table"), Some("0")],
                &[Some("Com_prepare_sql"), Some("0")],
            ]),
        ),
        ("METADATA_LOCK_INFO", rows(&[])),
    ]
}

/// With the answer to one question changed.
pub(crate) fn but(change: &'static str, answer: Answer) -> Script<'static> {
    let mut script = clean();
    script.insert(0, (change, answer));
    script
}

/// Asks the script everything.
pub(crate) fn probe(session: &mut SessionState, script: &Script<'_>) {
    let mut probe = session.probe(Depth::Everything, 7);
    loop {
        let questions = probe.questions();
        if questions.is_empty() {
            return session.captured(probe);
        }
        let answer = |question: &Question| {
            let (Question::Rows(text) | Question::Raw(text)) = question;
            let text = String::from_utf8_lossy(text);
            let found = script.iter().find(|(part, _)| text.contains(part));
            found.map_or(Answer::Refused, |(_, answer)| answer.clone())
        };
        probe.answers(questions.iter().map(answer).collect());
    }
}

fn probed(script: &Script<'_>) -> SessionState {
    let mut session = SessionState::new(None);
    probe(&mut session, script);
    session
}

fn restored(session: &SessionState) -> Vec<String> {
    let text = |text: Vec<u8>| String::from_utf8(text).unwrap();
    session.restore().into_iter().map(text).collect()
}

#[test]
fn a_clean_session_is_restored_whole() {
    let session = probed(&but(
        "SYSTEM_VARIABLES",
        rows(&[
            &[Some("SQL_MODE"), Some("414E5349"), Some("SET")],
            &[Some("WAIT_TIMEOUT"), Some("3630"), Some("BIGINT UNSIGNED")],
            &[Some("TIME_ZONE"), Some("2B30303A3030"), Some("VARCHAR")],
        ]),
    ));
    assert_eq!(session.pins(), []);
    assert_eq!(session.schema().map(AsRef::as_ref), Some(&b"shop"[..]));
    assert_eq!(
        restored(&session),
        [
            "SET ROLE NONE",
            "SET SESSION WAIT_TIMEOUT = 60, SESSION TIME_ZONE = '+00:00'",
            "SET SESSION SQL_MODE = 'ANSI'",
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin, character_set_results = NULL",
        ]
    );
}

#[test]
fn user_variables_are_restored_by_type() {
    let mut script = but(
        "USER_VARIABLES",
        rows(&[
            &[Some("61"), Some("INT"), Some("5")],
            &[Some("62"), Some("VARCHAR"), None],
        ]),
    );
    script.insert(
        0,
        (
            "HEX(@`b`)",
            rows(&[&[
                Some("2"),
                Some("C3A4"),
                Some("utf8mb4"),
                Some("utf8mb4_bin"),
            ]]),
        ),
    );
    let session = probed(&script);
    assert_eq!(session.pins(), []);
    let expected = "SET @`a` = 5, @`b` = _utf8mb4 X'C3A4' COLLATE utf8mb4_bin";
    assert!(restored(&session).contains(&expected.to_owned()));
}

#[test]
fn what_cannot_be_restored_pins() {
    let table = [
        ("ROW_COUNT()", Answer::Refused, Pin::Unreadable),
        ("DATABASE()", Answer::Refused, Pin::Unreadable),
        ("SYSTEM_VARIABLES", Answer::Refused, Pin::Unreadable),
        ("SESSION STATUS", Answer::Refused, Pin::Unreadable),
        ("USER_VARIABLES", Answer::Refused, Pin::UserVariable),
        (
            "SESSION STATUS",
            rows(&[
                &[Some("Com_create_temporary_table"), Some("1")],
                &[Some("Com_prepare_sql"), Some("0")],
            ]),
            Pin::TemporaryTable,
        ),
        (
            "SESSION STATUS",
            rows(&[
                &[Some("Com_create_temporary_table"), Some("0")],
                &[Some("Com_prepare_sql"), Some("1")],
            ]),
            Pin::TextPrepare,
        ),
        (
            "METADATA_LOCK_INFO",
            rows(&[&[Some("Table metadata lock")]]),
            Pin::TableLock,
        ),
        (
            "METADATA_LOCK_INFO",
            rows(&[&[Some("User lock")]]),
            Pin::UserLock,
        ),
        (
            "METADATA_LOCK_INFO",
            rows(&[&[Some("Backup lock")]]),
            Pin::GlobalLock,
        ),
    ];
    for (question, answer, pin) in table {
        let session = probed(&but(question, answer));
        assert_eq!(session.pins(), [pin], "{question}");
    }
}

#[test]
fn what_the_last_statement_left_is_kept_and_only_asked_when_needed() {
    let mut session = SessionState::new(None);
    let text = b"SHOW TABLES";
    let end = dormouse_wire::framer::ReplyEnd::default();
    session.ran(
        text,
        crate::Effects::of(text, crate::lexer::Mode::default()),
        crate::Kind::of(text),
        &end,
    );
    let answer = rows(&[&[Some("7"), Some("3"), Some("0"), Some("0"), Some("12")]]);
    probe(&mut session, &but("ROW_COUNT()", answer));
    let left = session.diagnostics().unwrap();
    assert_eq!((left.row_count, left.found_rows), (7, 3));
    assert_eq!(session.last_insert_id(), 12);
    assert!(!session.needs_probe());
    let questions = session.probe(Depth::Needed, 7).questions();
    assert_eq!(questions.len(), 1, "{questions:?}");
}

#[test]
fn values_are_quoted() {
    assert_eq!(quote_text("it's \\"), "'it''s \\\\'");
    assert_eq!(quote_name("a`b"), "`a``b`");
}

#[test]
fn without_the_plugin_only_statements_that_may_lock_do() {
    let mut session = SessionState::new(None);
    let script = but("METADATA_LOCK_INFO", Answer::Refused);
    probe(&mut session, &script);
    assert_eq!(session.pins(), []);
    let text = b"HANDLER t OPEN";
    let end = dormouse_wire::framer::ReplyEnd::default();
    session.ran(
        text,
        crate::Effects::of(text, crate::lexer::Mode::default()),
        crate::Kind::of(text),
        &end,
    );
    probe(&mut session, &script);
    assert_eq!(session.pins(), [Pin::TableLock]);
}

#[test]
fn character_sets_are_set_together_where_they_belong_together() {
    let table = [
        (
            "utf8mb4",
            Some("utf8mb4"),
            "utf8mb4_bin",
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
        ),
        (
            "binary",
            Some("binary"),
            "binary",
            "SET NAMES binary COLLATE binary",
        ),
        (
            "latin1",
            Some("utf8mb3"),
            "latin1_bin",
            "SET NAMES latin1 COLLATE latin1_bin, character_set_results = utf8mb3",
        ),
        (
            "latin1",
            Some("latin1"),
            "utf8mb4_bin",
            "SET character_set_results = latin1, collation_connection = utf8mb4_bin, \
             character_set_client = latin1",
        ),
    ];
    for (client, results, collation, expected) in table {
        let identity: &[Option<&str>] = &[
            None,
            None,
            Some(client),
            results,
            Some(collation),
            Some("0"),
            Some("0"),
        ];
        let session = probed(&but("DATABASE()", rows(&[identity])));
        assert_eq!(
            restored(&session).last().map(String::as_str),
            Some(expected)
        );
    }
}
