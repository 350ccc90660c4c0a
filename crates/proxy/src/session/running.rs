//! The running command.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::ValuePatch;
use dormouse_session::diagnostics::put_back::PutBack;
use dormouse_session::replay::Budget;
use dormouse_session::steps::Steps;
use dormouse_session::timeout::Timeout;
use dormouse_session::tls_status::TlsStatus;
use dormouse_types::{InstanceId, Marker};

use super::context::SessionContext;
use crate::client::Incoming;
use crate::handle::SessionHandle;

/// A command for the server, with what is needed until its reply has ended.
pub(super) struct Running {
    pub(super) incoming: Incoming,
    /// The client's id of the prepared statement that the command names.
    pub(super) statement: Option<u32>,
    /// What to change in its answer.
    pub(super) edit: Option<Edit>,
    /// Whether its answer may show the account.
    pub(super) shows_account: bool,
    /// Whether its text may tell ids of connections.
    pub(super) tells: bool,
    /// The client's text, if another one has taken its place for that; or the value that was [taken](Edit::Take).
    pub(super) kept: Option<Box<[u8]>>,
    /// The text that an `EXECUTE` runs.
    pub(super) executed: Option<Box<[u8]>>,
    /// The text that is prepared in the place of its prepared statement for this execution.
    pub(super) instead: Option<Box<[u8]>>,
    /// What is run before it, so that the backend has what it asks for, and the name of that.
    pub(super) put_back: Option<Box<(Vec<PutBack>, &'static str)>>,
    /// The session that it kills, by the server's id of its backend in the text. Taken out, and the command not sent, if
    /// the session has another backend then.
    pub(super) victim: Option<Box<(Arc<SessionHandle>, u32)>>,
    /// What is known for the case that its server ends.
    pub(super) ends: Option<Box<ServerEnds>>,
    /// Whether it reads or sets `wait_timeout`.
    pub(super) timeout: Option<Timeout>,
    /// The command's text, if needed after it has run.
    pub(super) noted: Option<Box<[u8]>>,
    /// Decides which step is next; counts attempts.
    pub(super) steps: Steps,
}

/// What is known of a command for the case that its server ends.
#[derive(Debug, Default)]
pub(super) struct ServerEnds {
    /// When it was sent, since 1970, if it is kept to be run again.
    pub(super) sent: Duration,
    /// What marks the transaction that it commits in the server's log.
    pub(super) mark: Option<Mark>,
    /// How often its transaction was run again.
    pub(super) budget: Budget,
    /// The generation of the server that has ended while it ran; zero: none has.
    pub(super) ran_on: u64,
}

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) marker: Marker,
    /// The server that it was sent to.
    pub(super) instance: InstanceId,
    pub(super) generation: u64,
    /// When, since 1970: the log must reach back to it.
    pub(super) sent: Duration,
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
    /// Its rows are status variables: the client's own TLS session.
    Tls(Box<TlsStatus>),
}

impl Running {
    /// What is known for the case that its server ends.
    pub(super) fn ends(&mut self) -> &mut ServerEnds {
        self.ends.get_or_insert_default()
    }

    /// Notes that the server of this generation has ended while it ran.
    pub(super) fn interrupted(&mut self, generation: u64) {
        let ends = self.ends();
        ends.ran_on = generation;
        ends.budget.interrupted();
    }

    /// The generation of the server that has ended while it ran; zero: none has.
    pub(super) fn ran_on(&self) -> u64 {
        self.ends.as_ref().map_or(0, |ends| ends.ran_on)
    }

    pub(super) fn new(cx: &SessionContext, incoming: Incoming, statement: Option<u32>) -> Self {
        Self {
            incoming,
            statement,
            edit: None,
            shows_account: false,
            tells: false,
            kept: None,
            executed: None,
            instead: None,
            put_back: None,
            victim: None,
            ends: None,
            timeout: None,
            noted: None,
            steps: Steps::new(cx.limits().hold_timeout),
        }
    }
}
