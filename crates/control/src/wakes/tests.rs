use dormouse_policy::Cause;
use dormouse_types::Carried;

use super::*;

const S: i64 = 1000;
const DAY: Range<i64> = 0..86_400 * S;

fn change(at: i64, from: State, to: State, cause: Cause) -> Transition {
    Transition {
        at,
        duration_ms: 0,
        from: Some(from),
        to,
        cause,
        reason: String::new(),
        actor: Some("client:app@shop".to_owned()),
        woken_by: None,
    }
}

fn by(statement: &str, account: &str) -> Option<WokenBy> {
    Some(WokenBy {
        statement: statement.to_owned(),
        account: account.to_owned(),
    })
}

fn wake(at: i64, statement: &str) -> Transition {
    Transition {
        woken_by: by(statement, "app@10.0.0.7"),
        ..change(at, State::Parked, State::Active, Cause::Demand)
    }
}

fn sleep(at: i64) -> Transition {
    change(at, State::Active, State::Suspended, Cause::Idle)
}

fn park(at: i64) -> Transition {
    change(at, State::Suspended, State::Parked, Cause::Idle)
}

/// What each kind has: wakes, milliseconds awake, CPU.
fn told(sums: Vec<Sum>) -> Vec<(String, u64, u64, u64)> {
    let told = sums.into_iter().map(|sum| {
        let what = match &sum.kind {
            Kind::Statement { statement, account } => format!("{statement} {account}"),
            Kind::Order(by) => format!("order {by}"),
            other => other.as_str().to_owned(),
        };
        (what, sum.wakes, sum.awake_ms, sum.used.cpu_us)
    });
    told.collect()
}

fn cpu(cpu_us: u64) -> Usage {
    Usage {
        cpu_us,
        ..Usage::default()
    }
}

#[test]
fn what_follows_a_wake_until_the_next_sleep_belongs_to_it() {
    let transitions = [
        wake(10 * S, "a"),
        sleep(20 * S),
        park(25 * S),
        wake(40 * S, "b"),
        sleep(70 * S),
        wake(130 * S, "a"),
        sleep(140 * S),
    ];
    // the first minute has 10 s after a, 20 s after b; the second 10 s after b; the third 10 s after a
    let minutes = [(0, cpu(300)), (1, cpu(50)), (2, cpu(7))];
    let found = told(add_up(transitions, &minutes, &DAY));
    let expected = [
        ("a app@10.0.0.7".to_owned(), 2, 20_000, 107),
        ("b app@10.0.0.7".to_owned(), 1, 30_000, 250),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_time_begins_and_ends_within_a_wake() {
    let period = 60 * S..180 * S;
    let transitions = [wake(10 * S, "a"), sleep(90 * S), wake(150 * S, "b")];
    let minutes = [(1, cpu(40)), (2, cpu(2))];
    let found = told(add_up(transitions, &minutes, &period));
    // the wake before the time is none of it, what followed is
    let expected = [
        ("a app@10.0.0.7".to_owned(), 0, 30_000, 40),
        ("b app@10.0.0.7".to_owned(), 1, 30_000, 2),
    ];
    assert_eq!(found, expected);
    // a sleep before it leaves nothing
    assert_eq!(add_up([wake(10 * S, "a"), sleep(50 * S)], &[], &period), []);
}

#[test]
fn the_time_of_a_start_belongs_to_its_wake() {
    let start = Transition {
        duration_ms: 2000,
        ..wake(61 * S, "a")
    };
    let found = told(add_up(
        [start, sleep(70 * S)],
        &[(0, cpu(500)), (1, cpu(9))],
        &DAY,
    ));
    assert_eq!(found, [("a app@10.0.0.7".to_owned(), 1, 11_000, 509)]);
}

#[test]
fn statements_accounts_orders_and_the_clock_are_different_causes() {
    let scheduled = |at, reason: &str| Transition {
        reason: reason.to_owned(),
        ..change(at, State::Parked, State::Active, Cause::Schedule)
    };
    let other = Transition {
        woken_by: by("a", "eve@10.0.0.8"),
        ..wake(3 * S, "a")
    };
    let created = Transition {
        from: None,
        ..change(S, State::Active, State::Active, Cause::Operator)
    };
    let unknown = change(9 * S, State::Suspended, State::Active, Cause::Demand);
    let crash = change(10 * S, State::Active, State::Active, Cause::Crash);
    let order = Transition {
        actor: Some("local:uid=0".to_owned()),
        ..change(12 * S, State::Parked, State::Active, Cause::Operator)
    };
    let transitions = [
        created,
        sleep(2 * S),
        wake(2 * S, "a"),
        sleep(3 * S),
        other,
        sleep(4 * S),
        scheduled(4 * S, "an event is due Wed 21:11 CET"),
        sleep(5 * S),
        scheduled(5 * S, "an event is due Wed 21:12 CET"),
        sleep(6 * S),
        scheduled(6 * S, "its timetable begins Wed 08:00 CET"),
        sleep(7 * S),
        scheduled(
            7 * S,
            "it was wanted at this time on earlier days, until Wed 09:00 CET",
        ),
        sleep(8 * S),
        unknown,
        crash,
        sleep(11 * S),
        order,
        sleep(13 * S),
    ];
    let found: Vec<_> = { told(add_up(transitions, &[], &DAY)).into_iter() }
        .map(|(what, wakes, awake, _)| (what, wakes, awake))
        .collect();
    let expected = [
        ("created", 1, 1000),
        ("a app@10.0.0.7", 1, 1000),
        ("a eve@10.0.0.8", 1, 1000),
        ("event", 2, 2000),
        ("timetable", 1, 1000),
        ("pattern", 1, 1000),
        ("unknown", 1, 2000),
        ("order local:uid=0", 1, 1000),
    ];
    let expected = expected.map(|(what, wakes, awake)| (what.to_owned(), wakes, awake));
    assert_eq!(found, expected);
}

#[test]
fn nothing_that_was_used_awake_is_lost_or_counted_twice() {
    let transitions: Vec<_> = (0..1000)
        .flat_map(|n| {
            [
                wake(n * 7 * S, &(n % 7).to_string()),
                sleep(n * 7 * S + 2 * S),
            ]
        })
        .collect();
    let used = Usage {
        cpu_us: 12_345,
        memory_mib_ms: 777,
        storage_mib_ms: 5,
        active_ms: 60_001,
        carried: Carried {
            statements: 13,
            bytes_in: 17,
            bytes_out: 19,
        },
    };
    let minutes: Vec<_> = (0..116).map(|minute| (minute, used)).collect();
    let sums = add_up(transitions, &minutes, &DAY);
    let mut total = Usage::default();
    sums.iter().for_each(|sum| total += sum.used);
    assert_eq!(total.cpu_us, 116 * used.cpu_us);
    assert_eq!(total.memory_mib_ms, 116 * used.memory_mib_ms);
    assert_eq!(total.carried.statements, 116 * 13);
    assert_eq!(total.storage_mib_ms, 0, "files cost asleep too");
    assert_eq!(sums.iter().map(|sum| sum.wakes).sum::<u64>(), 1000);
    assert_eq!(sums.iter().map(|sum| sum.awake_ms).sum::<u64>(), 2_000_000);
}

#[test]
fn shares_are_of_the_cost_or_the_unit_hours_or_the_time() {
    let sum = |statement: &str, cpu_us, memory_mib_ms, awake_ms| Sum {
        kind: Kind::Statement {
            statement: statement.to_owned(),
            account: "app@10.0.0.7".to_owned(),
        },
        wakes: 1,
        awake_ms,
        used: Usage {
            cpu_us,
            memory_mib_ms,
            ..Usage::default()
        },
    };
    let shares = |sums: &[Sum], price: Option<u64>| {
        let (measure, rows) = rows(sums.to_vec(), |used| Some(Money(used.cpu_us * price?)));
        let rows = rows.into_iter().map(|row| {
            let by = row.woken_by.unwrap();
            (by.statement, row.share_ppm, row.cost.map(|cost| cost.0))
        });
        (measure, rows.collect::<Vec<_>>())
    };
    let of = |name: &str, share, cost| (name.to_owned(), share, cost);
    let sums = [sum("a", 1, 30, 500), sum("b", 3, 10, 500)];
    assert_eq!(
        shares(&sums, Some(10)),
        (
            Measure::Cost,
            vec![of("b", 750_000, Some(30)), of("a", 250_000, Some(10))]
        )
    );
    assert_eq!(
        shares(&sums, None),
        (
            Measure::Memory,
            vec![of("a", 750_000, None), of("b", 250_000, None)]
        )
    );
    let sums = [sum("a", 0, 0, 1), sum("b", 0, 0, 3)];
    assert_eq!(
        shares(&sums, None),
        (
            Measure::Awake,
            vec![of("b", 750_000, None), of("a", 250_000, None)]
        )
    );
    assert_eq!(shares(&[], None), (Measure::Awake, vec![]));
}
