//! [`Pin`]: why a session cannot leave its backend.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A piece of session state that lives in one server connection and cannot be restored on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// A transaction is open.
    Transaction,
    /// A temporary table or sequence may exist.
    TemporaryTable,
    /// `LOCK TABLES`, `BACKUP LOCK`, or an open `HANDLER`.
    TableLock,
    /// A lock taken with `GET_LOCK`.
    UserLock,
    /// `FLUSH TABLES WITH READ LOCK` or `BACKUP STAGE`.
    GlobalLock,
    /// User variables are too large to be stored, or one has a name that is not ASCII.
    UserVariable,
    /// A statement was prepared with SQL `PREPARE` from something other than a literal, by a
    /// procedure, or in another schema, SQL mode or character set than the current one.
    TextPrepare,
    /// A cursor is open on a prepared statement.
    Cursor,
    /// Long data was sent for a prepared statement that has not run yet.
    LongData,
    /// A statement was prepared under another SQL mode or character set than the current one.
    PreparedContext,
    /// A prepared statement's text is too large to be stored.
    PreparedText,
    /// A variable without a readable session value was set: `timestamp`, `insert_id`, `rand_seed1`,
    /// `pseudo_thread_id`, `sql_log_bin`, …
    HiddenVariable,
    /// `LASTVAL()` was called: a sequence's last value belongs to the connection.
    Sequence,
    /// Profiling or the optimizer trace is on.
    Profiling,
    /// The session's state could not be read.
    Unreadable,
}

impl Pin {
    /// Every pin.
    pub const ALL: [Self; 15] = [
        Self::Transaction,
        Self::TemporaryTable,
        Self::TableLock,
        Self::UserLock,
        Self::GlobalLock,
        Self::UserVariable,
        Self::TextPrepare,
        Self::Cursor,
        Self::LongData,
        Self::PreparedContext,
        Self::PreparedText,
        Self::HiddenVariable,
        Self::Sequence,
        Self::Profiling,
        Self::Unreadable,
    ];

    /// The name used in the ledger, in metrics and in errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::TemporaryTable => "temporary_table",
            Self::TableLock => "table_lock",
            Self::UserLock => "user_lock",
            Self::GlobalLock => "global_lock",
            Self::UserVariable => "user_variable",
            Self::TextPrepare => "text_prepare",
            Self::Cursor => "cursor",
            Self::LongData => "long_data",
            Self::PreparedContext => "prepared_context",
            Self::PreparedText => "prepared_text",
            Self::HiddenVariable => "hidden_variable",
            Self::Sequence => "sequence",
            Self::Profiling => "profiling",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Pin {
    /// What ends the pin, for the user of the session.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Transaction => "ends with COMMIT or ROLLBACK",
            Self::TemporaryTable => {
                "ends with DROP TEMPORARY TABLE; one that a procedure made, with a reset"
            }
            Self::TableLock => "ends with UNLOCK TABLES, BACKUP UNLOCK or HANDLER ... CLOSE",
            Self::UserLock => "ends with RELEASE_LOCK() of each, or RELEASE_ALL_LOCKS()",
            Self::GlobalLock => "ends with UNLOCK TABLES or BACKUP STAGE END",
            Self::UserVariable => "ends when they hold less (SET @x = NULL), or with a reset",
            Self::TextPrepare => "ends with a reset of the connection",
            Self::Cursor => "ends when its last row is fetched, or the statement is closed",
            Self::LongData => "ends when the statement is executed, reset or closed",
            Self::PreparedContext => {
                "ends when the statements prepared before SET NAMES are closed"
            }
            Self::PreparedText => "ends when the statement with the long text is closed",
            Self::HiddenVariable => "ends with a reset of the connection",
            Self::Sequence => "ends with a reset of the connection",
            Self::Profiling => "ends with the connection: no reset removes profiles or traces",
            Self::Unreadable => "the session's state could not be read; a reset ends it",
        }
    }
}

/// Pins by name, separated by commas.
#[must_use]
pub fn list(pins: &[Pin]) -> String {
    let names: Vec<_> = pins.iter().map(|pin| pin.as_str()).collect();
    names.join(", ")
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
