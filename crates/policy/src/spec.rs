//! What a database's owner wishes.

use std::time::Duration;

use dormouse_types::{Delay, Pooling, UnitRange, Units};
use serde::{Deserialize, Serialize};

/// What a database's owner wishes of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Idle for this long, its server is frozen.
    pub idle_suspend: Delay,
    /// Idle for this long, counted from the same moment, its server is stopped.
    pub idle_park: Delay,
    /// What its server may use.
    pub units: UnitRange,
    /// How its sessions share backends.
    pub pooling: Pooling,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            idle_suspend: Delay::After(Duration::from_secs(10)),
            idle_park: Delay::After(Duration::from_secs(300)),
            units: UnitRange {
                min: Units(1),
                max: Units(2),
            },
            pooling: Pooling::default(),
        }
    }
}

impl Spec {
    /// What an awake database has: the most it may get, since nothing scales it yet.
    #[must_use]
    pub fn units_awake(&self) -> Units {
        self.units.max
    }
}
