//! What is known of a database when it is decided what to do.

use std::time::Instant;

use dormouse_types::State;

use super::{Denied, Failures};

/// What the server's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// There is none.
    Stopped,
    /// It runs.
    Running,
    /// It is kept, and never scheduled.
    Frozen,
}

/// What becomes of a statement that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// It goes to the server.
    Open,
    /// It is held, and asks for a wake.
    Shut,
    /// It gets an error.
    Refusing,
}

/// The database's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Client connections.
    pub sessions: u32,
    /// Statements on the server now.
    pub running: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction. They veto a park, by their own voice; not a suspend.
    pub transactions: u32,
    /// When the last statement ended.
    pub last_statement: Option<Instant>,
}

/// Whether the accounts and schemas noted for the time of sleep are those of the server's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notes {
    /// They were taken with the traffic shut, which has not been opened since.
    Fresh,
    /// They may be out of date: the server must be asked.
    Stale,
    /// The same, and a login waits for the answer.
    Awaited,
}

/// What somebody demands, idle or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Make it active.
    Wake,
    /// Make it suspended.
    Suspend,
    /// Make it parked.
    Park,
    /// Make it parked, though rows of its MEMORY tables are lost with its server's process.
    ParkAndLose,
    /// Make it disappear.
    Drop,
}

impl Order {
    /// Whether a database in this state is as ordered. A parked database sleeps deeper than one
    /// that was told to suspend.
    #[must_use]
    pub fn met(self, state: State) -> bool {
        match self {
            Self::Wake => state == State::Active,
            Self::Suspend => matches!(state, State::Suspended | State::Parked),
            Self::Park | Self::ParkAndLose => state == State::Parked,
            Self::Drop => false,
        }
    }
}

/// What the clock asks for, as [`schedule`](crate::schedule) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agenda {
    /// Whether it is to stay awake now.
    pub keep_awake: bool,
    /// When it is woken, if it sleeps.
    pub wake_at: Option<Instant>,
    /// When this may be different.
    pub changes_at: Option<Instant>,
}

/// All that is known of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The state the catalog says.
    pub state: State,
    /// When it came into this state.
    pub since: Instant,
    /// What its server's process is.
    pub server: Server,
    /// What becomes of its statements.
    pub door: Door,
    /// Its load.
    pub load: Load,
    /// When its traffic was last opened, if this is known.
    pub opened: Option<Instant>,
    /// What is noted of it for the time it sleeps.
    pub notes: Notes,
    /// The last attempt to suspend it that was denied, if none has succeeded since.
    pub suspend_denied: Option<Denied>,
    /// The last attempt to park it that was denied, if none has succeeded since.
    pub park_denied: Option<Denied>,
    /// What went wrong with its server.
    pub failures: Failures,
    /// What is set for its hours.
    pub agenda: Agenda,
    /// It has cost as much as it may, and sleeps until that is over.
    pub barred: bool,
    /// What somebody demands.
    pub order: Option<Order>,
}
