//! The settings of a database.

use std::time::Duration;

use dormouse_types::{
    Access, Backups, Bytes, Carry, CommitDurability, Delay, Money, OnDemand, Pooling, Reads,
    ReplicaRange, Timetable, UnitRange, Units,
};
use serde::{Deserialize, Serialize};

/// The settings of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Idle time after which its server is frozen.
    pub idle_suspend: Delay,
    /// Idle time after which its server is stopped, counted from the same moment.
    pub idle_park: Delay,
    /// Minimum and maximum size.
    pub units: UnitRange,
    /// Whether its sessions share backends.
    pub pooling: Pooling,
    /// Which state of sessions a park carries to the next server.
    pub carry: Carry,
    /// Hours in which it is awake, idle or not.
    pub keep_awake: Timetable,
    /// Whether it is woken before the hours in which it was used on earlier days.
    pub prewake: bool,
    /// Whether its server keeps a binary log, which is archived: for recovery to a point in time.
    pub history: bool,
    /// How many servers follow its primary.
    pub replicas: ReplicaRange,
    /// Where statements run that only read.
    pub reads: Reads,
    /// When a commit is acknowledged.
    pub durability: CommitDurability,
    /// Maximum disk space of its files; `None`: no limit.
    pub storage_quota: Option<Bytes>,
    /// Maximum cost in a calendar month; `None`: no limit.
    pub spend_limit: Option<Money>,
    /// Addresses whose clients may connect.
    pub access: Access,
    /// Schemas and users that are made when a login names them.
    pub on_demand: OnDemand,
    /// When backups are made, and which are kept.
    pub backups: Backups,
    /// The key of the sessions for which it is reserved: an import that follows another server. Statements of other
    /// sessions are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
}

impl Spec {
    /// Whether its server keeps a binary log: for its history, or for replicas.
    #[must_use]
    pub fn keeps_log(&self) -> bool {
        self.history || self.replicas.has_some()
    }
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
            carry: Carry::default(),
            keep_awake: Timetable::default(),
            prewake: false,
            history: false,
            replicas: ReplicaRange::default(),
            reads: Reads::default(),
            durability: CommitDurability::default(),
            storage_quota: None,
            spend_limit: None,
            access: Access::default(),
            on_demand: OnDemand::default(),
            backups: Backups::default(),
            reserved: None,
        }
    }
}
