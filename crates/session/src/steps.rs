//! What happens to a command that needs a server, as a machine without I/O and without a clock.
//!
//! ```text
//! restriction → pass at the door → backend ready → completed → sent → reply
//!      ▲                              │                │        │
//!      └── retry: server gone, door shutting, backend broken, command unread
//! ```
//!
//! The caller performs each [`Step`] and reports what came of it as an [`Event`]; [`Steps::next`] says
//! which step is next. A command ends with one of [`Step::Done`], [`Step::Answered`], [`Step::Refuse`]
//! and [`Step::End`].
//!
//! Invariants:
//! - a command is sent only while the caller holds a pass and its restriction has been checked since
//!   the pass was given;
//! - a command is sent again only if its server is known not to have read it, and at most [`TRIES`]
//!   times to one server;
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

/// What came of the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing has been done yet.
    Begun,
    /// The database's restriction allows the command.
    Allowed,
    /// It does not.
    Restricted(ErrPacket),
    /// The door has given a pass to the server of this generation.
    Passed {
        /// The server's generation.
        generation: u64,
    },
    /// The door has given none: too many are held, it took too long, the server cannot be started.
    NotPassed(ErrPacket),
    /// A backend of the pass's server is in the session's state.
    Ready,
    /// The server was gone or going at this time. The pass has been given back and a wake been asked
    /// for.
    Gone {
        /// When.
        at: Instant,
    },
    /// The door is being shut while the session waits for a lease.
    Shutting,
    /// The session's last backend is gone, and these with it; the client has not been told.
    StateGone(Vec<Pin>),
    /// No backend for this command; the session can go on.
    Refused(ErrPacket),
    /// The session's state cannot be brought to a backend.
    Lost(ErrPacket),
    /// The command lacks nothing that it needs on this backend.
    Completed,
    /// The client has been answered without the server.
    Answered,
    /// The command cannot be completed.
    NotCompleted(ErrPacket),
    /// The backend broke before the command was sent.
    Broke,
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
    /// The server went away.
    ServerLeft {
        /// Whether it is known not to have read the whole command.
        unread: bool,
        /// Whether the client has got the beginning of a reply.
        delivered: bool,
        /// Whether the whole command is still in memory.
        whole: bool,
    },
    /// [`Step::Pause`], [`Step::EndStatement`] or [`Step::LoseBackend`] has been performed.
    Performed,
    /// The backend was lost while the command ran.
    Interrupted {
        /// What was lost with it.
        pins: Vec<Pin>,
        /// Whether the command may have committed the open transaction.
        may_have_committed: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give the pass back, if there is one, and check the restriction: a sleeping database is not woken
    /// for a command that may not run. → [`Event::Allowed`], [`Event::Restricted`]
    Begin,
    /// Ask the door for a pass. → [`Event::Passed`], [`Event::NotPassed`]
    EnterDoor,
    /// Check the restriction again: it may have changed while the command was held. →
    /// [`Event::Allowed`], [`Event::Restricted`]
    CheckAgain,
    /// Get a backend on the pass's server into the session's state. → [`Event::Ready`],
    /// [`Event::Gone`], [`Event::Shutting`], [`Event::StateGone`], [`Event::Refused`], [`Event::Lost`]
    MakeReady,
    /// Wait a moment. → [`Event::Performed`]
    Pause,
    /// Put into the command what it lacks on this backend. → [`Event::Completed`],
    /// [`Event::Answered`], [`Event::NotCompleted`], [`Event::Broke`]
    Complete,
    /// Send the command and pass the reply on. → [`Event::Replied`], [`Event::ClientLeft`],
    /// [`Event::Fault`], [`Event::ServerLeft`]
    Send,
    /// Have the server end the statement. → [`Event::Performed`]
    EndStatement,
    /// Give the backend up as lost. → [`Event::Performed`]
    LoseBackend,
    /// Give the backend up as lost and report what was lost. → [`Event::Interrupted`]
    Interrupt,
    /// The command has run to its end.
    Done,
    /// The command was not run; the client has its answer.
    Answered,
    /// The command was not run, or its outcome is not known: skip what has not been read of it and tell
    /// the client. The session goes on.
    Refuse(Why),
    /// End the session, telling the client why if it can be told.
    End {
        /// What to tell the client.
        why: Option<Why>,
        /// Whether the command has not been sent: then the rest of it is to be skipped first.
        unsent: bool,
    },
}

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The error of the event.
    Given(ErrPacket),
    /// The server was not ready in time; the command was not run.
    HoldTimeout,
    /// The transaction was rolled back.
    TransactionLost,
    /// The server ended while the command ran.
    OutcomeUnknown,
    /// These were lost with the backend.
    StateLost(Vec<Pin>),
    /// The server does not read the command.
    NotRead,
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
    /// The backend is being given up; then this step follows.
    Lost(Box<Step>),
    Interrupted,
    /// The command is over.
    Nothing,
}

/// One command on its way.
#[derive(Debug)]
pub struct Steps {
    awaiting: Awaiting,
    /// How long a command waits for servers that are gone.
    patience: Duration,
    /// When that is over; set when the first server was gone.
    deadline: Option<Instant>,
    /// The server of the last pass, by its generation.
    generation: u64,
    /// The server that last did not read the command, and how often it did not.
    unread: (u64, u8),
}

impl Steps {
    /// A command that waits so long for servers that are gone (`hold_timeout`).
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            awaiting: Awaiting::Start,
            patience,
            deadline: None,
            generation: 0,
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
            (Awaiting::Ready, Event::Gone { at }) => self.gone(at),
            (Awaiting::Ready, Event::Shutting) | (Awaiting::Completed, Event::Broke) => Step::Begin,
            (Awaiting::Ready, Event::StateGone(pins)) => match pins.as_slice() {
                [Pin::Transaction] => Step::Refuse(Why::TransactionLost),
                _ => Step::end_unsent(Why::StateLost(pins)),
            },
            (Awaiting::Ready, Event::Lost(error)) => Step::end_unsent(Why::Given(error)),
            (Awaiting::Completed, Event::Completed) => Step::Send,
            (Awaiting::Completed, Event::Answered) => Step::Answered,
            (Awaiting::Sent, Event::Replied) => Step::Done,
            (Awaiting::Sent, Event::ClientLeft { running: true }) => Step::EndStatement,
            (Awaiting::Sent, Event::ClientLeft { running: false })
            | (Awaiting::StatementEnded, Event::Performed)
            | (Awaiting::Sent, Event::Fault { delivered: true }) => {
                return self.lose(Step::end(None));
            }
            (Awaiting::Sent, Event::Fault { delivered: false }) => {
                return self.lose(Step::end(Some(Why::OutOfTurn)));
            }
            (
                Awaiting::Sent,
                Event::ServerLeft {
                    unread,
                    delivered,
                    whole,
                },
            ) => match (unread, delivered) {
                (true, _) if whole => return self.send_again(),
                (_, true) => Step::end(None),
                (_, false) if whole => Step::Interrupt,
                // how much of it was passed on is not known any more
                (_, false) => return self.lose(Step::end(None)),
            },
            (Awaiting::Lost(next), Event::Performed) => *next,
            (
                Awaiting::Interrupted,
                Event::Interrupted {
                    pins,
                    may_have_committed,
                },
            ) => interrupted(&pins, may_have_committed),
            _ => Step::end(None),
        };
        self.awaiting = awaiting_after(&step);
        step
    }

    /// The server of the pass is gone: tries again until the patience is over.
    fn gone(&mut self, at: Instant) -> Step {
        let deadline = *self.deadline.get_or_insert(at + self.patience);
        if at >= deadline {
            return Step::Refuse(Why::HoldTimeout);
        }
        Step::Pause
    }

    /// The server has not read the command. One that lives and takes other commands does not take this
    /// one.
    fn send_again(&mut self) -> Step {
        if self.unread.0 != self.generation {
            self.unread = (self.generation, 0);
        }
        self.unread.1 += 1;
        self.lose(match self.unread.1 {
            TRIES => Step::end(Some(Why::NotRead)),
            _ => Step::Begin,
        })
    }

    fn lose(&mut self, next: Step) -> Step {
        self.awaiting = Awaiting::Lost(Box::new(next));
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
        Step::LoseBackend | Step::Done | Step::Answered | Step::Refuse(_) | Step::End { .. } => {
            Awaiting::Nothing
        }
    }
}

/// The backend was lost while the command ran. A lost transaction is all that the client can repair.
fn interrupted(pins: &[Pin], may_have_committed: bool) -> Step {
    let rolled_back = pins.contains(&Pin::Transaction) && !may_have_committed;
    let why = if rolled_back {
        Why::TransactionLost
    } else {
        Why::OutcomeUnknown
    };
    if pins.iter().any(|pin| *pin != Pin::Transaction) {
        return Step::end(Some(why));
    }
    Step::Refuse(why)
}

#[cfg(test)]
mod tests;
