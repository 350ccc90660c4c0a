//! Time in a simulation.

use std::time::{Duration, Instant};

/// Microseconds since the start of the simulation, a Monday's midnight; or a duration in microseconds.
pub type Micros = u64;

/// One millisecond.
pub const MS: Micros = 1000;
/// One second.
pub const SECOND: Micros = 1000 * MS;
/// One minute.
pub const MINUTE: Micros = 60 * SECOND;
/// One hour.
pub const HOUR: Micros = 60 * MINUTE;
/// One day.
pub const DAY: Micros = 24 * HOUR;

/// Converts between the simulation's time and the policy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    /// Converts to the policy's time.
    pub(crate) fn at(self, at: Micros) -> Instant {
        self.0 + Duration::from_micros(at)
    }

    /// Converts from the policy's time.
    pub(crate) fn micros(self, at: Instant) -> Micros {
        let since = at.saturating_duration_since(self.0);
        let seconds = since.as_secs().saturating_mul(SECOND);
        seconds.saturating_add(Micros::from(since.subsec_micros()))
    }
}
