//! Why a backend could not be used, and the limits of what Dormouse asks of one.

use std::time::Duration;

use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::ErrPacket;

use crate::control_path::ControlError;

/// The longest wait for a server's answer to what Dormouse itself asks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer to what Dormouse itself asks that is kept, in bytes.
pub(crate) const LONGEST_ANSWER: usize = 1 << 20;

/// Why a backend could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The server is gone, or does not answer.
    #[error("the server does not answer: {0}")]
    Gone(#[from] std::io::Error),
    /// It answers what no server would.
    #[error("the server's answer cannot be understood: {0}")]
    Malformed(#[from] Malformed),
    /// Its answer is longer than what is kept.
    #[error("the server's answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    /// It refuses; its own words.
    #[error("{}", .0.message)]
    Refused(ErrPacket),
    /// The control path could not give its account the proxy's credential.
    #[error("the account cannot be enrolled: {0}")]
    NotEnrolled(#[from] ControlError),
    /// It has no such account any more.
    #[error("{}", .0.message)]
    NoAccount(ErrPacket),
    /// A statement that restores the session failed.
    #[error("'{}' failed: {}", String::from_utf8_lossy(statement), error.message)]
    Restore {
        /// The statement.
        statement: Vec<u8>,
        /// The server's words.
        error: ErrPacket,
    },
}
