//! Judges by its text whether a statement may run code that the server stores, or change which code it stores.

use super::effect::{Effects, Kind};
use crate::lexer::{Lexer, Mode, Token, contains};

/// First words of statements that run no stored code, whatever follows.
const RUN_NONE: [&str; 9] = [
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "USE",
    "KILL",
    "HELP",
];

/// Functions of the server that clients call without a table. A stored function of such a name is only called with
/// its schema's name in front.
const BUILT_IN: [&str; 26] = [
    "CAST",
    "CHARSET",
    "COALESCE",
    "COLLATION",
    "CONCAT",
    "CONNECTION_ID",
    "CONVERT",
    "CONVERT_TZ",
    "CURDATE",
    "CURRENT_ROLE",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DATABASE",
    "FOUND_ROWS",
    "IF",
    "IFNULL",
    "LAST_INSERT_ID",
    "NOW",
    "ROW_COUNT",
    "SCHEMA",
    "SESSION_USER",
    "SLEEP",
    "UNIX_TIMESTAMP",
    "USER",
    "UTC_TIMESTAMP",
    "VERSION",
];

/// Whether a statement may run stored code: a function, a trigger, a view, a column's default. In doubt yes.
#[must_use]
pub fn may_run_stored_code(text: &[u8], mode: Mode) -> bool {
    let mut tokens = Lexer::new(text, mode);
    let Some(first) = tokens.next() else {
        return false;
    };
    if first.is_any(&RUN_NONE) {
        return false;
    }
    // a SHOW has expressions, but no tables of its own to read
    let reads = !first.is_any(&["SHOW", "SET"]);
    if reads && !first.is_any(&["SELECT", "DO"]) {
        return true;
    }
    let mut name = None;
    let mut before = None;
    for token in tokens {
        if reads && token.is("FROM") || !reads && token.is("SELECT") {
            return true;
        }
        if token == Token::Other(b'(') && calls(name, before) {
            return true;
        }
        before = name.replace(token);
    }
    false
}

/// Whether a parenthesis behind these two tokens, of which `name` is the nearer one, may call a function that is
/// stored.
fn calls(name: Option<Token<'_>>, before: Option<Token<'_>>) -> bool {
    let qualified = before == Some(Token::Other(b'.'));
    match name {
        Some(name @ Token::Word(_)) => qualified || !name.is_any(&BUILT_IN),
        Some(Token::Quoted(..)) => true,
        _ => false,
    }
}

/// Whether a text of this kind, with these effects, may create, alter or drop stored code, also through a text that
/// it contains. A call of a procedure that does so is recognised by the [probe](crate::Probe::created_code).
#[must_use]
pub fn may_change_stored_code(text: &[u8], kind: Kind, effects: Effects) -> bool {
    const WHAT: [&str; 5] = ["FUNCTION", "PROCEDURE", "TRIGGER", "PACKAGE", "VIEW"];
    let may = kind == Kind::Other || matches!(effects, Effects::Unknown | Effects::HiddenVariable);
    may && !crate::lexer::begins_with(text, &["SHOW"])
        && WHAT.iter().any(|word| contains(text, word))
        && ["CREATE", "ALTER", "DROP"]
            .iter()
            .any(|word| contains(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_may_run_stored_code_is_recognised() {
        for text in [
            "SELECT f()",
            "SELECT 1, s.version()",
            "SELECT `f` (1)",
            "SELECT f/* */(1)",
            "DO f()",
            "SELECT * FROM t",
            "SELECT (SELECT i FROM t)",
            "INSERT INTO t VALUES (1)",
            "UPDATE t SET i = 1",
            "DELETE FROM t",
            "REPLACE t VALUES (1)",
            "LOAD DATA INFILE 'a' INTO TABLE t",
            "WITH a AS (SELECT 1) SELECT f() FROM a",
            "(SELECT f())",
            "CREATE TABLE u SELECT * FROM v",
            "ALTER TABLE t ADD COLUMN j INT DEFAULT 1",
            "EXPLAIN SELECT f()",
            "SHOW TABLES WHERE f(1)",
            "VALUES (f())",
            "TABLE v",
            "SET time_zone = f()",
        ] {
            assert!(
                may_run_stored_code(text.as_bytes(), Mode::default()),
                "{text}"
            );
        }
        for text in [
            "",
            "SELECT 1",
            "SELECT VERSION(), DATABASE(), @@version",
            "SELECT CONCAT(CURRENT_USER(), (1 + 1))",
            "SELECT 'f()', \"FROM\"",
            "DO 1",
            "BEGIN",
            "START TRANSACTION READ ONLY",
            "COMMIT",
            "ROLLBACK TO SAVEPOINT a",
            "SAVEPOINT a",
            "SET autocommit = 1",
            "SHOW TABLES FROM s",
            "USE s",
        ] {
            assert!(
                !may_run_stored_code(text.as_bytes(), Mode::default()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_may_change_stored_code_is_recognised() {
        let judge = |text: &str| {
            let text = text.as_bytes();
            may_change_stored_code(text, Kind::of(text), Effects::of(text, Mode::default()))
        };
        for text in [
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "create or replace definer = u trigger t BEFORE INSERT ON s FOR EACH ROW SET @a = 1",
            "DROP FUNCTION IF EXISTS f",
            "ALTER VIEW v AS SELECT 1",
            "/*!50001 CREATE VIEW v AS SELECT 1 */",
            "CREATE PACKAGE BODY p AS END",
            "PREPARE a FROM 'CREATE PROCEDURE p() SELECT 1'",
            "EXECUTE IMMEDIATE 'DROP PROCEDURE p'",
            "SELECT 1; CREATE VIEW v AS SELECT 1",
            "CALL run('CREATE FUNCTION f() RETURNS INT RETURN 1')",
        ] {
            assert!(judge(text), "{text}");
        }
        for text in [
            "SHOW CREATE VIEW v",
            "SELECT 'CREATE FUNCTION f'",
            "INSERT INTO t VALUES ('CREATE FUNCTION f')",
            "CREATE TABLE t (i INT)",
            "DROP TEMPORARY TABLE t",
            "CALL p()",
        ] {
            assert!(!judge(text), "{text}");
        }
    }
}
