//! Random scripts of statements that use every kind of session state.

#[path = "generate/connections.rs"]
mod connections;

use dormouse_testkit::Dice;

use crate::script::{Action, Step};

/// Steps per script.
const STEPS: u64 = 60;

/// The script of a seed: two sessions, each with a table of its own.
pub(crate) fn script(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let mut steps = Vec::new();
    for session in ['a', 'b'] {
        steps.push(query(session, "USE d".to_owned()));
    }
    for _ in 0..STEPS {
        let session = if dice.below(2) == 0 { 'a' } else { 'b' };
        match dice.below(12) {
            0 | 1 => steps.extend(asked_about(&mut dice, session)),
            2 => steps.push(connections::step(&mut dice, session)),
            _ => steps.push(step(&mut dice, session)),
        }
    }
    steps
}

fn query(session: char, text: String) -> Step {
    Step {
        session,
        action: Action::Query(text),
    }
}

/// A statement, and a query of the state that it has left.
fn asked_about(dice: &mut Dice, session: char) -> [Step; 2] {
    let t = format!("d.{session}");
    let pairs = [
        [
            format!("SELECT SQL_CALC_FOUND_ROWS i FROM {t} ORDER BY i LIMIT 1"),
            "SELECT FOUND_ROWS()".to_owned(),
        ],
        [
            format!("SELECT i FROM {t} WHERE i < 4"),
            "SELECT FOUND_ROWS(), ROW_COUNT()".to_owned(),
        ],
        [
            format!("UPDATE {t} SET n = 3 WHERE i < 4"),
            "SELECT ROW_COUNT()".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), (5)"),
            "SHOW WARNINGS".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), (5)"),
            "SELECT @@warning_count, @@error_count, ROW_COUNT()".to_owned(),
        ],
        [
            format!("SELECT i FROM {t} ORDER BY i LIMIT 1, 1"),
            "SELECT FOUND_ROWS()".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000)"),
            "SELECT 1/0".to_owned(),
        ],
        [
            format!("INSERT INTO {t} (n) VALUES (5), (6)"),
            format!("SELECT n FROM {t} WHERE ROW_COUNT() = 2 AND i = LAST_INSERT_ID()"),
        ],
        [
            format!("UPDATE {t} SET n = n + 1 WHERE i < 5"),
            format!("INSERT INTO {t} (n) VALUES (ROW_COUNT() + 50)"),
        ],
        [
            format!("DELETE FROM {t} WHERE i = 5"),
            "SET @x = ROW_COUNT()".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), (5)"),
            "EXECUTE IMMEDIATE 'SELECT ROW_COUNT(), @@warning_count'".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000)"),
            "SELECT @@error_count FROM DUAL".to_owned(),
        ],
        ["SELECT nonsense".to_owned(), "SHOW ERRORS".to_owned()],
        [
            "SELECT nonsense".to_owned(),
            "SHOW ERRORS LIMIT 1".to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), (2000), (5)"),
            dice.one_of(&[
                "/* a */ SHOW WARNINGS LIMIT 1",
                "SHOW WARNINGS LIMIT 1,1",
                "SHOW WARNINGS LIMIT 2 OFFSET 1",
                "SHOW /* a */ COUNT(*) WARNINGS",
                "SHOW WARNINGS LIMIT 0",
            ])
            .to_owned(),
        ],
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), (5)"),
            dice.one_of(&[
                "SELECT @@warning_count + 1, CONCAT(ROW_COUNT(), '/', @@error_count) AS c",
                "GET DIAGNOSTICS @x = NUMBER, @y = ROW_COUNT",
                "SELECT IF(ROW_COUNT() > 1, 'yes', 'no'), (SELECT ROW_COUNT()) n",
                "SELECT i FROM d.a WHERE i < 3 UNION SELECT ROW_COUNT() ORDER BY 1",
            ])
            .to_owned(),
        ],
        [
            format!("SELECT SQL_CALC_FOUND_ROWS i FROM {t} ORDER BY i LIMIT 1"),
            "SELECT FOUND_ROWS() + 1, FOUND_ROWS() DIV 2 AS half".to_owned(),
        ],
        [
            format!("UPDATE {t} SET n = n + 1 WHERE i < 7"),
            "SELECT ROW_COUNT() * 2; SELECT 1".to_owned(),
        ],
        [
            "DROP TABLE IF EXISTS d.missing".to_owned(),
            "SHOW COUNT(*) WARNINGS".to_owned(),
        ],
        [
            dice.one_of(&[
                "DROP TABLE IF EXISTS d.missing",
                "SELECT `it's \u{e4}` FROM d.a",
                "SELECT 1/0, CAST('x' AS SIGNED)",
                "SIGNAL SQLSTATE '01234' SET MESSAGE_TEXT = 'a ''b'''",
            ])
            .to_owned(),
            "GET DIAGNOSTICS CONDITION 1 @x = MESSAGE_TEXT, @y = RETURNED_SQLSTATE".to_owned(),
        ],
        // prepared with the protocol
        [
            format!("INSERT IGNORE INTO {t} (n) VALUES (1000), ('x')"),
            dice.one_of(&[
                "SHOW WARNINGS | ",
                "SHOW ERRORS | ",
                "SHOW COUNT(*) WARNINGS | ",
            ])
            .to_owned(),
        ],
        [
            format!("UPDATE {t} SET n = n + 1 WHERE i < 7"),
            dice.one_of(&[
                "SELECT ROW_COUNT(), ? | 5",
                "SELECT i, ROW_COUNT() + ? FROM d.a ORDER BY i | 5",
                "SET @x = ROW_COUNT() + ? | 5",
            ])
            .to_owned(),
        ],
        [
            format!("SELECT SQL_CALC_FOUND_ROWS i FROM {t} ORDER BY i LIMIT 1"),
            "EXECUTE IMMEDIATE 'SELECT FOUND_ROWS() + ?' USING 5".to_owned(),
        ],
    ];
    let at = usize::try_from(dice.below(pairs.len() as u64)).unwrap();
    pairs[at].clone().map(|text| match text.split_once(" | ") {
        Some((text, values)) => {
            let values = values.split_whitespace().map(str::to_owned).collect();
            let action = Action::Once(text.to_owned(), values);
            Step { session, action }
        }
        None => query(session, text),
    })
}

fn step(dice: &mut Dice, session: char) -> Step {
    let t = format!("d.{session}");
    let value = dice.one_of(&[
        "1",
        "-7",
        "1.50",
        "2.5e0",
        "'text'",
        "NULL",
        "X'00ff'",
        "_latin1'abc'",
        "18446744073709551615",
        "_utf8mb4'a\u{e4}' COLLATE utf8mb4_bin",
        "CAST(3 AS DECIMAL(5,0))",
    ]);
    let variable = dice.one_of(&["@x", "@y", "@`z z`"]);
    let n = dice.below(300);
    let text = match dice.below(78) {
        0 | 1 => format!("SET {variable} = {value}"),
        2 => format!("SELECT {variable}, COLLATION({variable}), COERCIBILITY({variable})"),
        3 => "SELECT @x, @y, @`z z`".to_owned(),
        4 => format!("SELECT {variable} := {value}"),
        5 => format!("SELECT COUNT(*) INTO @y FROM {t}"),
        6 => format!("SET NAMES {}", dice.one_of(&["latin1", "utf8mb4", "utf8mb3 COLLATE utf8mb3_bin"])),
        7 => format!("SET sql_mode = {}", dice.one_of(&["''", "'ANSI'", "'STRICT_ALL_TABLES'", "DEFAULT"])),
        8 => format!("SET time_zone = {}", dice.one_of(&["'+00:00'", "'-03:30'", "DEFAULT"])),
        9 => format!("SET autocommit = {}", dice.one_of(&["0", "1", "1"])),
        10 => format!("SET SESSION TRANSACTION ISOLATION LEVEL {}", dice.one_of(&["READ COMMITTED", "SERIALIZABLE", "REPEATABLE READ"])),
        11 => dice.one_of(&["SET ROLE r", "SET ROLE NONE", "SELECT CURRENT_ROLE()"]).to_owned(),
        12 => dice.one_of(&["USE d", "USE e", "USE nowhere"]).to_owned(),
        13 | 14 => "SELECT DATABASE(), @@sql_mode, @@time_zone, @@autocommit, @@tx_isolation, @@character_set_client, @@collation_connection, @@character_set_results, @@sql_select_limit".to_owned(),
        15..=17 => format!("INSERT INTO {t} (n, c) VALUES ({}, 'c{n}')", n % 100),
        18 => format!("INSERT IGNORE INTO {t} (n) VALUES ({n}), (1000)"),
        19 => format!("INSERT INTO {t} (i, n) VALUES ({}, 5) ON DUPLICATE KEY UPDATE n = n + 1", n % 10 + 1),
        20 => format!("UPDATE {t} SET n = {} WHERE i < {}", n % 100, n % 7),
        21 => format!("DELETE FROM {t} WHERE i > {}", 5 + n % 40),
        22 | 23 => format!("SELECT * FROM {t} ORDER BY i"),
        24 => format!("SELECT SQL_CALC_FOUND_ROWS i FROM {t} ORDER BY i LIMIT 1"),
        25..=30 => "SELECT LAST_INSERT_ID()".to_owned(),
        31..=33 => "SELECT @@identity, @@in_transaction".to_owned(),
        34 => "BEGIN".to_owned(),
        35 | 36 => "COMMIT".to_owned(),
        37 => "ROLLBACK".to_owned(),
        38 => dice.one_of(&["SAVEPOINT s", "ROLLBACK TO s"]).to_owned(),
        39 => "CREATE TEMPORARY TABLE IF NOT EXISTS d.tmp (i INT)".to_owned(),
        40 => format!("INSERT INTO d.tmp VALUES ({n})"),
        41 => "SELECT * FROM d.tmp".to_owned(),
        42 | 43 => dice.one_of(&["DROP TEMPORARY TABLE IF EXISTS d.tmp", "DROP TABLE d.tmp"]).to_owned(),
        44 => format!("SELECT GET_LOCK('{session}', 0)"),
        45 | 46 => dice.one_of(&["SELECT RELEASE_ALL_LOCKS()", "DO RELEASE_LOCK('a')"]).to_owned(),
        47 => "PREPARE p FROM 'SELECT ? + 1'".to_owned(),
        48 => "EXECUTE p USING @x".to_owned(),
        49 => "DEALLOCATE PREPARE p".to_owned(),
        50 => "SET TRANSACTION READ ONLY".to_owned(),
        51 => dice.one_of(&["SET timestamp = 1234567", "SET timestamp = DEFAULT"]).to_owned(),
        52 => "SELECT @@timestamp < 2000000".to_owned(),
        53 => dice.one_of(&["SELECT nonsense", "nonsense", "SELECT 1 FROM d.missing", "SELECT 1/0"]).to_owned(),
        54 => dice.one_of(&["SELECT 1", "DO 1", "SELECT 'a' AS b"]).to_owned(),
        55 => {
            let action = dice.one_of(&[&Action::Ping, &Action::Reset, &Action::Use("d".into())]).clone();
            return Step { session, action };
        }
        56 => {
            let text = dice.one_of(&["SELECT ?, ? + 1", "SELECT CONCAT(?, ?)"]).to_owned();
            let values = vec![n.to_string(), "5".to_owned()];
            return Step { session, action: Action::Once(text, values) };
        }
        57 => {
            let text = format!("SELECT i, ? FROM {t} ORDER BY i LIMIT 2");
            return Step { session, action: Action::Prepare("q".into(), text) };
        }
        58 => {
            let action = Action::Execute("q".into(), vec![n.to_string()]);
            return Step { session, action };
        }
        59 => dice.one_of(&["USE e; -- comment", "SET sql_select_limit = 1000; SELECT 1", "USE `d`"]).to_owned(),
        60 => "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'".to_owned(),
        61 => format!("SELECT '\\', {variable} := {value} AS \"\\\", '\\'"),
        62 => format!("INSERT INTO {t} (n) VALUES (7); SELECT n FROM {t} WHERE ROW_COUNT() = 1 AND i = LAST_INSERT_ID()"),
        63 => format!("UPDATE {t} SET n = 8 WHERE i < {}; SELECT ROW_COUNT()", n % 9),
        64 => format!("SELECT i FROM {t} WHERE i < {}; SELECT FOUND_ROWS(), ROW_COUNT()", n % 9),
        65 => format!("INSERT IGNORE INTO {t} (n) VALUES (1000); SHOW WARNINGS"),
        66 => format!("BEGIN NOT ATOMIC UPDATE {t} SET n = 9 WHERE i < {}; SELECT ROW_COUNT(); END", n % 9),
        67 => dice.one_of(&["SAVEPOINT s", "RELEASE SAVEPOINT s", "EXECUTE IMMEDIATE 'SAVEPOINT s'", "BEGIN NOT ATOMIC SAVEPOINT s; END"]).to_owned(),
        68 => format!("PREPARE r FROM 'SELECT COUNT(*) FROM d.comes_{session}'"),
        69 => "EXECUTE r".to_owned(),
        70 => dice.one_of(&[&format!("CREATE TABLE IF NOT EXISTS d.comes_{session} (i INT)"), &format!("DROP TABLE IF EXISTS d.comes_{session}")]).to_owned(),
        71 => format!("SET wait_timeout = {}", n + 100),
        72 => dice.one_of(&["SELECT @@wait_timeout, @@global.wait_timeout", "SHOW VARIABLES LIKE '%_timeout'", "SHOW GLOBAL VARIABLES LIKE 'net%'"]).to_owned(),
        73 => "SELECT VARIABLE_NAME, SESSION_VALUE, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME LIKE '%TIMEOUT' ORDER BY 1".to_owned(),
        74 => dice.one_of(&["SET @x = @@wait_timeout", "SELECT 1; SELECT @@wait_timeout", "(SELECT @@net_read_timeout)", "EXECUTE IMMEDIATE 'SELECT @@wait_timeout'"]).to_owned(),
        75 => dice.one_of(&["SET net_read_timeout = 7", "SET net_read_timeout = DEFAULT", "SELECT @@net_read_timeout, @@session_track_state_change"]).to_owned(),
        76 => "SELECT QUERY_ID FROM information_schema.PROFILING GROUP BY QUERY_ID".to_owned(),
        _ => format!("UPDATE {t} SET n = LAST_INSERT_ID(i % 50) ORDER BY i DESC LIMIT 1"),
    };
    query(session, text)
}
