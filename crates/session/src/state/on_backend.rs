//! State that a session has only on its present backend.

use super::certainty::Certainty;
use crate::locks::Locks;
use crate::savepoints::Savepoints;
use crate::temporary::Temporaries;
use dormouse_types::Pin;

/// What the backend may keep of this session beyond its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Leftover {
    /// Nothing.
    #[default]
    None,
    /// Something that a reset of the connection removes.
    UntilReset,
    /// Something that no reset removes: profiles of its statements (`SHOW PROFILES`).
    Permanent,
}

/// State that belongs to the present backend, dropped whole when the session leaves or loses the backend.
#[derive(Debug, Default)]
pub(super) struct BackendState {
    /// How well the session's state there is known.
    pub(super) certainty: Certainty,
    pub(super) leftover: Leftover,
    /// Whether the session's own texts have switched profiling on there: then Dormouse's own statements are kept
    /// out of the profiles.
    pub(super) profiling: bool,
    /// What the last probe found that keeps the session on the backend.
    pub(super) pins: Vec<Pin>,
    /// Whether a variable may be set that can neither be read nor set again.
    pub(super) hidden_variable: bool,
    pub(super) locks: Locks,
    pub(super) savepoints: Savepoints,
    pub(super) temporaries: Temporaries,
    /// The `SET TRANSACTION` statements that the open transaction has used.
    pub(super) transaction: Vec<Box<[u8]>>,
    /// What was answered without the server, and the backend has yet to run.
    pub(super) owed: Vec<Box<[u8]>>,
}

impl BackendState {
    /// As it is after a reset of the connection.
    pub(super) fn after_reset(&self, certainty: Certainty) -> Self {
        let leftover = match (self.leftover, certainty) {
            (Leftover::Permanent, _) => Leftover::Permanent,
            (_, Certainty::Known) => Leftover::None,
            (_, Certainty::Doubtful | Certainty::Unknown) => Leftover::UntilReset,
        };
        Self {
            certainty,
            leftover,
            ..Self::default()
        }
    }

    /// Notes that the backend may keep something.
    pub(super) fn leaves(&mut self, leftover: Leftover) {
        self.leftover = self.leftover.max(leftover);
    }

    /// Notes that the session's state may have changed in ways that no text tells.
    pub(super) fn doubt(&mut self, certainty: Certainty) {
        self.certainty.lower_to(certainty);
        self.leaves(Leftover::UntilReset);
    }
}
