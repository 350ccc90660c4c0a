//! The observed state of a database, the input of [`decide`](super::decide).

use std::time::Instant;

use dormouse_types::State;

use super::{Denial, Failures};

/// State of the server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// There is no process.
    Stopped,
    /// It runs.
    Running,
    /// It exists and is frozen.
    Frozen,
}

/// What happens to a statement that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// It goes to the server.
    Open,
    /// It is held, and requests a wake.
    Shut,
    /// It gets an error.
    Refusing,
}

/// The database's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Client connections.
    pub sessions: u32,
    /// Statements running on the server.
    pub running: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction. Each vetoes a park itself; they do not prevent a suspend.
    pub transactions: u32,
    /// When the last statement ended.
    pub last_statement: Option<Instant>,
}

/// Whether the accounts and schemas recorded for the time of sleep match the server's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notes {
    /// They were read with the door shut, and it has not been opened since.
    Fresh,
    /// They may be out of date: the server must be queried.
    Stale,
    /// As `Stale`, and a login waits for them.
    Awaited,
}

/// An operator's order; it does not depend on idleness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Wake it.
    Wake,
    /// Suspend it.
    Suspend,
    /// Park it.
    Park,
    /// Park it although rows of its MEMORY tables are lost.
    ParkAndLose,
    /// Hand it to another instance, which is ready for that.
    Move,
    /// Delete it.
    Drop,
}

impl Order {
    /// Whether a database in this state meets the order. A parked database also meets an order to
    /// suspend.
    #[must_use]
    pub fn met(self, state: State) -> bool {
        match self {
            Self::Wake => state == State::Active,
            Self::Suspend => matches!(state, State::Suspended | State::Parked),
            Self::Park | Self::ParkAndLose => state == State::Parked,
            Self::Move | Self::Drop => false,
        }
    }
}

/// The agenda of [`schedule`](crate::schedule), with times of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agenda {
    /// Whether it must stay awake now.
    pub keep_awake: bool,
    /// When to wake it, if it sleeps.
    pub wake_at: Option<Instant>,
    /// When `keep_awake` may change.
    pub changes_at: Option<Instant>,
}

/// The observed state of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// State in the catalog.
    pub state: State,
    /// When it entered this state.
    pub since: Instant,
    /// State of its server's process.
    pub server: Server,
    /// State of its door.
    pub door: Door,
    /// Its load.
    pub load: Load,
    /// When its door was last opened, if known.
    pub opened: Option<Instant>,
    /// Whether its recorded accounts and schemas are current.
    pub notes: Notes,
    /// The last denied suspend, if none has succeeded since.
    pub suspend_denied: Option<Denial>,
    /// The last denied park, if none has succeeded since.
    pub park_denied: Option<Denial>,
    /// Recent failures of its server.
    pub failures: Failures,
    /// Its schedule.
    pub agenda: Agenda,
    /// Whether its spend limit keeps it asleep.
    pub barred: bool,
    /// The pending order.
    pub order: Option<Order>,
}
