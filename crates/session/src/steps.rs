//! State machine of a command that needs a server, without I/O and without a clock.
//!
//! ```text
//! restriction → pass at the door → backend ready → completed → sent → reply
//!      ▲                              │                │        │
//!      └── retry: server gone, door shutting, backend broken, command unread
//! ```
//!
//! The caller performs each [`Step`] and reports its result as an [`Event`]; [`Steps::next`] returns the
//! next step. A command ends with one of [`Step::Done`], [`Step::Answered`], [`Step::Refuse`] and
//! [`Step::End`].
//!
//! Invariants:
//! - a command is sent only while the caller holds a pass and its restriction has been checked since
//!   the pass was given;
//! - a command is sent again only if its server is known not to have read it, and at most [`TRIES`]
//!   times to one server; or, once, if it is known to have committed and does nothing else;
//! - an event that does not belong to the last step ends the session: nothing is sent.
//!
//! ```
//! use std::time::Duration;
//! use dormouse_session::steps::{Event, Step, Steps};
//!
//! let mut steps = Steps::new(Duration::from_secs(60));
//! assert_eq!(steps.next(Event::Begun), Step::Begin);
//! assert_eq!(steps.next(Event::Allowed), Step::EnterDoor);
//! assert_eq!(steps.next(Event::Passed { generation: 1 }), Step::CheckAgain);
//! assert_eq!(steps.next(Event::Allowed), Step::MakeReady);
//! assert_eq!(steps.next(Event::Ready), Step::Complete);
//! assert_eq!(steps.next(Event::Completed), Step::Send);
//! assert_eq!(steps.next(Event::Replied), Step::Done);
//! ```

use std::time::{Duration, Instant};

use dormouse_wire::reply::ErrPacket;

use crate::pin::Pin;

/// How often a command is sent to one server that closes its connections without having read it.
pub const TRIES: u8 = 3;

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
        /// Whether the server's log tells whether it has, after which it can be run again.
        marked: bool,
    },
    /// [`Step::Resolve`] has been performed.
    Resolved(Outcome),
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
    /// The transaction was rolled back.
    TransactionLost,
    /// The server died while the command ran.
    OutcomeUnknown,
    /// The server died while the command committed the transaction, and its log does not tell whether it has: the reason.
    Unresolved(String),
    /// The command has committed the transaction, but its reply is lost, and this state of the session.
    Committed(Vec<Pin>),
    /// This state was lost with the backend.
    StateLost(Vec<Pin>),
    /// A server that is alive closed the connection on this command [`TRIES`] times without reading it.
    Unread,
    /// The server sent something that is no reply to the command.
    OutOfTurn,
}

impl Step {
    fn end(why: Option<Why>) -> Self {
        let unsent = false;
        Self::End { why, unsent }
    }

    fn end_unsent(why: Why) -> Self {
        let (why, unsent) = (Some(why), true);
        Self::End { why, unsent }
    }

    fn refuse(error: ErrPacket) -> Self {
        Self::Refuse(Why::Given(error))
    }
}

/// The step whose event is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Awaiting {
    Start,
    Restriction,
    Pass,
    RestrictionAgain,
    Ready,
    Pause,
    Completed,
    Sent,
    StatementEnded,
    /// What became of the transaction, with the state that was lost.
    Resolved(Vec<Pin>),
    /// The backend is being dropped; then this step follows.
    BackendDropped(Box<Step>),
    Interrupted,
    /// The command is over.
    Nothing,
}

/// The state machine of one command.
#[derive(Debug)]
pub struct Steps {
    awaiting: Awaiting,
    /// How long a command is retried while its servers are gone (`hold_timeout`).
    patience: Duration,
    /// The end of that time; set when a server was gone for the first time.
    deadline: Option<Instant>,
    /// The server of the last pass, by its generation.
    generation: u64,
    /// Whether the command is known to have committed, and is run again for its reply alone.
    committed: bool,
    /// The generation of the last server that did not read the command, and the number of its attempts.
    unread: (u64, u8),
}

impl Steps {
    /// Begins a command. `patience` is how long it is retried while its servers are gone (`hold_timeout`).
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            awaiting: Awaiting::Start,
            patience,
            deadline: None,
            generation: 0,
            committed: false,
            unread: (0, 0),
        }
    }

    /// The step that follows this event.
    #[must_use]
    pub fn next(&mut self, event: Event) -> Step {
        let awaiting = std::mem::replace(&mut self.awaiting, Awaiting::Nothing);
        let step = match (awaiting, event) {
            (Awaiting::Start, Event::Begun) | (Awaiting::Pause, Event::Performed) => Step::Begin,
            (Awaiting::Restriction, Event::Allowed) => Step::EnterDoor,
            (Awaiting::Pass, Event::Passed { generation }) => {
                self.generation = generation;
                Step::CheckAgain
            }
            (Awaiting::RestrictionAgain, Event::Allowed) => Step::MakeReady,
            (Awaiting::Restriction | Awaiting::RestrictionAgain, Event::Restricted(error))
            | (Awaiting::Pass, Event::NotPassed(error))
            | (Awaiting::Ready, Event::Refused(error))
            | (Awaiting::Completed, Event::NotCompleted(error)) => Step::refuse(error),
            (Awaiting::Ready, Event::Ready) => Step::Complete,
            (Awaiting::Ready, Event::ServerGone { at }) => self.server_gone(at),
            (Awaiting::Ready, Event::Shutting) | (Awaiting::Completed, Event::BackendBroke) => {
                Step::Begin
            }
            (Awaiting::Ready, Event::SessionStateLost(pins)) => match pins.as_slice() {
                [Pin::Transaction] => Step::Refuse(Why::TransactionLost),
                _ => Step::end_unsent(Why::StateLost(pins)),
            },
            (Awaiting::Ready, Event::CannotRestore(error)) => Step::end_unsent(Why::Given(error)),
            (Awaiting::Completed, Event::Completed) => Step::Send,
            (Awaiting::Completed, Event::Answered) => Step::Answered,
            (Awaiting::Sent, Event::Replied) => Step::Done,
            (Awaiting::Sent, Event::ClientLeft { running: true }) => Step::EndStatement,
            (Awaiting::Sent, Event::ClientLeft { running: false })
            | (Awaiting::StatementEnded, Event::Performed)
            | (Awaiting::Sent, Event::Fault { delivered: true }) => self.lose(Step::end(None)),
            (Awaiting::Sent, Event::Fault { delivered: false }) => {
                self.lose(Step::end(Some(Why::OutOfTurn)))
            }
            (
                Awaiting::Sent,
                Event::ConnectionLost {
                    unread,
                    delivered,
                    whole,
                    alive,
                },
            ) => self.connection_lost(unread, delivered, whole, alive),
            (Awaiting::BackendDropped(next), Event::Performed) => *next,
            (
                Awaiting::Interrupted,
                Event::Interrupted {
                    pins, marked: true, ..
                },
            ) => {
                self.awaiting = Awaiting::Resolved(pins);
                Step::Resolve
            }
            (
                Awaiting::Interrupted,
                Event::Interrupted {
                    pins,
                    may_have_committed,
                    marked: false,
                },
            ) => interrupted(&pins, may_have_committed.then_some(Why::OutcomeUnknown)),
            (Awaiting::Resolved(pins), Event::Resolved(outcome)) => self.resolved(pins, outcome),
            _ => Step::end(None),
        };
        let step = if self.committed {
            committed(step)
        } else {
            step
        };
        // `lose` has set what follows the dropping, and `Resolve` what it awaits
        if !matches!(step, Step::LoseBackend | Step::Resolve) {
            self.awaiting = awaiting_after(&step);
        }
        step
    }

    /// It is known what became of the transaction, or that it cannot be known. A command that has committed is run again,
    /// to which the server replies as it would have done.
    fn resolved(&mut self, mut pins: Vec<Pin>, outcome: Outcome) -> Step {
        match outcome {
            Outcome::Committed => {
                self.committed = true;
                pins.retain(|pin| *pin != Pin::Transaction);
                match pins.is_empty() {
                    true => Step::Begin,
                    false => Step::end(Some(Why::Committed(pins))),
                }
            }
            Outcome::RolledBack => interrupted(&pins, None),
            Outcome::Unknown(reason) => interrupted(&pins, Some(Why::Unresolved(reason))),
        }
    }

    /// The server of the pass is gone: retries until the patience is over.
    fn server_gone(&mut self, at: Instant) -> Step {
        let deadline = *self.deadline.get_or_insert(at + self.patience);
        if at >= deadline {
            return Step::Refuse(Why::HoldTimeout);
        }
        Step::Pause
    }

    /// The connection broke after sending had begun. A command is sent again only if it is known unread and
    /// still in memory.
    fn connection_lost(&mut self, unread: bool, delivered: bool, whole: bool, alive: bool) -> Step {
        if whole && alive && !delivered {
            // the server has ended this connection alone (KILL, a limit of its own): so does Dormouse
            self.lose(Step::end(None))
        } else if unread && whole {
            self.send_again()
        } else if delivered {
            // the reply is cut short, and no error can be sent in the middle of it
            Step::end(None)
        } else if whole {
            Step::Interrupt
        } else {
            // what was passed on of a long command is not in memory; the client may still be sending the rest
            self.lose(Step::end(None))
        }
    }

    /// Counts a failed attempt on this server. After [`TRIES`] attempts the client gets an error, because
    /// the server is alive and closes the connection on this command.
    fn send_again(&mut self) -> Step {
        if self.unread.0 != self.generation {
            self.unread = (self.generation, 0);
        }
        self.unread.1 += 1;
        self.lose(match self.unread.1 {
            TRIES => Step::end(Some(Why::Unread)),
            _ => Step::Begin,
        })
    }

    /// Drops the backend; the step `next` follows.
    fn lose(&mut self, next: Step) -> Step {
        self.awaiting = Awaiting::BackendDropped(Box::new(next));
        Step::LoseBackend
    }
}

fn awaiting_after(step: &Step) -> Awaiting {
    match step {
        Step::Begin => Awaiting::Restriction,
        Step::EnterDoor => Awaiting::Pass,
        Step::CheckAgain => Awaiting::RestrictionAgain,
        Step::MakeReady => Awaiting::Ready,
        Step::Pause => Awaiting::Pause,
        Step::Complete => Awaiting::Completed,
        Step::Send => Awaiting::Sent,
        Step::EndStatement => Awaiting::StatementEnded,
        Step::Interrupt => Awaiting::Interrupted,
        Step::Resolve
        | Step::LoseBackend
        | Step::Done
        | Step::Answered
        | Step::Refuse(_)
        | Step::End { .. } => Awaiting::Nothing,
    }
}

/// What the client is told after its backend was lost while the command ran. The session continues only if
/// nothing but a transaction was lost: the client can run that again. `unclear`: what to tell if the command may have
/// committed it.
fn interrupted(pins: &[Pin], unclear: Option<Why>) -> Step {
    let why = match unclear {
        None if pins.contains(&Pin::Transaction) => Why::TransactionLost,
        None => Why::OutcomeUnknown,
        Some(why) => why,
    };
    if pins.iter().any(|pin| *pin != Pin::Transaction) {
        return Step::end(Some(why));
    }
    Step::Refuse(why)
}

/// The step of a command that has committed already, and is run again for its reply: an error says so.
fn committed(step: Step) -> Step {
    let why = |why: Option<Why>| match why {
        Some(Why::Committed(pins) | Why::StateLost(pins)) => Why::Committed(pins),
        _ => Why::Committed(Vec::new()),
    };
    match step {
        Step::Refuse(other) => Step::Refuse(why(Some(other))),
        Step::End { why: other, unsent } => Step::End {
            why: Some(why(other)),
            unsent,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
