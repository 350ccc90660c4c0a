//! Judges `SET`: which variables it sets, and whether running it again would set the same values.

use super::effect::{Effects, Replay};
use super::words::{changes_parsing, is_suspect};
use crate::lexer::{Lexer, Mode, Token};

/// Variables whose session value `information_schema.SYSTEM_VARIABLES` does not show.
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
    // the next two follow the schema
    "CHARACTER_SET_DATABASE",
    "COLLATION_DATABASE",
];

/// Functions whose result depends only on their arguments.
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

pub(super) fn of_set(text: &[u8], mut lexer: Lexer<'_>) -> Effects {
    if sets_user_variables(lexer.clone()) {
        return Effects::Replay(Replay {
            parsing: false,
            relative: false,
            schema: false,
        });
    }
    let mut replay = Replay {
        parsing: false,
        relative: false,
        schema: false,
    };
    let mut ended = false;
    let mut hidden = false;
    let mut global = false;
    let mut next = false;
    let mut several = false;
    let mut first = true;
    // whether the tokens are part of a value, in which @@GLOBAL is only read
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
            Token::Other(b',') if depth == 0 => {
                value = false;
                several = true;
            }
            Token::UserVariable => return Effects::Unknown,
            Token::SystemVariable => {
                replay.relative = true;
                next |= !value && lexer.clone().next().is_some_and(|name| is_of_next(&name));
            }
            Token::Semicolon => ended = true,
            Token::Word(_) if first && token.is("STATEMENT") => {
                // SET STATEMENT … FOR … restores the variables, but the statement may do anything
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
                    // a password is not part of the session's state
                    (false, None) => Effects::None,
                    (false, Some(_)) => Effects::Unknown,
                };
            }
            // SET CHARACTER SET takes a character set from the schema
            Token::Word(_) if first && (token.is("CHARACTER") || token.is("CHARSET")) => {
                return Effects::Unknown;
            }
            Token::Word(_) if token.is("GLOBAL") => global |= !value,
            Token::Word(word) | Token::Quoted(word, _) => {
                replay.parsing |= changes_parsing(word);
                hidden |= is_hidden(&token);
                // a query of a table may give another value later
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
    } else if hidden && sets_timestamp(text, lexer.mode()) {
        Effects::Timestamp
    } else if hidden || next && several {
        Effects::HiddenVariable
    } else if next {
        Effects::NextTransaction
    } else if global {
        // the probe finds what else the same SET has changed
        Effects::Unknown
    } else {
        Effects::Replay(replay)
    }
}

/// Whether the tokens after `SET` give literals to user variables, and do nothing else: run again, they give the same
/// values.
pub(crate) fn sets_user_variables(mut lexer: Lexer<'_>) -> bool {
    loop {
        let assigns = match (lexer.next(), lexer.next()) {
            (Some(Token::UserVariable), Some(Token::Other(b'='))) => true,
            (Some(Token::UserVariable), Some(Token::Other(b':'))) => {
                lexer.next() == Some(Token::Other(b'='))
            }
            _ => false,
        };
        let mut value = lexer.next();
        while let Some(Token::Other(b'-' | b'+')) = value {
            value = lexer.next();
        }
        let literal = match value {
            Some(Token::Number(_) | Token::Bits(_) | Token::Text(..) | Token::National(_)) => true,
            Some(word) => word.is_any(&["NULL", "TRUE", "FALSE"]),
            None => false,
        };
        if !assigns || !literal || lexer.is_versioned() {
            return false;
        }
        match lexer.next() {
            Some(Token::Other(b',')) => {}
            Some(Token::Semicolon) => {
                return lexer.all(|token| token == Token::Semicolon) && !lexer.is_versioned();
            }
            None => return !lexer.is_versioned(),
            Some(_) => return false,
        }
    }
}

/// Whether `@@name` without a scope is set for the next transaction only.
fn is_of_next(token: &Token<'_>) -> bool {
    const NAMES: [&str; 4] = [
        "TX_ISOLATION",
        "TX_READ_ONLY",
        "TRANSACTION_ISOLATION",
        "TRANSACTION_READ_ONLY",
    ];
    NAMES.iter().any(|name| token.names(name))
}

fn is_hidden(token: &Token<'_>) -> bool {
    HIDDEN.iter().any(|hidden| token.names(hidden))
}

/// Whether one of several statements, or one in a block, sets a variable that no probe can read.
pub(super) fn sets_hidden(text: &[u8], mode: Mode) -> bool {
    const BEFORE: [&str; 5] = ["ATOMIC", "BEGIN", "THEN", "ELSE", "DO"];
    let mut last = Token::Semicolon;
    let mut setting = false;
    for token in Lexer::new(text, mode) {
        let begins = last == Token::Semicolon || last.is_any(&BEFORE);
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
fn sets_timestamp(text: &[u8], mode: Mode) -> bool {
    let tokens: Vec<_> = Lexer::new(text, mode)
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
    let plain = |number: &[u8]| {
        let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        number.iter().all(digits) && !number.starts_with(b".") && !number.ends_with(b".")
    };
    match value {
        [word] if word.is("DEFAULT") => true,
        [Token::Number(number)] => plain(number),
        _ => false,
    }
}

/// Whether `(` after this token begins the call of a function that may return another value later.
fn calls(before: &Token<'_>) -> bool {
    matches!(before, Token::Word(_) | Token::Quoted(..)) && !before.is_any(&PURE)
}
