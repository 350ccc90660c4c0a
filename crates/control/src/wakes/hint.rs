//! What to change so that a database is woken less often.

use dormouse_policy::schedule::Due;
use dormouse_types::WokenBy;

use super::kind::Kind;

const HEALTH_CHECK: &str = "a health check that reads a table: use SELECT 1, which wakes nothing";
const NO_TABLE: &str =
    "it reads no table: for a health check use SELECT 1 or a ping, which wake nothing";
const MONITOR: &str = "it looks at the server, as monitoring programs do: name their user in never_wakes of the configuration";
const LOGIN: &str = "a login that makes its user or its schema, or whose accounts were lost in a crash; further logins wake nothing";
const COMMAND: &str = "a command that only the server can answer; a ping wakes nothing";
const DATA: &str =
    "it needs the data: if it only polls, let it run less often, or together with others";
const UNKNOWN: &str = "a statement that is not known";
const ORDER: &str = "an order: it wakes the database as often as it is given";
const CREATED: &str = "a new database is awake until it is idle";
const TIMETABLE: &str = "its timetable: change it with dormouse set NAME --keep-awake";
const PATTERN: &str = "its habits: dormouse set NAME --prewake false turns this off";
const EVENT: &str =
    "an event of the server: give it a longer interval, or SET GLOBAL event_scheduler = OFF";
const OTHER: &str = "not a client: dormouse events shows the reason";

/// What to change, for people.
pub(crate) fn of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Statement { statement, .. } => of_statement(statement),
        Kind::Unknown => UNKNOWN,
        Kind::Order(_) => ORDER,
        Kind::Created => CREATED,
        Kind::Due(Due::Timetable) => TIMETABLE,
        Kind::Due(Due::Pattern) => PATTERN,
        Kind::Due(Due::Event) => EVENT,
        Kind::Other(_) => OTHER,
    }
}

fn of_statement(digest: &str) -> &'static str {
    if digest == WokenBy::LOGIN {
        return LOGIN;
    }
    let upper = digest.to_ascii_uppercase();
    let words: Vec<&str> = upper.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let names = |name: &str| upper.contains(name);
    match words.as_slice() {
        ["COM_STATISTICS" | "COM_PROCESS_INFO", ..] => MONITOR,
        [command] if command.starts_with("COM_") => COMMAND,
        ["SHOW", "GLOBAL", ..]
        | [
            "SHOW",
            "STATUS" | "ENGINE" | "PROCESSLIST" | "FULL" | "BINARY" | "MASTER" | "SLAVE" | "ALL"
            | "REPLICA",
            ..,
        ] => MONITOR,
        _ if names("INFORMATION_SCHEMA.") || names("PERFORMANCE_SCHEMA.") || names("MYSQL.") => {
            MONITOR
        }
        ["SELECT", .., "FROM", "DUAL"] => NO_TABLE,
        ["SELECT", "?", "FROM", _] | ["SELECT", "?", "FROM", _, "LIMIT", "?"] => HEALTH_CHECK,
        [
            "SHOW",
            "VARIABLES" | "SESSION" | "WARNINGS" | "ERRORS" | "CHARACTER" | "COLLATION" | "ENGINES",
            ..,
        ]
        | ["SET" | "DO", ..] => NO_TABLE,
        ["SELECT", ..] if !has("FROM") => NO_TABLE,
        _ => DATA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_statement_has_its_hint() {
        for (digest, hint) in [
            ("SELECT ? FROM t", HEALTH_CHECK),
            ("select ? from shop.t limit ?", HEALTH_CHECK),
            ("SELECT ? FROM DUAL", NO_TABLE),
            ("SELECT a FROM t WHERE b = ?", DATA),
            ("INSERT INTO t VALUES (...)", DATA),
            ("SELECT NOW()", NO_TABLE),
            ("SET @a = ?", NO_TABLE),
            ("SHOW VARIABLES LIKE ?", NO_TABLE),
            ("SHOW GLOBAL STATUS", MONITOR),
            ("SHOW FULL PROCESSLIST", MONITOR),
            ("SELECT COUNT(*) FROM information_schema.TABLES", MONITOR),
            ("COM_STATISTICS", MONITOR),
            ("COM_INIT_DB", COMMAND),
            ("login", LOGIN),
            ("", DATA),
        ] {
            let statement = digest.to_owned();
            let kind = Kind::Statement {
                statement,
                account: String::new(),
            };
            assert_eq!(of(&kind), hint, "{digest}");
        }
    }
}
