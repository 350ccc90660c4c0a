//! Replicas of a database: servers that follow its primary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, InstanceId};

/// How many replicas a database has; at most [`ReplicaCount::MOST`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct ReplicaCount(u8);

impl ReplicaCount {
    /// The most that a database may have.
    pub const MOST: u8 = 3;

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// This many, or the most.
    #[must_use]
    pub fn at_most(count: usize) -> Self {
        Self(u8::try_from(count).map_or(Self::MOST, |count| count.min(Self::MOST)))
    }
}

/// Why a number is not a [`ReplicaCount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no number of replicas: write 0 to {most}", most = ReplicaCount::MOST)]
pub struct InvalidReplicaCount(String);

impl TryFrom<u8> for ReplicaCount {
    type Error = InvalidReplicaCount;

    fn try_from(count: u8) -> Result<Self, InvalidReplicaCount> {
        match count <= Self::MOST {
            true => Ok(Self(count)),
            false => Err(InvalidReplicaCount(count.to_string())),
        }
    }
}

impl From<ReplicaCount> for u8 {
    fn from(count: ReplicaCount) -> Self {
        count.0
    }
}

impl FromStr for ReplicaCount {
    type Err = InvalidReplicaCount;

    fn from_str(text: &str) -> Result<Self, InvalidReplicaCount> {
        let count: u8 = text
            .parse()
            .map_err(|_| InvalidReplicaCount(text.to_owned()))?;
        count.try_into()
    }
}

impl fmt::Display for ReplicaCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many replicas a database has: a number, or a range in which the number follows the load. Written `2` or `1..3`; read
/// from a plain number, too.
///
/// A range begins with 1 at least: without a replica nobody can tell which statements would run on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct ReplicaRange {
    min: ReplicaCount,
    max: ReplicaCount,
}

/// How a range is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u8),
    Text(String),
}

/// Why a text is not a [`ReplicaRange`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no number of replicas: write 0 to {most}, or a range from 1 on, as in 1..{most}",
    most = ReplicaCount::MOST
)]
pub struct InvalidReplicaRange(String);

impl ReplicaRange {
    /// The smallest number.
    #[must_use]
    pub fn min(self) -> ReplicaCount {
        self.min
    }

    /// The largest number.
    #[must_use]
    pub fn max(self) -> ReplicaCount {
        self.max
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_some(self) -> bool {
        self.max.get() > 0
    }

    /// Whether the number follows the load.
    #[must_use]
    pub fn follows_load(self) -> bool {
        self.min < self.max
    }

    /// The nearest number within the range.
    #[must_use]
    pub fn nearest(self, count: ReplicaCount) -> ReplicaCount {
        count.clamp(self.min, self.max)
    }
}

impl From<ReplicaCount> for ReplicaRange {
    fn from(count: ReplicaCount) -> Self {
        Self {
            min: count,
            max: count,
        }
    }
}

impl FromStr for ReplicaRange {
    type Err = InvalidReplicaRange;

    fn from_str(text: &str) -> Result<Self, InvalidReplicaRange> {
        let invalid = || InvalidReplicaRange(text.to_owned());
        let count = |text: &str| text.parse::<ReplicaCount>().map_err(|_| invalid());
        let Some((min, max)) = text.split_once("..") else {
            return count(text).map(Self::from);
        };
        let (min, max) = (count(min)?, count(max)?);
        match 1 <= min.0 && min <= max {
            true => Ok(Self { min, max }),
            false => Err(invalid()),
        }
    }
}

impl TryFrom<Written> for ReplicaRange {
    type Error = InvalidReplicaRange;

    fn try_from(written: Written) -> Result<Self, InvalidReplicaRange> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<ReplicaRange> for String {
    fn from(range: ReplicaRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for ReplicaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.follows_load() {
            true => write!(f, "{}..{}", self.min, self.max),
            false => self.min.fmt(f),
        }
    }
}

/// Where statements run that only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// On the primary, as all others.
    #[default]
    Primary,
    /// On a replica, as long as one is there that is not behind.
    Replica,
    /// On the primary or a replica, whichever has the least to do.
    Any,
}

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitDurability {
    /// When it is on the disk of the primary.
    #[default]
    Local,
    /// When a replica has received it as well; without a replica it waits for one.
    Replica,
}

/// Why a text is none of the words for [`Reads`] or [`CommitDurability`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not one of {words}")]
pub struct NotOneOf {
    text: String,
    words: &'static str,
}

impl FromStr for Reads {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "primary" => Ok(Self::Primary),
            "replica" => Ok(Self::Replica),
            "any" => Ok(Self::Any),
            _ => Err(NotOneOf {
                text: text.to_owned(),
                words: "primary, replica, any",
            }),
        }
    }
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Any => "any",
        })
    }
}

impl FromStr for CommitDurability {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "local" => Ok(Self::Local),
            "replica" => Ok(Self::Replica),
            _ => Err(NotOneOf {
                text: text.to_owned(),
                words: "local, replica",
            }),
        }
    }
}

impl fmt::Display for CommitDurability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Replica => "replica",
        })
    }
}

/// A server that follows that of a database, and is not far behind: statements that only read may run there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The instance.
    pub instance: InstanceId,
    /// The instance that the database began with: the accounts have the credentials of that one.
    pub origin: InstanceId,
    /// Number that no other server of this instance has had.
    pub generation: u64,
    /// Address of its server.
    pub endpoint: Endpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_replicas_is_small() {
        for (text, count) in [
            ("0", Some(0)),
            ("3", Some(3)),
            ("4", None),
            ("-1", None),
            ("", None),
        ] {
            let parsed = text.parse::<ReplicaCount>().ok().map(ReplicaCount::get);
            assert_eq!(parsed, count, "{text}");
        }
    }

    #[test]
    fn a_range_of_replicas_begins_with_one_and_a_number_is_a_range_of_itself() {
        for (text, range, written) in [
            ("0", Some((0, 0)), "0"),
            ("2", Some((2, 2)), "2"),
            ("1..3", Some((1, 3)), "1..3"),
            ("2..2", Some((2, 2)), "2"),
            ("0..2", None, ""),
            ("0..0", None, ""),
            ("3..1", None, ""),
            ("1..4", None, ""),
            ("4", None, ""),
            ("1..", None, ""),
            ("..2", None, ""),
            ("1...3", None, ""),
            ("", None, ""),
        ] {
            let parsed = text.parse::<ReplicaRange>().ok();
            let ends = parsed.map(|range| (range.min().get(), range.max().get()));
            assert_eq!(ends, range, "{text}");
            let shown = parsed.map_or(String::new(), |range| range.to_string());
            assert_eq!(shown, written, "{text}");
        }
    }

    #[test]
    fn the_nearest_number_is_within_the_range() {
        let range: ReplicaRange = "1..2".parse().unwrap();
        let nearest = [0, 1, 2, 3, 1000].map(|n| range.nearest(ReplicaCount::at_most(n)).get());
        assert_eq!(nearest, [1, 1, 2, 2, 2]);
    }

    #[test]
    fn words_are_written_as_they_are_read() {
        for text in ["primary", "replica", "any"] {
            assert_eq!(text.parse::<Reads>().unwrap().to_string(), text);
        }
        for text in ["local", "replica"] {
            assert_eq!(text.parse::<CommitDurability>().unwrap().to_string(), text);
        }
        assert!("all".parse::<Reads>().is_err());
    }
}
