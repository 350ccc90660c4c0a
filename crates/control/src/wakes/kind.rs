//! A change of state in the ledger, and what kind of wake it is.

use dormouse_policy::Cause;
use dormouse_policy::schedule::Due;
use dormouse_types::{State, WokenBy};

/// A change of state, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    /// When it had ended, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) duration_ms: u64,
    /// `None`: the database was created.
    pub(crate) from: Option<State>,
    pub(crate) to: State,
    pub(crate) cause: Cause,
    pub(crate) reason: String,
    pub(crate) actor: Option<String>,
    pub(crate) woken_by: Option<WokenBy>,
}

/// What caused a wake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A statement with this digest, of this account.
    Statement { statement: String, account: String },
    /// A statement that is not known.
    Unknown,
    /// An order of somebody.
    Order(String),
    /// The database was created: awake.
    Created,
    /// The schedule.
    Due(Due),
    /// Another cause of the ledger.
    Other(&'static str),
}

impl Kind {
    pub(crate) fn of(transition: &Transition) -> Self {
        if transition.from.is_none() {
            return Self::Created;
        }
        match transition.cause {
            Cause::Demand => {
                transition
                    .woken_by
                    .clone()
                    .map_or(Self::Unknown, |by| Self::Statement {
                        statement: by.statement,
                        account: by.account,
                    })
            }
            Cause::Operator => Self::Order(transition.actor.clone().unwrap_or_default()),
            Cause::Schedule => {
                let due = Due::of_reason(&transition.reason);
                due.map_or(Self::Other(Cause::Schedule.as_str()), Self::Due)
            }
            other => Self::Other(other.as_str()),
        }
    }

    /// The word for it in JSON.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Statement { .. } => "statement",
            Self::Unknown => "unknown",
            Self::Order(_) => "order",
            Self::Created => "created",
            Self::Due(due) => due.as_str(),
            Self::Other(cause) => cause,
        }
    }
}
