//! Errors of the plane, by who must act.

use std::path::PathBuf;

use dormouse_types::{DatabaseName, State};

use crate::token::id::TokenId;

/// Why the plane did not carry out a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's: there is no such database.
    #[error("there is no database '{0}'")]
    NotFound(DatabaseName),
    /// The caller's: there is no such token.
    #[error("there is no token with the id {0}")]
    NoToken(TokenId),
    /// The caller's: the name is taken.
    #[error("there is a database '{0}' already")]
    Exists(DatabaseName),
    /// The database's state does not allow it now.
    #[error("database '{database}' is {state}: {}", reasons.join("; "))]
    Refused {
        /// The database.
        database: DatabaseName,
        /// Its state.
        state: State,
        /// All reasons against it.
        reasons: Vec<String>,
    },
    /// The caller's: the request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// A limit is reached.
    #[error("{what}: the limit is {most}")]
    Limit {
        /// What is limited.
        what: String,
        /// The limit.
        most: u64,
    },
    /// The database's own server failed.
    #[error("the server of database '{database}': {reason}")]
    Server {
        /// The database.
        database: DatabaseName,
        /// The server's error, or what it failed to do.
        reason: String,
    },
    /// The database's own server failed or is busy: logins fail now.
    #[error("the accounts of database '{database}' cannot be read: {reason}")]
    Accounts {
        /// The database.
        database: DatabaseName,
        /// The server's state, or its error.
        reason: String,
    },
    /// The catalog cannot be used.
    #[error("the catalog {}: {reason}", path.display())]
    Catalog {
        /// Its file.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// Another Dormouse process uses the data directory.
    #[error("another dormouse ({holder}) runs on {}", data_dir.display())]
    Busy {
        /// The data directory.
        data_dir: PathBuf,
        /// The other process, if known: `pid 123`.
        holder: String,
    },
    /// The machine failed: disk, memory, permissions.
    #[error("{doing}: {reason}")]
    Machine {
        /// The attempted operation.
        doing: String,
        /// The reason.
        reason: String,
    },
    /// The caller's: there is no such backup.
    #[error("{0}")]
    NoBackup(String),
    /// The configuration's: backups were not set up.
    #[error("no backup repository is configured")]
    NoRepository,
    /// The backup repository, its place or its key.
    #[error(transparent)]
    Repository(#[from] dormouse_repository::Error),
    /// Dormouse is stopping.
    #[error("dormouse is stopping")]
    Stopping,
}

/// The kind of an error, for interfaces that answer with codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It does not exist.
    NotFound,
    /// It exists already.
    Exists,
    /// Not possible now.
    Refused,
    /// The request is invalid.
    Invalid,
    /// A limit is reached.
    Limit,
    /// The machine, or a server on it, failed.
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
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoToken(_) | Self::NoBackup(_) => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::Refused { .. } | Self::Stopping => ErrorKind::Refused,
            Self::Invalid(_) | Self::NoRepository => ErrorKind::Invalid,
            Self::Repository(error) => of_repository(error),
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Server { .. }
            | Self::Accounts { .. }
            | Self::Catalog { .. }
            | Self::Busy { .. }
            | Self::Machine { .. } => ErrorKind::Machine,
        }
    }

    /// How to fix it, as one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound(_) => "'dormouse ls' lists those there are".to_owned(),
            Self::NoBackup(_) => "'dormouse backup ls' lists those there are".to_owned(),
            Self::NoRepository => {
                "set repository and key_file in [backup] of the configuration; docs/backups.md shows how".to_owned()
            }
            // its text says what to do
            Self::Repository(error) if error.may_pass() => "try again later".to_owned(),
            Self::Repository(_) => "docs/backups.md tells more".to_owned(),
            Self::NoToken(_) => "'dormouse token ls' lists those there are".to_owned(),
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

fn of_repository(error: &dormouse_repository::Error) -> ErrorKind {
    use dormouse_repository::Error;

    match error {
        Error::NoBackup { .. }
        | Error::NoPart { .. }
        | Error::NoKey { .. }
        | Error::NotThere { .. } => ErrorKind::NotFound,
        Error::AlreadyThere { .. } => ErrorKind::Exists,
        Error::Locked { .. } | Error::KeyInUse { .. } | Error::Cancelled => ErrorKind::Refused,
        _ => ErrorKind::Machine,
    }
}
