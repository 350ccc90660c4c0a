//! A transaction whose beginning was answered without the server.

use dormouse_wire::status::Status;

/// A transaction that the client was told is open. It is begun on the server in front of its first
/// statement that needs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deferred {
    pub(super) statement: Box<[u8]>,
    /// The status flags that it adds to answers.
    pub(super) status: Status,
}

impl Deferred {
    /// A transaction that this statement begins.
    pub(super) fn new(statement: &[u8], read_only: bool) -> Self {
        let status = if read_only {
            Status::IN_TRANS.with(Status::IN_TRANS_READONLY)
        } else {
            Status::IN_TRANS
        };
        Self {
            statement: statement.into(),
            status,
        }
    }
}
