//! The EVENTs of a server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// State of a server's event scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// When the next event is due, to the second. A server that is stopped at that time does not run
    /// it later; a frozen one runs it when it is thawed.
    pub next: Option<Timestamp>,
    /// Whether an event was running at the time of the query.
    pub running: bool,
}
