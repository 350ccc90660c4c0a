use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_next_time_of_a_schedule_is_that_of_its_zone() {
    let next = |cron: &str, after: &str, tz: &str| {
        let cron: Cron = cron.parse().unwrap();
        cron.next(at(after), &zone(tz)).map(|at| at.to_string())
    };
    let table = [
        (
            "0 3 * * *",
            "2026-11-28T02:59:59Z",
            "UTC",
            "2026-11-28T03:00:00Z",
        ),
        (
            "0 3 * * *",
            "2026-11-28T03:00:00Z",
            "UTC",
            "2026-11-29T03:00:00Z",
        ),
        (
            "0 3 * * *",
            "2026-11-28T03:00:00Z",
            "Europe/Berlin",
            "2026-11-29T02:00:00Z",
        ),
        (
            "*/15 * * * *",
            "2026-11-28T03:16:00Z",
            "UTC",
            "2026-11-28T03:30:00Z",
        ),
        (
            "0 5 * * 0",
            "2026-11-28T12:00:00Z",
            "UTC",
            "2026-11-29T05:00:00Z",
        ),
        (
            "30 2 1 * *",
            "2026-11-28T12:00:00Z",
            "UTC",
            "2026-12-01T02:30:00Z",
        ),
        // that night has no 02:30: the clock goes from 02:00 to 03:00
        (
            "30 2 * * *",
            "2027-03-28T00:00:00Z",
            "Europe/Berlin",
            "2027-03-28T01:00:00Z",
        ),
    ];
    for (cron, after, tz, expected) in table {
        assert_eq!(
            next(cron, after, tz).as_deref(),
            Some(expected),
            "{cron} {after} {tz}"
        );
    }
    let daily = Cron::daily(3);
    for (now, last) in [
        ("2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z"),
        ("2026-11-28T02:59:59Z", "2026-11-27T03:00:00Z"),
    ] {
        assert_eq!(daily.last(at(now), &TimeZone::UTC), Some(at(last)), "{now}");
    }
    assert_eq!(next("never", "2026-11-28T12:00:00Z", "UTC"), None);
}

#[test]
fn a_schedule_that_is_none_is_refused_with_an_example() {
    for bad in [
        "",
        "0 3 * *",
        "0 0 3 * * *",
        "61 * * * *",
        "0 25 * * *",
        "0 0 31 2 *",
        "daily",
        "@daily",
        "a b c d e",
    ] {
        let error = bad.parse::<Cron>().unwrap_err().to_string();
        assert!(error.contains("'0 3 * * *'"), "{bad}: {error}");
    }
}

#[test]
fn what_is_kept_is_written_as_it_is_read() {
    for text in ["14", "90d", "3, 12h"] {
        let keep: Keep = text.parse().unwrap();
        assert_eq!(keep.to_string(), text);
    }
    for bad in ["", "0", "3, 4", "1d, 2d", "never", "0d", "x", "3,"] {
        assert!(bad.parse::<Keep>().is_err(), "{bad}");
    }
}
