//! [`Plan`]: the action to take, and its reason.

use std::time::Instant;

use dormouse_types::State;
use serde::{Deserialize, Serialize};

use super::Reason;

/// An action of `control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start the server and open the door.
    Start,
    /// Thaw the frozen server and open the door.
    Thaw,
    /// Shut the door and freeze the server.
    Suspend,
    /// Shut the door and stop the server; sessions stay.
    Park,
    /// Set the state in the catalog and the door to match the server's process.
    Settle(State),
    /// Change the door from refusing to shut: the next statement may request a wake again.
    Rearm,
    /// Refuse waiting and new statements: the spend limit is used up.
    Bar,
    /// Refuse waiting and new statements: the server cannot be started.
    GiveUp,
    /// Hand the database to another instance.
    Move,
    /// Stop the server and delete the database.
    Drop,
    /// Refuse the order.
    Refuse,
}

/// Cause of an action, a word in ledger and API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A statement needs the server.
    Demand,
    /// It was idle for long enough.
    Idle,
    /// Its load.
    Load,
    /// The machine's memory and CPU.
    Room,
    /// Its schedule.
    Schedule,
    /// Its spend limit or storage quota.
    Limit,
    /// An operator's order.
    Operator,
    /// The server died.
    Crash,
    /// A session has state that would be lost.
    Veto,
    /// Found at the start of Dormouse, or left by an interrupted transition.
    StartUp,
    /// The server could not be started, or did not do what was requested.
    Failed,
    /// Its storage quota or the disk reserve.
    Storage,
}

impl Cause {
    /// The word used in JSON and the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Idle => "idle",
            Self::Load => "load",
            Self::Room => "room",
            Self::Schedule => "schedule",
            Self::Limit => "limit",
            Self::Operator => "operator",
            Self::Crash => "crash",
            Self::Veto => "veto",
            Self::StartUp => "start_up",
            Self::Failed => "failed",
            Self::Storage => "storage",
        }
    }
}

/// An action and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Action.
    pub verb: Verb,
    /// Cause.
    pub cause: Cause,
    /// Reason, for people.
    pub reason: Reason,
}

/// Result of [`decide`](super::decide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Action to take now; evaluate again directly after it.
    pub act: Option<Act>,
    /// Time of the next evaluation if no event comes first: always later than now. `None` if only
    /// an event can change the result: a statement, an order, the end of the process.
    pub look_again: Option<Instant>,
}

impl Plan {
    pub(super) fn act(verb: Verb, cause: Cause, reason: impl Into<Reason>) -> Self {
        Self {
            act: Some(Act {
                verb,
                cause,
                reason: reason.into(),
            }),
            look_again: None,
        }
    }

    pub(super) fn wait(look_again: Option<Instant>) -> Self {
        Self {
            act: None,
            look_again,
        }
    }
}
