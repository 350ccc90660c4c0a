use super::*;

fn rows(rows: &[&[Option<&str>]]) -> Answer {
    let column = |c: &Option<&str>| c.map(|c| c.as_bytes().to_vec());
    Some(
        rows.iter()
            .map(|row| row.iter().map(column).collect())
            .collect(),
    )
}

fn clean() -> Vec<Answer> {
    vec![
        rows(&[&[
            Some("73686F70"),
            None,
            Some("0"),
            Some("utf8mb4"),
            None,
            Some("utf8mb4_bin"),
        ]]),
        rows(&[]),
        rows(&[&[Some("0")]]),
        rows(&[&[Some("Com_create_temporary_table"), Some("0")]]),
        rows(&[&[Some("0")]]),
    ]
}

#[test]
fn a_clean_session_is_restored_whole() {
    let mut answers = clean();
    answers[1] = rows(&[
        &[Some("SQL_MODE"), Some("414E5349"), Some("SET")],
        &[Some("WAIT_TIMEOUT"), Some("3630"), Some("BIGINT UNSIGNED")],
        &[Some("TIME_ZONE"), Some("2B30303A3030"), Some("VARCHAR")],
    ]);
    let (captured, pins) = Probe::read(&answers, false);
    assert_eq!(pins, []);
    assert_eq!(captured.schema.as_deref(), Some(&b"shop"[..]));
    assert_eq!(
        captured.restore(),
        [
            "SET ROLE NONE",
            "SET SESSION WAIT_TIMEOUT = 60, SESSION TIME_ZONE = '+00:00'",
            "SET SESSION SQL_MODE = 'ANSI'",
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin, character_set_results = NULL",
        ]
    );
}

#[test]
fn what_cannot_be_restored_pins() {
    let table: [(usize, Answer, Pin); 8] = [
        (0, None, Pin::Unreadable),
        (1, None, Pin::Unreadable),
        (2, rows(&[&[Some("2")]]), Pin::UserVariable),
        (2, None, Pin::UserVariable),
        (
            3,
            rows(&[&[Some("Com_create_temporary_table"), Some("1")]]),
            Pin::TemporaryTable,
        ),
        (
            3,
            rows(&[&[Some("Com_prepare_sql"), Some("1")]]),
            Pin::TextPrepare,
        ),
        (4, rows(&[&[Some("1")]]), Pin::Lock),
        (4, None, Pin::Lock),
    ];
    for (question, answer, pin) in table {
        let mut answers = clean();
        answers[question] = answer;
        assert_eq!(Probe::read(&answers, true).1, [pin]);
    }
}

#[test]
fn values_are_quoted() {
    assert_eq!(quote_text("it's \\"), "'it''s \\\\'");
    assert_eq!(quote_name("a`b"), "`a``b`");
}

#[test]
fn without_the_plugin_only_statements_that_may_lock_do() {
    let mut answers = clean();
    answers[4] = None;
    assert_eq!(Probe::read(&answers, false).1, []);
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
        let mut answers = clean();
        answers[0] = rows(&[&[
            None,
            None,
            Some("0"),
            Some(client),
            results,
            Some(collation),
        ]]);
        let restored = Probe::read(&answers, false).0.restore();
        assert_eq!(restored.last().map(String::as_str), Some(expected));
    }
}
