//! Reports of what databases have used.

use dormouse_types::{DatabaseName, InstanceId, Money, Month, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The resolution of a usage report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// One sum for each database.
    #[default]
    Month,
    /// Each day with use.
    Day,
    /// Each minute awake; the usage of a sleep is reported by day.
    Minute,
}

/// Which use is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageQuery {
    /// That of databases of this name only.
    pub database: Option<DatabaseName>,
    /// That of this month; `None`: of the current one.
    pub month: Option<Month>,
    /// How finely.
    pub by: By,
}

/// What databases have used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// In this month, in UTC.
    pub month: Month,
    /// How finely.
    pub by: By,
    /// By database, then time.
    pub rows: Vec<UsageRow>,
    /// The sum of all.
    pub used: Usage,
    /// What of it is to be paid.
    pub charged: Usage,
    /// What that costs, at today's prices; `None`: no prices are set.
    pub cost: Option<Money>,
    /// What amounts are in; empty if it has no name.
    pub currency: String,
}

/// What one database has used in some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The database.
    pub database: DatabaseName,
    /// Its instance: another database of the same name, made after this one was dropped, has
    /// another.
    pub instance: InstanceId,
    /// When it was dropped.
    pub dropped: Option<Timestamp>,
    /// When the day or minute begins; `None`: it is the sum of the month.
    pub from: Option<Timestamp>,
    /// What was used.
    pub used: Usage,
    /// What of it is to be paid: past its limit the baseline is free.
    pub charged: Usage,
    /// What that costs, at today's prices; `None`: no prices are set.
    pub cost: Option<Money>,
}
