//! A database's load, and the vetoes of its sessions against a park.

use std::fmt;
use std::time::Instant;

use crate::Pin;

/// One database's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Client connections.
    pub sessions: u32,
    /// Statements running on the server.
    pub running: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// When the last statement ended; `None` if none has run since the door was first opened.
    pub last_statement: Option<Instant>,
}

/// A session that would lose state by a park.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Veto {
    /// Connection id of the client.
    pub session: u32,
    /// Reason.
    pub reason: VetoReason,
}

/// Why a session vetoes a park.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VetoReason {
    /// Some of its state cannot be restored on another server.
    Pinned(Pin),
    /// It did not answer in time.
    Unresponsive,
}

impl fmt::Display for VetoReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(pin) => pin.fmt(f),
            Self::Unresponsive => f.write_str("unresponsive"),
        }
    }
}
