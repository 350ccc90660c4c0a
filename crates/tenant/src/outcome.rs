//! What the client is answered.

/// A warning or note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Note`, `Warning` or `Error`.
    pub level: String,
    /// The number.
    pub code: u16,
    /// The text.
    pub message: String,
}

/// The result of a mediated statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done(Vec<Condition>),
    /// Its rows; `None` is NULL.
    Rows {
        /// The columns' names.
        columns: Vec<String>,
        /// The rows.
        rows: Vec<Vec<Option<Vec<u8>>>>,
    },
    /// The server refused it, or Dormouse did.
    Failed {
        /// The number.
        code: u16,
        /// The SQLSTATE.
        state: String,
        /// The text.
        message: String,
    },
    /// The caller manages nothing, or not this: the statement is the server's to judge.
    NotAManager,
}
