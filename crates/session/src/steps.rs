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
//!   times to one server; or, once, if it is known to have committed and does nothing else; or if it is known to have
//!   changed nothing;
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

mod step;

use std::time::{Duration, Instant};

use crate::pin::Pin;

pub use step::{Again, Event, Logged, Outcome, Step, Why};

/// How often a command is sent to one server that closes its connections without having read it.
pub const TRIES: u8 = 3;

/// State that was lost with a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lost(Vec<Pin>);

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
    Planned,
    Replayed,
    /// What became of what the log tells of, with the state that was lost.
    Resolved(Logged, Box<Lost>),
    /// The backend is being dropped; then this step follows.
    BackendDropped(Box<Step>),
    Interrupted,
    /// The command is over.
    Nothing,
}

/// How long a command is retried while its servers are gone.
#[derive(Debug)]
enum Waits {
    /// This long (`hold_timeout`), from the first time on.
    For(Duration),
    Until(Instant),
}

/// The state machine of one command.
#[derive(Debug)]
pub struct Steps {
    awaiting: Awaiting,
    /// How long a command is retried while its servers are gone.
    waits: Waits,
    /// The server of the last pass, by its generation.
    generation: u64,
    /// Whether the command is known to have committed, and is run again for its reply alone.
    committed: bool,
    /// What must be run again before the command is sent.
    again: Option<Again>,
    /// How often this server has not read the command.
    unread: u8,
}

impl Steps {
    /// Begins a command. `patience` is how long it is retried while its servers are gone (`hold_timeout`).
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            awaiting: Awaiting::Start,
            waits: Waits::For(patience),
            generation: 0,
            committed: false,
            again: None,
            unread: 0,
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
                if generation != self.generation {
                    self.unread = 0;
                }
                self.generation = generation;
                Step::CheckAgain
            }
            (Awaiting::RestrictionAgain, Event::Allowed) => Step::MakeReady,
            (Awaiting::Restriction | Awaiting::RestrictionAgain, Event::Restricted(error))
            | (Awaiting::Pass, Event::NotPassed(error))
            | (Awaiting::Ready, Event::Refused(error))
            | (Awaiting::Completed, Event::NotCompleted(error)) => Step::refuse(error),
            (Awaiting::Ready, Event::Ready) => self.again.map_or(Step::Complete, Step::Replay),
            (Awaiting::Replayed, Event::Replayed) => {
                self.again = None;
                Step::Complete
            }
            (Awaiting::Replayed, Event::NotReplayed(reason)) => {
                let why = self.again_failed(reason);
                self.lose(Step::Refuse(why))
            }
            // the next server may have ended as well
            (Awaiting::Replayed, Event::BackendBroke) => {
                Step::Plan(self.again.unwrap_or(Again::Transaction))
            }
            (Awaiting::Planned, Event::Planned(Ok(()))) => Step::Begin,
            (Awaiting::Planned, Event::Planned(Err(reason))) => {
                Step::Refuse(self.again_failed(reason))
            }
            (Awaiting::Ready, Event::ServerGone { at }) => self.server_gone(at),
            (Awaiting::Ready, Event::Shutting) | (Awaiting::Completed, Event::BackendBroke) => {
                Step::Begin
            }
            (Awaiting::Ready, Event::SessionStateLost(pins)) => match pins.as_slice() {
                [Pin::Transaction] => self.plan(Again::Transaction),
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
                    pins,
                    logged: logged @ (Logged::Commit | Logged::Change),
                    ..
                },
            ) => {
                self.awaiting = Awaiting::Resolved(logged, Box::new(Lost(pins)));
                Step::Resolve
            }
            (
                Awaiting::Interrupted,
                Event::Interrupted {
                    pins,
                    may_have_committed,
                    logged: Logged::Nothing,
                    reads,
                },
            ) => match (pins.as_slice(), may_have_committed) {
                ([Pin::Transaction], false) => self.plan(Again::Transaction),
                ([], _) if reads => self.plan(Again::Read),
                (pins, unclear) => interrupted(pins, unclear.then_some(Why::OutcomeUnknown)),
            },
            (Awaiting::Resolved(Logged::Change, pins), Event::Resolved(outcome)) => {
                self.change_resolved(pins.0, outcome)
            }
            (Awaiting::Resolved(_, pins), Event::Resolved(outcome)) => {
                self.resolved(pins.0, outcome)
            }
            _ => Step::end(None),
        };
        let step = match (self.committed, self.again) {
            (true, _) => committed(step),
            (false, Some(Again::Transaction)) => without_transaction(step),
            (false, _) => step,
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
            Outcome::RolledBack if pins == [Pin::Transaction] => self.plan(Again::Transaction),
            Outcome::RolledBack => interrupted(&pins, None),
            Outcome::Unknown(reason) => interrupted(&pins, Some(Why::Unresolved(reason))),
        }
    }

    /// It is known what became of a command that changes rows outside of a transaction, or that it cannot be known. One that
    /// has committed is not run again: its reply is lost.
    fn change_resolved(&mut self, pins: Vec<Pin>, outcome: Outcome) -> Step {
        match outcome {
            Outcome::Committed if pins.is_empty() => Step::Refuse(Why::Committed(pins)),
            Outcome::Committed => Step::end(Some(Why::Committed(pins))),
            Outcome::RolledBack if pins.is_empty() => self.plan(Again::Change),
            // it is as if the server had ended before
            Outcome::RolledBack => Step::end(Some(Why::StateLost(pins))),
            Outcome::Unknown(reason) => interrupted(&pins, Some(Why::Unresolved(reason))),
        }
    }

    /// Runs what is lost again, if that can be done.
    fn plan(&mut self, again: Again) -> Step {
        self.again = Some(again);
        Step::Plan(again)
    }

    /// What the client is told, because what is lost cannot be run again.
    fn again_failed(&mut self, reason: String) -> Why {
        let again = self.again.take().unwrap_or(Again::Transaction);
        again.failed(reason)
    }

    /// The server of the pass is gone: retries until the patience is over.
    fn server_gone(&mut self, at: Instant) -> Step {
        let deadline = match self.waits {
            Waits::For(patience) => at + patience,
            Waits::Until(deadline) => deadline,
        };
        self.waits = Waits::Until(deadline);
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
        self.unread += 1;
        self.lose(match self.unread {
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
        Step::Plan(_) => Awaiting::Planned,
        Step::Replay(_) => Awaiting::Replayed,
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
        None if pins.contains(&Pin::Transaction) => Why::TransactionLost(String::new()),
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

/// The step of a command whose transaction is lost and has not been run again yet: an error says that it is lost.
fn without_transaction(step: Step) -> Step {
    match step {
        Step::Refuse(Why::Given(error)) => Step::Refuse(Why::TransactionLost(error.message)),
        Step::Refuse(Why::HoldTimeout) => {
            let reason = "no other server was ready within limit hold_timeout".to_owned();
            Step::Refuse(Why::TransactionLost(reason))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
