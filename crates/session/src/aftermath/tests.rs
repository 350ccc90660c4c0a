use super::*;

const HERE: Connection<'_> = Connection {
    id: 7,
    socket: "/here",
};

fn aftermath() -> Aftermath {
    Aftermath {
        row_count: -1,
        found_rows: 12,
        warnings: 3,
        errors: 1,
        warning_list: Some(b"list".as_slice().into()),
        error_list: Some(b"errors".as_slice().into()),
    }
}

fn patch<const N: usize>(values: [&str; N]) -> Reading {
    let value = |text: &&str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
    Reading::Patch(values.iter().map(value).collect())
}

#[test]
fn a_statement_that_asks_for_it_is_recognised() {
    let list = |text: &str| Reading::Reply(text.as_bytes().into());
    for (text, expected) in [
        ("SELECT 1", Reading::No),
        ("SELECT 'FOUND_ROWS()'", Reading::No),
        ("SELECT FOUND_ROWS()", patch(["12"])),
        (
            "select found_rows() as n, ROW_COUNT();",
            patch(["12", "-1"]),
        ),
        (
            "SELECT @@warning_count, @@session.error_count e",
            patch(["3", "1"]),
        ),
        (
            "SELECT ROW_COUNT() `rows`, LAST_INSERT_ID()",
            patch(["-1", ""]),
        ),
        ("SELECT FOUND_ROWS() + 1", Reading::Cannot("FOUND_ROWS()")),
        (
            "SELECT FOUND_ROWS() FROM t",
            Reading::Cannot("FOUND_ROWS()"),
        ),
        (
            "SELECT ROW_COUNT(), a FROM t",
            Reading::Cannot("ROW_COUNT()"),
        ),
        ("SELECT ROW_COUNT() INTO @x", Reading::Cannot("ROW_COUNT()")),
        (
            "INSERT INTO t VALUES (ROW_COUNT())",
            Reading::Cannot("ROW_COUNT()"),
        ),
        ("SHOW WARNINGS", list("list")),
        ("SHOW ERRORS;", list("errors")),
        ("SHOW COUNT(*) WARNINGS", patch(["3"])),
        ("SHOW COUNT(*) ERRORS", patch(["1"])),
        ("SHOW WARNINGS LIMIT 1", Reading::Cannot("SHOW WARNINGS")),
        (
            "GET DIAGNOSTICS @n = NUMBER",
            Reading::Cannot("GET DIAGNOSTICS"),
        ),
    ] {
        assert_eq!(
            reading(text.as_bytes(), Some(&aftermath()), HERE),
            expected,
            "{text}"
        );
    }
}

#[test]
fn without_warnings_the_server_can_say_so_itself() {
    let none = Aftermath::default();
    for text in ["SHOW WARNINGS", "SHOW ERRORS", "SHOW WARNINGS LIMIT 1"] {
        assert_eq!(
            reading(text.as_bytes(), Some(&none), HERE),
            Reading::No,
            "{text}"
        );
    }
}

#[test]
fn a_select_without_a_table_keeps_the_warnings() {
    let end = ReplyEnd {
        rows: Some(1),
        ..ReplyEnd::default()
    };
    let after = |text: &str| aftermath().after(text.as_bytes(), &end);
    let kept = Aftermath {
        found_rows: 1,
        ..aftermath()
    };
    assert_eq!(after("SELECT 1"), Some(kept.clone()));
    assert_eq!(after("SHOW WARNINGS"), Some(kept));
    assert_eq!(after("SELECT 1 FROM t"), None);
    assert_eq!(after("INSERT INTO t VALUES (1)"), None);
    assert_eq!(Aftermath::default().after(b"SELECT 1", &end), None);
}

#[test]
fn a_client_is_told_the_connection_id_it_was_given() {
    let id = || Some(b"7".to_vec());
    for (text, expected) in [
        ("SELECT CONNECTION_ID()", Reading::Patch(vec![id()])),
        ("select connection_id() AS id;", Reading::Patch(vec![id()])),
        (
            "SELECT LAST_INSERT_ID(), CONNECTION_ID()",
            Reading::Patch(vec![None, id()]),
        ),
        (
            "SELECT @@max_allowed_packet,@@wait_timeout,@@socket",
            Reading::Patch(vec![None, None, Some(b"/here".to_vec())]),
        ),
        ("SELECT CONNECTION_ID() + 1", Reading::No),
        ("KILL QUERY CONNECTION_ID()", Reading::No),
        ("SELECT 'CONNECTION_ID()'", Reading::No),
        ("SELECT connection_identifier", Reading::No),
    ] {
        assert_eq!(reading(text.as_bytes(), None, HERE), expected, "{text}");
    }
    assert_eq!(
        reading(b"SELECT ROW_COUNT(), CONNECTION_ID()", None, HERE),
        Reading::Patch(vec![None, id()]),
        "the server knows the first"
    );
    assert_eq!(
        reading(
            b"SELECT ROW_COUNT(), CONNECTION_ID()",
            Some(&aftermath()),
            HERE
        ),
        Reading::Patch(vec![aftermath().value(Asked::RowCount), id()])
    );
}
