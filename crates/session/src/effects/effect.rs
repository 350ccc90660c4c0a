//! What a statement does to its session: the result of a judgement.

use crate::lexer::first;

/// What a statement, once it has succeeded, did to its session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effects {
    /// Nothing that outlasts the statement.
    None,
    /// It may have changed only `FOUND_ROWS()` or `LAST_INSERT_ID()`, in a way that its reply does not show.
    Counted,
    /// It changed session variables, the role or the schema, and running the same text on a session
    /// in the former state makes the same change.
    Replay(Replay),
    /// `SAVEPOINT`: with `autocommit` off, no status flag may show that a transaction is open.
    Savepoint,
    /// `SET TRANSACTION`: holds until the next transaction begins.
    NextTransaction,
    /// `SET timestamp` to a literal: the value cannot be read back, but the statement can be repeated.
    Timestamp,
    /// It set a variable whose session value cannot be read back.
    HiddenVariable,
    /// It may have changed anything: the session's state must be read by a probe.
    Unknown,
}

/// What a replayable statement changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Whether it also changes how later statements are parsed: SQL mode or character set.
    pub parsing: bool,
    /// Whether its outcome depends on an earlier value, as with `CONCAT(@@sql_mode, …)`.
    pub relative: bool,
    /// Whether it is `USE`.
    pub schema: bool,
}

/// The kind of a statement, which decides what its reply says about `ROW_COUNT()` and `FOUND_ROWS()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `SELECT`: the rows of the reply are `FOUND_ROWS()`.
    Select,
    /// `INSERT`, `UPDATE`, …, `SET`, `COMMIT`, …: `FOUND_ROWS()` stays as it is.
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
