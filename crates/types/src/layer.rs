//! Layers of a server's isolation.

use serde::{Deserialize, Serialize};

/// A layer of the isolation of a server, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// What it is, or why it is missing.
    pub detail: String,
}
