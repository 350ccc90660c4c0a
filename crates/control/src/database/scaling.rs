//! What an actor remembers of the size of an awake database.

use std::time::Instant;

use dormouse_policy::Cause;
use dormouse_policy::autoscale::Step;
use dormouse_policy::lifecycle::Denied;
use dormouse_types::UnitRange;

/// What was decided about a database's size.
#[derive(Default)]
pub(super) struct Scaling {
    pub(super) range: Option<UnitRange>,
    /// The step down that is on its way.
    pub(super) down: Option<Down>,
    /// When there was no room to grow, last and as the ledger was told last.
    pub(super) no_room: Option<(Instant, Denied)>,
    pub(super) grow_denied: Option<Denied>,
    pub(super) shrink_denied: Option<Denied>,
}

/// A step down that is on its way.
pub(super) struct Down {
    pub(super) step: Step,
    pub(super) cause: Cause,
    pub(super) began: Instant,
}

impl Scaling {
    /// What was denied before says nothing of another range, or another server.
    pub(super) fn forget_denials(&mut self) {
        self.no_room = None;
        self.grow_denied = None;
        self.shrink_denied = None;
    }
}
