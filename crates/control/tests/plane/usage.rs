//! Metering of databases, and their spend limits.

use dormouse_control::{By, Calendar, PlaneConfig, Prices, Spec, UsageQuery, UsageReport};
use dormouse_types::{DatabaseName, Money, Pin, State, Usage};

use crate::machine::{FREEZE_CPU, Machine, START_CPU, STOP_CPU};
use crate::run::{MS, Run, S, config, name, spec, virtually, with, with_config};

fn at(text: &str) -> Calendar {
    Calendar::starting_at(text.parse().unwrap())
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

async fn usage(run: &Run, database: &DatabaseName, by: By) -> UsageReport {
    let query = UsageQuery {
        database: Some(database.clone()),
        present: false,
        month: None,
        by,
    };
    run.plane.usage(query).await.unwrap()
}

/// In seconds, and in MiB times seconds.
fn seconds(used: &Usage) -> (u64, u64) {
    (used.active_ms / 1000, used.memory_mib_ms / 1000)
}

#[test]
fn a_report_by_day_equals_the_use() {
    let config = |config| PlaneConfig {
        calendar: at("2026-03-01T23:00:00Z"),
        ..config
    };
    with_config(config, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        for _ in 0..5 {
            run.query(&shop).await.unwrap();
        }
        run.until(&shop, State::Parked).await;
        tokio::time::sleep(24 * 3600 * S).await;
        run.query(&shop).await.unwrap();
        run.until(&shop, State::Parked).await;
        let told = usage(&run, &shop, By::Day).await;
        let days: Vec<String> = told
            .rows
            .iter()
            .map(|row| row.from.unwrap().strftime("%F").to_string())
            .collect();
        assert_eq!(days, ["2026-03-01", "2026-03-02"]);
        for (row, statements) in told.rows.iter().zip([5, 1]) {
            // awake for ten seconds with 2 GiB, then suspended with 20 MiB for twenty
            let (active, memory) = seconds(&row.used);
            assert_eq!(active, 10, "{row:?}");
            assert!((20_880..22_000).contains(&memory), "{row:?}");
            let transitions = START_CPU + FREEZE_CPU + STOP_CPU;
            let cpu = transitions.as_micros() + 1000 * u128::from(statements);
            assert_eq!(u128::from(row.used.cpu_us), cpu, "{row:?}");
            assert_eq!(row.used.carried.statements, statements);
            assert_eq!(row.charged, row.used);
            assert_eq!(row.cost, None);
        }
        let month = usage(&run, &shop, By::Month).await;
        assert_eq!((month.rows.len(), month.used), (1, told.used));
        let before = UsageQuery {
            month: Some("2026-01".parse().unwrap()),
            ..UsageQuery::default()
        };
        let before = run.plane.usage(before).await.unwrap();
        assert_eq!(before.rows, [], "it was not there");
    });
}

#[test]
fn usage_of_a_dropped_database_is_reported_separately() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        run.plane.drop_database(&shop).await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let told = usage(&run, &shop, By::Month).await;
        let rows: Vec<_> = told
            .rows
            .iter()
            .map(|r| (r.used.cpu_us, r.dropped))
            .collect();
        assert_eq!(rows[0].0, 141_000);
        assert!(rows[0].1.is_some());
        assert_eq!(rows[1], (140_000, None));
        assert_eq!(rows.len(), 2);
        let nobody = UsageQuery {
            database: Some(name("nobody")),
            ..UsageQuery::default()
        };
        run.plane.usage(nobody).await.unwrap_err();
    });
}

#[test]
fn the_next_run_counts_what_the_last_had_not_written() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let started = |calendar| PlaneConfig {
        calendar: at(calendar),
        ..config(dir.path())
    };
    let shop = name("shop");
    virtually(&machine, async {
        let run = Run::start_with(&machine, started("2026-03-01T12:00:00Z"))
            .await
            .unwrap();
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        tokio::time::sleep(60 * S).await;
        run.query(&shop).await.unwrap();
        // killed here, before the statement's CPU time was observed
    });
    let id = *machine.lock().instances.keys().next().unwrap();
    machine.lock().burn(id, 3 * S);
    virtually(&machine, async {
        let run = Run::start_with(&machine, started("2026-03-01T13:00:00Z"))
            .await
            .unwrap();
        run.until(&shop, State::Active).await;
        tokio::time::sleep(S).await;
        let told = usage(&run, &shop, By::Day).await;
        assert_eq!(told.used.cpu_us, 140_000 + 1000 + 3_000_000);
        assert!((3600..3602).contains(&seconds(&told.used).0), "{told:?}");
    });
}

fn priced(config: PlaneConfig) -> PlaneConfig {
    PlaneConfig {
        calendar: at("2026-03-31T18:00:00Z"),
        prices: Prices {
            currency: "EUR".to_owned(),
            memory_gib_hour: money("1"),
            ..Prices::default()
        },
        ..config
    }
}

/// Two units, which cost 4 EUR an hour, and a limit.
fn limited_to(limit: &str) -> Spec {
    Spec {
        units: "2..2".parse().unwrap(),
        spend_limit: Some(money(limit)),
        ..spec("never", "never")
    }
}

#[test]
fn a_limit_is_held_and_a_free_baseline_remains_until_the_month_ends() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let shop = name("shop");
    virtually(&machine, async {
        let config = priced(config(dir.path()));
        let run = Run::start_with(&machine, config).await.unwrap();
        run.plane.create(&shop, limited_to("2")).await.unwrap();
        tokio::time::sleep(3600 * S).await;
        let spent = usage(&run, &shop, By::Month).await.cost.unwrap();
        let second_and_a_half = 4_000_000 * 3 / 7200;
        assert!(spent >= money("2"), "{spent}");
        assert!(spent.0 <= 2_000_000 + second_and_a_half, "{spent}");
        assert_eq!(run.status(&shop).units.0, 1);
        run.query(&shop).await.unwrap();
        tokio::time::sleep(2 * 3600 * S).await;
        let told = usage(&run, &shop, By::Month).await;
        assert_eq!(told.cost, Some(spent), "the baseline is free");
        assert!(told.used.memory_mib_ms > told.charged.memory_mib_ms * 3);
    });
    let steps = |run: &Run| {
        let mut all = run.ledger(&shop);
        all.retain(|line| line.contains(" limit: "));
        let words = |line: String| line.split(": ").last().unwrap().to_owned();
        all.into_iter().map(words).collect::<Vec<_>>()
    };
    // after a kill the next run finds it still slow
    virtually(&machine, async {
        let config = PlaneConfig {
            calendar: at("2026-03-31T23:00:00Z"),
            ..priced(config(dir.path()))
        };
        let run = Run::start_with(&machine, config).await.unwrap();
        run.until(&shop, State::Active).await;
        tokio::time::sleep(600 * S).await;
        assert_eq!(run.status(&shop).units.0, 1);
        tokio::time::sleep(3600 * S).await;
        assert_eq!(run.status(&shop).units.0, 2);
        assert_eq!(
            steps(&run),
            [
                "50 % of its limit",
                "80 % of its limit",
                "95 % of its limit",
                "slowed to 1 unit, which is free, until 2026-04",
                "nothing is held back",
            ]
        );
    });
}

#[test]
fn a_changed_or_removed_limit_applies_soon() {
    with_config(priced, async |run| {
        let shop = name("shop");
        let limited = Spec {
            units: "1..1".parse().unwrap(),
            ..limited_to("0.000001")
        };
        run.plane.create(&shop, limited).await.unwrap();
        let last = |run: &Run| run.ledger(&shop).pop().unwrap();
        tokio::time::sleep(10 * S).await;
        assert!(last(&run).contains("slowed to 1 unit"), "{}", last(&run));
        let settings = dormouse_control::SettingsPatch {
            spend_limit: Some("none".parse().unwrap()),
            ..dormouse_control::SettingsPatch::default()
        };
        run.plane.set(&shop, settings).await.unwrap();
        tokio::time::sleep(10 * S).await;
        assert!(
            last(&run).ends_with("it has no limit any more"),
            "{}",
            last(&run)
        );
        // the same for a sleeping database, which is not metered meanwhile
        run.plane.park(&shop).await.unwrap();
        tokio::time::sleep(70 * S).await;
        let settings = dormouse_control::SettingsPatch {
            spend_limit: Some("0.000001".parse().unwrap()),
            ..dormouse_control::SettingsPatch::default()
        };
        run.plane.set(&shop, settings).await.unwrap();
        tokio::time::sleep(S).await;
        assert!(last(&run).contains("slowed to 1 unit"), "{}", last(&run));
    });
}

/// With a ladder that puts a database to sleep for the rest of the month at its limit.
fn asleep_at_limit(config: PlaneConfig) -> PlaneConfig {
    let mut config = priced(config);
    config.ladder.slow = None;
    config.ladder.asleep = Some(100);
    config
}

#[test]
fn without_prices_no_limit_is_reached() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, limited_to("0")).await.unwrap();
        tokio::time::sleep(60 * S).await;
        assert_eq!(run.status(&shop).units.0, 2);
        let noted = run.ledger(&shop).into_iter();
        assert_eq!(noted.filter(|line| line.starts_with("noted")).count(), 0);
    });
}

#[test]
fn an_order_to_wake_before_the_limit_does_not_override_it() {
    with_config(asleep_at_limit, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, limited_to("1")).await.unwrap();
        run.plane.park(&shop).await.unwrap();
        run.plane.wake(&shop).await.unwrap();
        assert_eq!(run.state(&shop), State::Active);
        run.until(&shop, State::Parked).await;
        let refused = run.query(&shop).await.unwrap_err();
        assert!(refused.contains("spend limit"), "{refused}");
        // an order given after the limit was used up overrides it
        run.plane.wake(&shop).await.unwrap();
        run.query(&shop).await.unwrap();
    });
}

#[test]
fn an_order_to_wake_opens_a_barred_database_whose_park_is_vetoed() {
    with_config(asleep_at_limit, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, limited_to("1")).await.unwrap();
        run.lanes.veto(&shop, &[(7, Pin::UserVariable)]);
        tokio::time::sleep(3600 * S).await;
        assert_eq!(run.state(&shop), State::Active);
        assert!(run.query(&shop).await.is_err());
        run.plane.wake(&shop).await.unwrap();
        run.query(&shop).await.unwrap();
    });
}

#[test]
fn neither_a_veto_nor_a_restart_opens_a_barred_database() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let config = asleep_at_limit(config(dir.path()));
    let shop = name("shop");
    let next = PlaneConfig {
        calendar: at("2026-03-31T20:00:00Z"),
        ..config.clone()
    };
    virtually(&machine, async {
        let run = Run::start_with(&machine, config).await.unwrap();
        run.plane.create(&shop, limited_to("1")).await.unwrap();
        run.lanes.veto(&shop, &[(7, Pin::UserVariable)]);
        run.lanes.capture_takes(2 * S);
        tokio::time::sleep(1800 * S).await;
        for _ in 0..3600 {
            run.query(&shop).await.unwrap_err();
            tokio::time::sleep(S).await;
        }
        assert_eq!(run.state(&shop), State::Active);
    });
    virtually(&machine, async {
        let run = Run::start_with(&machine, next).await.unwrap();
        run.query(&shop).await.unwrap_err();
        run.until(&shop, State::Parked).await;
        run.query(&shop).await.unwrap_err();
    });
}

#[test]
fn removing_the_limit_opens_the_door_at_once() {
    with_config(asleep_at_limit, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, limited_to("1")).await.unwrap();
        run.until(&shop, State::Parked).await;
        run.query(&shop).await.unwrap_err();
        let settings = dormouse_control::SettingsPatch {
            spend_limit: Some("none".parse().unwrap()),
            ..dormouse_control::SettingsPatch::default()
        };
        run.plane.set(&shop, settings).await.unwrap();
        tokio::time::sleep(S).await;
        run.query(&shop).await.unwrap();
    });
}

#[test]
fn a_sleeping_database_is_not_written_to_the_catalog() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.until(&shop, State::Parked).await;
        tokio::time::sleep(60 * S).await;
        let file = dir.path().join("catalog.sqlite-wal");
        let written = || std::fs::metadata(&file).unwrap().modified().unwrap();
        let before = written();
        tokio::time::sleep(3600 * S + MS).await;
        assert_eq!(written(), before);
    });
}
