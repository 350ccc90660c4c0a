use super::*;

fn after(texts: &[&str]) -> Sequences {
    let mut all = Sequences::default();
    for text in texts {
        all.ran(text.as_bytes(), Mode::default(), Some(b"shop"), false);
    }
    all
}

fn put(all: &mut Sequences, text: &str) -> Option<Put> {
    let values = Some(Vec::new());
    all.put(text.as_bytes(), Mode::default(), Some(b"shop"), values)
}

#[test]
fn sequences_are_named_by_the_texts_that_advance_them() {
    for (text, questions) in [
        ("SELECT NEXTVAL(s)", &["SELECT LASTVAL(`shop`.`s`)"][..]),
        (
            "select next value for `a``b`",
            &["SELECT LASTVAL(`shop`.`a``b`)"],
        ),
        ("DO SETVAL(other.s, 5)", &["SELECT LASTVAL(`other`.`s`)"]),
        ("SELECT s.nextval", &["SELECT LASTVAL(`shop`.`s`)"]),
        ("SELECT `x`.s.nextval", &["SELECT LASTVAL(`x`.`s`)"]),
        (
            "INSERT INTO t VALUES (NEXTVAL(a), NEXT  VALUE FOR b)",
            &["SELECT LASTVAL(`shop`.`a`)", "SELECT LASTVAL(`shop`.`b`)"],
        ),
        ("SELECT 'NEXTVAL(s)'", &[]),
        ("INSERT INTO t VALUES (1)", &[]),
        ("SELECT LASTVAL(s)", &[]),
    ] {
        let all = after(&[text]);
        assert_eq!(all.questions(), questions, "{text}");
        assert_eq!(all.is_stale(), !questions.is_empty(), "{text}");
        assert_eq!(
            all.any(),
            text.contains("VAL(s)") && !text.contains('\'') || !questions.is_empty()
        );
    }
}

#[test]
fn a_session_that_asks_for_a_value_is_pinned() {
    for text in [
        "SELECT LASTVAL(s)",
        "SELECT PREVIOUS VALUE FOR s",
        "SELECT s.currval",
        "INSERT INTO t VALUES (LASTVAL(s))",
    ] {
        assert!(after(&[text]).pin(), "{text}");
    }
    assert!(!after(&["SELECT NEXTVAL(s)", "DO SETVAL(s, 1)"]).pin());
}

#[test]
fn a_value_that_was_read_is_put_where_the_server_has_none() {
    let mut all = after(&["SELECT NEXTVAL(s)", "SELECT NEXTVAL(e.s)"]);
    assert_eq!(
        put(&mut all, "SELECT LASTVAL(s)"),
        None,
        "the server has it"
    );
    all.answered(vec![Some(Some(b"9".to_vec())), Some(Some(b"1".to_vec()))]);
    all.left();
    let kept = |value: &str| ValuePatch::ReplaceNull(value.as_bytes().to_vec());
    for (text, expected) in [
        ("SELECT LASTVAL(s)", vec![kept("1")]),
        (
            "SELECT LASTVAL(`e`.s) AS l, 5, PREVIOUS VALUE FOR s;",
            vec![kept("9"), ValuePatch::Keep, kept("1")],
        ),
        ("SELECT s.currval FROM DUAL", vec![kept("1")]),
    ] {
        assert_eq!(put(&mut all, text), Some(Put::Row(expected)), "{text}");
    }
    for (text, sent) in [
        (
            "SELECT LASTVAL(s) + 1",
            "SELECT IFNULL(LASTVAL(s), NULLIF(1, NULL)) + 1 AS `LASTVAL(s) + 1`",
        ),
        (
            "INSERT INTO t VALUES (LASTVAL(s)); SELECT 1",
            "INSERT INTO t VALUES (IFNULL(LASTVAL(s), NULLIF(1, NULL))); SELECT 1",
        ),
        (
            "SELECT NEXTVAL(s), LASTVAL(e.s) + PREVIOUS VALUE FOR s FROM t",
            "SELECT NEXTVAL(s), IFNULL(LASTVAL(e.s), NULLIF(9, NULL)) + IFNULL(PREVIOUS VALUE FOR s, NULLIF(1, NULL)) \
             AS `LASTVAL(e.s) + PREVIOUS VALUE FOR s` FROM t",
        ),
        (
            "CREATE TABLE t (i INT DEFAULT LASTVAL(s)) SELECT LASTVAL(s) AS i",
            "CREATE TABLE t (i INT DEFAULT LASTVAL(s)) SELECT IFNULL(LASTVAL(s), NULLIF(1, NULL)) AS i",
        ),
        (
            "BEGIN NOT ATOMIC IF LASTVAL(s) > 1 THEN SELECT s.currval; END IF; END",
            "BEGIN NOT ATOMIC IF IFNULL(LASTVAL(s), NULLIF(1, NULL)) > 1 THEN SELECT \
             IFNULL(s.currval, NULLIF(1, NULL)) AS `s.currval`; END IF; END",
        ),
    ] {
        let sent = Some(Put::Text(sent.into()));
        assert_eq!(put(&mut all, text), sent, "{text}");
    }
    let binary = all.put(b"SELECT LASTVAL(s)", Mode::default(), Some(b"shop"), None);
    let sent = "SELECT IFNULL(LASTVAL(s), NULLIF(1, NULL)) AS `LASTVAL(s)`";
    assert_eq!(binary, Some(Put::Text(sent.into())));
    for text in [
        "CREATE VIEW v AS SELECT LASTVAL(s)",
        "ALTER TABLE t ADD j INT DEFAULT LASTVAL(s)",
    ] {
        assert_eq!(put(&mut all, text), None, "it is stored: {text}");
    }
    for text in [
        "INSERT INTO t VALUES (1) RETURNING LASTVAL(s)",
        "SELECT LASTVAL(other) + 1",
        "SELECT /*!50000 LASTVAL(s) + */ 1",
    ] {
        assert_eq!(
            put(&mut all, text),
            Some(Put::Refuse("LASTVAL()")),
            "{text}"
        );
    }
    all.ran(b"SELECT NEXTVAL(s)", Mode::default(), Some(b"shop"), false);
    assert_eq!(
        put(&mut all, "SELECT LASTVAL(s) + 1"),
        None,
        "the server has it again"
    );
}

#[test]
fn a_value_lost_with_a_backend_is_never_null() {
    let lost = || Some(Put::Row(vec![ValuePatch::RefuseNull("LASTVAL()")]));
    let mut all = after(&["SELECT NEXTVAL(s)"]);
    all.left();
    assert_eq!(put(&mut all, "SELECT LASTVAL(s)"), lost());
    let refused = Some(Put::Refuse("LASTVAL()"));
    assert_eq!(put(&mut all, "SELECT LASTVAL(s) + 1"), refused);
    let mut all = Sequences::default();
    all.left();
    assert_eq!(
        put(&mut all, "SELECT LASTVAL(s)"),
        None,
        "nothing has advanced it"
    );
    all.mark_stale();
    assert_eq!(put(&mut all, "SELECT LASTVAL(s)"), None);
    all.left();
    assert_eq!(put(&mut all, "SELECT LASTVAL(s)"), lost());
}

#[test]
fn a_known_value_is_read_again_after_whatever_may_change_it() {
    let mut all = after(&["SELECT NEXTVAL(s)"]);
    all.answered(vec![Some(Some(b"1".to_vec()))]);
    assert!(!all.is_stale());
    all.mark_stale();
    assert!(all.is_stale());
}
