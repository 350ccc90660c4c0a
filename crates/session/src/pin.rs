//! Why a session cannot leave its backend.

use std::fmt;

/// A piece of session state that lives in one server connection and cannot be restored on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pin {
    /// A transaction is open.
    Transaction,
    /// `SET TRANSACTION` without `SESSION` waits for the next transaction.
    TransactionCharacteristics,
    /// A temporary table or sequence may exist.
    TemporaryTable,
    /// `LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`, `BACKUP LOCK`, an open `HANDLER` or a lock
    /// taken with `GET_LOCK`.
    Lock,
    /// A user variable is set.
    UserVariable,
    /// A statement was prepared with SQL's own `PREPARE`.
    TextPrepare,
    /// A cursor is open on a prepared statement.
    Cursor,
    /// Long data was sent for a prepared statement that has not run yet.
    LongData,
    /// A prepared statement was made under another SQL mode or character set than the present.
    PreparedContext,
    /// A prepared statement's text is too large to be kept.
    PreparedText,
    /// A variable without a readable session value was set: `timestamp`, `insert_id`, `rand_seed1`,
    /// `pseudo_thread_id`, `sql_log_bin`, …
    HiddenVariable,
    /// The session's state could not be read.
    Unreadable,
}

impl Pin {
    /// The name used in the ledger, in metrics and in errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::TransactionCharacteristics => "transaction_characteristics",
            Self::TemporaryTable => "temporary_table",
            Self::Lock => "lock",
            Self::UserVariable => "user_variable",
            Self::TextPrepare => "text_prepare",
            Self::Cursor => "cursor",
            Self::LongData => "long_data",
            Self::PreparedContext => "prepared_context",
            Self::PreparedText => "prepared_text",
            Self::HiddenVariable => "hidden_variable",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Pin {
    /// What ends it, in words for the session's owner.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Transaction => "ends with COMMIT or ROLLBACK",
            Self::TransactionCharacteristics => "ends with the next transaction",
            Self::TemporaryTable => "ends with DROP TEMPORARY TABLE or a reset",
            Self::Lock => "ends with UNLOCK TABLES, RELEASE_ALL_LOCKS(), HANDLER ... CLOSE",
            Self::UserVariable => "ends with a reset of the connection",
            Self::TextPrepare => "ends with DEALLOCATE PREPARE",
            Self::Cursor => "ends when its last row is fetched, or the statement is closed",
            Self::LongData => "ends when the statement is executed, reset or closed",
            Self::PreparedContext => {
                "ends when the statements prepared before SET NAMES are closed"
            }
            Self::PreparedText => "ends when the statement with the long text is closed",
            Self::HiddenVariable => "ends with a reset of the connection",
            Self::Unreadable => "the session's state could not be read; a reset ends it",
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
