//! [`Ladder`]: the percentages of a spend limit and their consequences.

use dormouse_types::{Money, Units};
use serde::{Deserialize, Serialize};

/// Consequence of the amount spent, the mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// None.
    #[default]
    Free,
    /// A warning: this many percent of the limit are spent.
    Warned(u8),
    /// No more than the free baseline.
    Slow,
    /// In addition, read-only except for deletes.
    ReadOnly,
    /// Parked.
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

/// Percentages of the limit at which each rung begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// Warnings.
    pub warn: Vec<u8>,
    /// [`Rung::Slow`].
    pub slow: Option<u16>,
    /// [`Rung::ReadOnly`].
    pub read_only: Option<u16>,
    /// [`Rung::Asleep`].
    pub asleep: Option<u16>,
    /// Free units from `slow` on.
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

/// Why a ladder is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLadder {
    /// The percentages do not rise.
    #[error(
        "the shares of a spend limit must rise from at least 1 %: warn, then slow, read_only, asleep; {after} % comes after {before} %"
    )]
    Falls {
        /// A percentage.
        before: u16,
        /// The next percentage, which is not larger.
        after: u16,
    },
    /// The baseline is 0.
    #[error("the free baseline must be at least one unit")]
    NoBaseline,
}

impl Ladder {
    /// Checks that the percentages rise and that the baseline is not 0.
    ///
    /// # Errors
    /// [`InvalidLadder`] if not.
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

    /// The percentage of the limit from which only the baseline remains; `None`: there is none.
    #[must_use]
    pub fn threshold(&self) -> Option<u16> {
        [self.slow, self.read_only, self.asleep]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The rung for an amount spent of a limit.
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
