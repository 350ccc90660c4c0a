//! `[history]`: how often the logs of databases are archived.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::values::Span;

/// `[history]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct History {
    /// How often the log of a database that is awake is stored.
    pub(crate) archive_every: Span,
}

impl Default for History {
    fn default() -> Self {
        Self {
            archive_every: Span(Duration::from_secs(30)),
        }
    }
}
