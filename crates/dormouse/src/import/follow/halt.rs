//! Why following stops, for a moment or for good.

use dormouse_api::ErrorBody;

/// Why following stops.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The other server is gone: tried again.
    Source(String),
    /// Dormouse or the database is gone: tried again from the position in the database.
    Target(String),
    /// It cannot go on.
    Stop(ErrorBody),
}

impl Halt {
    /// As an error of the command.
    pub(crate) fn into_error(self) -> ErrorBody {
        match self {
            Self::Source(text) | Self::Target(text) => ErrorBody::new("machine", text),
            Self::Stop(error) => error,
        }
    }

    /// An error that only the user can resolve.
    pub(crate) fn stop(message: impl Into<String>, hint: &str) -> Self {
        Self::Stop(ErrorBody::new("refused", message.into()).with_hint(hint))
    }
}

impl From<ErrorBody> for Halt {
    fn from(error: ErrorBody) -> Self {
        Self::Stop(error)
    }
}
