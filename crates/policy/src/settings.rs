//! Changes to the settings of a database.

use std::fmt;
use std::str::FromStr;

use dormouse_types::{
    Access, Backups, Bytes, Carry, CommitDurability, Cron, Delay, Keep, Money, NamesOrOff,
    Networks, OnDemand, Pooling, Reads, ReplicaRange, Timetable, UnitRange,
};
use serde::{Deserialize, Serialize};

use crate::Spec;

/// Changes to settings; `None` leaves a setting unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsPatch {
    /// Suspend after this long without a statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_suspend: Option<Delay>,
    /// Park after this long without a statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_park: Option<Delay>,
    /// Minimum and maximum compute units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<UnitRange>,
    /// Whether its sessions share backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Which state of sessions a park carries to the next server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carry: Option<Carry>,
    /// Hours in which it is kept awake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_awake: Option<Timetable>,
    /// Whether it is woken before its usual hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prewake: Option<bool>,
    /// Whether it keeps its history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<bool>,
    /// How many servers follow its primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicaRange>,
    /// Where statements run that only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Reads>,
    /// When a commit is acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<CommitDurability>,
    /// Maximum disk space of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_quota: Option<Cap<Bytes>>,
    /// Maximum cost in a calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_limit: Option<Cap<Money>>,
    /// Networks whose clients may connect; an empty list admits all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Networks>,
    /// Networks whose clients may not connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Networks>,
    /// Schemas that a login may name before they exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_schemas: Option<NamesOrOff>,
    /// When backups are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Cron>,
    /// Which backups are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_keep: Option<Keep>,
}

impl SettingsPatch {
    /// The settings after this patch.
    #[must_use]
    pub fn applied_to(self, spec: Spec) -> Spec {
        Spec {
            idle_suspend: self.idle_suspend.unwrap_or(spec.idle_suspend),
            idle_park: self.idle_park.unwrap_or(spec.idle_park),
            units: self.units.unwrap_or(spec.units),
            pooling: self.pooling.unwrap_or(spec.pooling),
            carry: self.carry.unwrap_or(spec.carry),
            keep_awake: self.keep_awake.unwrap_or(spec.keep_awake),
            prewake: self.prewake.unwrap_or(spec.prewake),
            history: self.history.unwrap_or(spec.history),
            replicas: self.replicas.unwrap_or(spec.replicas),
            reads: self.reads.unwrap_or(spec.reads),
            durability: self.durability.unwrap_or(spec.durability),
            storage_quota: self.storage_quota.map_or(spec.storage_quota, |cap| cap.0),
            spend_limit: self.spend_limit.map_or(spec.spend_limit, |cap| cap.0),
            access: Access {
                allow: self.allow.unwrap_or(spec.access.allow),
                deny: self.deny.unwrap_or(spec.access.deny),
            },
            on_demand: OnDemand {
                schemas: self.on_demand_schemas.unwrap_or(spec.on_demand.schemas),
                users: spec.on_demand.users,
            },
            backups: Backups {
                schedule: self.backup.unwrap_or(spec.backups.schedule),
                keep: self.backup_keep.unwrap_or(spec.backups.keep),
            },
            reserved: spec.reserved,
        }
    }
}

/// An upper limit, or none. Written as a value, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(
        serialize = "T: fmt::Display + Clone",
        deserialize = "T: FromStr, T::Err: fmt::Display"
    )
)]
pub struct Cap<T>(pub Option<T>);

/// Why a text is not a [`Cap`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}, or none")]
pub struct InvalidCap<E>(E);

impl<T: FromStr> FromStr for Cap<T> {
    type Err = InvalidCap<T::Err>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|limit| Self(Some(limit)))
            .map_err(InvalidCap)
    }
}

impl<T: FromStr> TryFrom<String> for Cap<T> {
    type Error = InvalidCap<T::Err>;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl<T: fmt::Display> From<Cap<T>> for String {
    fn from(cap: Cap<T>) -> Self {
        cap.to_string()
    }
}

impl<T: fmt::Display> fmt::Display for Cap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_stay_unchanged_and_a_cap_can_be_removed() {
        let before = Spec {
            storage_quota: Some(Bytes::mib(64)),
            prewake: true,
            ..Spec::default()
        };
        assert_eq!(SettingsPatch::default().applied_to(before.clone()), before);
        let settings = SettingsPatch {
            storage_quota: "none".parse().ok(),
            spend_limit: "12.50".parse().ok(),
            ..SettingsPatch::default()
        };
        let after = settings.applied_to(before);
        assert_eq!(after.storage_quota, None);
        assert_eq!(after.spend_limit, Some(Money(12_500_000)));
        assert!(after.prewake);
        let refused = "some".parse::<Cap<Money>>().unwrap_err().to_string();
        assert!(refused.ends_with("(12.50), or none"), "{refused}");
    }
}
