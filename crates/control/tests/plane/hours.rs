//! Databases that are woken by time.

use dormouse_control::{Calendar, PlaneConfig, Spec};
use dormouse_types::{DatabaseName, State};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use crate::run::{MS, S, name, spec, with_config};

/// A Monday, a minute before eight.
fn monday() -> Calendar {
    Calendar::starting_at("2026-03-02T07:59:00Z".parse().unwrap())
}

fn early(config: PlaneConfig) -> PlaneConfig {
    PlaneConfig {
        calendar: monday(),
        ..config
    }
}

fn office_hours() -> Spec {
    Spec {
        keep_awake: "mon-fri 08:00-08:30".parse().unwrap(),
        ..spec("1s", "5s")
    }
}

#[test]
fn a_timetable_wakes_a_database_and_keeps_it_awake() {
    with_config(early, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, office_hours()).await.unwrap();
        run.until(&shop, State::Parked).await;
        sleep(61 * S).await;
        assert_eq!(run.state(&shop), State::Active);
        let refused = run.plane.park(&shop).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "database 'shop' is active: its timetable keeps it awake, until Mon 08:30 UTC"
        );
        sleep(28 * 60 * S).await;
        assert_eq!(run.state(&shop), State::Active);
        sleep(120 * S).await;
        assert_eq!(run.state(&shop), State::Parked);
        let told = run.ledger(&shop).join("\n");
        assert!(
            told.contains("schedule: its timetable keeps it awake, until Mon 08:30 UTC"),
            "{told}"
        );
    });
}

#[test]
fn a_changed_calendar_is_detected() {
    let calendar = monday();
    let config = |config| PlaneConfig {
        calendar: calendar.clone(),
        ..config
    };
    with_config(config, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, office_hours()).await.unwrap();
        run.until(&shop, State::Parked).await;
        sleep(3600 * S).await;
        assert_eq!(run.state(&shop), State::Parked, "it is nine");
        // the machine has slept for a day
        calendar.set(SignedDuration::from_mins(23 * 60 + 1));
        sleep(12 * S).await;
        assert_eq!(run.state(&shop), State::Active, "it is eight on Tuesday");
        calendar.set(SignedDuration::from_hours(-2));
        sleep(20 * S).await;
        assert_eq!(run.state(&shop), State::Parked, "it is six");
        sleep(7200 * S).await;
        assert_eq!(run.state(&shop), State::Active, "it is eight again");
    });
}

#[test]
fn a_database_does_not_sleep_just_before_an_event() {
    with_config(early, async |run| {
        let shop = name("shop");
        run.machine
            .set(|m| m.next_event = "2026-03-02T07:59:12Z".parse().ok());
        run.plane.create(&shop, spec("10s", "1h")).await.unwrap();
        sleep(15 * S).await;
        run.machine
            .set(|m| m.next_event = "2026-03-02T08:30:00Z".parse().ok());
        run.until(&shop, State::Suspended).await;
        sleep(3600 * S).await;
        assert_eq!(
            run.ledger(&shop)[1..],
            [
                "refused active suspended failed: an event is due at 2026-03-02T07:59:12Z",
                "changed active suspended idle: idle for 15 s",
                "changed suspended active schedule: an event is due Mon 08:30 UTC",
                "changed active suspended idle: idle for 10 s",
            ]
        );
    });
}

#[test]
fn a_statement_does_not_wait_for_scheduled_starts() {
    with_config(early, async |run| {
        let office: Vec<DatabaseName> = (0..12).map(|n| name(&format!("office{n}"))).collect();
        for database in &office {
            run.plane.create(database, office_hours()).await.unwrap();
        }
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "5s")).await.unwrap();
        for database in office.iter().chain([&shop]) {
            run.until(database, State::Parked).await;
        }
        run.machine.set(|m| m.start_takes = 5 * S);
        // the limit is two concurrent starts
        let starts = || run.machine.lock().starting;
        while starts() < 2 {
            sleep(10 * MS).await;
        }
        let began = Instant::now();
        // one of the waiting databases, and one without a schedule
        let (first, second) = tokio::join!(run.query(&office[11]), run.query(&shop));
        first.unwrap();
        second.unwrap();
        let took = began.elapsed();
        assert!(took < 11 * S, "{took:?}");
        sleep(60 * S).await;
        for database in &office {
            assert_eq!(run.state(database), State::Active);
        }
    });
}
