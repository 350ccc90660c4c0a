//! What a statement may do to the state of its session, judged by its text.
//!
//! A judgement errs towards "may": what is overlooked here (a stored function that sets a
//! variable) is still found by the [probe](crate::probe) before a park, and lost only if the
//! server is killed.

mod set;

use crate::lexer::{Lexer, Token};
use set::{changes_parsing, of_set, sets_hidden};

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
    /// `SAVEPOINT`: there may be no other sign of a transaction.
    Savepoint,
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
    } else if first.is("SAVEPOINT") {
        Effects::Savepoint
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

/// Whether a text of unknown effect speaks of the SQL mode or of character sets. (A procedure's
/// own SQL mode ends with it, `sp_head::execute`.)
pub(crate) fn may_change_parsing(text: &[u8]) -> bool {
    Lexer::new(text).any(|token| matches!(token, Token::Word(word) if changes_parsing(word)))
}

/// Whether a text with these effects may have set a global variable, also by a text within it. (One
/// that calls a procedure does not tell.)
#[must_use]
pub fn may_set_globals(text: &[u8], effects: Effects) -> bool {
    const GLOBAL: &[u8] = b"GLOBAL";
    let unclear = matches!(effects, Effects::Unknown | Effects::HiddenVariable);
    unclear
        && text
            .windows(GLOBAL.len())
            .any(|word| word.eq_ignore_ascii_case(GLOBAL))
}

/// Whether a text of this kind, with these effects, may have changed what accounts may do. (One that calls
/// a procedure does not tell.)
#[must_use]
pub fn may_change_rights(text: &[u8], kind: Kind, effects: Effects) -> bool {
    const WORDS: [&str; 7] = [
        "GRANT",
        "REVOKE",
        "ROLE",
        "USER",
        "PRIVILEGES",
        "PASSWORD",
        "MYSQL",
    ];
    let is = |token: Token<'_>| match token {
        Token::Word(word) | Token::Quoted(word) => WORDS
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known.as_bytes())),
        _ => false,
    };
    let mut tokens = Lexer::new(text);
    let set = tokens.clone().next().is_some_and(|first| first.is("SET"));
    match kind {
        Kind::Other => tokens.any(is),
        _ if set || effects == Effects::Unknown => tokens.any(is),
        // INSERT INTO mysql.…
        Kind::Change => tokens.take(6).any(is),
        Kind::Select => false,
    }
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

#[cfg(test)]
mod tests;
