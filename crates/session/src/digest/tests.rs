use proptest::prelude::*;

use super::*;

const ANSI: Mode = Mode {
    ansi_quotes: true,
    no_backslash_escapes: false,
    charset: crate::lexer::Charset::Other,
};

fn of(text: &str) -> String {
    digest(text.as_bytes(), Mode::default())
}

#[test]
fn values_are_left_out_and_statements_of_one_kind_are_alike() {
    let table = [
        ("SELECT 1", "SELECT ?"),
        ("select 1", "select ?"),
        ("  SELECT\n\t1  ; ;", "SELECT ?"),
        ("SELECT 1; SELECT 'a';", "SELECT ?; SELECT ?"),
        ("SELECT 1 FROM t", "SELECT ? FROM t"),
        ("SELECT 1 -- shop 17", "SELECT ?"),
        ("/* trace=4711 */ SELECT/**/1 # x", "SELECT ?"),
        ("/*!40101 SET NAMES utf8mb4 */", "SET NAMES utf8mb4"),
        (
            "/* ApplicationName=x */ SELECT a.b,c FROM `a`.`t x` AS a",
            "SELECT a.b, c FROM `a`.`t x` AS a",
        ),
        ("SELECT COUNT(*), t.* FROM t", "SELECT COUNT(*), t.* FROM t"),
        ("SELECT COUNT (*)", "SELECT COUNT (*)"),
        ("SELECT f( 'a' ,2.5e3)", "SELECT f(?, ?)"),
        (
            "SELECT * FROM t WHERE a=1 AND b>=-2.5",
            "SELECT * FROM t WHERE a = ? AND b >= ?",
        ),
        (
            "SELECT * FROM t WHERE a = + - 1",
            "SELECT * FROM t WHERE a = ?",
        ),
        (
            "SELECT a-1, a - -1, (1)-1, -1",
            "SELECT a - ?, a - ?, (...) - ?, ?",
        ),
        (
            "SELECT a<=>b, c<>d, e!=f, g<<2, h||i, j&&k",
            "SELECT a <=> b, c <> d, e != f, g << ?, h || i, j && k",
        ),
        (
            "SELECT j->'$.a', j->>'$.b', @a:=1",
            "SELECT j -> ?, j ->> ?, @a := ?",
        ),
        (
            "SELECT x'41', 0x41, b'1', 0b1, N'a', _utf8mb4'a', 'a' 'b'",
            "SELECT ?, ?, ?, ?, ?, _utf8mb4 ?, ? ?",
        ),
        (
            "SELECT DATE'2026-01-01', {d '2026-01-01'}",
            "SELECT DATE ?, { d ? }",
        ),
        ("SELECT NULL, \\N, TRUE, t.true", "SELECT ?, ?, ?, t.true"),
        (
            "SELECT a IS NULL, b IS NOT NULL, c IS NOT TRUE",
            "SELECT a IS NULL, b IS NOT NULL, c IS NOT TRUE",
        ),
        (
            "CREATE TABLE t (a INT NOT NULL DEFAULT 5)",
            "CREATE TABLE t (a INT NOT NULL DEFAULT ?)",
        ),
        (
            "SELECT * FROM t WHERE a IN(1)",
            "SELECT * FROM t WHERE a IN (...)",
        ),
        (
            "SELECT * FROM t WHERE a IN (1, 'b', NULL, -3)",
            "SELECT * FROM t WHERE a IN (...)",
        ),
        (
            "SELECT * FROM t WHERE (a, b) IN ((1,2),(3,4))",
            "SELECT * FROM t WHERE (a, b) IN (...)",
        ),
        (
            "SELECT * FROM t WHERE a IN (?, ?)",
            "SELECT * FROM t WHERE a IN (...)",
        ),
        (
            "SELECT * FROM t WHERE a IN (SELECT 1)",
            "SELECT * FROM t WHERE a IN (SELECT ?)",
        ),
        (
            "SELECT * FROM t WHERE a IN (b, 1)",
            "SELECT * FROM t WHERE a IN (b, ?)",
        ),
        (
            "INSERT INTO t(a,b) VALUES(1,2),(3,4),(5,6)",
            "INSERT INTO t(a, b) VALUES (...)",
        ),
        (
            "INSERT INTO t VALUES (1,NOW()),(2,NOW()) ON DUPLICATE KEY UPDATE a=VALUES(a)",
            "INSERT INTO t VALUES (?, NOW()) ON DUPLICATE KEY UPDATE a = VALUES (a)",
        ),
        (
            "INSERT INTO t VALUES (1,a),(2,b)",
            "INSERT INTO t VALUES (?, a), (?, b)",
        ),
        ("SELECT * FROM t LIMIT 10, 20", "SELECT * FROM t LIMIT ?, ?"),
        (
            "SELECT @@global.wait_timeout, @@ x, @a, @`a b`",
            "SELECT @@global.wait_timeout, @@x, @a, @`a b`",
        ),
        ("SHOW VARIABLES LIKE 'sql_mode'", "SHOW VARIABLES LIKE ?"),
        ("CALL p(@a, ?)", "CALL p(@a, ?)"),
        ("SELECT 1abc, t.1abc", "SELECT ?, t.1abc"),
        ("", ""),
        ("-- nothing", ""),
        (";", ""),
    ];
    for (text, expected) in table {
        assert_eq!(of(text), expected, "{text}");
    }
}

#[test]
fn statements_with_secrets_show_none() {
    for (text, expected) in [
        (
            "CREATE USER app@'10.0.0.%' IDENTIFIED BY 'sekret'",
            "CREATE USER app@? IDENTIFIED BY ?",
        ),
        (
            "CREATE USER 'app'@\"%\" IDENTIFIED BY PASSWORD '*sekret'",
            "CREATE USER ?@? IDENTIFIED BY PASSWORD ?",
        ),
        (
            "SET PASSWORD FOR app@localhost = PASSWORD(\"sekret\")",
            "SET PASSWORD FOR app@localhost = PASSWORD(?)",
        ),
        (
            "ALTER USER app IDENTIFIED VIA ed25519 USING PASSWORD('sekret')",
            "ALTER USER app IDENTIFIED VIA ed25519 USING PASSWORD(?)",
        ),
        (
            "GRANT ALL ON *.* TO x IDENTIFIED BY N'sekret'",
            "GRANT ALL ON *.* TO x IDENTIFIED BY ?",
        ),
        (
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD 'sekret')",
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD ?)",
        ),
        (
            "CHANGE MASTER TO MASTER_PASSWORD='it''s sekret', MASTER_PORT=3306",
            "CHANGE MASTER TO MASTER_PASSWORD = ?, MASTER_PORT = ?",
        ),
        (
            "SELECT AES_DECRYPT(a, 'sek\\'ret') FROM t",
            "SELECT AES_DECRYPT(a, ?) FROM t",
        ),
        // without an end
        ("SELECT 'sekret", "SELECT ?"),
        ("SELECT `a FROM t WHERE b = 'sekret'", "SELECT ?"),
        ("SELECT @`a, 'sekret'", "SELECT @?"),
        ("SELECT 1 /* sekret", "SELECT ?"),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
}

#[test]
fn a_text_is_read_in_its_mode() {
    let text = b"SELECT \"a\", 'b' FROM t";
    assert_eq!(digest(text, ANSI), "SELECT \"a\", ? FROM t");
    assert_eq!(digest(text, Mode::default()), "SELECT ?, ? FROM t");
}

#[test]
fn a_long_statement_ends_between_two_of_its_words() {
    let columns: Vec<String> = (0..100).map(|n| format!("größe_{n}")).collect();
    let text = of(&format!("SELECT {} FROM t", columns.join(", ")));
    assert!(text.len() <= LONGEST && text.len() > LONGEST - 16, "{text}");
    assert!(
        text.ends_with(", …") && text.starts_with("SELECT größe_0, größe_1,"),
        "{text}"
    );
    // one that just fits has all of its words
    let name = "x".repeat(LONGEST - "SELECT ".len());
    assert_eq!(of(&format!("SELECT {name}")), format!("SELECT {name}"));
    assert_eq!(of(&format!("SELECT {name}x")), "SELECT …");
    assert_eq!(of(&"x".repeat(1000)), "…");
}

#[test]
fn a_list_that_is_longer_than_what_is_read_has_the_digest_of_its_kind() {
    let rows =
        |count: u32| -> Vec<String> { (0..count).map(|n| format!("({n}, 'sekret')")).collect() };
    let insert = |count| of(&format!("INSERT INTO t VALUES {}", rows(count).join(",")));
    assert_eq!(insert(10), "INSERT INTO t VALUES (...)");
    for count in 5_000..5_030 {
        let text = insert(count);
        assert!(
            text == "INSERT INTO t VALUES (...) …" || text == "INSERT INTO t VALUES (...), …",
            "{text}"
        );
    }
    let numbers: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let text = of(&format!(
        "SELECT * FROM t WHERE a IN ({}) AND b = 1",
        numbers.join(",")
    ));
    assert_eq!(text, "SELECT * FROM t WHERE a IN (...) …");
    assert_eq!(
        digest_of_start(b"SELECT * FROM t WHERE a = 'sek", Mode::default()),
        "SELECT * FROM t WHERE a = …"
    );
    assert_eq!(digest_of_start(b"SELECT 12e", Mode::default()), "SELECT …");
}

#[test]
fn a_name_cannot_change_how_a_terminal_shows_it() {
    assert_eq!(
        of("SELECT `a\u{1b}[2Jb\u{202e}` FROM t"),
        "SELECT `a\u{fffd}[2Jb\u{fffd}` FROM t"
    );
    assert_eq!(of("SELECT a\u{202e}b\u{7}"), "SELECT a\u{fffd}b \u{fffd}");
}

/// A piece of a statement: what is written, and the value in it.
fn part() -> impl Strategy<Value = (String, Option<String>)> {
    let plain = prop::sample::select(vec![
        "SELECT",
        "a",
        "t.b",
        "FROM",
        "(",
        ")",
        ",",
        "IN",
        "VALUES",
        "=",
        "<=>",
        "-",
        "+",
        "*",
        ".",
        ";",
        "IS",
        "NOT",
        "`x y`",
        "@v",
        "@@v",
        "/* c */",
        "-- c\n",
        "NULL",
        "AND",
        "AS",
        "/*!50000 d */",
        ":=",
        "@",
        "{",
        "}",
        "?",
        "...",
    ])
    .prop_map(|text| (text.to_owned(), None));
    let value =
        ("[a-z]{6}", "[1-9][0-9]{5}", 0..10u8).prop_map(|(text, number, kind)| match kind {
            0 => (format!("'{text}'"), text),
            1 => (format!("\"{text}\""), text),
            2 => (format!("'it''s\\'{text}'"), text),
            3 => (format!("x'{number}'"), number),
            4 => (format!("0x{number}"), number),
            5 => (format!("{number}.{number}"), number),
            6 => (format!("{number}e+{number}"), number),
            7 => (format!("N'{text}'"), text),
            8 => (format!("@'{text}'"), text),
            _ => (number.clone(), number),
        });
    prop_oneof![3 => plain, 2 => value.prop_map(|(text, value)| (text, Some(value)))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_value_is_in_a_digest(parts in prop::collection::vec(part(), 0..40), cut in 0..400usize) {
        let text = parts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
        let start: String = text.chars().take(cut).collect();
        for digest in [of(&text), digest_of_start(start.as_bytes(), Mode::default())] {
            for value in parts.iter().filter_map(|(_, value)| value.as_ref()) {
                prop_assert!(!digest.contains(value.as_str()), "{value} of {text} is in {digest}");
            }
            prop_assert!(digest.len() <= LONGEST);
        }
    }

    #[test]
    fn a_digest_is_its_own_digest(parts in prop::collection::vec(part(), 0..60), glue in prop::sample::select(vec!["", " "])) {
        let text = parts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(glue);
        let once = of(&text);
        prop_assert_eq!(of(&once), once.clone(), "{}", text);
        let start = digest_of_start(text.as_bytes(), Mode::default());
        prop_assert_eq!(of(&start), start, "{}", text);
    }

    #[test]
    fn any_signs_have_a_digest_that_is_its_own(text in "[ -~\u{7f}-\u{ff}\t\n]{0,80}", ansi in any::<bool>()) {
        let mode = if ansi { ANSI } else { Mode::default() };
        let once = digest(text.as_bytes(), mode);
        prop_assert_eq!(digest(once.as_bytes(), mode), once.clone(), "{}", text);
        prop_assert!(!once.contains(misleads));
    }

    #[test]
    fn any_bytes_have_a_digest(text in prop::collection::vec(any::<u8>(), 0..600), bits in 0..4u8, charset in 0..4usize) {
        use crate::lexer::Charset;
        let mode = Mode {
            ansi_quotes: bits & 1 != 0,
            no_backslash_escapes: bits & 2 != 0,
            charset: [Charset::Other, Charset::Big5, Charset::Gbk, Charset::Sjis][charset],
        };
        for text in [digest(&text, mode), digest_of_start(&text, mode)] {
            prop_assert!(text.len() <= LONGEST && !text.contains(misleads));
        }
    }
}
