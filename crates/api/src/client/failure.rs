//! Errors of a client.

use std::time::Duration;

use crate::error::ErrorBody;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No process listens there.
    #[error("dormouse is not running here: nothing answers on {0}")]
    NotRunning(String),
    /// The socket belongs to another user.
    #[error("no permission to connect to dormouse on {0}")]
    NoPermission(String),
    /// The server's certificate is not one of a trusted authority, or for another host.
    #[error("the server {place} is not trusted: {reason}")]
    NotTrusted {
        /// The API's address.
        place: String,
        /// Cause.
        reason: String,
    },
    /// The server refused the request.
    #[error("{0}")]
    Refused(ErrorBody),
    /// The response did not arrive in time.
    #[error("dormouse did not answer within {} s, on {place}", .waited.as_secs())]
    Timeout {
        /// The API's socket or address.
        place: String,
        /// Time waited.
        waited: Duration,
    },
    /// The connection broke, or the response was malformed.
    #[error("no valid response from dormouse on {place}: {reason}")]
    Broken {
        /// The API's socket or address.
        place: String,
        /// Cause.
        reason: String,
    },
}

impl ClientError {
    /// The error for programs and people, with a hint.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let (code, hint) = match self {
            Self::Refused(body) => return body.clone(),
            Self::NotRunning(_) => (
                "not_running",
                "start it with `dormouse up`; if it uses another data directory, name it with --data-dir",
            ),
            Self::NoPermission(_) => (
                "no_permission",
                "run this as the user who started `dormouse up`, or as root; others use a token over TLS \
                 (--api, --token-file)",
            ),
            Self::NotTrusted { .. } => (
                "not_trusted",
                "--api-ca FILE names the authority of its certificate; the host must be one of the \
                 certificate's names",
            ),
            Self::Timeout { .. } => ("timeout", "look at the log of `dormouse up`"),
            Self::Broken { .. } => (
                "broken",
                "is it a dormouse of the same version? look at the log of `dormouse up`",
            ),
        };
        ErrorBody::new(code, self.to_string()).with_hint(hint)
    }
}
