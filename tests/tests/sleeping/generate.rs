//! Random statements that can all be answered while the database sleeps.

use dormouse_testkit::Dice;

use crate::script::{Action, Step};

/// A script of `length` steps.
pub(crate) fn script(dice: &mut Dice, length: usize) -> Vec<Step> {
    let session = 'a';
    (0..length)
        .map(|_| Step {
            session,
            action: action(dice),
        })
        .collect()
}

fn action(dice: &mut Dice) -> Action {
    let text = match dice.index(20) {
        0..=5 => {
            let items: Vec<_> = (0..=dice.index(3)).map(|_| item(dice)).collect();
            let end = dice.one_of(&["", "", " LIMIT 1", ";", " ; "]);
            format!(
                "SELECT {}{end}",
                items.join(dice.one_of(&[",", ", ", " , "]))
            )
        }
        6..=10 => {
            let parts: Vec<_> = (0..=dice.index(2)).map(|_| part(dice)).collect();
            format!("SET {}", parts.join(", "))
        }
        11 => dice
            .one_of(&["BEGIN", "START TRANSACTION", "begin work"])
            .to_owned(),
        12 => dice
            .one_of(&[
                "START TRANSACTION READ ONLY",
                "START TRANSACTION READ WRITE",
            ])
            .to_owned(),
        13 | 14 => dice
            .one_of(&["COMMIT", "ROLLBACK", "commit work", "ROLLBACK;"])
            .to_owned(),
        15 => dice
            .one_of(&["DO 1", "/* ping */", "/* a */ SELECT 1"])
            .to_owned(),
        16 => return Action::Ping,
        17 => return Action::Use("d".to_owned()),
        18 => dice
            .one_of(&["USE d", "use `d`", "USE information_schema"])
            .to_owned(),
        _ => return [Action::Ping, Action::Reset][dice.index(2)].clone(),
    };
    Action::Query(text)
}

fn item(dice: &mut Dice) -> String {
    let scope = dice.one_of(&["", "", "session.", "SESSION.", "global.", "local."]);
    let name = dice.one_of(&[
        "autocommit",
        "sql_mode",
        "time_zone",
        "wait_timeout",
        "max_allowed_packet",
        "tx_read_only",
        "tx_isolation",
        "character_set_client",
        "character_set_results",
        "collation_connection",
        "character_set_connection",
        "collation_server",
        "net_write_timeout",
        "long_query_time",
        "sql_select_limit",
        "default_storage_engine",
        "session_track_system_variables",
        "Foreign_Key_Checks",
    ]);
    let item = match dice.index(8) {
        // the global value is that of Dormouse
        0..=3 if name == "wait_timeout" => format!("@@{name}"),
        0..=3 => format!("@@{scope}{name}"),
        4 => dice.one_of(&["1", "0", "42", "123456789"]).to_owned(),
        5 => dice
            .one_of(&["'x'", "''", "'a b'", "'it is'", "'VERSION()'"])
            .to_owned(),
        6 => dice
            .one_of(&["VERSION()", "version()", "DATABASE()", "SCHEMA()"])
            .to_owned(),
        _ => dice
            .one_of(&[
                "@@version",
                "@@version_comment",
                "@@license",
                "@@system_time_zone",
                "@@init_connect",
            ])
            .to_owned(),
    };
    let alias = dice.one_of(&[
        "",
        "",
        "",
        " AS a",
        " as `b c`",
        " AS 'd'",
        " AS wait_timeout",
    ]);
    format!("{item}{alias}")
}

fn part(dice: &mut Dice) -> String {
    let scope = dice.one_of(&["", "SESSION ", "@@session.", "@@", "local "]);
    let equals = dice.one_of(&["=", " = ", ":="]);
    let (name, value) = match dice.index(11) {
        0 => {
            let names = [
                "NAMES utf8mb4",
                "NAMES latin1",
                "NAMES utf8",
                "NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci'",
                "NAMES utf8mb4 COLLATE utf8mb4_bin",
                "NAMES latin1 COLLATE latin1_bin",
                "NAMES utf8mb3 COLLATE utf8_unicode_ci",
                "NAMES ascii",
            ];
            return dice.one_of(&names).to_owned();
        }
        1 => (
            "sql_mode",
            dice.one_of(&[
                "''",
                "DEFAULT",
                "'STRICT_ALL_TABLES,no_zero_date'",
                "'NO_BACKSLASH_ESCAPES'",
            ]),
        ),
        2 => ("sql_mode", "CONCAT(@@sql_mode, ',ONLY_FULL_GROUP_BY')"),
        3 => (
            "time_zone",
            dice.one_of(&["'+00:00'", "'-12:59'", "'SYSTEM'", "DEFAULT", "'+05:30'"]),
        ),
        4 => ("wait_timeout", dice.one_of(&["1", "28800", "DEFAULT"])),
        5 => (
            "foreign_key_checks",
            dice.one_of(&["0", "1", "ON", "off", "TRUE"]),
        ),
        6 => (
            "character_set_results",
            dice.one_of(&["NULL", "utf8mb4", "'latin1'", "utf8mb3"]),
        ),
        7 => ("sql_select_limit", dice.one_of(&["1000", "DEFAULT"])),
        8 => ("max_statement_time", dice.one_of(&["30", "1.5", "0"])),
        9 => ("session_track_schema", dice.one_of(&["0", "1"])),
        _ => ("net_read_timeout", dice.one_of(&["5", "600"])),
    };
    format!("{scope}{name}{equals}{value}")
}
