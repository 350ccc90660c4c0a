//! The owner's settings of a database.

use std::time::Duration;

use dormouse_types::{Bytes, Delay, Money, Pooling, Timetable, UnitRange, Units};
use serde::{Deserialize, Serialize};

/// What a database's owner has set.
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
    /// When it is kept awake, idle or not, and woken if it sleeps.
    pub keep_awake: Timetable,
    /// Whether it is woken ahead of the hours in which it was used on earlier days.
    pub prewake: bool,
    /// The most disk its files may take; `None`: what the disk has.
    pub storage_quota: Option<Bytes>,
    /// The most it may cost in a calendar month; `None`: no limit.
    pub spend_limit: Option<Money>,
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
            keep_awake: Timetable::default(),
            prewake: false,
            storage_quota: None,
            spend_limit: None,
        }
    }
}
