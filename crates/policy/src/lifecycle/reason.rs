//! [`Reason`] of an action, for people.

use std::fmt;
use std::time::Duration;

/// Reason of an action. It is formatted only when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A fixed text.
    Said(&'static str),
    /// A text made by the caller.
    Told(String),
    /// The database was idle for this long.
    Idle(Duration),
    /// Its server keeps dying; it is started again after this long.
    Dying(Duration),
}

impl Reason {
    /// How long the database was idle, if that is the reason.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        match self {
            Self::Idle(d) => Some(*d),
            _ => None,
        }
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Said(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Told(text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::Told(text) => f.write_str(text),
            Self::Idle(d) => write!(f, "idle for {}", Seconds(*d)),
            Self::Dying(d) => write!(f, "its server keeps dying: next start in {}", Seconds(*d)),
        }
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_secs() >= 10 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        }
    }
}
