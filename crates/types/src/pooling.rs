//! [`Pooling`]: whether sessions share backends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether the sessions of a database share its backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Shared: a session releases its backend, between two statements, when another session needs one.
    #[default]
    Statement,
    /// Not shared: a session keeps its backend while the server runs and the client is connected.
    Session,
}

/// Why a text is not a [`Pooling`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a kind of pooling: write statement or session")]
pub struct InvalidPooling(String);

impl Pooling {
    /// The name in commands and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Pooling {
    type Err = InvalidPooling;

    fn from_str(text: &str) -> Result<Self, InvalidPooling> {
        match text {
            "statement" => Ok(Self::Statement),
            "session" => Ok(Self::Session),
            _ => Err(InvalidPooling(text.to_owned())),
        }
    }
}
