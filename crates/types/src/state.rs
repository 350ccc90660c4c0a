//! [`State`] of a database.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// State of a database. The resting states are [`Active`](State::Active),
/// [`Suspended`](State::Suspended), [`Parked`](State::Parked) and [`Failed`](State::Failed);
/// the others are transitions between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An instance is being claimed and secured for it; logins are not possible yet.
    Creating,
    /// Its server runs and takes statements.
    Active,
    /// Transition from active to suspended.
    Suspending,
    /// Its server's process is frozen, its buffer pool shrunk; everything is kept.
    Suspended,
    /// Transition to parked.
    Parking,
    /// It has no process, only files.
    Parked,
    /// Transition to active.
    Waking,
    /// Transition to another host. Reserved: not set yet.
    Migrating,
    /// Its server could not be started; Dormouse tries again on the next demand after a delay. The ledger has the
    /// reason.
    Failed,
    /// It is being dropped.
    Dropping,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Creating,
        Self::Active,
        Self::Suspending,
        Self::Suspended,
        Self::Parking,
        Self::Parked,
        Self::Waking,
        Self::Migrating,
        Self::Failed,
        Self::Dropping,
    ];

    /// The word used in JSON, SQL and the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Suspending => "suspending",
            Self::Suspended => "suspended",
            Self::Parking => "parking",
            Self::Parked => "parked",
            Self::Waking => "waking",
            Self::Migrating => "migrating",
            Self::Failed => "failed",
            Self::Dropping => "dropping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a state of a database")]
pub struct InvalidState(String);

impl FromStr for State {
    type Err = InvalidState;

    fn from_str(text: &str) -> Result<Self, InvalidState> {
        let found = Self::ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| InvalidState(text.to_owned()))
    }
}
