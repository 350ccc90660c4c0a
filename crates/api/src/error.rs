//! Errors of the API: a code for programs, a message for people, a hint what to do.

use std::fmt;
use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dormouse_control::Role;
use serde::{Deserialize, Serialize};

use crate::access::Verb;

/// An error, sent inside [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Code for programs: `not_found`, `exists`, `refused`, `invalid`, `limit`, `machine`, `timeout`, …
    pub code: String,
    /// Message for people: what happened and whose fault it is.
    pub message: String,
    /// What to do about it, if known.
    pub hint: Option<String>,
}

/// Body of an error response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The error.
    pub error: ErrorBody,
}

impl ErrorBody {
    /// An error without a hint.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds a hint.
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

/// Result of a handler.
pub(crate) type Answer<T> = Result<T, Failure>;

/// Error of a handler, with its HTTP status.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    body: ErrorBody,
    /// After how many seconds to try again.
    retry: Option<u64>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody::new(code, message),
            retry: None,
        }
    }

    fn with_hint(mut self, hint: &str) -> Self {
        self.body.hint = Some(hint.to_owned());
        self
    }

    /// The caller has no token.
    pub(crate) fn no_token() -> Self {
        let message = "this request needs a token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .with_hint("give one with --token-file FILE, or in DORMOUSE_TOKEN")
    }

    /// The caller's token admits nobody.
    pub(crate) fn bad_token(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message).with_hint(
            "an admin makes a new one with `dormouse token add` or `dormouse token rotate`",
        )
    }

    /// The caller's address sent too many invalid tokens.
    pub(crate) fn too_many_tokens(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let message = "too many invalid tokens came from your address: failed_tokens_per_minute \
                       of the configuration limits them";
        Self {
            retry: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "limit", message)
        }
        .with_hint(&format!("try again in {seconds} s, with a valid token"))
    }

    /// The caller's role does not allow it.
    pub(crate) fn denied(role: Role, verb: Verb) -> Self {
        let message = format!("the role {role} may not {}", verb.as_str());
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
            .with_hint("docs/api-access.md has the table of roles; use a token of another role")
    }

    /// There is no such resource.
    pub(crate) fn no_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "no such resource")
    }

    /// The resource has no such method.
    pub(crate) fn no_method() -> Self {
        let message = "this resource has no such method";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
    }

    /// The request is invalid.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// The request is too large.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request's body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// An order takes longer than [`ORDER_DEADLINE`](crate::routes::ORDER_DEADLINE); it continues.
    pub(crate) fn timeout(seconds: u64) -> Self {
        let message = format!("the order was not completed within {seconds} s; it continues");
        let body = ErrorBody::new("timeout", message)
            .with_hint("see `dormouse show NAME` and `dormouse events NAME` for its result");
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            body,
            retry: None,
        }
    }

    /// An internal error of Dormouse.
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
            retry: None,
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
        let status = self.status;
        let mut response = (status, axum::Json(Envelope { error: self.body })).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
