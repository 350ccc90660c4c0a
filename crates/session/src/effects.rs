//! What a statement may do to the state of its session, judged by its text.
//!
//! A judgement errs towards "may": what is overlooked here (a stored function that sets a
//! variable) is still found by the [probe](crate::probe) before a park, and lost only if the
//! server is killed.

use crate::lexer::{Lexer, Token};

/// What a statement, once it has succeeded, did to its session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effects {
    /// Nothing that outlives it.
    None,
    /// Nothing but `FOUND_ROWS()` or `LAST_INSERT_ID()`, in a way its reply does not tell.
    Counted,
    /// It changed session variables, the role or the schema, and running the same text on a session
    /// in the former state makes the same change.
    Replay(Replay),
    /// `SET TRANSACTION`: holds until the next transaction begins.
    NextTransaction,
    /// `SET timestamp` to a literal: it cannot be read back, but set again.
    Timestamp,
    /// It set a variable whose session value cannot be read back.
    HiddenVariable,
    /// It may have changed anything: the session must be probed.
    Unknown,
}

/// What a replayable statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Whether it also changes how later statements are parsed: SQL mode or character set.
    pub parsing: bool,
    /// Whether its outcome depends on the value a variable had before, as `CONCAT(@@sql_mode, …)`.
    pub relative: bool,
    /// Whether it is `USE`.
    pub schema: bool,
}

/// What kind of statement a text begins with, as far as it tells what the reply says of
/// `ROW_COUNT()` and `FOUND_ROWS()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `SELECT`: its rows are those found.
    Select,
    /// `INSERT`, `UPDATE`, …, `SET`, `COMMIT`, …: it finds no rows.
    Change,
    /// Anything else.
    Other,
}

impl Kind {
    /// Judges by the first word.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        const CHANGES: [&str; 11] = [
            "INSERT",
            "UPDATE",
            "DELETE",
            "REPLACE",
            "SET",
            "USE",
            "BEGIN",
            "START",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT",
        ];
        match Lexer::new(text).next() {
            Some(first) if first.is("SELECT") => Self::Select,
            Some(first) if CHANGES.iter().any(|word| first.is(word)) => Self::Change,
            _ => Self::Other,
        }
    }
}

/// Variables with no session value to read in `information_schema.SYSTEM_VARIABLES`.
const HIDDEN: [&str; 16] = [
    "TIMESTAMP",
    "INSERT_ID",
    "RAND_SEED1",
    "RAND_SEED2",
    "PSEUDO_THREAD_ID",
    "SQL_LOG_BIN",
    "SQL_LOG_OFF",
    "SKIP_REPLICATION",
    "GTID_SEQ_NO",
    "GTID_DOMAIN_ID",
    "SERVER_ID",
    "SKIP_PARALLEL_REPLICATION",
    "PSEUDO_SLAVE_MODE",
    "DEFAULT_MASTER_CONNECTION",
    // and those that follow the schema
    "CHARACTER_SET_DATABASE",
    "COLLATION_DATABASE",
];

/// Functions of their arguments alone, in values to which variables are set.
const PURE: [&str; 8] = [
    "CONCAT",
    "CONCAT_WS",
    "REPLACE",
    "TRIM",
    "IF",
    "IFNULL",
    "COALESCE",
    "CAST",
];

/// Words after which the session may hold something that is not a variable.
const SUSPECT: [&str; 12] = [
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "DEALLOCATE",
    "TEMPORARY",
    "CALL",
    "EXECUTE",
    "PREPARE",
    "HANDLER",
    "BACKUP",
    "SETVAL",
    "XA",
];

impl Effects {
    /// Judges one text as sent with `COM_QUERY` or prepared with `COM_STMT_PREPARE`, read
    /// [in the default SQL mode](crate::quoting).
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        match Self::judge(text) {
            Self::Unknown if sets_hidden(text) => Self::HiddenVariable,
            effects => effects,
        }
    }

    fn judge(text: &[u8]) -> Self {
        let mut lexer = Lexer::new(text);
        let Some(first) = lexer.next() else {
            return Self::None;
        };
        if first.is("SET") {
            return of_set(text, lexer);
        }
        if first.is("USE") {
            let name = matches!(lexer.next(), Some(Token::Word(_) | Token::Quoted(_)));
            let one = name && lexer.all(|token| token == Token::Semicolon);
            let replay = Replay {
                parsing: false,
                relative: false,
                schema: true,
            };
            return if one {
                Self::Replay(replay)
            } else {
                Self::Unknown
            };
        }
        // it may be the current one
        let mut second = lexer.clone();
        if first.is("DROP")
            && second
                .next()
                .is_some_and(|second| second.is("DATABASE") || second.is("SCHEMA"))
        {
            return Self::Unknown;
        }
        if (first.is("PREPARE") || first.is("EXECUTE")) && names_unreadable(text) {
            return Self::HiddenVariable;
        }
        if is_suspect(&first) || first.is("LOCK") || first.is("UNLOCK") || first.is("FLUSH") {
            return Self::Unknown;
        }
        of_other(&first, lexer)
    }

    /// Judges a text of which only the beginning has been seen.
    #[must_use]
    pub fn of_beginning(text: &[u8]) -> Self {
        let mut lexer = Lexer::new(text);
        match (lexer.next(), lexer.next()) {
            (Some(first), Some(Token::UserVariable)) if first.is("SET") => Self::Unknown,
            (Some(first), _) if first.is("SET") || first.is("PREPARE") => Self::HiddenVariable,
            _ => Self::Unknown,
        }
    }
}

/// Whether a text that begins so changes user variables only by `:=` or, if it is a `SELECT`, by
/// `INTO`.
fn only_reads_variables(first: &Token<'_>) -> bool {
    const WORDS: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "DO"];
    WORDS.iter().any(|word| first.is(word))
}

fn of_other(first: &Token<'_>, mut lexer: Lexer<'_>) -> Effects {
    let select = first.is("SELECT");
    let reads = only_reads_variables(first);
    let mut ended = false;
    let mut counted = false;
    let mut variable = false;
    let mut into = false;
    // LAST_INSERT_ID followed by an argument sets it
    let mut sets_id = 0;
    // how many tokens have come since LIMIT: FOUND_ROWS() counts rows that an offset leaves out,
    // and those of a whole UNION
    let mut limit = usize::MAX;
    for token in lexer.by_ref() {
        sets_id = match (sets_id, token) {
            (_, Token::Word(_)) if token.is("LAST_INSERT_ID") => 1,
            (1, Token::Other(b'(')) => 2,
            (2, token) => {
                counted |= token != Token::Other(b')');
                0
            }
            _ => 0,
        };
        match token {
            Token::UserVariable if !reads => return Effects::Unknown,
            Token::UserVariable => variable = true,
            Token::Semicolon => ended = true,
            // a second statement in the same text
            _ if ended => return Effects::Unknown,
            _ if is_suspect(&token) => return Effects::Unknown,
            // of `:=`; nothing else that is common has it
            Token::Other(b':') => return Effects::Unknown,
            Token::Word(word) => {
                into |= select && word.eq_ignore_ascii_case(b"INTO");
                counted |= !select && word.eq_ignore_ascii_case(b"SELECT")
                    || word.eq_ignore_ascii_case(b"SQL_CALC_FOUND_ROWS")
                    || word.eq_ignore_ascii_case(b"OFFSET")
                    || word.eq_ignore_ascii_case(b"UNION");
                if word.eq_ignore_ascii_case(b"LIMIT") {
                    limit = 0;
                }
            }
            Token::Other(b',') => counted |= limit == 2,
            _ => {}
        }
        limit = limit.saturating_add(1);
    }
    if variable && into || lexer.is_versioned() {
        Effects::Unknown
    } else if counted {
        Effects::Counted
    } else {
        Effects::None
    }
}

fn is_suspect(token: &Token<'_>) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    // every suspect word has 2 to 17 letters and begins with one of these
    (2..=17).contains(&word.len())
        && word
            .first()
            .is_some_and(|b| b"GTCEPHBSXRD".contains(&b.to_ascii_uppercase()))
        && SUSPECT
            .iter()
            .any(|suspect| word.eq_ignore_ascii_case(suspect.as_bytes()))
}

/// Whether a text, inside a literal too, names what no probe can read.
fn names_unreadable(text: &[u8]) -> bool {
    ["TRANSACTION", "RAND_SEED"].iter().any(|name| {
        let mut places = text.windows(name.len());
        places.any(|place| place.eq_ignore_ascii_case(name.as_bytes()))
    })
}

fn is_hidden(token: &Token<'_>) -> bool {
    let (Token::Word(name) | Token::Quoted(name)) = token else {
        return false;
    };
    HIDDEN
        .iter()
        .any(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes()))
}

/// Whether one of several statements, or of a block, sets what no probe can read.
fn sets_hidden(text: &[u8]) -> bool {
    const BEFORE: [&str; 5] = ["ATOMIC", "BEGIN", "THEN", "ELSE", "DO"];
    let mut last = Token::Semicolon;
    let mut setting = false;
    for token in Lexer::new(text) {
        let begins = last == Token::Semicolon || BEFORE.iter().any(|word| last.is(word));
        if begins && token.is("CREATE") {
            return false;
        }
        setting = match token {
            Token::Semicolon => false,
            _ if begins => token.is("SET"),
            _ if last.is("SET") && setting && token.is("STATEMENT") => false,
            _ if last.is("SET") && setting && token.is("TRANSACTION") => return true,
            _ => setting,
        };
        if setting && is_hidden(&token) {
            return true;
        }
        last = token;
    }
    false
}

/// Whether a text is `SET timestamp = NUMBER` or `= DEFAULT` and nothing else.
fn sets_timestamp(text: &[u8]) -> bool {
    let tokens: Vec<_> = Lexer::new(text)
        .filter(|token| !matches!(token, Token::SystemVariable | Token::Semicolon))
        .filter(|token| !token.is("SESSION") && *token != Token::Other(b':'))
        .collect();
    let value = match tokens.as_slice() {
        [_, name, Token::Other(b'='), value @ ..] if name.is("TIMESTAMP") => value,
        [_, Token::Other(b'.'), name, Token::Other(b'='), value @ ..] if name.is("TIMESTAMP") => {
            value
        }
        _ => return false,
    };
    let digits = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    match value {
        [word] if word.is("DEFAULT") => true,
        [Token::Word(whole)] => digits(whole),
        [Token::Word(whole), Token::Other(b'.'), Token::Word(part)] => {
            digits(whole) && digits(part)
        }
        _ => false,
    }
}

fn of_set(text: &[u8], mut lexer: Lexer<'_>) -> Effects {
    let mut replay = Replay {
        parsing: false,
        relative: false,
        schema: false,
    };
    let mut ended = false;
    let mut hidden = false;
    let mut global = false;
    let mut first = true;
    // whether what follows is a value, where @@GLOBAL is only read
    let mut value = false;
    let mut depth = 0_usize;
    let mut last = Token::Semicolon;
    while let Some(token) = lexer.next() {
        if ended {
            return Effects::Unknown;
        }
        match token {
            Token::Other(b'(') if calls(&last) => return Effects::Unknown,
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => depth = depth.saturating_sub(1),
            Token::Other(b'=') => value = true,
            Token::Other(b',') if depth == 0 => value = false,
            Token::UserVariable => return Effects::Unknown,
            Token::SystemVariable => replay.relative = true,
            Token::Semicolon => ended = true,
            Token::Word(_) if first && token.is("STATEMENT") => {
                // SET STATEMENT … FOR … puts everything back
                return Effects::Unknown;
            }
            Token::Word(_) if first && (token.is("PASSWORD") || token.is("TRANSACTION")) => {
                let more = lexer
                    .by_ref()
                    .skip_while(|token| *token != Token::Semicolon)
                    .nth(1);
                return match (token.is("TRANSACTION"), more) {
                    (true, None) if !lexer.is_versioned() => Effects::NextTransaction,
                    (true, _) => Effects::HiddenVariable,
                    // a password is no session state
                    (false, None) => Effects::None,
                    (false, Some(_)) => Effects::Unknown,
                };
            }
            // it takes a character set from the schema
            Token::Word(_) if first && (token.is("CHARACTER") || token.is("CHARSET")) => {
                return Effects::Unknown;
            }
            Token::Word(_) if token.is("GLOBAL") => global |= !value,
            Token::Word(word) | Token::Quoted(word) => {
                replay.parsing |= changes_parsing(word);
                hidden |= is_hidden(&token);
                // what a table holds may be different later
                if is_suspect(&token) || token.is("FROM") {
                    return Effects::Unknown;
                }
            }
            _ => {}
        }
        first = false;
        last = token;
    }
    if lexer.is_versioned() {
        Effects::HiddenVariable
    } else if hidden && sets_timestamp(text) {
        Effects::Timestamp
    } else if hidden {
        Effects::HiddenVariable
    } else if global {
        // what else stands in the same SET is found by the probe
        Effects::Unknown
    } else {
        Effects::Replay(replay)
    }
}

/// Whether a bracket behind this token is that of a call whose value may be another one later.
fn calls(before: &Token<'_>) -> bool {
    matches!(before, Token::Word(_) | Token::Quoted(_)) && !PURE.iter().any(|name| before.is(name))
}

fn changes_parsing(word: &[u8]) -> bool {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    is("SQL_MODE")
        || is("NAMES")
        || is("CHARSET")
        || is("CHARACTER")
        || is("CHARACTER_SET_CLIENT")
        || is("CHARACTER_SET_CONNECTION")
        || is("COLLATION_CONNECTION")
}

/// Whether a text of unknown effect speaks of the SQL mode or of character sets. (A procedure's
/// own SQL mode ends with it, `sp_head::execute`.)
pub(crate) fn may_change_parsing(text: &[u8]) -> bool {
    Lexer::new(text).any(|token| matches!(token, Token::Word(word) if changes_parsing(word)))
}

/// Whether a text, run in a transaction, may have ended it: anything but one plain query or change
/// of rows. (Triggers and functions cannot commit; procedures, DDL and `COMMIT` can.)
#[must_use]
pub fn may_commit(text: &[u8]) -> bool {
    const PLAIN: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"];
    let mut tokens = Lexer::new(text);
    let plain = tokens
        .next()
        .is_some_and(|first| PLAIN.iter().any(|word| first.is(word)));
    !plain
        || tokens
            .skip_while(|token| *token != Token::Semicolon)
            .any(|t| t != Token::Semicolon)
}

/// Whether a text names a character set in which a `\` may be the second half of a character, so that
/// a quote behind it is not escaped.
pub(crate) fn names_double_bytes(text: &[u8]) -> bool {
    ["SJIS", "CP932", "GBK", "BIG5"].iter().any(|name| {
        let mut places = text.windows(name.len());
        places.any(|place| place.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// Whether a text of unknown effect may take a lock that outlives it, or run another text that does.
pub(crate) fn may_lock(text: &[u8]) -> bool {
    const WORDS: [&str; 7] = [
        "GET_LOCK", "LOCK", "HANDLER", "FLUSH", "BACKUP", "CALL", "EXECUTE",
    ];
    Lexer::new(text).any(|token| WORDS.iter().any(|word| token.is(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Replay = Replay {
        parsing: false,
        relative: false,
        schema: false,
    };

    #[test]
    fn a_statement_is_judged_by_its_text() {
        let parsing = Effects::Replay(Replay {
            parsing: true,
            ..PLAIN
        });
        let table = [
            ("", Effects::None),
            ("SELECT 1", Effects::None),
            ("select * from t where mail = 'a@b.c'", Effects::None),
            ("INSERT INTO t VALUES (1)", Effects::None),
            ("SELECT @@version", Effects::None),
            ("SELECT @a := 1", Effects::Unknown),
            ("SELECT 1 INTO @x", Effects::Unknown),
            ("SELECT @x, @y + 1", Effects::None),
            ("INSERT INTO t VALUES (@x)", Effects::None),
            ("INSERT INTO t SELECT @x := @x + 1", Effects::Unknown),
            ("LOAD DATA INFILE 'f' INTO TABLE t (@x)", Effects::Unknown),
            (
                "WITH c AS (SELECT 1) SELECT 1 INTO @x FROM c",
                Effects::Unknown,
            ),
            ("SELECT GET_LOCK('a', 1)", Effects::Unknown),
            ("create temporary table t (i int)", Effects::Unknown),
            ("CREATE TABLE temporary_things (i int)", Effects::None),
            ("CALL p()", Effects::Unknown),
            ("DROP DATABASE d", Effects::Unknown),
            ("DROP TABLE d", Effects::None),
            ("SELECT 1; SELECT 2", Effects::Unknown),
            ("SELECT 1;  ", Effects::None),
            ("FLUSH TABLES WITH READ LOCK", Effects::Unknown),
            ("LOCK TABLES t READ", Effects::Unknown),
            (
                "USE shop",
                Effects::Replay(Replay {
                    schema: true,
                    ..PLAIN
                }),
            ),
            (
                "use `my shop`;",
                Effects::Replay(Replay {
                    schema: true,
                    ..PLAIN
                }),
            ),
            ("USE a; DROP TABLE b", Effects::Unknown),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", parsing),
            ("SET autocommit=0", Effects::Replay(PLAIN)),
            ("SET ROLE r", Effects::Replay(PLAIN)),
            ("SET time_zone='+00:00'", Effects::Replay(PLAIN)),
            (
                "set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES')",
                Effects::Replay(Replay {
                    parsing: true,
                    relative: true,
                    schema: false,
                }),
            ),
            ("SET @a = 1", Effects::Unknown),
            ("SET timestamp = 1", Effects::Timestamp),
            ("SET @@session.timestamp = 1.5;", Effects::Timestamp),
            ("SET timestamp = DEFAULT", Effects::Timestamp),
            ("SET `timestamp` = 5", Effects::HiddenVariable),
            ("SET sql_select_limit = (SELECT n FROM t)", Effects::Unknown),
            ("SET sql_select_limit = f()", Effects::Unknown),
            (
                "SET time_zone = IF(1, '+01:00', 'UTC')",
                Effects::Replay(PLAIN),
            ),
            ("SET CHARACTER SET utf8mb4", Effects::Unknown),
            ("SET PASSWORD = 'a'; SELECT @x := 1", Effects::Unknown),
            (
                "SET TRANSACTION READ ONLY; SELECT 1",
                Effects::HiddenVariable,
            ),
            ("SET TRANSACTION READ ONLY;", Effects::NextTransaction),
            ("SET @a = 1, sql_log_bin = 0", Effects::HiddenVariable),
            ("SELECT 1; SET timestamp = 5", Effects::HiddenVariable),
            ("BEGIN; SET TRANSACTION READ ONLY", Effects::HiddenVariable),
            (
                "BEGIN NOT ATOMIC SET insert_id = 5; END",
                Effects::HiddenVariable,
            ),
            ("SET STATEMENT timestamp = 5 FOR SELECT 1", Effects::Unknown),
            ("UPDATE t SET timestamp = (@x := 5)", Effects::Unknown),
            (
                "CREATE PROCEDURE p() BEGIN SET timestamp = 5; END",
                Effects::Unknown,
            ),
            (
                "PREPARE p FROM 'set transaction read only'",
                Effects::HiddenVariable,
            ),
            ("USE 'text'", Effects::Unknown),
            ("SELECT 2*/*'*/(@x:=5)/*'*/", Effects::Unknown),
            (
                "/*!50701 ' */ SELECT @x := 5 /*!50701 ' */",
                Effects::Unknown,
            ),
            ("SELECT 1 /*!50701 /* a */ ' */ + 1", Effects::None),
            (
                "/*!110400 ' */ SELECT @x := 5 /*!110400 ' */",
                Effects::Unknown,
            ),
            ("/*M!100100 SELECT */ 1", Effects::None),
            ("SELECT i FROM t LIMIT 5", Effects::None),
            ("SELECT i FROM t LIMIT 5, 5", Effects::Counted),
            ("SELECT i FROM t LIMIT 5 OFFSET 5", Effects::Counted),
            ("SET timestamp = UNIX_TIMESTAMP()", Effects::HiddenVariable),
            (
                "SET timestamp = 1, time_zone = 'UTC'",
                Effects::HiddenVariable,
            ),
            ("SELECT SQL_CALC_FOUND_ROWS * FROM t", Effects::Counted),
            ("INSERT INTO t SELECT * FROM u", Effects::Counted),
            ("UPDATE t SET i = LAST_INSERT_ID(i + 1)", Effects::Counted),
            ("SELECT LAST_INSERT_ID( )", Effects::None),
            ("SELECT (SELECT 1)", Effects::None),
            ("UNLOCK TABLES", Effects::Unknown),
            ("SELECT RELEASE_LOCK('a')", Effects::Unknown),
            ("SET SESSION sql_log_bin=0", Effects::HiddenVariable),
            ("SET GLOBAL max_connections=10", Effects::Unknown),
            ("SET a = 1, GLOBAL b = 1", Effects::Unknown),
            (
                "SET a = CONCAT(@@GLOBAL.a, 1), time_zone = 'x'",
                Effects::Replay(Replay {
                    relative: true,
                    ..PLAIN
                }),
            ),
            ("SET TRANSACTION READ ONLY", Effects::NextTransaction),
            (
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                Effects::Replay(PLAIN),
            ),
            ("SET PASSWORD = PASSWORD('x')", Effects::None),
            (
                "SET STATEMENT max_statement_time=1 FOR SELECT 1",
                Effects::Unknown,
            ),
            ("SET x=1; SELECT 1", Effects::Unknown),
            ("/*!40101 SET NAMES utf8 */", parsing),
        ];
        for (text, expected) in table {
            assert_eq!(Effects::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn only_one_plain_statement_surely_leaves_the_transaction_open() {
        for text in [
            "SELECT 1",
            " insert into t values (1);",
            "/* c */ UPDATE t SET a = ';'",
        ] {
            assert!(!may_commit(text.as_bytes()), "{text}");
        }
        for text in [
            "COMMIT",
            "SELECT 1; COMMIT",
            "CREATE TABLE t (i INT)",
            "CALL p()",
            "",
            "BEGIN",
        ] {
            assert!(may_commit(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_statement_that_is_not_seen_to_its_end_may_do_anything() {
        for (text, expected) in [
            ("INSERT INTO t VALUES (1,", Effects::Unknown),
            ("SET @json = '{", Effects::Unknown),
            ("SET TRANSACTION /*", Effects::HiddenVariable),
            ("PREPARE p FROM 'SELECT ", Effects::HiddenVariable),
        ] {
            assert_eq!(Effects::of_beginning(text.as_bytes()), expected, "{text}");
        }
    }
}
