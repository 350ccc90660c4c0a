//! Errors of backends, and limits of Dormouse's own queries.

use std::time::Duration;

use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::ErrPacket;

use crate::control_path::ControlError;

/// Timeout of Dormouse's own queries.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer to one of Dormouse's own queries, in bytes.
pub(crate) const LONGEST_ANSWER: usize = 1 << 20;

/// Why a backend could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The server is gone, or does not answer.
    #[error("the server does not answer: {0}")]
    Gone(#[from] std::io::Error),
    /// Its answer breaks the protocol.
    #[error("the server's answer cannot be understood: {0}")]
    Malformed(#[from] Malformed),
    /// Its answer is too long.
    #[error("the server's answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    /// It refuses, with this error.
    #[error("{}", .0.message)]
    Refused(ErrPacket),
    /// The control path could not give its account the proxy's credential.
    #[error("the account cannot be enrolled: {0}")]
    NotEnrolled(#[from] ControlError),
    /// The account no longer exists.
    #[error("{}", .0.message)]
    NoAccount(ErrPacket),
    /// Another connection has a lock that the session carries.
    #[error("another connection has taken a lock that the session carries")]
    LockTaken,
    /// A statement that restores the session failed.
    #[error("'{}' failed: {}", String::from_utf8_lossy(statement), error.message)]
    Restore {
        /// The statement.
        statement: Vec<u8>,
        /// The server's error.
        error: ErrPacket,
    },
}
