//! The learnt pattern of a database's use.

use dormouse_policy::schedule::Pattern;
use jiff::civil::Date;

/// The learnt pattern of a database's use, and the day on which it was learnt.
pub(super) struct Habits {
    pub(super) learnt: Date,
    pub(super) pattern: Pattern,
}
