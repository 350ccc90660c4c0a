//! [`Timetable`]: hours of a week.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use serde::{Deserialize, Serialize};

/// Hours of a week, at most one span per day. Written `mon-fri 08:00-18:00, sat 9:00-12:30`,
/// or `never`. A span ends on the same day; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timetable {
    /// Minutes of the day, from and to, Monday first.
    days: [Option<(u16, u16)>; 7],
}

/// Why a text is not a [`Timetable`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a timetable: write days and hours, as in 'mon-fri 08:00-18:00, sat 09:00-12:00', or never"
)]
pub struct InvalidTimetable(String);

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

impl Timetable {
    /// Whether it has no hours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.iter().all(Option::is_none)
    }

    /// The span of a day, in minutes from midnight.
    #[must_use]
    pub fn on(&self, day: Weekday) -> Option<(u16, u16)> {
        let index = usize::try_from(day.to_monday_zero_offset()).ok()?;
        self.days.get(index).copied().flatten()
    }

    /// Whether a time of a day is within its span.
    #[must_use]
    pub fn covers(&self, day: Weekday, time: Time) -> bool {
        let minute = time.hour().unsigned_abs() as u16 * 60 + time.minute().unsigned_abs() as u16;
        self.on(day)
            .is_some_and(|(from, to)| from <= minute && minute < to)
    }
}

impl FromStr for Timetable {
    type Err = InvalidTimetable;

    fn from_str(text: &str) -> Result<Self, InvalidTimetable> {
        let invalid = || InvalidTimetable(text.to_owned());
        let mut table = Self::default();
        if text == "never" {
            return Ok(table);
        }
        for part in text.split(',') {
            let (days, hours) = part.trim().split_once(' ').ok_or_else(invalid)?;
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let day = |name: &str| NAMES.iter().position(|known| *known == name);
            let (from, to) = hours.trim().split_once('-').ok_or_else(invalid)?;
            let span = (
                minute(from).ok_or_else(invalid)?,
                minute(to).ok_or_else(invalid)?,
            );
            let (first, last) = (
                day(first).ok_or_else(invalid)?,
                day(last).ok_or_else(invalid)?,
            );
            if span.0 >= span.1 || first > last {
                return Err(invalid());
            }
            for slot in table.days.iter_mut().take(last + 1).skip(first) {
                if slot.replace(span).is_some() {
                    return Err(invalid());
                }
            }
        }
        Ok(table)
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || minutes.len() != 2 || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

impl TryFrom<String> for Timetable {
    type Error = InvalidTimetable;

    fn try_from(text: String) -> Result<Self, InvalidTimetable> {
        text.parse()
    }
}

impl From<Timetable> for String {
    fn from(table: Timetable) -> Self {
        table.to_string()
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("never");
        }
        let mut first = 0;
        let mut comma = "";
        while first < NAMES.len() {
            let span = self.days[first];
            let same = self.days[first..]
                .iter()
                .take_while(|s| **s == span)
                .count();
            if let Some((from, to)) = span {
                write!(f, "{comma}{}", NAMES[first])?;
                if same > 1 {
                    write!(f, "-{}", NAMES[first + same - 1])?;
                }
                let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
                write!(f, " {}-{}", clock(from), clock(to))?;
                comma = ", ";
            }
            first += same;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_read_and_written() {
        for (text, written) in [
            ("never", "never"),
            ("mon-fri 08:00-18:00", "mon-fri 08:00-18:00"),
            (
                "sat 9:00-12:30, mon-fri 8:00-18:00",
                "mon-fri 08:00-18:00, sat 09:00-12:30",
            ),
            ("mon-sun 0:00-24:00", "mon-sun 00:00-24:00"),
        ] {
            let table: Timetable = text.parse().unwrap();
            assert_eq!(table.to_string(), written);
            assert_eq!(written.parse(), Ok(table));
        }
        for bad in [
            "",
            "always",
            "mon",
            "fri-mon 08:00-18:00",
            "mon 18:00-08:00",
            "mon 08:00-24:01",
            "mon 08:00-09:60",
            "mon-fri 08:00-18:00, tue 09:00-10:00",
        ] {
            assert!(bad.parse::<Timetable>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_span_includes_its_first_minute_and_excludes_its_last() {
        let table: Timetable = "mon-fri 08:00-18:00".parse().unwrap();
        for (day, hour, minute, covered) in [
            (Weekday::Monday, 8, 0, true),
            (Weekday::Friday, 17, 59, true),
            (Weekday::Friday, 18, 0, false),
            (Weekday::Monday, 7, 59, false),
            (Weekday::Sunday, 12, 0, false),
        ] {
            let time = Time::constant(hour, minute, 0, 0);
            assert_eq!(table.covers(day, time), covered, "{day:?} {time}");
        }
    }
}
