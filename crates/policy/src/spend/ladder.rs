//! The ladder from a warning to sleep.

use dormouse_types::{Money, Units};
use serde::{Deserialize, Serialize};

/// What follows from what was spent, the mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing.
    #[default]
    Free,
    /// A warning that this many percent of the limit are spent.
    Warned(u8),
    /// No more than the free baseline.
    Slow,
    /// That, and reads and deletes alone.
    ReadOnly,
    /// No server at all.
    Asleep,
}

impl Rung {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Warned(_) => "warned",
            Self::Slow => "slow",
            Self::ReadOnly => "read_only",
            Self::Asleep => "asleep",
        }
    }
}

/// Which percent of the limit lead to which rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// At which to warn.
    pub warn: Vec<u8>,
    /// From which on it is slow.
    pub slow: Option<u16>,
    /// From which on it is read-only.
    pub read_only: Option<u16>,
    /// From which on it sleeps.
    pub asleep: Option<u16>,
    /// What it may use for nothing, once it is slow.
    pub baseline: Units,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            warn: vec![50, 80, 95],
            slow: Some(100),
            read_only: None,
            asleep: None,
            baseline: Units(1),
        }
    }
}

/// Why a ladder is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLadder {
    /// The shares do not rise.
    #[error(
        "the shares of a spend limit must rise from at least 1 %: warn, then slow, read_only, asleep; {after} % comes after {before} %"
    )]
    Falls {
        /// A share.
        before: u16,
        /// The share that comes after it and is no larger.
        after: u16,
    },
    /// The baseline is nothing.
    #[error("the free baseline must be at least one unit")]
    NoBaseline,
}

impl Ladder {
    /// Whether it is one: its shares rise, and the baseline is something.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), InvalidLadder> {
        let mut before = 0;
        let rungs = [self.slow, self.read_only, self.asleep];
        for after in self
            .warn
            .iter()
            .map(|w| u16::from(*w))
            .chain(rungs.into_iter().flatten())
        {
            if after <= before {
                return Err(InvalidLadder::Falls { before, after });
            }
            before = after;
        }
        if self.baseline < Units(1) {
            return Err(InvalidLadder::NoBaseline);
        }
        Ok(())
    }

    /// The percent of the limit from which on only the baseline remains; `None`: it is never held.
    #[must_use]
    pub fn threshold(&self) -> Option<u16> {
        [self.slow, self.read_only, self.asleep]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Where on the ladder one stands who has spent this much of a limit.
#[must_use]
pub fn rung(ladder: &Ladder, limit: Money, spent: Money) -> Rung {
    let reached =
        |percent: u16| u128::from(spent.0) * 100 >= u128::from(limit.0) * u128::from(percent);
    let severe = [
        (ladder.asleep, Rung::Asleep),
        (ladder.read_only, Rung::ReadOnly),
        (ladder.slow, Rung::Slow),
    ];
    let severe = severe
        .into_iter()
        .find(|(percent, _)| percent.is_some_and(reached))
        .map(|(_, rung)| rung);
    severe.unwrap_or_else(|| {
        let warned = ladder
            .warn
            .iter()
            .copied()
            .filter(|w| reached(u16::from(*w)));
        warned.max().map_or(Rung::Free, Rung::Warned)
    })
}
