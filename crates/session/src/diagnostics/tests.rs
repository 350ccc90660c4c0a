use super::*;

const HERE: &str = "/here";

fn diagnostics() -> Diagnostics {
    Diagnostics {
        row_count: -1,
        found_rows: 12,
        found_rows_lost: false,
        warnings: 3,
        errors: 1,
        warning_list: Some(b"list".as_slice().into()),
        error_list: Some(b"errors".as_slice().into()),
        conditions: Some("22003 1264 2 C3A4,01000 1 0 62!,42S02 1146 0 63,".into()),
    }
}

fn patch<const N: usize>(values: [&str; N]) -> Override {
    let value = |text: &&str| match text.as_bytes() {
        [] => ValuePatch::Keep,
        text => ValuePatch::Replace(text.to_vec()),
    };
    Override::PatchRow(values.iter().map(value).collect())
}

#[test]
fn a_statement_that_asks_for_it_is_recognised() {
    let rows = |text: &str, rows| Override::List(text.as_bytes().into(), rows);
    let list = |text: &str| rows(text, 0..u64::MAX);
    for (text, expected) in [
        ("SELECT 1", Override::None),
        ("SELECT 'FOUND_ROWS()'", Override::None),
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
        ("SHOW WARNINGS", list("list")),
        ("SHOW ERRORS;", list("errors")),
        ("SHOW COUNT(*) WARNINGS", patch(["3"])),
        ("SHOW COUNT(*) ERRORS", patch(["1"])),
        ("/* a */ SHOW WARNINGS LIMIT 1", rows("list", 0..1)),
        ("SHOW WARNINGS LIMIT 1,1;", rows("list", 1..2)),
        ("SHOW ERRORS LIMIT 3 OFFSET 2", rows("errors", 2..5)),
        (
            "SHOW WARNINGS LIMIT 1, 18446744073709551615",
            rows("list", 1..u64::MAX),
        ),
        ("SHOW WARNINGS LIMIT ROWS EXAMINED 5", list("list")),
        ("SHOW WARNINGS LIMIT ?", Override::Refuse("SHOW WARNINGS")),
        (
            "GET DIAGNOSTICS @n = NUMBER, @`r` = ROW_COUNT",
            Override::Rewrite("SET @n = CAST(3 AS UNSIGNED), @`r` = -1".into()),
        ),
        (
            "get current diagnostics condition 1 @m = MESSAGE_TEXT, @`r` = row_number;",
            Override::Rewrite(
                "SET @m = _utf8mb3 X'C3A4' COLLATE utf8mb3_general_ci, @`r` = CAST(2 AS UNSIGNED)"
                    .into(),
            ),
        ),
        (
            "GET DIAGNOSTICS CONDITION 3 @s = RETURNED_SQLSTATE, @n = MYSQL_ERRNO, @t = TABLE_NAME",
            Override::Rewrite(
                "SET @s = _utf8mb3 X'3432533032' COLLATE utf8mb3_general_ci, @n = CAST(1146 AS UNSIGNED), \
                 @t = _utf8mb3 X'' COLLATE utf8mb3_general_ci"
                    .into(),
            ),
        ),
        (
            "GET DIAGNOSTICS CONDITION 2 @m = MESSAGE_TEXT",
            Override::Rewrite("SET @m = _utf8mb3 X'62' COLLATE utf8mb3_general_ci".into()),
        ),
        (
            "GET DIAGNOSTICS CONDITION 2 @t = TABLE_NAME",
            Override::Refuse("GET DIAGNOSTICS"),
        ),
        (
            "GET DIAGNOSTICS CONDITION 4 @m = MESSAGE_TEXT",
            Override::Refuse("GET DIAGNOSTICS"),
        ),
        (
            "GET DIAGNOSTICS CONDITION 0 @m = MESSAGE_TEXT",
            Override::Refuse("GET DIAGNOSTICS"),
        ),
        (
            "GET DIAGNOSTICS CONDITION @n @m = MESSAGE_TEXT",
            Override::Refuse("GET DIAGNOSTICS"),
        ),
    ] {
        assert_eq!(
            override_for(text.as_bytes(), Mode::default(), Some(&diagnostics()), HERE, Format::Text),
            expected,
            "{text}"
        );
    }
}

#[test]
fn an_empty_list_of_warnings_comes_from_the_server() {
    let none = Diagnostics::default();
    for (text, sent) in [
        ("SHOW WARNINGS", "SHOW WARNINGS LIMIT 0"),
        ("SHOW ERRORS", "SHOW ERRORS LIMIT 0"),
        ("SHOW WARNINGS LIMIT 1", "SHOW WARNINGS LIMIT 0"),
    ] {
        assert_eq!(
            override_for(
                text.as_bytes(),
                Mode::default(),
                Some(&none),
                HERE,
                Format::Text
            ),
            Override::Rewrite(sent.into()),
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
    let after = |text: &str| diagnostics().after(text.as_bytes(), Mode::default(), &end, true);
    let kept = Diagnostics {
        found_rows: 1,
        ..diagnostics()
    };
    assert_eq!(after("SELECT 1"), Some(kept.clone()));
    assert_eq!(after("SHOW WARNINGS"), Some(diagnostics()));
    assert_eq!(after("SELECT 1 FROM t"), None);
    assert_eq!(after("INSERT INTO t VALUES (1)"), None);
    assert_eq!(after("SELECT 1; UPDATE t SET a = 1"), None);
    for text in [
        "SELECT 1 FROM DUAL",
        "SELECT EXTRACT(YEAR FROM '2024-01-01'), SUBSTRING('abc' FROM 1 FOR 2)",
        "SET @a = TRIM('x' FROM 'xa')",
        "VALUES (1), (EXTRACT(DAY FROM '2024-01-01'))",
        "(SELECT 1) UNION (SELECT 2 FROM DUAL)",
    ] {
        assert!(keeps_warnings(text.as_bytes(), Mode::default()), "{text}");
    }
    for text in [
        "SELECT (SELECT 1 FROM t)",
        "SELECT ((SELECT a FROM t) + 1)",
        "(SELECT a FROM t)",
        "(SELECT 1) UNION SELECT a FROM t",
        "SELECT a FROM t FOR UPDATE",
        "SELECT NEXTVAL(s)",
        "SELECT 1 INTO @a",
    ] {
        assert!(!keeps_warnings(text.as_bytes(), Mode::default()), "{text}");
    }
    let none = Diagnostics::default();
    let certain = none.clone().after(b"SELECT 1", Mode::default(), &end, true);
    assert_eq!(certain.map(|diagnostics| diagnostics.found_rows), Some(1));
    assert_eq!(
        none.after(b"SELECT f()", Mode::default(), &end, false),
        None
    );
}

#[test]
fn the_socket_is_dormouses_own() {
    let text = b"SELECT @@max_allowed_packet, CONNECTION_ID(), @@socket";
    assert_eq!(
        override_for(text, Mode::default(), None, HERE, Format::Text),
        Override::PatchRow(vec![
            ValuePatch::Keep,
            ValuePatch::Keep,
            ValuePatch::Replace(b"/here".to_vec()),
        ])
    );
    for text in ["SELECT CONNECTION_ID()", "SELECT '@socket'", "SELECT 1"] {
        let found = override_for(text.as_bytes(), Mode::default(), None, HERE, Format::Text);
        assert_eq!(found, Override::None, "{text}");
    }
}

#[test]
fn a_question_about_a_statement_of_the_same_text_is_none_about_the_past() {
    for text in [
        // a batch
        "INSERT INTO t VALUES (1); SELECT id FROM t WHERE ROW_COUNT() = 1 AND id = LAST_INSERT_ID()",
        "UPDATE t SET a = 1; SELECT ROW_COUNT()",
        "DO 1; SELECT ROW_COUNT()",
        "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1; SELECT FOUND_ROWS()",
        "INSERT INTO t VALUES (1); SHOW WARNINGS",
        "SELECT a FROM t; SELECT @@warning_count; SHOW COUNT(*) WARNINGS",
        "DELETE FROM t; GET DIAGNOSTICS @n = NUMBER, @r = ROW_COUNT",
        "CALL p(); SELECT ROW_COUNT()",
        // its own table has cleared the list
        "SELECT @@warning_count FROM t",
        "INSERT INTO t VALUES (@@error_count)",
        // bodies
        "CREATE OR REPLACE PROCEDURE p() BEGIN UPDATE t SET a = 1; SELECT ROW_COUNT(); END",
        "CREATE DEFINER = `a`@`b` FUNCTION f() RETURNS INT RETURN FOUND_ROWS()",
        "CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW SET NEW.a = ROW_COUNT()",
        "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO BEGIN SHOW WARNINGS; END",
        "ALTER EVENT e DO SET @r = ROW_COUNT()",
        "CREATE PACKAGE BODY p AS FUNCTION f RETURN INT AS BEGIN RETURN ROW_COUNT(); END; END",
        "CREATE PROCEDURE p() BEGIN IF a THEN SELECT IF(a, CASE b WHEN 1 THEN 2 END, 3); END IF; \
         WHILE a DO SET b = REPEAT('x', 3); END WHILE; END; SELECT ROW_COUNT()",
        "CREATE VIEW v AS SELECT ROW_COUNT()",
        "CREATE TABLE t (a INT DEFAULT (FOUND_ROWS()))",
        // blocks
        "BEGIN NOT ATOMIC UPDATE t SET a = 1; SELECT ROW_COUNT(); END",
        "IF 1 THEN INSERT INTO t VALUES (1); SELECT ROW_COUNT(); END IF",
        "BEGIN UPDATE t SET a = 1; SELECT ROW_COUNT(); END",
        "DECLARE a INT; BEGIN UPDATE t SET a = 1; SET a = ROW_COUNT(); END",
        "x: LOOP DELETE FROM t LIMIT 1; IF ROW_COUNT() = 0 THEN LEAVE x; END IF; END LOOP",
        "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SHOW ERRORS; \
         GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT; END; SELECT 1 FROM t; END",
        "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR NOT FOUND SET @r = ROW_COUNT(); SELECT 1; END",
        // names and texts
        "SELECT errors, warnings, row_count, found_rows FROM t",
        "SELECT a AS `FOUND_ROWS()`, `ROW_COUNT` FROM t",
        "SELECT my.row_count()",
        "PREPARE s FROM 'SELECT ROW_COUNT()'",
        "EXPLAIN SELECT ROW_COUNT()",
        "SHOW TABLES LIKE 'WARNINGS'",
    ] {
        let read = override_for(
            text.as_bytes(),
            Mode::default(),
            Some(&diagnostics()),
            HERE,
            Format::Text,
        );
        assert_eq!(read, Override::None, "{text}");
    }
}

#[test]
fn what_no_statement_of_the_text_surely_sets_is_about_the_past() {
    for (text, name) in [
        ("SET @a = 1; SELECT FOUND_ROWS()", "FOUND_ROWS()"),
        ("SELECT 1 INTO @a; SELECT FOUND_ROWS()", "FOUND_ROWS()"),
        ("DO 1; SHOW WARNINGS", "SHOW WARNINGS"),
        ("SELECT 1; SHOW ERRORS", "SHOW ERRORS"),
        ("SELECT 1 FROM DUAL; SHOW WARNINGS", "SHOW WARNINGS"),
        (
            "SELECT EXTRACT(YEAR FROM a); SHOW WARNINGS",
            "SHOW WARNINGS",
        ),
        ("DO 1; GET DIAGNOSTICS @n = NUMBER", "GET DIAGNOSTICS"),
        ("SHOW WARNINGS; SELECT 1", "SHOW WARNINGS"),
        (
            "CREATE PROCEDURE p() SELECT 1; SELECT FOUND_ROWS()",
            "FOUND_ROWS()",
        ),
        ("BEGIN NOT ATOMIC SELECT ROW_COUNT(); END", "ROW_COUNT()"),
        ("IF ROW_COUNT() THEN SELECT 1; END IF", "ROW_COUNT()"),
        (
            "BEGIN NOT ATOMIC IF a THEN SELECT 1; END IF; SELECT FOUND_ROWS(); END",
            "FOUND_ROWS()",
        ),
        (
            "IF a THEN SELECT 1; ELSE SELECT FOUND_ROWS(); END IF",
            "FOUND_ROWS()",
        ),
        (
            "BEGIN NOT ATOMIC SET v = 1; SELECT CASE WHEN ROW_COUNT() THEN 1 ELSE 2 END; END",
            "ROW_COUNT()",
        ),
        (
            "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION DO 1; SELECT 1; \
             SELECT FOUND_ROWS(); END",
            "FOUND_ROWS()",
        ),
        (
            "/*!999999 DO 1; */ SELECT FOUND_ROWS(), 1 + 1",
            "FOUND_ROWS()",
        ),
    ] {
        let read = override_for(
            text.as_bytes(),
            Mode::default(),
            Some(&diagnostics()),
            HERE,
            Format::Text,
        );
        let (Override::Refuse(found) | Override::PutBack(_, found)) = read else {
            panic!("{text}: {read:?}");
        };
        assert_eq!(found, name, "{text}");
    }
}

/// The text with `R` for the constant of `ROW_COUNT()`, `F` and `W` for those of the others.
fn sent(text: &str) -> Vec<u8> {
    text.replace('R', "(9223372036854775806 - 9223372036854775807)")
        .replace('F', "(9223372036854775807 - 9223372036854775795)")
        .replace(
            'W',
            "NULLIF(18446744073709551615 - 18446744073709551612, 18446744073709551615)",
        )
        .into_bytes()
}

#[test]
fn a_value_among_others_is_sent_as_a_constant_of_the_same_type_and_name() {
    for (text, expected) in [
        (
            "select id from t where ROW_COUNT() = 1 AND id = last_insert_id()",
            "select id from t where R = 1 AND id = last_insert_id()",
        ),
        (
            "insert into t values (FOUND_ROWS(), row_count());",
            "insert into t values (F, R);",
        ),
        ("set @n = @@warning_count + 1", "set @n = W + 1"),
        ("update t set a = ROW_COUNT()", "update t set a = R"),
        ("select @@warning_count + 1 n", "select W + 1 n"),
        (
            "select FOUND_ROWS() + 1",
            "select F + 1 AS `FOUND_ROWS() + 1`",
        ),
        (
            "select distinct concat( ROW_COUNT(), 'x' ), a, @@warning_count + 1 n from t",
            "select distinct concat( R, 'x' ) AS `concat( ROW_COUNT(), 'x' )`, a, @@warning_count + 1 n from t",
        ),
        (
            "select a from t where a in (select ROW_COUNT()) order by ROW_COUNT()",
            "select a from t where a in (select R AS `ROW_COUNT()`) order by R",
        ),
        (
            "select (select ROW_COUNT() as n), 1 union select FOUND_ROWS(), 2",
            "select (select R as n) AS `(select ROW_COUNT() as n)`, 1 union select F AS `FOUND_ROWS()`, 2",
        ),
        (
            "select ROW_COUNT() is not null, ROW_COUNT() is true as t",
            "select R is not null AS `ROW_COUNT() is not null`, R is true as t",
        ),
        (
            "select ROW_COUNT() into @x",
            "select R AS `ROW_COUNT()` into @x",
        ),
        (
            "create table u select ROW_COUNT() as n",
            "create table u select R as n",
        ),
        ("call p(ROW_COUNT())", "call p(R)"),
        (
            "(select 1 + ROW_COUNT())",
            "(select 1 + R AS `1 + ROW_COUNT()`)",
        ),
        (
            "select case when ROW_COUNT() then 1 end, 5 - ROW_COUNT()",
            "select case when R then 1 end AS `case when ROW_COUNT() then 1 end`, \
             5 - R AS `5 - ROW_COUNT()`",
        ),
        (
            "select ROW_COUNT(); update t set a = 1",
            "select R AS `ROW_COUNT()`; update t set a = 1",
        ),
    ] {
        let read = override_for(
            text.as_bytes(),
            Mode::default(),
            Some(&diagnostics()),
            HERE,
            Format::Text,
        );
        let expected = Override::Rewrite(expected_text(text, expected));
        assert_eq!(read, expected, "{text}");
    }
}

/// As [`sent`], with the aliases as they are.
fn expected_text(text: &str, expected: &str) -> Vec<u8> {
    let mut out = String::new();
    for (n, part) in expected.split('`').enumerate() {
        if n % 2 == 1 {
            assert!(text.contains(part), "{part} in {text}");
            out.push_str(&format!("`{part}`"));
        } else {
            out.push_str(std::str::from_utf8(&sent(part)).unwrap());
        }
    }
    out.into_bytes()
}

#[test]
fn what_no_constant_can_stand_for_is_put_back() {
    for text in [
        // the server computes the negative of a constant, with another type
        "SELECT -ROW_COUNT()",
        "SELECT a FROM t WHERE a = 1 LIMIT ROW_COUNT()",
        // it may be an alias or not
        "SELECT 1 AND ROW_COUNT() LIKE a",
        "INSERT INTO t VALUES (1) RETURNING ROW_COUNT()",
        "VALUES (ROW_COUNT())",
        "SET STATEMENT max_statement_time = 1 FOR SELECT ROW_COUNT()",
        "SELECT CONCAT('a text that is too long for a name of a column, so it is cut', ROW_COUNT())",
    ] {
        let read = |row_count| {
            let left = Diagnostics {
                row_count,
                ..diagnostics()
            };
            let text = text.as_bytes();
            override_for(text, Mode::default(), Some(&left), HERE, Format::Text)
        };
        let put_back = |text: &str| {
            let text = text.to_owned();
            let ends = put_back::Ends::Well;
            Override::PutBack(vec![PutBack { text, ends }], "ROW_COUNT()")
        };
        assert_eq!(read(-1), put_back("SHOW WARNINGS LIMIT 0"), "{text}");
        assert_eq!(read(0), put_back("DO 0"), "{text}");
        let one = "BEGIN NOT ATOMIC DECLARE x INT; SELECT 1 INTO x; END";
        assert_eq!(read(1), put_back(one), "{text}");
        assert_eq!(read(2), Override::Refuse("ROW_COUNT()"), "{text}");
    }
}

#[test]
fn a_list_of_conditions_is_put_back_if_their_levels_are_those_of_their_states() {
    let block = "BEGIN NOT ATOMIC SHOW WARNINGS; END";
    let read = |told: &str, warnings, errors, list: &str| {
        let left = Diagnostics {
            warnings,
            errors,
            warning_list: Some(list.as_bytes().into()),
            conditions: Some(told.into()),
            ..Diagnostics::default()
        };
        let text = block.as_bytes();
        override_for(text, Mode::default(), Some(&left), HERE, Format::Text)
    };
    let put_back = |text: &str, ends| {
        let text = text.to_owned();
        Override::PutBack(vec![PutBack { text, ends }], "SHOW WARNINGS")
    };
    assert_eq!(
        read("42S02 1146 0 61,", 1, 1, "Error"),
        put_back(
            "SIGNAL SQLSTATE '42S02' SET MYSQL_ERRNO = 1146, MESSAGE_TEXT = _utf8mb3 X'61'",
            put_back::Ends::Failed(1146)
        )
    );
    assert_eq!(
        read("42S02 1146 0 61,01000 1265 7 62,01000 1 0 ,", 3, 1, ""),
        put_back(
            "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLWARNING \
             RESIGNAL SQLSTATE '01000' SET MYSQL_ERRNO = 1, MESSAGE_TEXT = _utf8mb3 X''; \
             BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION \
             RESIGNAL SQLSTATE '01000' SET MYSQL_ERRNO = 1265, MESSAGE_TEXT = _utf8mb3 X'62', ROW_NUMBER = 7; \
             SIGNAL SQLSTATE '42S02' SET MYSQL_ERRNO = 1146, MESSAGE_TEXT = _utf8mb3 X'61'; END; END",
            put_back::Ends::Warned(3)
        )
    );
    for (told, warnings, errors, list) in [
        (
            "22003 1264 1 61,",
            1,
            0,
            "a warning with the state of an error",
        ),
        ("01000 1265 1 61,", 1, 0, "\x04Note"),
        ("01000 1265 1 61,", 2, 0, "one is not listed"),
        (
            "01000 1 0 61,42S02 1146 0 61,",
            2,
            1,
            "the last is an error",
        ),
        ("01000 1 0 61!,", 1, 0, "with other items"),
    ] {
        let refused = Override::Refuse("SHOW WARNINGS");
        assert_eq!(read(told, warnings, errors, list), refused, "{list}");
    }
}

#[test]
fn rows_that_nobody_counted_in_time_are_refused() {
    let lost = Diagnostics {
        found_rows_lost: true,
        ..diagnostics()
    };
    let read = |text: &str| {
        override_for(
            text.as_bytes(),
            Mode::default(),
            Some(&lost),
            HERE,
            Format::Text,
        )
    };
    assert_eq!(
        read("SELECT FOUND_ROWS()"),
        Override::Refuse("FOUND_ROWS()")
    );
    assert_eq!(read("SELECT ROW_COUNT()"), patch(["-1"]));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(words in proptest::collection::vec(0..WORDS.len(), 0..40)) {
        let text: Vec<_> = words.iter().map(|at| WORDS[*at]).collect();
        let text = text.join(" ");
        let read = override_for(text.as_bytes(), Mode::default(), Some(&diagnostics()), HERE, Format::Text);
        let asks = ["ROW_COUNT", "FOUND_ROWS", "WARNINGS", "_count", "DIAGNOSTICS"];
        if !asks.iter().any(|word| text.contains(word)) {
            proptest::prop_assert_eq!(read, Override::None);
        }
        let _ = keeps_warnings(text.as_bytes(), Mode::default());
    }
}

const WORDS: [&str; 40] = [
    "SELECT",
    "INSERT INTO t",
    "UPDATE t SET a =",
    "ROW_COUNT()",
    "FOUND_ROWS()",
    "SHOW WARNINGS",
    "GET DIAGNOSTICS",
    "@@warning_count",
    ";",
    "BEGIN",
    "NOT ATOMIC",
    "END",
    "IF",
    "THEN",
    "ELSE",
    "ELSEIF",
    "CASE",
    "WHEN",
    "LOOP",
    "END LOOP",
    "WHILE",
    "DO",
    "REPEAT",
    "UNTIL",
    "FOR",
    "DECLARE",
    "HANDLER",
    "x:",
    "CREATE PROCEDURE p()",
    "AS",
    "(",
    ")",
    ",",
    "FROM t",
    "FROM DUAL",
    "WHERE",
    "1",
    "'a'",
    "/*!999999",
    "*/",
];

#[test]
fn a_prepared_statement_is_prepared_with_the_values_in_its_text() {
    let left = diagnostics();
    for (text, sent) in [
        (
            "SELECT FOUND_ROWS(), ?",
            Some("SELECT (9223372036854775807 - 9223372036854775795) AS `FOUND_ROWS()`, ?"),
        ),
        (
            "SHOW COUNT(*) ERRORS",
            Some(
                "SELECT NULLIF(18446744073709551615 - 18446744073709551614, 18446744073709551615) \
                 AS `@@session.error_count`",
            ),
        ),
        ("SELECT @@socket", None),
    ] {
        let expected = sent.map_or(Override::None, |sent| Override::Rewrite(sent.into()));
        let read = override_for(
            text.as_bytes(),
            Mode::default(),
            Some(&left),
            HERE,
            Format::Binary,
        );
        assert_eq!(read, expected, "{text}");
    }
}

#[test]
fn conditions_are_read_from_the_servers_reply() {
    let packet = |seq: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[length, 0, 0, seq], payload].concat()
    };
    let (count, column, end) = (packet(1, &[1]), packet(2, b"\x03def"), [0xfe, 0, 0, 2, 0]);
    let row = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let told = "42S02 1146 0 61,";
    for eof in [&[][..], &packet(3, &end)] {
        let reply =
            |row: &[u8]| [&*count, &column, eof, &packet(4, row), &packet(5, &end)].concat();
        let read = |row: &[u8]| conditions::told(&reply(row));
        assert_eq!(read(&row(told)).as_deref(), Some(told));
        assert_eq!(read(&[0xfb]), None, "NULL");
        assert_eq!(read(&row("")), None);
    }
    assert_eq!(conditions::told(&packet(1, b"\xff\x28\x04")), None);
    assert_eq!(&*conditions::only("42S02", 1146, "a"), told);
}
