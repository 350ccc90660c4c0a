//! The command that runs.

use dormouse_session::Put;
use dormouse_session::steps::Steps;
use dormouse_session::timeout::Timeout;

use super::context::Context;
use crate::client::Incoming;

/// A command for the server. It lives as long as the command and is dropped whole.
pub(super) struct Running {
    pub(super) incoming: Incoming,
    /// The client's id of the prepared statement that it is about.
    pub(super) statement: Option<u32>,
    /// What is to be changed in its answer.
    pub(super) edit: Option<Edit>,
    /// What it has to do with `wait_timeout`.
    pub(super) timeout: Option<Timeout>,
    /// Its text, if that matters when it has run.
    pub(super) noted: Option<Vec<u8>>,
    /// Where it is on its way, how long it waits yet, how often it was not read.
    pub(super) steps: Steps,
}

/// A change of a server's answer.
pub(super) enum Edit {
    /// This becomes of the values of its only row.
    Row(Vec<Put>),
    /// Its rows are connections, which clients know by other ids.
    Processes,
}

impl Running {
    pub(super) fn new(cx: &Context, incoming: Incoming, statement: Option<u32>) -> Self {
        Self {
            incoming,
            statement,
            edit: None,
            timeout: None,
            noted: None,
            steps: Steps::new(cx.limits().hold_timeout),
        }
    }
}
