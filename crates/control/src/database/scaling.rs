//! An actor's state for changes of size.

use std::time::Instant;

use dormouse_policy::Cause;
use dormouse_policy::autoscale::SizeStep;
use dormouse_policy::lifecycle::Denial;
use dormouse_types::UnitRange;

/// State for changes of a database's size.
#[derive(Default)]
pub(super) struct Scaling {
    pub(super) range: Option<UnitRange>,
    /// The shrink that is under way.
    pub(super) down: Option<Down>,
    /// When there was no room to grow, last and at the last entry in the ledger.
    pub(super) no_room: Option<(Instant, Denial)>,
    pub(super) grow_denied: Option<Denial>,
    pub(super) shrink_denied: Option<Denial>,
}

/// A shrink that is under way.
pub(super) struct Down {
    pub(super) step: SizeStep,
    pub(super) cause: Cause,
    pub(super) began: Instant,
}

impl Scaling {
    /// Denials do not apply to another range, or another server.
    pub(super) fn forget_denials(&mut self) {
        self.no_room = None;
        self.grow_denied = None;
        self.shrink_denied = None;
    }
}
