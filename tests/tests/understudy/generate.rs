//! Random statements that an understudy may answer, and others that it may not.
//!
//! The former read alike in every SQL mode but `ORACLE`, and their replies depend on nothing but the session: not on
//! the clock, nor on chance. Nearly all of them are valid.

use dormouse_testkit::Dice;

use crate::refused::{bad_end, bad_statement, bad_value};

/// A statement that qualifies.
pub(crate) fn qualifies(dice: &mut Dice) -> String {
    let mut text = unweighed(dice);
    while !is_cheap(&text) {
        text = unweighed(dice);
    }
    let end = dice.one_of(&["", "", "", ";", " ;", " ; ; "]);
    spaced(dice, &text) + end
}

/// A statement that qualifies if it is cheap.
fn unweighed(dice: &mut Dice) -> String {
    match dice.index(12) {
        0..=6 => query(dice, 3),
        7 => format!("DO {}", several(dice, 2, value)),
        8 | 9 => set(dice),
        10 => show(dice),
        _ => values(dice, 2),
    }
}

/// The user variables of all statements.
const VARIABLES: [&str; 4] = ["@a", "@`b c`", "@'d'", "@e.f"];

/// Whether a statement has not too much of what may cost much.
fn is_cheap(text: &str) -> bool {
    let count =
        |words: &[&str]| -> usize { words.iter().map(|word| text.matches(word).count()).sum() };
    let (mut read, mut assigned) = (0, 0);
    for (at, name) in VARIABLES.iter().flat_map(|name| text.match_indices(name)) {
        let rest = text[at + name.len()..].trim_start();
        if rest.starts_with(['=', ':']) {
            assigned += 1;
        } else if !text[..at].ends_with('@') {
            read += 1;
        }
    }
    let growing = count(&["HEX(", "TO_BASE64(", "QUOTE(", "REPEAT(", "REPLACE("]);
    let heavy = count(&["JSON_", "LOCATE(", "POSITION(", " LIKE "]);
    let kinds = [read, growing, heavy].iter().filter(|n| **n > 0).count();
    kinds < 2 && growing < 2 && read < 5 && (assigned < 2 || read == 0) && text.len() < 2000
}

/// A statement that does not qualify.
pub(crate) fn does_not(dice: &mut Dice) -> String {
    let bad = bad_value(dice);
    let text = match dice.index(12) {
        0 => bad_statement(dice),
        1 => bad_end(dice),
        2 => format!("SELECT {bad}"),
        3 => format!("SELECT {}, {bad} AS a", value(dice, 2)),
        4 => format!("{} UNION SELECT {bad}", query(dice, 2)),
        5 => format!("SELECT COALESCE({}, {bad})", value(dice, 1)),
        6 => format!("SELECT 1 WHERE {} OR {bad}", truth(dice, 1)),
        7 => format!("VALUES ({}, {bad})", number(dice, 1)),
        8 => format!("DO {bad}"),
        9 => format!("SET @a = {bad}"),
        10 => format!("SET sort_buffer_size = 65536, lc_time_names = {bad}"),
        _ => format!(
            "SELECT (SELECT CASE {} WHEN 1 THEN {bad} END)",
            number(dice, 1)
        ),
    };
    spaced(dice, &text)
}

/// Puts other white space and comments where a text has blanks outside of strings, names and comments.
fn spaced(dice: &mut Dice, text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut quote = None;
    let mut before = ' ';
    let mut comment = false;
    for char in text.chars() {
        comment = quote.is_none()
            && (comment || before == '/' && char == '*')
            && !(before == '*' && char == '/');
        quote = match quote {
            Some(open) if open == char => None,
            None if !comment && matches!(char, '\'' | '"' | '`') => Some(char),
            quote => quote,
        };
        if char == ' ' && quote.is_none() && !comment && dice.index(12) == 0 {
            out.push_str(dice.one_of(&[
                "\n",
                "\t ",
                "  ",
                "\r\n",
                " /* f() FROM t */ ",
                "/**/",
                " -- FROM t\n",
                " # ' FROM t\n",
            ]));
        } else {
            out.push(char);
        }
        before = char;
    }
    out
}

fn several(dice: &mut Dice, most: usize, one: fn(&mut Dice, usize) -> String) -> String {
    let all: Vec<_> = (0..=dice.index(most)).map(|_| one(dice, 2)).collect();
    all.join(dice.one_of(&[", ", ",", " , "]))
}

fn query(dice: &mut Dice, depth: usize) -> String {
    if depth > 1 && dice.index(6) == 0 {
        return compound(dice, depth - 1);
    }
    let distinct = dice.one_of(&["", "", "", "DISTINCT ", "ALL "]);
    let items: Vec<_> = (0..=dice.index(3)).map(|_| item(dice, depth)).collect();
    let from = dice.one_of(&["", "", "", " FROM DUAL"]);
    let filter = match dice.index(8) {
        0 => format!(" WHERE {}", truth(dice, 2)),
        1 => format!(" HAVING {}", truth(dice, 1)),
        _ => String::new(),
    };
    let order = dice.one_of(&["", "", "", "", " ORDER BY 1", " ORDER BY 1 DESC"]);
    let limit = limit(dice);
    format!(
        "{} {distinct}{}{from}{filter}{order}{limit}",
        dice.one_of(&["SELECT", "SELECT", "select", "Select"]),
        items.join(", ")
    )
}

fn limit(dice: &mut Dice) -> &'static str {
    dice.one_of(&[
        "",
        "",
        "",
        "",
        " LIMIT 1",
        " LIMIT 0",
        " LIMIT 0, 10",
        " limit 5 offset 0",
    ])
}

/// Two or three queries with as many columns.
fn compound(dice: &mut Dice, depth: usize) -> String {
    let columns = 1 + dice.index(2);
    let mut text = String::new();
    let mut weaker = false;
    for part in 0..2 + dice.index(2) {
        if part > 0 {
            let operators = [
                " UNION ",
                " UNION ALL ",
                " EXCEPT ",
                " union distinct ",
                " INTERSECT ",
            ];
            // behind a weaker operator it makes a derived table
            let some = operators.len() - usize::from(weaker);
            let operator = dice.one_of(&operators[..some]);
            weaker |= operator != " INTERSECT ";
            text += operator;
        }
        let items: Vec<_> = (0..columns).map(|_| number(dice, depth)).collect();
        let items = items.join(", ");
        text += &match dice.index(4) {
            0 => format!("(SELECT {items} LIMIT 1)"),
            _ => format!("SELECT {items}"),
        };
    }
    if columns > 1 {
        // rows with equal first columns have no order
        return text;
    }
    text + dice.one_of(&["", "", " ORDER BY 1", " ORDER BY 1 LIMIT 1"])
}

fn values(dice: &mut Dice, depth: usize) -> String {
    let columns = 1 + dice.index(3);
    let rows: Vec<_> = (0..=dice.index(2))
        .map(|_| {
            let row: Vec<_> = (0..columns).map(|_| number(dice, depth)).collect();
            format!("({})", row.join(", "))
        })
        .collect();
    format!("VALUES {}", rows.join(", "))
}

fn item(dice: &mut Dice, depth: usize) -> String {
    let value = value(dice, depth);
    let alias = match dice.index(4) {
        0 => dice.one_of(&[
            " AS a",
            " as `b c`",
            " AS 'd'",
            " AS now",
            " AS `t`",
            " AS ping",
            " a_1",
            " `FROM`",
            " AS total",
            " ok",
        ]),
        _ => "",
    };
    format!("{value}{alias}")
}

/// A value of any type.
fn value(dice: &mut Dice, depth: usize) -> String {
    match dice.index(7) {
        0 | 1 => number(dice, depth),
        2 | 3 => text(dice, depth),
        4 => date(dice, depth),
        5 => json(dice, depth),
        _ => match dice.index(3) {
            0 => truth(dice, depth),
            1 => of_session(dice),
            _ => format!("({})", truth(dice, depth)),
        },
    }
}

/// Something that the session knows.
fn of_session(dice: &mut Dice) -> String {
    dice.one_of(&[
        "@a",
        "@`b c`",
        "@'d'",
        "@e.f",
        "@@sql_mode",
        "@@SESSION.time_zone",
        "@@local.group_concat_max_len",
        "@@autocommit",
        "@@version",
        "@@version_comment",
        "@@foreign_key_checks",
        "@@character_set_client",
        "@@collation_connection",
        "@@tx_isolation",
        "VERSION()",
        "USER()",
        "CURRENT_USER()",
        "current_user",
        "CONNECTION_ID()",
        "session_user()",
        "LAST_INSERT_ID()",
    ])
    .to_owned()
}

fn number(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 || dice.index(4) == 0 {
        return dice
            .one_of(&[
                "0",
                "1",
                "2",
                "42",
                "1.5",
                ".25",
                "-7",
                "1e2",
                "0x1F",
                "b'101'",
                "NULL",
                "TRUE",
                "false",
                "1234567890",
            ])
            .to_owned();
    }
    let depth = depth - 1;
    match dice.index(16) {
        0..=3 => {
            let sign = dice.one_of(&["+", "-", "*", "/", "%", "DIV", "MOD", "<=>"]);
            format!("{} {sign} {}", number(dice, depth), number(dice, depth))
        }
        4 => {
            let sign = dice.one_of(&["&", "|", "^", ">>"]);
            format!("({} {sign} 3)", number(dice, depth))
        }
        5 => format!("({})", number(dice, depth)),
        6 => {
            let name = dice.one_of(&[
                "ABS",
                "SIGN",
                "FLOOR",
                "ceil",
                "ROUND",
                "SQRT",
                "COS",
                "BIT_COUNT",
            ]);
            format!("{name}({})", number(dice, depth))
        }
        7 => {
            let name = dice.one_of(&["LENGTH", "CHAR_LENGTH", "CRC32", "ASCII", "COERCIBILITY"]);
            format!("{name}({})", text(dice, depth))
        }
        8 => {
            let name = dice.one_of(&["YEAR", "DAYOFWEEK", "TO_DAYS", "WEEK", "QUARTER"]);
            format!("{name}({})", date(dice, depth))
        }
        9 => {
            let unit = dice.one_of(&["DAY", "HOUR", "YEAR_MONTH", "MICROSECOND"]);
            format!("EXTRACT({unit} FROM {})", date(dice, depth))
        }
        10 => {
            let unit = dice.one_of(&["DAY", "SECOND", "MONTH"]);
            format!(
                "TIMESTAMPDIFF({unit}, {}, {})",
                date(dice, depth),
                date(dice, depth)
            )
        }
        11 => {
            let name = dice.one_of(&["GREATEST", "LEAST", "COALESCE", "IFNULL", "NULLIF"]);
            format!("{name}({}, {})", number(dice, depth), number(dice, depth))
        }
        12 => format!(
            "CASE WHEN {} THEN {} ELSE {} END",
            truth(dice, depth),
            number(dice, depth),
            number(dice, depth)
        ),
        13 => {
            let kind = dice.one_of(&["SIGNED", "UNSIGNED INTEGER", "DECIMAL(20,3)", "DOUBLE"]);
            format!("CAST({} AS {kind})", dice.one_of(&["1", "'12'", "2.5"]))
        }
        14 => {
            let name = dice.one_of(&["MAX", "MIN", "COUNT"]);
            format!("(SELECT {name}({}))", number(dice, depth))
        }
        _ => {
            let part = text(dice, depth);
            match dice.index(3) {
                0 => format!("POSITION('a' IN {part})"),
                1 => format!("LOCATE('b', {part})"),
                _ => format!("FIELD({part}, 'a', 'b')"),
            }
        }
    }
}

fn text(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 || dice.index(4) == 0 {
        return dice
            .one_of(&[
                "''",
                "'a'",
                "'it''s'",
                "'FROM t'",
                "'f(), `x`'",
                "'a' 'b'",
                "'grün'",
                "'-- x'",
                "'/* x'",
                "x'41'",
                "N'n'",
                "'%'",
                "NULL",
                "_utf8mb4'ü'",
                "_utf8mb4 x'41'",
            ])
            .to_owned();
    }
    let depth = depth - 1;
    match dice.index(14) {
        0..=1 => format!(
            "CONCAT({}, {})",
            text(dice, depth),
            value_as_text(dice, depth)
        ),
        2 => {
            let name = dice.one_of(&[
                "UPPER", "lower", "REVERSE", "TRIM", "LTRIM", "QUOTE", "SOUNDEX",
            ]);
            format!("{name}({})", text(dice, depth))
        }
        3 => {
            let name = dice.one_of(&["MD5", "SHA1", "HEX", "TO_BASE64", "CHARSET", "COLLATION"]);
            format!("{name}({})", text(dice, depth))
        }
        4 => format!("SHA2({}, 256)", text(dice, depth)),
        5 => {
            let name = dice.one_of(&["LEFT", "RIGHT", "REPEAT", "SUBSTRING"]);
            format!("{name}({}, 2)", text(dice, depth))
        }
        6 => format!("SUBSTRING({} FROM 2 FOR 3)", text(dice, depth)),
        7 => format!(
            "TRIM({} 'a' FROM {})",
            dice.one_of(&["BOTH", "LEADING", "trailing"]),
            text(dice, depth)
        ),
        8 => format!("REPLACE({}, 'a', 'b')", text(dice, depth)),
        9 => format!("IF({}, {}, 'no')", truth(dice, depth), text(dice, depth)),
        10 => format!("FORMAT({}, 2)", number(dice, depth)),
        11 => format!("DATE_FORMAT({}, '%Y-%m %W')", date(dice, depth)),
        12 => format!("CONVERT({} USING utf8mb4)", text(dice, depth)),
        _ => match dice.index(5) {
            0 => format!("CAST({} AS CHAR(10))", number(dice, depth)),
            1 => "CHAR(77, 121 USING utf8mb4)".to_owned(),
            2 => "INET6_NTOA(INET6_ATON('::1'))".to_owned(),
            3 => "'a' COLLATE utf8mb4_bin".to_owned(),
            _ => format!("(SELECT {})", text(dice, depth)),
        },
    }
}

fn value_as_text(dice: &mut Dice, depth: usize) -> String {
    if dice.index(2) == 0 {
        number(dice, depth)
    } else {
        text(dice, depth)
    }
}

fn date(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 || dice.index(3) == 0 {
        return dice
            .one_of(&[
                "'2024-02-29'",
                "DATE '2024-02-29'",
                "TIMESTAMP'2024-02-29 12:00:01.5'",
                "'2024-12-31 23:59:59'",
                "MAKEDATE(2024, 60)",
                "FROM_DAYS(739000)",
                "NULL",
            ])
            .to_owned();
    }
    let depth = depth - 1;
    match dice.index(7) {
        0 => {
            let unit = dice.one_of(&["DAY", "MONTH", "SECOND", "MINUTE", "YEAR"]);
            let sign = dice.one_of(&["+", "-"]);
            format!(
                "{} {sign} INTERVAL {} {unit}",
                date(dice, 0),
                dice.one_of(&["1", "'2'", "(1 + 1)"])
            )
        }
        1 => format!(
            "DATE_ADD({}, INTERVAL '1:2' MINUTE_SECOND)",
            date(dice, depth)
        ),
        2 => format!("LAST_DAY({})", date(dice, depth)),
        3 => format!("DATE({})", date(dice, depth)),
        4 => format!("TIMESTAMPADD(HOUR, 3, {})", date(dice, depth)),
        5 => "STR_TO_DATE('2024,5,1', GET_FORMAT(DATE, 'ISO'))".to_owned(),
        _ => format!("CAST({} AS DATETIME(3))", date(dice, depth)),
    }
}

fn json(dice: &mut Dice, depth: usize) -> String {
    let name = dice.one_of(&[
        "JSON_VALID",
        "JSON_COMPACT",
        "JSON_TYPE",
        "JSON_LENGTH",
        "JSON_KEYS",
    ]);
    match dice.index(4) {
        0 => format!("JSON_OBJECT('a', {})", number(dice, depth.min(1))),
        1 => format!(
            "JSON_EXTRACT('{{\"a\": [1, 2]}}', '$.a[{}]')",
            dice.index(3)
        ),
        2 => format!("JSON_ARRAY({}, {})", number(dice, 0), text(dice, 0)),
        _ => format!("{name}('{{\"k\": {}}}')", dice.index(9)),
    }
}

fn truth(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return dice.one_of(&["1", "TRUE", "1 = 1", "0", "NULL"]).to_owned();
    }
    let depth = depth - 1;
    match dice.index(10) {
        0..=2 => {
            let sign = dice.one_of(&["=", "<>", "!=", "<", "<=", ">", ">=", "<=>"]);
            format!("{} {sign} {}", number(dice, depth), number(dice, depth))
        }
        3 => {
            let sign = dice.one_of(&["AND", "OR", "XOR", "&&"]);
            format!("({}) {sign} ({})", truth(dice, depth), truth(dice, depth))
        }
        4 => format!("NOT ({})", truth(dice, depth)),
        5 => format!(
            "{} IS {}",
            number(dice, 0),
            dice.one_of(&["NULL", "NOT NULL", "TRUE", "NOT UNKNOWN"])
        ),
        6 => format!(
            "{} {} (1, 2, NULL)",
            number(dice, 0),
            dice.one_of(&["IN", "NOT IN"])
        ),
        7 => format!(
            "{} {} 1 AND {}",
            number(dice, 0),
            dice.one_of(&["BETWEEN", "NOT BETWEEN"]),
            number(dice, 0)
        ),
        8 => format!(
            "'abc' {} {}",
            dice.one_of(&["LIKE", "NOT LIKE"]),
            dice.one_of(&["'a%'", "'a|%' ESCAPE '|'"])
        ),
        _ => dice
            .one_of(&[
                "EXISTS (SELECT 1)",
                "1 IN (SELECT 1)",
                "1 IN (VALUES (1), (2))",
                "(1, 2) = (1, 2)",
            ])
            .to_owned(),
    }
}

fn set(dice: &mut Dice) -> String {
    let parts: Vec<_> = (0..=dice.index(2)).map(|_| assignment(dice)).collect();
    format!("{} {}", dice.one_of(&["SET", "set"]), parts.join(", "))
}

fn assignment(dice: &mut Dice) -> String {
    let equals = dice.one_of(&["=", " = ", ":=", " := "]);
    if dice.index(3) == 0 {
        let name = dice.one_of(&VARIABLES);
        return format!("{name}{equals}{}", value(dice, 2));
    }
    if dice.index(5) == 0 {
        return dice
            .one_of(&[
                "NAMES utf8mb4",
                "NAMES 'latin1'",
                "NAMES utf8mb4 COLLATE utf8mb4_bin",
                "names utf8",
            ])
            .to_owned();
    }
    let scope = dice.one_of(&["", "", "SESSION ", "local ", "@@", "@@session.", "@@LOCAL."]);
    let assigned = dice.one_of(&[
        "foreign_key_checks|0",
        "foreign_key_checks|ON",
        "unique_checks|OFF",
        "sql_safe_updates|1",
        "group_concat_max_len|2048",
        "group_concat_max_len|1000 * 5",
        "time_zone|'+02:00'",
        "time_zone|SYSTEM",
        "time_zone|DEFAULT",
        "sql_select_limit|DEFAULT",
        "sql_mode|''",
        "sql_mode|CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
        "sql_mode|TRADITIONAL",
        "lock_wait_timeout|50",
        "div_precision_increment|6",
        "lc_time_names|'de_DE'",
        "default_week_format|(SELECT 3)",
        "character_set_results|NULL",
        "character_set_results|utf8mb4",
        "collation_connection|utf8mb4_bin",
        "default_storage_engine|InnoDB",
        "tx_isolation|'READ-COMMITTED'",
        "SQL_NOTES|@@sql_notes",
    ]);
    let (name, value) = assigned.split_once('|').unwrap_or((assigned, "DEFAULT"));
    format!("{scope}{name}{equals}{value}")
}

fn show(dice: &mut Dice) -> String {
    dice.one_of(&[
        "SHOW VARIABLES LIKE 'sql_mode'",
        "show session variables like 'character_set_client'",
        "SHOW LOCAL VARIABLES LIKE 'version%'",
        "SHOW VARIABLES WHERE Variable_name = 'time_zone'",
        "SHOW VARIABLES WHERE Variable_name IN ('sql_mode', 'autocommit')",
        "SHOW VARIABLES WHERE Variable_name = 'license' OR `Variable_name` LIKE 'tx%' OR (variable_name = 'x')",
        "SHOW CHARACTER SET",
        "SHOW CHARSET LIKE 'utf8%'",
        "SHOW CHARACTER SET WHERE Charset = 'utf8mb4' AND Maxlen = 4",
        "SHOW COLLATION",
        "SHOW COLLATION LIKE 'utf8mb4_uni%'",
        "SHOW COLLATION WHERE Charset = 'latin1' AND `Default` = 'Yes'",
        "SHOW ENGINES",
        "SHOW STORAGE ENGINES",
        "SHOW WARNINGS",
        "SHOW WARNINGS LIMIT 5",
        "SHOW ERRORS LIMIT 0, 5",
        "SHOW COUNT(*) WARNINGS",
        "SHOW COUNT(*) ERRORS",
    ])
    .to_owned()
}
