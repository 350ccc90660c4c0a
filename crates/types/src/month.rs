//! Calendar months and days, in UTC.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// Length of a day in seconds.
const DAY: i64 = 86_400;

/// A calendar month, in UTC. Written `2026-03`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i16,
    /// 1 to 12.
    month: i8,
}

/// Why a text is not a [`Month`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a month: write year and month, as in 2026-03")]
pub struct InvalidMonth(String);

impl Month {
    /// The month that contains `at`.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let date = Offset::UTC.to_datetime(at).date();
        Self {
            year: date.year(),
            month: date.month(),
        }
    }

    /// The month of a day, counted from 1970-01-01.
    #[must_use]
    pub fn of_day(day: i64) -> Self {
        Self::of(day_begins(day))
    }

    /// Its days, counted from 1970-01-01.
    #[must_use]
    pub fn days(self) -> Range<i64> {
        self.first_day()..self.next().first_day()
    }

    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year.saturating_add(1),
                month: 1,
            },
            month => Self {
                month: month + 1,
                ..self
            },
        }
    }

    fn first_day(self) -> i64 {
        let first = Date::new(self.year, self.month, 1).unwrap_or(Date::MAX);
        let begins = Offset::UTC.to_timestamp(first.at(0, 0, 0, 0));
        begins.unwrap_or(Timestamp::MAX).as_second().div_euclid(DAY)
    }
}

/// Beginning of a day, counted from 1970-01-01.
#[must_use]
pub fn day_begins(day: i64) -> Timestamp {
    Timestamp::from_second(day.saturating_mul(DAY)).unwrap_or(Timestamp::MAX)
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let invalid = || InvalidMonth(text.to_owned());
        let (year, month) = text.split_once('-').ok_or_else(invalid)?;
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(invalid());
        }
        let year: i16 = year.parse().map_err(|_| invalid())?;
        let month: i8 = month.parse().map_err(|_| invalid())?;
        if year >= 1970 && (1..=12).contains(&month) {
            Ok(Self { year, month })
        } else {
            Err(invalid())
        }
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidMonth;

    fn try_from(text: String) -> Result<Self, InvalidMonth> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_knows_its_days() {
        for (text, first, days) in [
            ("1970-01", 0, 31),
            ("1970-02", 31, 28),
            ("2024-02", 19_754, 29),
            ("2025-12", 20_423, 31),
        ] {
            let month: Month = text.parse().unwrap();
            assert_eq!(month.to_string(), text);
            assert_eq!(month.days(), first..first + days);
            for day in [first, first + days - 1] {
                assert_eq!(Month::of_day(day), month);
            }
            assert_eq!(Month::of_day(first + days), month.next());
        }
        for last in ["9999-12", "9999-11"] {
            assert!(!last.parse::<Month>().unwrap().days().contains(&0));
        }
        for bad in [
            "", "2026", "2026-13", "2026-00", "26-03", "2026-3", "+026-03", "1969-12",
        ] {
            assert!(bad.parse::<Month>().is_err(), "{bad:?} was accepted");
        }
    }
}
