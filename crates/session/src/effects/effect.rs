//! What a statement does to its session: the result of a judgement.

use crate::lexer::first;

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
        match first(text) {
            Some(first) if first.is("SELECT") => Self::Select,
            Some(first) if first.is_any(&CHANGES) => Self::Change,
            _ => Self::Other,
        }
    }
}
