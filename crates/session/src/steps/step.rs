//! What a command's caller reports, and what it does next.

use std::time::Instant;

use dormouse_wire::reply::ErrPacket;

use crate::pin::Pin;

/// The result of the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing has been done yet.
    Begun,
    /// The database's restriction allows the command.
    Allowed,
    /// The restriction does not allow it.
    Restricted(ErrPacket),
    /// The door has given a pass to the server of this generation.
    Passed {
        /// The server's generation.
        generation: u64,
    },
    /// The door has given no pass: too many statements are held, the wait timed out, or the server cannot
    /// or may not be started.
    NotPassed(ErrPacket),
    /// A backend of the pass's server is in the session's state.
    Ready,
    /// The pass's server was gone, or was being stopped. The pass has been dropped and a wake requested.
    ServerGone {
        /// The present time.
        at: Instant,
    },
    /// The door is being shut while the session waits for a lease.
    Shutting,
    /// The session's last backend is gone, and with it this state, which no other backend can be given.
    /// The client does not know yet.
    SessionStateLost(Vec<Pin>),
    /// There is no backend for this command; the session continues.
    Refused(ErrPacket),
    /// The session's state cannot be restored on a backend.
    CannotRestore(ErrPacket),
    /// The command has all that it needs on this backend.
    Completed,
    /// The client has been answered without the server.
    Answered,
    /// The command cannot be completed.
    NotCompleted(ErrPacket),
    /// The connection to the backend broke before the command was sent.
    BackendBroke,
    /// The whole reply has been passed on.
    Replied,
    /// The client went away, or does not read.
    ClientLeft {
        /// Whether the server has the whole command and may be running it.
        running: bool,
    },
    /// The server sent something that is no reply to the command.
    Fault {
        /// Whether the client has got the beginning of a reply.
        delivered: bool,
    },
    /// The connection to the server broke after sending had begun.
    ConnectionLost {
        /// Whether the server is known not to have read the whole command.
        unread: bool,
        /// Whether the client has got the beginning of a reply.
        delivered: bool,
        /// Whether the whole command is still in memory.
        whole: bool,
        /// Whether the server runs on and has ended this connection alone: by `KILL`, or by a limit of its own. Asked
        /// only if the command may have been read, or if state is lost with the connection.
        alive: bool,
    },
    /// [`Step::Pause`], [`Step::EndStatement`] or [`Step::LoseBackend`] has been performed.
    Performed,
    /// [`Step::Interrupt`] has been performed.
    Interrupted {
        /// The state that was lost with the backend.
        pins: Vec<Pin>,
        /// Whether the command may have committed the open transaction.
        may_have_committed: bool,
        /// What the server's log tells of it.
        logged: Logged,
        /// Whether it only reads, outside of a transaction.
        reads: bool,
    },
    /// [`Step::Plan`] has been performed: what is lost can be run again, or why not.
    Planned(Result<(), String>),
    /// [`Step::Replay`] has been performed: the session is where it was when its server ended.
    Replayed,
    /// What is lost cannot be run again, for this reason.
    NotReplayed(String),
    /// [`Step::Resolve`] has been performed.
    Resolved(Outcome),
}

/// What the log of a server tells of a command that its end interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// Nothing.
    Nothing,
    /// Whether it has committed the open transaction, after which it can be run again for its reply.
    Commit,
    /// Whether it has committed what it changed itself, outside of a transaction. If not, it can be run again.
    Change,
}

/// What is to be run again on the next server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The transaction, and then the command.
    Transaction,
    /// The command alone, which only reads.
    Read,
    /// The command alone, which is known not to have changed anything.
    Change,
}

impl Again {
    /// What the client is told if it cannot be, for this reason.
    pub(super) fn failed(self, reason: String) -> Why {
        match self {
            Self::Transaction => Why::TransactionLost(reason),
            Self::Read => Why::OutcomeUnknown,
            Self::Change => Why::Undone(reason),
        }
    }
}

/// What became of a transaction whose commit was interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has committed.
    Committed,
    /// It has not, and never will.
    RolledBack,
    /// That cannot be known, for this reason.
    Unknown(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Drop the pass, if there is one, and check the restriction: a sleeping database is not woken
    /// for a command that may not run. → [`Event::Allowed`], [`Event::Restricted`]
    Begin,
    /// Ask the door for a pass. → [`Event::Passed`], [`Event::NotPassed`]
    EnterDoor,
    /// Check the restriction again: it may have changed while the command was held. →
    /// [`Event::Allowed`], [`Event::Restricted`]
    CheckAgain,
    /// Take a backend on the pass's server and restore the session's state on it. → [`Event::Ready`],
    /// [`Event::ServerGone`], [`Event::Shutting`], [`Event::SessionStateLost`], [`Event::Refused`],
    /// [`Event::CannotRestore`]
    MakeReady,
    /// Wait briefly. → [`Event::Performed`]
    Pause,
    /// Add to the command what this backend lacks, such as parameter types. → [`Event::Completed`],
    /// [`Event::Answered`], [`Event::NotCompleted`], [`Event::BackendBroke`]
    Complete,
    /// Send the command and pass the reply on. → [`Event::Replied`], [`Event::ClientLeft`],
    /// [`Event::Fault`], [`Event::ConnectionLost`]
    Send,
    /// Ask the server to kill the statement. → [`Event::Performed`]
    EndStatement,
    /// Drop the backend. → [`Event::Performed`]
    LoseBackend,
    /// Drop the backend and report the state that was lost. → [`Event::Interrupted`]
    Interrupt,
    /// Check whether this can be run again. → [`Event::Planned`]
    Plan(Again),
    /// Run the lost transaction again up to the command, or check whether the command alone may be run on this server. →
    /// [`Event::Replayed`], [`Event::NotReplayed`], [`Event::BackendBroke`]
    Replay(Again),
    /// Wait for another server, and ask its log whether the interrupted command has committed. → [`Event::Resolved`]
    Resolve,
    /// The reply has been passed on.
    Done,
    /// The command was not run; the client has its answer.
    Answered,
    /// The command was not run, or its outcome is not known: skip what has not been read of it and tell
    /// the client. The session continues.
    Refuse(Why),
    /// End the session, telling the client why if it can be told.
    End {
        /// What to tell the client.
        why: Option<Why>,
        /// Whether the command has not been sent: then the rest of it is to be skipped first.
        unsent: bool,
    },
}

/// Which error the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The error that the event carried.
    Given(ErrPacket),
    /// The server was not ready in time; the command was not run.
    HoldTimeout,
    /// The transaction was rolled back and could not be run again, for this reason.
    TransactionLost(String),
    /// The server died while the command ran.
    OutcomeUnknown,
    /// The server died while the command committed, and its log does not tell whether it has: the reason.
    Unresolved(String),
    /// The command has committed, but its reply is lost, and this state of the session.
    Committed(Vec<Pin>),
    /// The command has changed nothing, and could not be run again, for this reason.
    Undone(String),
    /// This state was lost with the backend.
    StateLost(Vec<Pin>),
    /// A server that is alive closed the connection on this command [`TRIES`](super::TRIES) times without reading it.
    Unread,
    /// The server sent something that is no reply to the command.
    OutOfTurn,
}

impl Step {
    pub(super) fn end(why: Option<Why>) -> Self {
        let unsent = false;
        Self::End { why, unsent }
    }

    pub(super) fn end_unsent(why: Why) -> Self {
        let (why, unsent) = (Some(why), true);
        Self::End { why, unsent }
    }

    pub(super) fn refuse(error: ErrPacket) -> Self {
        Self::Refuse(Why::Given(error))
    }
}
