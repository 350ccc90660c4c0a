//! What is to be done, and why.

use std::time::Instant;

use dormouse_types::State;
use serde::{Deserialize, Serialize};

use super::Reason;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start the server and open the traffic.
    Start,
    /// Let the frozen server run and open the traffic.
    Thaw,
    /// Freeze the server, the traffic shut.
    Suspend,
    /// Stop the server, the sessions kept.
    Park,
    /// Nothing is in the way: call the state what it is, and set the traffic to match.
    Settle(State),
    /// Shut the traffic that was refusing: the next statement may ask for a wake again.
    Rearm,
    /// Tell those who wait that the database may not be used.
    Bar,
    /// Tell those who wait that the server cannot be started.
    GiveUp,
    /// End the server and remove all there is.
    Drop,
    /// Answer the order with a no.
    Refuse,
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A statement needs the server.
    Demand,
    /// Nobody has used it for long enough.
    Idle,
    /// Its load.
    Load,
    /// The machine's room for databases.
    Room,
    /// A time that was set for it.
    Schedule,
    /// A limit on what it may cost or hold.
    Limit,
    /// Somebody ordered it.
    Operator,
    /// The server died.
    Crash,
    /// A session cannot live through it.
    Veto,
    /// Found so when dormouse started, or left so by an attempt that broke off.
    StartUp,
    /// The server could not be started, or would not do as told.
    Failed,
    /// Its files take too much disk, or no longer do.
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

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What to do.
    pub verb: Verb,
    /// Why, as a word.
    pub cause: Cause,
    /// Why, for a human.
    pub reason: Reason,
}

/// What follows from what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to do now; then look again at once.
    pub act: Option<Act>,
    /// When to look again if nothing happens before: always later than now. `None` if only an
    /// event can change anything: a statement, an order, the end of the process.
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

    pub(super) fn rest(look_again: Option<Instant>) -> Self {
        Self {
            act: None,
            look_again,
        }
    }
}
