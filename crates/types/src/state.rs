//! The states of a database's life.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a database is doing. Resting states are [`Active`](State::Active),
/// [`Suspended`](State::Suspended), [`Parked`](State::Parked) and [`Failed`](State::Failed);
/// the others are on the way between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An instance is being claimed and secured for it; nobody can log in yet.
    Creating,
    /// Its server runs and takes statements.
    Active,
    /// On the way from active to suspended.
    Suspending,
    /// Its server's process is frozen, its buffer pool shrunk; everything is kept.
    Suspended,
    /// On the way to parked.
    Parking,
    /// It has no process, only files.
    Parked,
    /// On the way to active.
    Waking,
    /// On the way to another host.
    Migrating,
    /// Its server cannot be started; a human must look. The ledger says why.
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

/// Why a text is no state.
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
