//! The learnt pattern of when a database is used.

use dormouse_policy::schedule::Pattern;
use jiff::civil::Date;

/// When a database is used, as learnt on this day.
pub(super) struct Habits {
    pub(super) learnt: Date,
    pub(super) pattern: Pattern,
}
