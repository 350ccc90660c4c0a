use proptest::prelude::*;

use super::*;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn prices() -> Prices {
    Prices {
        currency: "EUR".to_owned(),
        cpu_hour: money("0.04"),
        memory_gib_hour: money("0.005"),
        storage_gib_month: money("0.10"),
        million_statements: money("0.20"),
        traffic_gib: money("0.09"),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn each_thing_has_its_price() {
    let usage = |cpu_us, memory_mib_ms, storage_mib_ms, statements, bytes_out| Usage {
        cpu_us,
        memory_mib_ms,
        storage_mib_ms,
        active_ms: 12,
        carried: Carried {
            statements,
            bytes_in: 1 << 40,
            bytes_out,
        },
    };
    let hour = 3_600_000;
    for (used, cost) in [
        (usage(0, 0, 0, 0, 0), "0.00"),
        (usage(hour * 1000, 0, 0, 0, 0), "0.04"),
        (usage(0, 2048 * hour, 0, 0, 0), "0.01"),
        (usage(0, 0, 10 * 1024 * 15 * 24 * hour, 0, 0), "0.50"),
        (usage(0, 0, 0, 5, 0), "0.000001"),
        (usage(0, 0, 0, 4, 0), "0.00"),
        (usage(0, 0, 0, 0, 1 << 29), "0.045"),
        // halves of a millionth make a whole one
        (usage(45_000, 368_640, 0, 0, 0), "0.000001"),
        (usage(45_000, 0, 0, 0, 0), "0.00"),
        (usage(0, 368_640, 0, 0, 0), "0.00"),
    ] {
        assert_eq!(prices().cost(&used), money(cost), "{used:?}");
    }
    assert_eq!(
        Prices::default().cost(&usage(1 << 60, 1 << 60, 1 << 60, 1 << 60, 1 << 60)),
        Money(0)
    );
}

#[test]
fn an_hour_of_units_and_a_month_of_files_have_their_price() {
    // two units: a core and 4 GiB
    assert_eq!(prices().rate(Units(2)), money("0.06"));
    assert_eq!(
        prices().storage(Bytes::mib(20 << 10), 30 * DAY),
        money("2.00")
    );
    let carried = Carried {
        statements: 10_000,
        bytes_in: 0,
        bytes_out: 1 << 20,
    };
    assert_eq!(
        overshoot(&prices(), Units(4), carried, Duration::from_secs(60)),
        money("0.127274") // 0.002 for units, 0.12 for statements, 0.005273.. for traffic
    );
}

#[test]
fn the_rung_rises_with_the_amount_spent() {
    let ladder = Ladder {
        read_only: Some(120),
        asleep: Some(200),
        ..Ladder::default()
    };
    for (spent, expected) in [
        ("0", Rung::Free),
        ("4.999999", Rung::Free),
        ("5", Rung::Warned(50)),
        ("8", Rung::Warned(80)),
        ("9.999999", Rung::Warned(95)),
        ("10", Rung::Slow),
        ("11.999999", Rung::Slow),
        ("12", Rung::ReadOnly),
        ("20", Rung::Asleep),
        ("18446744073709", Rung::Asleep),
    ] {
        assert_eq!(
            rung(&ladder, money("10"), money(spent)),
            expected,
            "{spent}"
        );
    }
    let default = Ladder::default();
    assert_eq!(rung(&default, money("10"), money("1000")), Rung::Slow);
    assert_eq!(
        rung(&default, Money(0), Money(0)),
        Rung::Slow,
        "a limit of 0 leaves the baseline"
    );
    let warns = Ladder {
        slow: None,
        ..default
    };
    assert_eq!(rung(&warns, money("10"), money("1000")), Rung::Warned(95));
}

#[test]
fn the_percentages_of_a_ladder_must_rise() {
    let ladder = |warn: &[u8], slow, read_only, asleep| Ladder {
        warn: warn.to_vec(),
        slow,
        read_only,
        asleep,
        baseline: Units(1),
    };
    for good in [
        Ladder::default(),
        ladder(&[], None, None, None),
        ladder(&[99], Some(100), Some(150), Some(400)),
        ladder(&[], None, None, Some(1)),
    ] {
        assert_eq!(good.check(), Ok(()), "{good:?}");
    }
    for (bad, before, after) in [
        (ladder(&[0], None, None, None), 0, 0),
        (ladder(&[80, 50], None, None, None), 80, 50),
        (ladder(&[100], Some(100), None, None), 100, 100),
        (ladder(&[], Some(100), Some(90), None), 100, 90),
        (ladder(&[], Some(100), None, Some(100)), 100, 100),
    ] {
        assert_eq!(bad.check(), Err(InvalidLadder::Falls { before, after }));
    }
    let nothing = Ladder {
        baseline: Units(0),
        ..Ladder::default()
    };
    assert_eq!(nothing.check(), Err(InvalidLadder::NoBaseline));
}

#[test]
fn above_the_limit_the_baseline_is_free() {
    let carried = Carried {
        statements: 7,
        bytes_in: 8,
        bytes_out: 9,
    };
    // a second of two units, at full load
    let usage = Usage {
        cpu_us: 1_000_000,
        memory_mib_ms: 4096 * 1000,
        storage_mib_ms: 50,
        active_ms: 1000,
        carried,
    };
    assert_eq!(charged(usage, Units(2), Rung::Warned(95), Units(1)), usage);
    let storage = Usage {
        cpu_us: 0,
        memory_mib_ms: 0,
        carried: Carried::default(),
        ..usage
    };
    assert_eq!(charged(usage, Units(2), Rung::Slow, Units(2)), storage);
    assert_eq!(charged(usage, Units(2), Rung::Asleep, Units(4)), storage);
    // a quota is kept to the millisecond, not to the microsecond
    let unclean = Usage {
        cpu_us: usage.cpu_us + 300,
        ..usage
    };
    assert_eq!(charged(unclean, Units(2), Rung::Slow, Units(2)), storage);
    let beyond = Usage {
        cpu_us: 500_000,
        memory_mib_ms: 2048 * 1000,
        ..storage
    };
    assert_eq!(charged(usage, Units(2), Rung::Slow, Units(1)), beyond);
}

fn any_usage(most: u64) -> impl Strategy<Value = Usage> {
    let n = 0..most;
    (n.clone(), n.clone(), n.clone(), n.clone(), n.clone(), n).prop_map(
        |(cpu_us, memory_mib_ms, storage_mib_ms, active_ms, statements, bytes_out)| Usage {
            cpu_us,
            memory_mib_ms,
            storage_mib_ms,
            active_ms,
            carried: Carried {
                statements,
                bytes_in: 0,
                bytes_out,
            },
        },
    )
}

fn any_prices(most: u64) -> impl Strategy<Value = Prices> {
    proptest::array::uniform5(0..most).prop_map(|[a, b, c, d, e]| Prices {
        currency: String::new(),
        cpu_hour: Money(a),
        memory_gib_hour: Money(b),
        storage_gib_month: Money(c),
        million_statements: Money(d),
        traffic_gib: Money(e),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_cost_of_the_whole_is_the_sum_of_its_parts(
        prices in any_prices(1 << 24),
        parts in proptest::collection::vec(any_usage(1 << 30), 1..20),
    ) {
        let whole = parts.iter().fold(Usage::default(), |sum, part| sum + *part);
        let sum: u64 = parts.iter().map(|part| prices.cost(part).0).sum();
        let whole = prices.cost(&whole).0;
        prop_assert!(sum <= whole && whole < sum + parts.len() as u64);
    }

    #[test]
    fn a_cost_is_within_a_millionth_of_the_exact_value(prices in any_prices(1 << 24), usage in any_usage(1 << 40)) {
        let exact: f64 = prices.terms(&usage).iter().map(|(n, price, per)| *n as f64 * price.0 as f64 / *per as f64).sum();
        let cost = prices.cost(&usage).0 as f64;
        prop_assert!((exact - cost).abs() <= 1.0 + exact * 1e-9, "{} {}", exact, cost);
        let most = prices.cost_at_most(&usage).0;
        prop_assert!(most == prices.cost(&usage).0 || most == prices.cost(&usage).0 + 1);
    }

    #[test]
    fn any_amounts_cause_no_panic(prices in any_prices(u64::MAX), usage in any_usage(u64::MAX), units in any::<u16>()) {
        prop_assert!(prices.cost(&usage) <= prices.cost_at_most(&usage));
        let charged = charged(usage, Units(units), Rung::Slow, Units(1));
        prop_assert!(prices.cost(&charged) <= prices.cost(&usage));
        prop_assert!(overshoot(&prices, Units(units), usage.carried, Duration::MAX) >= Money(0));
    }

    #[test]
    fn a_higher_amount_never_has_a_milder_rung(limit in 0..2000u64, spent in 0..4000u64, more in 0..4000u64, read_only in proptest::option::of(101..300u16)) {
        let ladder = Ladder { read_only, ..Ladder::default() };
        let at = |spent| rung(&ladder, Money(limit), Money(spent));
        prop_assert!(at(spent) <= at(spent + more));
    }

    /// A month of any load, evaluated at intervals: the amount spent above the limit is bounded.
    #[test]
    fn the_overshoot_is_bounded(
        prices in any_prices(1_000_000),
        limit in 0..2_000_000u64,
        max in 1..9u16,
        baseline in 1..3u16,
        interval in 1..600u64,
        storage in 0..100_000u64,
        slow in proptest::option::of(60..150u16),
        spans in proptest::collection::vec((1..100u64, 1..9u16, 0..101u64, 0..1000u64, 0..1000u64), 1..300),
    ) {
        let ladder = Ladder { warn: vec![], slow, read_only: Some(150), asleep: None, baseline: Units(baseline) };
        let limit = Money(limit);
        let most = Carried { statements: 1000, bytes_in: 0, bytes_out: 1000 };
        let mut spent = Usage::default();
        let (mut now, mut next_look, mut standing) = (0, 0, Rung::Free);
        // the last evaluation below the threshold
        let mut ahead = 0;
        for (length, wanted, load, statements, bytes_out) in spans {
            // spans end at evaluations, as those of the meter do
            let mut left = length * 1000;
            while left > 0 {
                if now == next_look {
                    standing = rung(&ladder, limit, prices.cost(&spent));
                    next_look += interval * 1000;
                    if standing < Rung::Slow {
                        ahead = now;
                    }
                }
                let ms = left.min(next_look - now);
                let cap = if standing < Rung::Slow { max } else { baseline };
                let units = Units(wanted.min(cap));
                let usage = Usage {
                    cpu_us: u64::from(units.millicores()) * ms * load / 100,
                    memory_mib_ms: mib(units) * ms,
                    storage_mib_ms: storage * ms,
                    active_ms: ms,
                    carried: Carried { statements: statements * ms / 1000, bytes_in: 0, bytes_out: bytes_out * ms / 1000 },
                };
                spent += charged(usage, units, standing, ladder.baseline);
                now += ms;
                left -= ms;
            }
        }
        let threshold = u128::from(limit.0) * u128::from(ladder.threshold().unwrap()) / 100;
        let bound = overshoot(&prices, Units(max), most, Duration::from_secs(interval));
        let files = prices.storage(Bytes::mib(storage), Duration::from_millis(now - ahead));
        let total = u128::from(prices.cost(&spent).0);
        prop_assert!(total <= threshold + u128::from(bound.0) + u128::from(files.0) + 1, "{} {} {:?} {:?}", total, threshold, bound, files);
    }
}
