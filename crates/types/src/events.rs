//! What a server does by itself: its EVENTs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// When a server's event scheduler has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// When the next event is due, to the second. A server that is stopped then does not make up
    /// for it; one that is frozen does when it is thawed.
    pub next: Option<Timestamp>,
    /// Whether one ran at the time of asking.
    pub running: bool,
}
