//! When a database is awake by the clock.
//!
//! Three things know of time: its timetable, the events of its server's scheduler, and the hours
//! in which it was wanted on earlier days, if it is to be woken ahead of them. [`agenda`] says what
//! they lead to now and when that changes.
//!
//! What holds:
//! - where clocks are set forward or back the doubt goes to being awake: a span begins at the
//!   earlier of the moments that its beginning may mean, and ends at the later;
//! - whoever looks again at `changes_at` misses no change.
//!
//! Called by `control` when a database goes to sleep, and at the moments the agenda names.

use dormouse_types::Timetable;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousTimestamp, TimeZone};
use jiff::{SignedDuration, Timestamp};

mod pattern;

pub use pattern::Pattern;

/// How long before an event of its scheduler a database is woken. The start must fit in.
pub const EVENT_LEAD: SignedDuration = SignedDuration::from_secs(2);
/// How long before an hour of its pattern it is woken.
pub const PATTERN_LEAD: SignedDuration = SignedDuration::from_secs(60);
/// How many days are looked at: yesterday, for its end may come later, today, and a week and a day.
const DAYS: usize = 10;

/// What the clock asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    /// Whether it is to stay awake now, idle or not.
    pub keep_awake: bool,
    /// When to wake it, if it sleeps: now, or later. `None`: the clock does not.
    pub wake_at: Option<Timestamp>,
    /// When `keep_awake` will be the other. `None`: not within a week.
    pub changes_at: Option<Timestamp>,
    /// Why it is to stay awake, or else to be woken.
    pub reason: String,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Timetable,
    Pattern,
}

/// A time in which it is to be awake.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    source: Source,
}

/// What the clock asks for at the time `now`, of a database whose hours are these in its zone,
/// whose server has its next event at that time, and which is woken ahead of this pattern if any.
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
            Source::Timetable => "its timetable keeps it awake",
            Source::Pattern => "it was wanted at this time on earlier days",
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
        (_, Some(at)) if by_event => format!("an event is due {}", local(at)),
        (Some(span), _) => {
            let what = match span.source {
                Source::Timetable => "its timetable begins",
                Source::Pattern => "by its earlier days it will be wanted soon after",
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

/// All spans of the days that are looked at, in the order of their beginnings.
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

/// The beginning of the last day that is looked at: what reaches until then has no end.
fn horizon(tz: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    moment(tz, days(tz, now).last()?, 0)?.earlier().ok()
}

/// What a minute of a day is in a zone; the last is the next day's first.
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
