//! Judges by its text what a statement may do to the state of its session.
//!
//! In doubt a judgement is [`Effects::Unknown`]. A change that no text shows and the server does not report (a stored
//! function that takes a lock) is found by the [probe](crate::probe): in a database that has such code, each statement
//! that [may run stored code](may_run_stored_code) leaves the state in doubt.
//!
//! Called by `proxy` through [`SessionState::judge`](crate::SessionState::judge).

mod effect;
mod outside;
pub(crate) mod set;
pub(crate) mod sql_mode;
mod stored;
pub(crate) mod words;

use crate::lexer::{Lexer, Mode, Token};
use set::{of_set, sets_hidden};
use words::{is_suspect, names_unreadable};

pub use effect::{Effects, Kind, Replay};
pub use outside::{
    commits_alone, flushes_privileges, may_change_rights, may_commit, may_set_globals,
};
pub use stored::{may_change_stored_code, may_run_stored_code};

impl Effects {
    /// Judges one text as sent with `COM_QUERY` or prepared with `COM_STMT_PREPARE`.
    #[must_use]
    pub fn of(text: &[u8], mode: Mode) -> Self {
        match judge(text, mode) {
            Self::Unknown if sets_hidden(text, mode) => Self::HiddenVariable,
            effects => effects,
        }
    }

    /// Judges a text of which only the beginning is known.
    #[must_use]
    pub fn of_beginning(text: &[u8]) -> Self {
        let mut lexer = Lexer::new(text, Mode::default());
        match (lexer.next(), lexer.next()) {
            (Some(first), Some(Token::UserVariable)) if first.is("SET") => Self::Unknown,
            (Some(first), _) if first.is("SET") || first.is("PREPARE") => Self::HiddenVariable,
            _ => Self::Unknown,
        }
    }
}

fn judge(text: &[u8], mode: Mode) -> Effects {
    let mut lexer = Lexer::new(text, mode);
    let Some(first) = lexer.next() else {
        return Effects::None;
    };
    if first.is("SET") {
        return of_set(text, lexer);
    }
    if first.is("USE") {
        let name = matches!(lexer.next(), Some(Token::Word(_) | Token::Quoted(..)));
        let one = name && lexer.all(|token| token == Token::Semicolon);
        let replay = Replay {
            parsing: false,
            relative: false,
            schema: true,
        };
        return if one {
            Effects::Replay(replay)
        } else {
            Effects::Unknown
        };
    }
    // the dropped schema may be the current one
    let mut second = lexer.clone();
    if first.is("DROP")
        && second
            .next()
            .is_some_and(|second| second.is("DATABASE") || second.is("SCHEMA"))
    {
        return Effects::Unknown;
    }
    if (first.is("PREPARE") || first.is("EXECUTE")) && names_unreadable(text) {
        return Effects::HiddenVariable;
    }
    if is_suspect(&first) || first.is("LOCK") || first.is("UNLOCK") || first.is("FLUSH") {
        return Effects::Unknown;
    }
    of_other(&first, lexer)
}

/// Whether a statement with this first word changes user variables only by `:=` or, if it is a
/// `SELECT`, by `INTO`.
fn only_reads_variables(first: &Token<'_>) -> bool {
    first.is_any(&["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "DO"])
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
    // the number of tokens since LIMIT: FOUND_ROWS() counts the rows that an offset skips, and those of
    // a whole UNION
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
            // part of `:=`; rare elsewhere
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

#[cfg(test)]
mod tests;
