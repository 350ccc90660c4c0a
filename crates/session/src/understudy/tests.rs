use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const PLAIN: Mode = Mode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    charset: crate::lexer::Charset::Other,
};
const ANSI: Mode = Mode {
    ansi_quotes: true,
    ..PLAIN
};

fn judged(text: &str) -> Option<Script> {
    stands_in(text.as_bytes(), PLAIN)
}

fn assert_all(expected: Option<&Script>, texts: &str) {
    let mut number = 0;
    for text in texts.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert_eq!(judged(text).as_ref(), expected, "{text}");
        number += 1;
    }
    assert!(number > 0);
}

#[test]
fn queries_without_tables_qualify() {
    assert_all(Some(&Script::Rows), include_str!("tests/rows.sql"));
}

#[test]
fn what_only_the_database_may_answer_does_not_qualify() {
    assert_all(None, include_str!("tests/refused.sql"));
}

#[test]
fn statements_of_several_lines_are_read_to_their_end() {
    for (text, qualifies) in [
        ("SELECT 1 -- x\n", true),
        ("SELECT 1 -- x\n, 2", true),
        ("# x\nSELECT 1", true),
        ("SELECT 1 -- x\n FROM t", false),
        ("SELECT 1 # x\n, a", false),
        ("SELECT 1 /* x\n */ FROM\n\tDUAL", true),
        ("SELECT 1 /* x */ FROM /* DUAL */ t", false),
        ("SELECT now-- x\n()", false),
        ("SELECT 1;\n\n", true),
        ("SELECT 1;\n-- x", false),
        ("SELECT 1\0", false),
        ("SELECT 'a\0b'", true),
    ] {
        assert_eq!(judged(text).is_some(), qualifies, "{text}");
    }
}

#[test]
fn a_set_tells_what_it_assigns() {
    let set = |variables: &[&'static str], user_variables, defaults| {
        Some(Script::Set(Assigned {
            variables: variables.to_vec(),
            user_variables,
            defaults,
        }))
    };
    let names = [
        "character_set_client",
        "character_set_connection",
        "character_set_results",
        "collation_connection",
    ];
    for (text, expected) in [
        ("SET @x = 1", set(&[], true, false)),
        ("SET @x := 1, @`y z` = 'a'", set(&[], true, false)),
        ("SET @x = @x + 1", set(&[], true, false)),
        ("SET @x = (SELECT 1 FROM DUAL)", set(&[], true, false)),
        (
            "SET foreign_key_checks = 0",
            set(&["foreign_key_checks"], false, false),
        ),
        (
            "set Foreign_Key_Checks=OFF;",
            set(&["foreign_key_checks"], false, false),
        ),
        (
            "SET SESSION sql_mode = ''",
            set(&["sql_mode"], false, false),
        ),
        (
            "SET LOCAL sql_mode := ANSI_QUOTES",
            set(&["sql_mode"], false, false),
        ),
        ("SET @@sql_mode = @old", set(&["sql_mode"], false, false)),
        (
            "SET @@session.sql_mode = 'ANSI'",
            set(&["sql_mode"], false, false),
        ),
        (
            "SET @@LOCAL.time_zone = '+00:00'",
            set(&["time_zone"], false, false),
        ),
        ("SET time_zone = SYSTEM", set(&["time_zone"], false, false)),
        (
            "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')",
            set(&["sql_mode"], false, false),
        ),
        ("SET sql_mode = DEFAULT", set(&["sql_mode"], false, true)),
        (
            "SET @old = @@sql_mode, sql_mode = 'ANSI', unique_checks = 0",
            set(&["sql_mode", "unique_checks"], true, false),
        ),
        (
            "SET sql_mode = @a, time_zone = @b, lc_time_names = @c",
            set(&["sql_mode", "time_zone", "lc_time_names"], false, false),
        ),
        ("SET NAMES utf8mb4", set(&names, false, false)),
        (
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'",
            set(&names, false, false),
        ),
        (
            "SET NAMES latin1 COLLATE latin1_bin",
            set(&names, false, false),
        ),
        ("SET NAMES DEFAULT", set(&names, false, true)),
        (
            "SET character_set_results = NULL",
            set(&["character_set_results"], false, false),
        ),
        (
            "SET collation_connection = utf8mb4_bin",
            set(&["collation_connection"], false, false),
        ),
        (
            "SET SESSION tx_isolation = 'READ-COMMITTED'",
            set(&["tx_isolation"], false, false),
        ),
        (
            "SET default_storage_engine = InnoDB",
            set(&["default_storage_engine"], false, false),
        ),
    ] {
        assert_eq!(judged(text), expected, "{text}");
    }
}

#[test]
fn a_show_tells_what_it_shows() {
    for (text, expected) in [
        ("SHOW VARIABLES", Shown::Variables),
        ("SHOW VARIABLES LIKE 'sql_mode'", Shown::Variables),
        ("show session variables like 'a%';", Shown::Variables),
        ("SHOW LOCAL VARIABLES LIKE \"a\"", Shown::Variables),
        ("SHOW VARIABLES WHERE Variable_name = 'a'", Shown::Variables),
        (
            "SHOW VARIABLES WHERE `variable_name` IN ('a', 'b')",
            Shown::Variables,
        ),
        (
            "SHOW VARIABLES WHERE Variable_name ='language' OR Variable_name = 'time_zone' OR (Variable_name LIKE 'x%')",
            Shown::Variables,
        ),
        ("SHOW WARNINGS", Shown::Conditions),
        ("SHOW WARNINGS LIMIT 1, 10", Shown::Conditions),
        ("SHOW ERRORS LIMIT 5", Shown::Conditions),
        ("SHOW COUNT(*) WARNINGS", Shown::Conditions),
        ("show count(*) errors", Shown::Conditions),
        ("SHOW ENGINES", Shown::Constants),
        ("SHOW STORAGE ENGINES", Shown::Constants),
        ("SHOW CHARACTER SET", Shown::Constants),
        ("SHOW CHARSET LIKE 'utf8%'", Shown::Constants),
        ("SHOW COLLATION", Shown::Constants),
        ("SHOW COLLATION LIKE 'utf8%'", Shown::Constants),
        (
            "SHOW COLLATION WHERE Charset = 'utf8mb4' AND `Default` = 'Yes'",
            Shown::Constants,
        ),
        ("SHOW COLLATION WHERE Id IN (45, 46)", Shown::Constants),
    ] {
        assert_eq!(judged(text), Some(Script::Show(expected)), "{text}");
    }
}

#[test]
fn quotes_are_read_as_the_mode_says() {
    for (text, plain, ansi) in [
        (r#"SELECT "a""#, true, false),
        (r#"SELECT 1 AS "a""#, true, true),
        (r#"SELECT 1 "a""#, true, true),
        (r#"SELECT "now"()"#, false, false),
        (r#"SELECT 'a' "b""#, true, true),
        (r#"SHOW VARIABLES LIKE "a""#, true, false),
        (r#"SHOW VARIABLES WHERE "Variable_name" = 'a'"#, false, true),
        (r#"SET @a = "a""#, true, false),
    ] {
        let qualifies = |mode| stands_in(text.as_bytes(), mode).is_some();
        assert_eq!((qualifies(PLAIN), qualifies(ANSI)), (plain, ansi), "{text}");
    }
    let escaped = br"SELECT '\', f(), '";
    let no_escapes = Mode {
        no_backslash_escapes: true,
        ..PLAIN
    };
    assert_eq!(stands_in(escaped, no_escapes), None);
    assert_eq!(stands_in(br"SELECT '\', f(), ''", PLAIN), None);
    assert_eq!(stands_in(br"SELECT '\', f(), '", PLAIN), Some(Script::Rows));
}

#[test]
fn double_byte_texts_qualify_only_if_they_are_ascii() {
    let gbk = Mode {
        charset: crate::lexer::Charset::Gbk,
        ..PLAIN
    };
    assert_eq!(stands_in(b"SELECT 'a'", gbk), Some(Script::Rows));
    assert_eq!(stands_in(b"SELECT '\xb0\xa1'", gbk), None);
    assert_eq!(stands_in(b"SELECT '\xb0\xa1'", PLAIN), Some(Script::Rows));
    // the second byte is a backslash
    assert_eq!(stands_in(b"SELECT '\x81\\' FROM t -- '", gbk), None);
}

#[test]
fn limits_hold() {
    let times = |text: &str, n: usize| vec![text; n].join(", ");
    let nested = |n: usize| format!("SELECT {}1{}", "ABS(".repeat(n), ")".repeat(n));
    for (text, qualifies) in [
        (format!("SELECT '{}'", "a".repeat(LONGEST - 9)), true),
        (format!("SELECT '{}'", "a".repeat(LONGEST - 8)), false),
        (nested(8), true),
        (nested(20), false),
        (
            format!("SELECT {}1{}", "(".repeat(2000), ")".repeat(2000)),
            false,
        ),
        (format!("SELECT {}1", "NOT ".repeat(1000)), true),
        (format!("SELECT {}", times("@a", 8)), true),
        (format!("SELECT {}", times("@a", 9)), false),
        (format!("SELECT {}", times("HEX('a')", 4)), true),
        (format!("SELECT {}", times("HEX('a')", 5)), false),
        (format!("SELECT {}", times("JSON_ARRAY()", 100)), true),
    ] {
        assert_eq!(judged(&text).is_some(), qualifies, "{text}");
    }
}

/// One row is computed whatever `max_statement_time` is.
#[test]
fn what_may_take_long_does_not_qualify() {
    assert_all(None, include_str!("tests/costly.sql"));
}

#[test]
fn rows_of_variables_are_shown_if_they_are_the_sessions() {
    for name in [
        "sql_mode",
        "SQL_MODE",
        "autocommit",
        "version",
        "license",
        "have_compress",
    ] {
        assert!(may_show(name), "{name}");
    }
    for name in [
        "",
        "a",
        "hostname",
        "datadir",
        "socket",
        "port",
        "have_ssl",
        "wait_timeout",
        "max_statement_time",
        "max_allowed_packet",
        "session_track_schema",
        "collation_database",
        "timestamp",
        "last_insert_id",
        "warning_count",
        "sql_mode ",
    ] {
        assert!(!may_show(name), "{name}");
    }
}

/// Words that no list has.
const FOREIGN: [&str; 12] = [
    "t",
    "a.b",
    "`f`",
    "f",
    "s.now",
    "mysql.user",
    "DATABASE",
    "SLEEP",
    "x y z",
    "GET_LOCK",
    "information_schema.TABLES",
    "nextval",
];

/// Pieces of statements.
const PIECES: [&str; 40] = [
    "SELECT",
    "VALUES",
    "UNION",
    "FROM",
    "DUAL",
    "WHERE",
    "LIMIT",
    "ORDER BY",
    "(",
    ")",
    "(1)",
    ",",
    "1",
    "'a'",
    "@a",
    "@@sql_mode",
    "NOW()",
    "CONCAT(",
    "IF(",
    "AS",
    "+",
    "=",
    "IN",
    "NOT",
    "NULL",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "INTERVAL",
    "DAY",
    "COLLATE",
    "SET",
    "SHOW",
    "VARIABLES",
    "LIKE",
    ";",
    "/* x */",
    "DO",
    "CAST(1 AS",
];

proptest! {
    #[test]
    fn nothing_panics(bytes: Vec<u8>, ansi: bool) {
        let mode = if ansi { ANSI } else { PLAIN };
        let _ = stands_in(&bytes, mode);
        let _ = stands_in(&[b"SELECT ", &*bytes].concat(), mode);
    }

    #[test]
    fn no_pieces_panic(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..30)) {
        let _ = judged(&pieces.join(" "));
        let _ = judged(&pieces.concat());
    }

    /// A foreign name where a value stands is never overlooked, whatever is around it.
    #[test]
    fn foreign_names_never_qualify(
        before in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
        foreign in prop::sample::select(&FOREIGN[..]),
        call: bool,
        after in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
    ) {
        let foreign = if call { format!("{foreign}()") } else { format!("1 + {foreign}") };
        let text = format!("{} {foreign} {}", before.join(" "), after.join(" "));
        prop_assert_eq!(judged(&text), None);
    }

    /// Every word of a statement that qualifies is one of the lists, or an alias.
    #[test]
    fn a_word_that_is_put_anywhere_is_an_alias_or_an_error(
        line in prop::sample::select(include_str!("tests/rows.sql").lines().collect::<Vec<_>>()),
        place: prop::sample::Index,
    ) {
        let places: Vec<_> = line.match_indices(' ').map(|(at, _)| at).chain([line.len()]).collect();
        let at = places[place.index(places.len())];
        let text = format!("{} zzz() {}", &line[..at], &line[at..]);
        let quoted = line[..at].matches(['\'', '"', '`']).count() % 2 == 1;
        let comment = line[..at].contains("--") || line[..at].contains('#') || line[..at].contains("/*");
        let counts = HashSet::from([quoted, comment]);
        prop_assume!(!counts.contains(&true));
        prop_assert_eq!(judged(&text), None, "{}", text);
    }
}
