//! When backups are made, and which are kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Delay;

/// Times of a clock: the five fields of `crontab(5)` (minute, hour, day of month, month, day of week), or never.
/// A time that daylight saving skips is the next one that there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(Option<Box<str>>);

/// Why a text is not a [`Cron`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a schedule ({cause}): write five fields as in '0 3 * * *' (minute, hour, day of month, month, day \
     of week), or never"
)]
pub struct InvalidCron {
    text: String,
    cause: String,
}

impl Cron {
    /// Never.
    pub const NEVER: Self = Self(None);

    /// Once a day at this hour.
    #[must_use]
    pub fn daily(hour: u8) -> Self {
        Self(Some(format!("0 {} * * *", hour % 24).into()))
    }

    /// Once a week, on Sunday at this hour.
    #[must_use]
    pub fn weekly(hour: u8) -> Self {
        Self(Some(format!("0 {} * * 0", hour % 24).into()))
    }

    /// The last of its times up to `now`; `None`: there was none.
    #[must_use]
    pub fn last(&self, now: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        let cron = parse(self.0.as_deref()?).ok()?;
        let last = cron.find_previous_occurrence(&now.to_zoned(tz.clone()), true);
        last.ok().map(|last| last.timestamp())
    }

    /// The first of its times after `after`; `None`: never.
    #[must_use]
    pub fn next(&self, after: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        let cron = parse(self.0.as_deref()?).ok()?;
        let next = cron.find_next_occurrence(&after.to_zoned(tz.clone()), false);
        next.ok().map(|next| next.timestamp())
    }
}

fn parse(text: &str) -> Result<croner::Cron, croner::errors::CronError> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(text)
}

/// Whether there is such a time.
fn comes(cron: &croner::Cron) -> bool {
    let start = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    cron.find_next_occurrence(&start, true).is_ok()
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let text = text.trim();
        if text == "never" {
            return Ok(Self::NEVER);
        }
        let invalid = |cause: String| InvalidCron {
            text: text.to_owned(),
            cause,
        };
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(invalid(format!("it has {fields} fields")));
        }
        match parse(text) {
            Ok(cron) if !comes(&cron) => Err(invalid("it never comes".to_owned())),
            Ok(_) => Ok(Self(Some(text.into()))),
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}

impl TryFrom<String> for Cron {
    type Error = InvalidCron;

    fn try_from(text: String) -> Result<Self, InvalidCron> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.to_string()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("never"))
    }
}

/// Which backups are kept: the newest, as many as `last`, and all that are younger than `within`. Written as `14`, `90d`
/// or `14, 90d`. The newest is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keep {
    /// Number of the newest.
    pub last: u32,
    /// Age.
    pub within: Duration,
}

/// Why a text is not a [`Keep`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' does not say which backups to keep: write a number, an age, or both, as in '14', '90d' or '14, 90d'"
)]
pub struct InvalidKeep(String);

impl Default for Keep {
    fn default() -> Self {
        Self {
            last: 14,
            within: Duration::ZERO,
        }
    }
}

impl FromStr for Keep {
    type Err = InvalidKeep;

    fn from_str(text: &str) -> Result<Self, InvalidKeep> {
        let invalid = || InvalidKeep(text.to_owned());
        let (mut last, mut within) = (None, None);
        for part in text.split(',').map(str::trim) {
            if let Ok(number) = part.parse::<u32>() {
                if number == 0 || last.replace(number).is_some() {
                    return Err(invalid());
                }
            } else {
                match part.parse() {
                    Ok(Delay::After(age)) if !age.is_zero() && within.is_none() => {
                        within = Some(age)
                    }
                    _ => return Err(invalid()),
                }
            }
        }
        Ok(Self {
            last: last.unwrap_or(1),
            within: within.unwrap_or_default(),
        })
    }
}

impl TryFrom<String> for Keep {
    type Error = InvalidKeep;

    fn try_from(text: String) -> Result<Self, InvalidKeep> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = Delay::After(self.within);
        match (self.last, self.within.is_zero()) {
            (last, true) => write!(f, "{last}"),
            (1, false) => age.fmt(f),
            (last, false) => write!(f, "{last}, {age}"),
        }
    }
}

/// Backups of one database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Backups {
    /// When they are made.
    pub schedule: Cron,
    /// Which are kept.
    pub keep: Keep,
}

impl Default for Backups {
    fn default() -> Self {
        Self {
            schedule: Cron::daily(3),
            keep: Keep::default(),
        }
    }
}

#[cfg(test)]
mod tests;
