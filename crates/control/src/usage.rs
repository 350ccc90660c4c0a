//! Usage reports.

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

/// Query for a usage report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageQuery {
    /// Only databases of this name.
    pub database: Option<DatabaseName>,
    /// Only databases that exist, not dropped ones; a dropped one of the same name may have been another's.
    pub present: bool,
    /// The month; `None`: the current one.
    pub month: Option<Month>,
    /// Resolution.
    pub by: By,
}

/// A usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// In this month, in UTC.
    pub month: Month,
    /// Resolution.
    pub by: By,
    /// By database, then time.
    pub rows: Vec<UsageRow>,
    /// The sum of all.
    pub used: Usage,
    /// The charged part.
    pub charged: Usage,
    /// The cost at today's prices; `None` without prices.
    pub cost: Option<Money>,
    /// The currency's name; may be empty.
    pub currency: String,
}

/// Usage of one database over a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The database.
    pub database: DatabaseName,
    /// Its instance, which distinguishes it from a later database of the same name.
    pub instance: InstanceId,
    /// When it was dropped.
    pub dropped: Option<Timestamp>,
    /// Beginning of the day or minute; `None` for the sum of the month.
    pub from: Option<Timestamp>,
    /// What was used.
    pub used: Usage,
    /// The charged part: past the spend limit the baseline is free.
    pub charged: Usage,
    /// The cost at today's prices; `None` without prices.
    pub cost: Option<Money>,
}
