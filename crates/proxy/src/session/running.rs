//! The running command.

use dormouse_session::ValuePatch;
use dormouse_session::steps::Steps;
use dormouse_session::timeout::Timeout;

use super::context::SessionContext;
use crate::client::Incoming;

/// A command for the server, with what is needed until its reply has ended.
pub(super) struct Running {
    pub(super) incoming: Incoming,
    /// The client's id of the prepared statement that the command names.
    pub(super) statement: Option<u32>,
    /// What to change in its answer.
    pub(super) edit: Option<Edit>,
    /// Whether its text may tell ids of connections.
    pub(super) tells: bool,
    /// The client's text, if another one has taken its place for that; or the value that was [taken](Edit::Take).
    pub(super) kept: Option<Box<[u8]>>,
    /// Whether it reads or sets `wait_timeout`.
    pub(super) timeout: Option<Timeout>,
    /// The command's text, if needed after it has run.
    pub(super) noted: Option<Vec<u8>>,
    /// Decides which step is next; counts attempts.
    pub(super) steps: Steps,
}

/// A change of a server's answer.
pub(super) enum Edit {
    /// The values of its only row.
    Row(Vec<ValuePatch>),
    /// Its rows are connections: their ids and addresses are replaced by those that clients know.
    Processes,
    /// It is a text that names connections.
    EngineStatus,
    /// The client does not get it, unless it is an error: the only value is [kept](Running::kept).
    Take,
}

impl Running {
    pub(super) fn new(cx: &SessionContext, incoming: Incoming, statement: Option<u32>) -> Self {
        Self {
            incoming,
            statement,
            edit: None,
            tells: false,
            kept: None,
            timeout: None,
            noted: None,
            steps: Steps::new(cx.limits().hold_timeout),
        }
    }
}
