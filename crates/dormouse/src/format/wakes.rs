//! `dormouse wakes`.

use std::fmt::Write as _;

use dormouse_api::model::{Measure, WakesReport, WakesRow};

use super::age;
use crate::output::{Colours, Style};

/// One paragraph for each cause: its wakes, its share, and what to change.
pub(crate) fn wakes(report: &WakesReport, colours: Colours) -> String {
    let since = report.since.strftime("%F %H:%M UTC");
    let awake = milliseconds(report.awake_ms);
    let name = &report.database;
    let mut text = match (report.wakes, report.awake_ms) {
        (0, 0) => return format!("{name} has slept since {since}"),
        (wakes, _) => format!("{name}: {} since {since}, awake for {awake}", times(wakes)),
    };
    if let Some(cost) = report.cost {
        let _ = write!(text, ", which cost {cost} {}", report.currency);
    }
    let mut text = colours.paint(Style::Bold, text.trim_end());
    text.push('\n');
    for row in &report.rows {
        let what = colours.paint(Style::Bold, &what(row));
        let (wakes, share) = (times(row.wakes), percent(row.share_ppm));
        let of = match report.measure {
            Measure::Cost => "of its cost",
            Measure::Memory => "of its unit-hours",
            Measure::Awake => "of its time awake",
        };
        let hint = colours.paint(Style::Dim, &row.hint);
        let _ = write!(text, "\n{what}: {wakes}, {share} {of}\n    {hint}\n");
    }
    if report.more > 0 {
        let _ = write!(
            text,
            "\nand {} more causes with smaller shares\n",
            report.more
        );
    }
    text
}

/// What woke it.
fn what(row: &WakesRow) -> String {
    if let Some(by) = &row.woken_by {
        return format!("`{}` by {}", by.statement, by.account);
    }
    match (row.cause.as_str(), &row.by) {
        ("order", Some(by)) => format!("an order by {by}"),
        ("unknown", _) => "a statement".to_owned(),
        ("created", _) => "its creation".to_owned(),
        ("timetable", _) => "its timetable".to_owned(),
        ("pattern", _) => "its pattern of use".to_owned(),
        ("event", _) => "an event of its server".to_owned(),
        ("crash", _) => "the end of its server".to_owned(),
        ("start_up", _) => "a start of Dormouse".to_owned(),
        (other, _) => format!("cause {other}"),
    }
}

fn times(wakes: u64) -> String {
    match wakes {
        0 => "no wake".to_owned(),
        1 => "1 wake".to_owned(),
        wakes => format!("{} wakes", grouped(wakes)),
    }
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(ppm: u32) -> String {
    match ppm {
        0 => "0 %".to_owned(),
        1..10_000 => "less than 1 %".to_owned(),
        _ => format!("{} %", (ppm + 5_000) / 10_000),
    }
}

fn milliseconds(ms: u64) -> String {
    let end = i64::try_from(ms).ok();
    let end = end.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    end.map_or_else(
        || "long".to_owned(),
        |end| age(jiff::Timestamp::UNIX_EPOCH, end),
    )
}

#[cfg(test)]
mod tests {
    use dormouse_types::{Money, WokenBy};

    use super::*;

    fn row(cause: &str, wakes: u64, share_ppm: u32) -> WakesRow {
        WakesRow {
            cause: cause.to_owned(),
            woken_by: None,
            by: None,
            wakes,
            awake_ms: 1,
            cost: None,
            share_ppm,
            hint: "change it".to_owned(),
        }
    }

    #[test]
    fn each_cause_is_a_line_with_what_to_change() {
        let statement = WokenBy {
            statement: "SELECT ? FROM t".to_owned(),
            account: "app@10.0.0.7".to_owned(),
        };
        let mut report = WakesReport {
            database: "shop".parse().unwrap(),
            since: "2026-01-01T08:00:00Z".parse().unwrap(),
            until: "2026-01-02T08:00:00Z".parse().unwrap(),
            wakes: 2883,
            awake_ms: 15_000_000,
            cost: Some(Money(1_250_000)),
            currency: "EUR".to_owned(),
            measure: Measure::Cost,
            rows: vec![
                WakesRow {
                    woken_by: Some(statement),
                    ..row("statement", 2880, 714_999)
                },
                WakesRow {
                    by: Some("local:uid=0".to_owned()),
                    ..row("order", 1, 280_000)
                },
                row("event", 2, 5_001),
                row("created", 0, 0),
            ],
            more: 0,
        };
        let expected = "\
shop: 2,883 wakes since 2026-01-01 08:00 UTC, awake for 4h 10m, which cost 1.25 EUR

`SELECT ? FROM t` by app@10.0.0.7: 2,880 wakes, 71 % of its cost
    change it

an order by local:uid=0: 1 wake, 28 % of its cost
    change it

an event of its server: 2 wakes, less than 1 % of its cost
    change it

its creation: no wake, 0 % of its cost
    change it
";
        assert_eq!(wakes(&report, Colours::Off), expected);
        (report.cost, report.measure, report.more) = (None, Measure::Memory, 7);
        report.currency.clear();
        let text = wakes(&report, Colours::Off);
        assert!(
            text.starts_with("shop: 2,883 wakes since 2026-01-01 08:00 UTC, awake for 4h 10m\n"),
            "{text}"
        );
        assert!(
            text.contains("2,880 wakes, 71 % of its unit-hours\n"),
            "{text}"
        );
        assert!(
            text.ends_with("and 7 more causes with smaller shares\n"),
            "{text}"
        );
        (report.wakes, report.awake_ms) = (0, 0);
        assert_eq!(
            wakes(&report, Colours::Off),
            "shop has slept since 2026-01-01 08:00 UTC"
        );
    }
}
