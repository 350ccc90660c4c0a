//! Failures as both ends see them: a code for programs, a message for people, a hint what to do.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// A failure in words, inside [`Envelope`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs: `not_found`, `exists`, `refused`, `invalid`, `limit`, `machine`, `timeout`, …
    pub code: String,
    /// For people: what went wrong, and whose fault it is.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// What a failed request's body holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The failure.
    pub error: ErrorBody,
}

impl ErrorBody {
    /// A failure without a hint.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A failure on its way out of a handler.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    body: ErrorBody,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody::new(code, message),
        }
    }

    /// The request is at fault.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// The request is too large.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request's body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// An order takes longer than one may wait for it; it goes on.
    pub(crate) fn timeout(seconds: u64) -> Self {
        let message = format!("the order was not carried out within {seconds} s; it goes on");
        let body = ErrorBody::new("timeout", message)
            .with_hint("`dormouse show NAME` and `dormouse events NAME` tell how it ended");
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            body,
        }
    }

    /// A part of Dormouse itself broke.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<dormouse_control::Error> for Failure {
    fn from(error: dormouse_control::Error) -> Self {
        use dormouse_control::ErrorKind as Kind;
        let status = match error.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Exists | Kind::Refused => StatusCode::CONFLICT,
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Limit => StatusCode::TOO_MANY_REQUESTS,
            Kind::Machine => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            body: error.into(),
        }
    }
}

impl From<dormouse_control::Error> for ErrorBody {
    fn from(error: dormouse_control::Error) -> Self {
        Self::new(error.kind().as_str(), error.to_string()).with_hint(error.hint())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, axum::Json(Envelope { error: self.body })).into_response()
    }
}
