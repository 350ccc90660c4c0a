//! How well something is known.

/// How well a piece of a session's state is known without asking its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Certainty {
    /// Known: read from the backend, or changed since only as the statements' texts say.
    #[default]
    Known,
    /// Probably as known, but an error may hide a change: it is read before the session leaves its
    /// backend.
    Doubtful,
    /// A statement may have changed it in ways that its text does not tell: it is read as soon as the
    /// session is idle.
    Unknown,
}

impl Certainty {
    /// Notes a doubt; a greater one stays.
    pub(crate) fn lower_to(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}
