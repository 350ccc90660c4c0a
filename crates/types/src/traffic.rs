//! What the control path and the data path tell each other about a database.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::InstanceId;

/// Where a database's statements go while its traffic is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The instance that serves the database.
    pub instance: InstanceId,
    /// Counts the server processes of this database; backends of an older one are dead.
    pub generation: u64,
    /// The server's Unix socket.
    pub socket: PathBuf,
    /// How sessions share backends.
    pub pooling: Pooling,
}

/// How the sessions of a database share its backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// A session gives its backend up, between two statements, when another needs one.
    #[default]
    Statement,
    /// A session keeps its backend for as long as the server runs and the client stays.
    Session,
}

/// Why a text is no [`Pooling`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no kind of pooling: write statement or session")]
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

/// One database's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// Client connections.
    pub sessions: u32,
    /// Statements on the server now.
    pub running: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction.
    pub transactions: u32,
    /// When the last statement ended; `None` if none has run since the traffic was first opened.
    pub last_statement: Option<Instant>,
}

/// Why a session cannot live through a park.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veto {
    /// The connection id the client was given.
    pub session: u32,
    /// The pin's name: `transaction`, `temporary_table`, `user_variable`, …; `unresponsive` if the
    /// session did not answer in time.
    pub pin: String,
}
