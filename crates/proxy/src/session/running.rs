//! The running command.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::ValuePatch;
use dormouse_session::diagnostics::put_back::PutBack;
use dormouse_session::replay::Budget;
use dormouse_session::steps::Logged;
use dormouse_session::steps::Steps;
use dormouse_session::timeout::Timeout;
use dormouse_session::tls_status::TlsStatus;
use dormouse_types::{InstanceId, Trace};
use dormouse_wire::reply::ErrPacket;

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
    /// What the server's log will have of what it commits.
    pub(super) mark: Option<Mark>,
    /// How often its transaction was run again.
    pub(super) budget: Budget,
    /// The generation of the server that has ended while it ran; zero: none has.
    pub(super) ran_on: u64,
}

/// A commit on its way, of a transaction or of a change outside of one.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) trace: Trace,
    /// The server that it was sent to.
    pub(super) instance: InstanceId,
    pub(super) generation: u64,
    /// When, since 1970: the log must reach back to it.
    pub(super) sent: Duration,
}

impl Mark {
    /// The statement that is sent right before it.
    pub(super) fn before(&self) -> String {
        match &self.trace {
            Trace::Marked(marker) => marker.savepoint(),
            Trace::Behind { .. } => ASK_POSITION.to_owned(),
        }
    }

    /// Notes the reply to that: its error, if it was one.
    pub(super) fn answered(&mut self, error: Option<ErrPacket>) {
        // an error of the savepoint's own leaves the commit unmarked, not undone
        if let Trace::Behind { position, .. } = &mut self.trace {
            let told = error.filter(|error| error.code == SIGNALLED);
            *position = told.map(|error| error.message);
        }
    }

    /// What the log tells of it.
    pub(super) fn logged(&self) -> Logged {
        match self.trace {
            Trace::Marked(_) => Logged::Commit,
            Trace::Behind { .. } => Logged::Change,
        }
    }

    /// Whether it is a change outside of a transaction.
    pub(super) fn is_of_change(&self) -> bool {
        self.logged() == Logged::Change
    }
}

/// Asks where the log ends: what comes as the text of an error leaves `FOUND_ROWS()`, `LAST_INSERT_ID()`, `insert_id` and what
/// `SET TRANSACTION` has set as they are, which a query would not.
const ASK_POSITION: &str = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = @@GLOBAL.gtid_binlog_pos";

/// `ER_SIGNAL_EXCEPTION`.
const SIGNALLED: u16 = 1644;

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

    /// What the log of the server to which it was sent tells of it.
    pub(super) fn logged(&self) -> Logged {
        let mark = self.ends.as_ref().and_then(|ends| ends.mark.as_ref());
        mark.map_or(Logged::Nothing, Mark::logged)
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
