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
