//! What is known of the backups of an instance, without asking the repository.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use dormouse_types::{InstanceId, State};

/// What is known of the backups of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// When the database was first seen with these files.
    pub(crate) first: Timestamp,
    /// When the last attempt began, or it was seen that nothing has changed; at first, when the database was first seen.
    pub(crate) attempted: Timestamp,
    /// The last good backup.
    pub(crate) last: Option<Last>,
    /// The instances in whose place this one came, oldest first: their backups are those of the same database.
    #[serde(default)]
    pub(crate) before: Vec<InstanceId>,
    /// Why the last attempt failed.
    pub(crate) failure: Option<String>,
}

/// The last good backup of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// Its id: 64 hexadecimal digits.
    pub(crate) id: String,
    /// The moment whose state it has.
    pub(crate) taken_at: Timestamp,
    /// The timeline to which it belongs, if the database had a history.
    #[serde(default)]
    pub(crate) timeline: Option<String>,
    /// Its sleep then, if it slept: as long as that lasts, nothing can change.
    pub(crate) sleep: Option<Sleep>,
    /// When nothing had changed since.
    pub(crate) good_at: Timestamp,
    /// When it was restored for a test, with success.
    pub(crate) verified: Option<Timestamp>,
}

/// A sleep of a database, as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sleep {
    generation: u64,
    state: State,
    /// When a suspended one fell asleep; a parked one gets a new generation when it wakes.
    since: Option<Timestamp>,
}

impl Sleep {
    /// The sleep of a database that is in this state; `None` if it may be awake.
    pub(crate) fn of(state: State, since: Timestamp, generation: u64) -> Option<Self> {
        let since = match state {
            State::Parked => None,
            State::Suspended => Some(since),
            _ => return None,
        };
        Some(Self {
            generation,
            state,
            since,
        })
    }
}

impl Known {
    /// Of a database that is seen for the first time.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            first: now,
            attempted: now,
            last: None,
            before: Vec::new(),
            failure: None,
        }
    }
}
