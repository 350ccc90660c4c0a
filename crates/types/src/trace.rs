//! [`Trace`]: what the log of a server has of a statement that the server's end interrupted.

use crate::marker::Marker;

/// What the binary log of a server has of a statement, if that has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// A transaction that has a savepoint with this name.
    Marked(Marker),
    /// A transaction of this connection that stands behind this position.
    Behind {
        /// The connection, by its `CONNECTION_ID()`. It has been answered for all that it ran before.
        connection: u32,
        /// The log's last GTIDs when the statement was sent; `None`: they are not known.
        position: Option<String>,
    },
}
