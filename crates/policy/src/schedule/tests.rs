use jiff::civil::Weekday;
use proptest::prelude::*;

use super::*;

/// Central European time: an hour ahead of UTC, two from the last Sunday of March to that of October.
fn zone() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

/// A local time, `2026-03-02T08:00`; where it is ambiguous, the earlier.
fn at(text: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = text.parse().unwrap();
    zone().to_ambiguous_timestamp(civil).earlier().unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An agenda in one line, its times in UTC.
fn told(agenda: &Agenda) -> String {
    let time = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
    format!(
        "{}, wake {}, changes {}: {}",
        if agenda.keep_awake { "awake" } else { "free" },
        time(agenda.wake_at),
        time(agenda.changes_at),
        agenda.reason
    )
}

#[track_caller]
fn golden(timetable: &str, event: Option<&str>, cases: &[(&str, &str)]) {
    for (now, expected) in cases {
        let now = if now.ends_with('Z') {
            utc(now)
        } else {
            at(now)
        };
        let agenda = agenda(
            &timetable.parse().unwrap(),
            &zone(),
            event.map(at),
            None,
            now,
        );
        assert_eq!(told(&agenda), *expected, "{timetable} {event:?} at {now}");
    }
}

#[test]
fn every_reason_tells_what_it_is_about() {
    let about = |timetable: &str, event: Option<&str>, now: &str| {
        let timetable = timetable.parse().unwrap();
        let agenda = agenda(&timetable, &zone(), event.map(at), None, at(now));
        Due::of_reason(&agenda.reason)
    };
    for (timetable, event, now, due) in [
        (
            "mon 08:00-18:00",
            None,
            "2026-03-02T09:00",
            Some(Due::Timetable),
        ),
        (
            "mon 08:00-18:00",
            None,
            "2026-03-02T07:00",
            Some(Due::Timetable),
        ),
        (
            "never",
            Some("2026-03-02T07:30"),
            "2026-03-02T07:00",
            Some(Due::Event),
        ),
        ("never", None, "2026-03-02T07:00", None),
    ] {
        assert_eq!(
            about(timetable, event, now),
            due,
            "{timetable} {event:?} {now}"
        );
    }
    for reason in [
        "it was wanted at this time on earlier days, until Mon 09:00 CET",
        "by its earlier days it will be wanted soon after Mon 09:00 CET",
    ] {
        assert_eq!(Due::of_reason(reason), Some(Due::Pattern));
    }
}

#[test]
fn a_timetable_keeps_it_awake_and_wakes_it() {
    // 2 March 2026 is a Monday
    golden(
        "mon-fri 08:00-18:00, sat 09:00-12:30",
        None,
        &[
            (
                "2026-03-02T07:59:59",
                "free, wake 2026-03-02T07:00:00Z, changes 2026-03-02T07:00:00Z: its timetable begins Mon 08:00 CET",
            ),
            (
                "2026-03-02T08:00",
                "awake, wake 2026-03-02T07:00:00Z, changes 2026-03-02T17:00:00Z: its timetable keeps it awake, until Mon 18:00 CET",
            ),
            (
                "2026-03-02T18:00",
                "free, wake 2026-03-03T07:00:00Z, changes 2026-03-03T07:00:00Z: its timetable begins Tue 08:00 CET",
            ),
            (
                "2026-03-07T12:00",
                "awake, wake 2026-03-07T11:00:00Z, changes 2026-03-07T11:30:00Z: its timetable keeps it awake, until Sat 12:30 CET",
            ),
            (
                "2026-03-07T12:30",
                "free, wake 2026-03-09T07:00:00Z, changes 2026-03-09T07:00:00Z: its timetable begins Mon 08:00 CET",
            ),
        ],
    );
    golden(
        "mon 09:00-10:00",
        None,
        &[(
            "2026-03-02T10:00",
            "free, wake 2026-03-09T08:00:00Z, changes 2026-03-09T08:00:00Z: its timetable begins Mon 09:00 CET",
        )],
    );
    golden(
        "never",
        None,
        &[(
            "2026-03-02T10:00",
            "free, wake never, changes never: nothing is due",
        )],
    );
}

#[test]
fn whole_days_run_into_each_other() {
    golden(
        "mon-sun 00:00-24:00",
        None,
        &[(
            "2026-03-02T10:00",
            "awake, wake 2026-03-02T09:00:00Z, changes never: its timetable keeps it awake",
        )],
    );
    golden(
        "mon-fri 00:00-24:00",
        None,
        &[(
            "2026-03-02T00:00",
            "awake, wake 2026-03-01T23:00:00Z, changes 2026-03-06T23:00:00Z: its timetable keeps it awake, until Sat 00:00 CET",
        )],
    );
}

#[test]
fn an_event_wakes_it_two_seconds_before() {
    golden(
        "mon 09:00-10:00",
        Some("2026-03-03T03:00"),
        &[
            (
                "2026-03-02T10:00",
                "free, wake 2026-03-03T01:59:58Z, changes 2026-03-09T08:00:00Z: an event is due Tue 03:00 CET",
            ),
            (
                "2026-03-02T09:30",
                "awake, wake 2026-03-02T08:30:00Z, changes 2026-03-02T09:00:00Z: its timetable keeps it awake, until Mon 10:00 CET",
            ),
            (
                "2026-03-03T02:59:59",
                "free, wake 2026-03-03T01:59:59Z, changes 2026-03-09T08:00:00Z: an event is due Tue 03:00 CET",
            ),
            (
                "2026-03-03T05:00",
                "free, wake 2026-03-03T04:00:00Z, changes 2026-03-09T08:00:00Z: an event is due Tue 03:00 CET",
            ),
        ],
    );
    golden(
        "wed 09:00-10:00",
        Some("2026-03-05T03:00"),
        &[(
            "2026-03-02T10:00",
            "free, wake 2026-03-04T08:00:00Z, changes 2026-03-04T08:00:00Z: its timetable begins Wed 09:00 CET",
        )],
    );
}

#[test]
fn ambiguous_local_times_mean_awake() {
    // 29 March: no 02:30; 25 October: two of them
    golden(
        "sun 02:30-05:00",
        None,
        &[
            (
                "2026-03-28T22:00",
                "free, wake 2026-03-29T00:30:00Z, changes 2026-03-29T00:30:00Z: its timetable begins Sun 01:30 CET",
            ),
            (
                "2026-03-29T04:00",
                "awake, wake 2026-03-29T02:00:00Z, changes 2026-03-29T03:00:00Z: its timetable keeps it awake, until Sun 05:00 CEST",
            ),
        ],
    );
    golden(
        "sun 01:00-02:30",
        None,
        &[
            (
                "2026-03-28T22:00",
                "free, wake 2026-03-29T00:00:00Z, changes 2026-03-29T00:00:00Z: its timetable begins Sun 01:00 CET",
            ),
            (
                "2026-03-29T01:30",
                "awake, wake 2026-03-29T00:30:00Z, changes 2026-03-29T01:30:00Z: its timetable keeps it awake, until Sun 03:30 CEST",
            ),
            (
                "2026-10-24T22:00",
                "free, wake 2026-10-24T23:00:00Z, changes 2026-10-24T23:00:00Z: its timetable begins Sun 01:00 CEST",
            ),
            (
                "2026-10-25T00:45:00Z",
                "awake, wake 2026-10-25T00:45:00Z, changes 2026-10-25T01:30:00Z: its timetable keeps it awake, until Sun 02:30 CET",
            ),
            (
                "2026-10-25T01:15:00Z",
                "awake, wake 2026-10-25T01:15:00Z, changes 2026-10-25T01:30:00Z: its timetable keeps it awake, until Sun 02:30 CET",
            ),
            (
                "2026-10-25T01:30:00Z",
                "free, wake 2026-11-01T00:00:00Z, changes 2026-11-01T00:00:00Z: its timetable begins Sun 01:00 CET",
            ),
        ],
    );
    golden(
        "sun 08:00-09:00",
        None,
        &[
            (
                "2026-03-28T12:00",
                "free, wake 2026-03-29T06:00:00Z, changes 2026-03-29T06:00:00Z: its timetable begins Sun 08:00 CEST",
            ),
            (
                "2026-10-24T12:00",
                "free, wake 2026-10-25T07:00:00Z, changes 2026-10-25T07:00:00Z: its timetable begins Sun 08:00 CET",
            ),
        ],
    );
}

/// The same local time on the days that are `days` before 30 March 2026, a Monday.
fn ago(time: &str, days: impl IntoIterator<Item = i32>) -> Vec<Timestamp> {
    let now: Date = "2026-03-30".parse().unwrap();
    let time: Time = time.parse().unwrap();
    let date = |days: i32| {
        now.checked_sub(SignedDuration::from_hours(24 * i64::from(days)))
            .unwrap()
    };
    let moments = days
        .into_iter()
        .map(|days| zone().to_ambiguous_timestamp(date(days).to_datetime(time)));
    moments.map(|m| m.earlier().unwrap()).collect()
}

fn learnt(wanted: &[Timestamp]) -> String {
    let pattern = Pattern::learn(wanted, &zone(), at("2026-03-30T12:00"));
    let days = std::iter::successors(Some(Weekday::Monday), |day| Some(day.next())).take(7);
    let days = days.map(|day| {
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        let spans = pattern
            .on(day)
            .into_iter()
            .map(|(from, to)| format!("{}-{}", clock(from), clock(to)));
        spans.collect::<Vec<_>>().join(" ")
    });
    days.collect::<Vec<_>>().join("|")
}

#[test]
fn a_pattern_has_the_slots_used_in_most_weeks_or_on_most_days() {
    for (wanted, expected) in [
        (ago("09:05", [7, 14, 28]), "09:00-09:15||||||"),
        (ago("09:05", [7, 14]), "||||||"),
        (ago("09:05", [0, 7, 14, 35]), "||||||"),
        (ago("23:59", [3, 10, 17, 24]), "||||23:45-24:00||"),
        (
            ago("06:30", [1, 2, 3, 5]),
            "06:30-06:45|06:30-06:45|06:30-06:45|06:30-06:45|06:30-06:45|06:30-06:45|06:30-06:45",
        ),
        (ago("06:30", [1, 2, 3, 6]), "||||||"),
        (ago("06:30", [1, 1, 1, 1]), "||||||"),
        (
            [
                ago("09:05", [7, 14, 21]),
                ago("09:20", [7, 14, 21]),
                ago("17:00", [7, 21, 28]),
            ]
            .concat(),
            "09:00-09:30 17:00-17:15||||||",
        ),
        (vec![], "||||||"),
        (vec![Timestamp::MIN, Timestamp::MAX], "||||||"),
    ] {
        assert_eq!(learnt(&wanted), expected, "{wanted:?}");
    }
}

#[test]
fn a_pattern_wakes_it_a_minute_ahead_and_keeps_it_for_the_slot() {
    let now = at("2026-03-30T12:00");
    let pattern = Pattern::learn(&ago("09:05", [6, 13, 20]), &zone(), now);
    for (now, expected) in [
        (
            "2026-03-30T12:00",
            "free, wake 2026-03-31T06:59:00Z, changes 2026-03-31T06:59:00Z: by its earlier days it will be wanted soon after Tue 08:59 CEST",
        ),
        (
            "2026-03-31T08:59",
            "awake, wake 2026-03-31T06:59:00Z, changes 2026-03-31T07:15:00Z: it was wanted at this time on earlier days, until Tue 09:15 CEST",
        ),
        (
            "2026-03-31T09:15",
            "free, wake 2026-04-07T06:59:00Z, changes 2026-04-07T06:59:00Z: by its earlier days it will be wanted soon after Tue 08:59 CEST",
        ),
    ] {
        let agenda = agenda(
            &Timetable::default(),
            &zone(),
            None,
            Some(&pattern),
            at(now),
        );
        assert_eq!(told(&agenda), expected, "{now}");
    }
}

fn any_timetable() -> impl Strategy<Value = Timetable> {
    proptest::collection::vec(proptest::option::of((0..1440u16, 1..=1440u16)), 7).prop_map(|days| {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let spans = names.iter().zip(days).filter_map(|(name, span)| {
            let (from, length) = span?;
            let to = (from + length).min(1440);
            Some(format!(
                "{name} {}:{:02}-{}:{:02}",
                from / 60,
                from % 60,
                to / 60,
                to % 60
            ))
        });
        spans
            .collect::<Vec<_>>()
            .join(", ")
            .parse()
            .unwrap_or_default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Evaluating only at the changes gives the right result at every time, and it is always awake in an
    /// hour of the timetable.
    #[test]
    fn evaluating_at_the_changes_misses_nothing(
        timetable in any_timetable(),
        first in 1_770_000_000i64..1_800_000_000,
        wanted in proptest::collection::vec(0..30 * 86_400i64, 0..200),
        probes in proptest::collection::vec(0..9 * 86_400i64, 20),
    ) {
        let tz = zone();
        let second = |s| Timestamp::from_second(s).unwrap();
        let wanted: Vec<_> = wanted.into_iter().map(|ago| second(first - ago - ago % 1800)).collect();
        let pattern = Pattern::learn(&wanted, &tz, second(first));
        let ask = |now| agenda(&timetable, &tz, None, Some(&pattern), now);
        let mut changes = vec![(second(first), ask(second(first)).keep_awake)];
        while let Some((now, awake)) = changes.last().copied() {
            let told = ask(now);
            prop_assert_eq!(told.keep_awake, awake);
            prop_assert!(told.wake_at.is_none_or(|wake| wake >= now));
            let Some(next) = told.changes_at else { break };
            prop_assert!(next > now);
            changes.push((next, !awake));
            if next > second(first + 10 * 86_400) {
                break;
            }
        }
        for probe in probes {
            let now = second(first + probe);
            let awake = changes.iter().rev().find(|(at, _)| *at <= now).unwrap().1;
            prop_assert_eq!(ask(now).keep_awake, awake);
            let local = now.to_zoned(tz.clone());
            prop_assert!(awake || !timetable.covers(local.weekday(), local.time()));
        }
    }
}
