//! When a database is awake by time.
//!
//! [`agenda`] combines three sources: its timetable, the events of its server's scheduler, and, with
//! `prewake`, the hours in which it was used on earlier days. It returns what holds now and when
//! that changes.
//!
//! Invariants:
//! - at changes of daylight saving time the longer span counts: a span begins at the earlier of the
//!   moments that its local time may mean, and ends at the later;
//! - a caller that evaluates again at `changes_at` misses no change.
//!
//! Called by `control` when a database goes to sleep, and at the times in the agenda.

use dormouse_types::Timetable;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousTimestamp, TimeZone};
use jiff::{SignedDuration, Timestamp};

mod pattern;

pub use pattern::Pattern;

/// How long before an event of its scheduler a database is woken; longer than a start takes.
pub const EVENT_LEAD: SignedDuration = SignedDuration::from_secs(2);
/// How long before a slot of its pattern it is woken.
pub const PATTERN_LEAD: SignedDuration = SignedDuration::from_secs(60);
/// Number of days evaluated: yesterday, because its last span may end today, today, and a week and a day.
const DAYS: usize = 10;

/// Result of [`agenda`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    /// Whether it must stay awake now, idle or not.
    pub keep_awake: bool,
    /// When to wake it, if it sleeps: now, or later. `None`: never.
    pub wake_at: Option<Timestamp>,
    /// When `keep_awake` changes. `None`: not within a week.
    pub changes_at: Option<Timestamp>,
    /// Reason to stay awake, or else to wake it.
    pub reason: String,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Timetable,
    Pattern,
}

/// What the clock requires a database for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// The hours of its timetable.
    Timetable,
    /// Its pattern of use.
    Pattern,
    /// An event of its server.
    Event,
}

impl Due {
    /// What an agenda's reason is about.
    #[must_use]
    pub fn of_reason(reason: &str) -> Option<Self> {
        let begins = |with: &[&str]| with.iter().any(|start| reason.starts_with(start));
        if begins(&[BY_TIMETABLE, TIMETABLE_BEGINS]) {
            Some(Self::Timetable)
        } else if begins(&[BY_PATTERN, PATTERN_BEGINS]) {
            Some(Self::Pattern)
        } else if begins(&[EVENT_DUE]) {
            Some(Self::Event)
        } else {
            None
        }
    }

    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timetable => "timetable",
            Self::Pattern => "pattern",
            Self::Event => "event",
        }
    }
}

const BY_TIMETABLE: &str = "its timetable keeps it awake";
const TIMETABLE_BEGINS: &str = "its timetable begins";
const BY_PATTERN: &str = "it was wanted at this time on earlier days";
const PATTERN_BEGINS: &str = "by its earlier days it will be wanted soon after";
const EVENT_DUE: &str = "an event is due";

/// A time in which it must be awake.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    source: Source,
}

/// The agenda of a database at the time `now`, from its timetable in its time zone, the time of its
/// server's next event, and its pattern if it is woken ahead.
#[must_use]
pub fn agenda(
    timetable: &Timetable,
    tz: &TimeZone,
    next_event: Option<Timestamp>,
    prewake: Option<&Pattern>,
    now: Timestamp,
) -> Agenda {
    let local = |at: Timestamp| at.to_zoned(tz.clone()).strftime("%a %H:%M %Z").to_string();
    let spans = spans(timetable, prewake, tz, now);
    if let Some(span) = spans.iter().find(|s| s.from <= now && now < s.to) {
        let end = spans.iter().fold(
            span.to,
            |end, s| {
                if s.from <= end { end.max(s.to) } else { end }
            },
        );
        let what = match span.source {
            Source::Timetable => BY_TIMETABLE,
            Source::Pattern => BY_PATTERN,
        };
        let end = Some(end).filter(|end| horizon(tz, now).is_some_and(|last| *end < last));
        return Agenda {
            keep_awake: true,
            wake_at: Some(now),
            changes_at: end,
            reason: end.map_or(what.to_owned(), |end| {
                format!("{what}, until {}", local(end))
            }),
        };
    }
    let span = spans.iter().find(|s| s.from > now);
    let event = next_event.map(|at| at.saturating_sub(EVENT_LEAD).unwrap_or(at).max(now));
    let begins = span.map(|s| s.from);
    let by_event = event.is_some_and(|event| begins.is_none_or(|begins| event <= begins));
    let reason = match (span, next_event) {
        (_, Some(at)) if by_event => format!("{EVENT_DUE} {}", local(at)),
        (Some(span), _) => {
            let what = match span.source {
                Source::Timetable => TIMETABLE_BEGINS,
                Source::Pattern => PATTERN_BEGINS,
            };
            format!("{what} {}", local(span.from))
        }
        _ => "nothing is due".to_owned(),
    };
    Agenda {
        keep_awake: false,
        wake_at: if by_event { event } else { begins },
        changes_at: begins,
        reason,
    }
}

/// All spans of the evaluated days, in the order of their beginnings.
fn spans(
    timetable: &Timetable,
    prewake: Option<&Pattern>,
    tz: &TimeZone,
    now: Timestamp,
) -> Vec<Span> {
    let prewake = prewake.filter(|pattern| !pattern.is_empty());
    if timetable.is_empty() && prewake.is_none() {
        return Vec::new();
    }
    let mut spans = Vec::new();
    for date in days(tz, now) {
        let hours = timetable.on(date.weekday()).into_iter();
        let hours = hours.map(|minutes| (minutes, Source::Timetable));
        let slots = prewake.into_iter().flat_map(|p| p.on(date.weekday()));
        let slots = slots.map(|minutes| (minutes, Source::Pattern));
        for ((from, to), source) in hours.chain(slots) {
            let from = moment(tz, date, from).and_then(|m| m.earlier().ok());
            let to = moment(tz, date, to).and_then(|m| m.later().ok());
            if let (Some(from), Some(to)) = (from, to) {
                let lead = match source {
                    Source::Timetable => SignedDuration::ZERO,
                    Source::Pattern => PATTERN_LEAD,
                };
                let from = from.saturating_sub(lead).unwrap_or(from);
                spans.push(Span { from, to, source });
            }
        }
    }
    spans.sort_by_key(|span| span.from);
    spans
}

fn days(tz: &TimeZone, now: Timestamp) -> impl Iterator<Item = Date> {
    let today = now.to_zoned(tz.clone()).date();
    let first = today.yesterday().unwrap_or(today);
    std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(DAYS)
}

/// The beginning of the last evaluated day: a span that reaches it counts as without end.
fn horizon(tz: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    moment(tz, days(tz, now).last()?, 0)?.earlier().ok()
}

/// The moment of a minute of a day in a time zone; the last is the next day's first.
fn moment(tz: &TimeZone, date: Date, minute: u16) -> Option<AmbiguousTimestamp> {
    let (hour, rest) = (minute / 60, minute % 60);
    let (date, hour) = if hour == 24 {
        (date.tomorrow().ok()?, 0)
    } else {
        (date, i8::try_from(hour).ok()?)
    };
    let time = Time::new(hour, i8::try_from(rest).ok()?, 0, 0).ok()?;
    Some(tz.to_ambiguous_timestamp(date.to_datetime(time)))
}

#[cfg(test)]
mod tests;
