//! Errors of the plane, by who has to act.

use std::path::PathBuf;

use dormouse_types::{DatabaseName, State};

/// Why the plane did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's: there is no such database.
    #[error("there is no database '{0}'")]
    NotFound(DatabaseName),
    /// The caller's: the name is taken.
    #[error("there is a database '{0}' already")]
    Exists(DatabaseName),
    /// It cannot be done now.
    #[error("database '{database}' is {state}: {}", reasons.join("; "))]
    Refused {
        /// The database.
        database: DatabaseName,
        /// Its state.
        state: State,
        /// Everything that stands in the way.
        reasons: Vec<String>,
    },
    /// The caller's: what was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A limit is reached.
    #[error("{what}: the limit is {most}")]
    Limit {
        /// What there is too much of.
        what: String,
        /// How much there may be.
        most: u64,
    },
    /// The database's own server is at fault.
    #[error("the server of database '{database}': {reason}")]
    Server {
        /// The database.
        database: DatabaseName,
        /// What it said, or did not do.
        reason: String,
    },
    /// The database's own server is at fault, or busy: logins fail now.
    #[error("the accounts of database '{database}' cannot be read: {reason}")]
    Accounts {
        /// The database.
        database: DatabaseName,
        /// What its server does, or what it said.
        reason: String,
    },
    /// The catalog cannot be used.
    #[error("the catalog {}: {reason}", path.display())]
    Catalog {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Another dormouse has the data directory.
    #[error("another dormouse ({holder}) runs on {}", data_dir.display())]
    Busy {
        /// The data directory.
        data_dir: PathBuf,
        /// What is known of the other one: `pid 123`.
        holder: String,
    },
    /// The machine is at fault: disk, memory, permissions.
    #[error("{doing}: {reason}")]
    Machine {
        /// What was being done.
        doing: String,
        /// What went wrong.
        reason: String,
    },
    /// Dormouse is stopping.
    #[error("dormouse is stopping")]
    Stopping,
}

/// The kind of an error, for interfaces that answer with codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// There is one already.
    Exists,
    /// Not now.
    Refused,
    /// Not like that.
    Invalid,
    /// Not so many.
    Limit,
    /// The machine, or a server on it, is at fault.
    Machine,
}

impl ErrorKind {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
            Self::Machine => "machine",
        }
    }
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::Refused { .. } | Self::Stopping => ErrorKind::Refused,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Server { .. }
            | Self::Accounts { .. }
            | Self::Catalog { .. }
            | Self::Busy { .. }
            | Self::Machine { .. } => ErrorKind::Machine,
        }
    }

    /// What to do about it, as one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound(_) => "'dormouse ls' lists those there are".to_owned(),
            Self::Exists(name) => format!("choose another name, or 'dormouse drop {name}' first"),
            Self::Refused { .. } => "try again when that has ended".to_owned(),
            Self::Invalid(_) => "correct the request".to_owned(),
            Self::Limit { .. } => {
                "remove what is not needed, or raise the limit in the configuration".to_owned()
            }
            Self::Server { database, .. } | Self::Accounts { database, .. } => {
                format!("'dormouse events {database}' tells more")
            }
            Self::Catalog { hint, .. } => hint.clone(),
            Self::Busy { .. } => "stop it, or give this one another --data-dir".to_owned(),
            Self::Machine { .. } => "repair that and try again".to_owned(),
            Self::Stopping => "start it again with 'dormouse up'".to_owned(),
        }
    }
}
