//! Times of the next event, compared with the server's scheduler.

use std::time::Duration;

use dormouse_engine::Admin;
use dormouse_types::Events;
use jiff::Timestamp;

use crate::server::Server;

const TIMEOUT: Duration = Duration::from_secs(60);

async fn run(admin: &mut Admin, sql: &str) {
    admin
        .query(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn text(admin: &mut Admin, sql: &str) -> String {
    admin.query(sql).await.unwrap().text(0, 0)
}

#[tokio::test]
async fn an_event_is_due_when_the_scheduler_runs_it() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    assert_eq!(admin.events().await.unwrap(), Events::default());
    run(&mut admin, "CREATE SCHEMA s").await;
    run(
        &mut admin,
        "CREATE TABLE s.log (name INT PRIMARY KEY, at DATETIME DEFAULT UTC_TIMESTAMP)",
    )
    .await;
    // all are due within seconds, except those that count months near the end of a month
    let soon = "NOW() + INTERVAL 6 SECOND";
    let every = |interval: &str, starts: &str| {
        format!("EVERY {interval} STARTS {soon} - INTERVAL {starts}")
    };
    let schedules = [
        format!("AT {soon}"),
        every("1 HOUR", "0 SECOND"),
        every("7 SECOND", "700 SECOND"),
        every("'1:30' MINUTE_SECOND", "900 SECOND"),
        every("'2:10' HOUR_MINUTE", "130 MINUTE"),
        every("'1 1' DAY_HOUR", "50 HOUR"),
        every("1 DAY", "100 DAY"),
        every("2 WEEK", "28 DAY"),
        every("1 MONTH", "1 MONTH"),
        every("1 QUARTER", "6 MONTH"),
        every("'1-6' YEAR_MONTH", "18 MONTH"),
        every("1 YEAR", "3 YEAR"),
        every("1 DAY", "100 DAY") + " ENDS NOW() + INTERVAL 1 HOUR",
    ];
    let mut due = Vec::new();
    let zones = ["SYSTEM", "+00:00", "+05:30", "-11:00"];
    for (n, schedule) in schedules.iter().enumerate() {
        let zone = zones[n % zones.len()];
        run(&mut admin, &format!("SET time_zone = '{zone}'")).await;
        let create = format!(
            "CREATE EVENT s.e{n} ON SCHEDULE {schedule} ON COMPLETION PRESERVE \
             DO INSERT IGNORE INTO s.log (name) VALUES ({n})"
        );
        run(&mut admin, &create).await;
        due.push(
            admin
                .events()
                .await
                .unwrap()
                .next
                .unwrap_or_else(|| panic!("{schedule}")),
        );
        run(&mut admin, &format!("ALTER EVENT s.e{n} DISABLE")).await;
        assert_eq!(admin.events().await.unwrap().next, None);
    }
    for n in 0..schedules.len() {
        run(&mut admin, &format!("ALTER EVENT s.e{n} ENABLE")).await;
    }
    let now = Timestamp::now().as_second();
    let are_soon = due.iter().filter(|due| due.as_second() < now + 10).count();
    assert!(are_soon >= 9, "{due:?}");
    let are_soon = are_soon.to_string();
    let ran = async { while text(&mut admin, "SELECT COUNT(*) FROM s.log").await != are_soon {} };
    tokio::time::timeout(TIMEOUT, ran).await.unwrap();
    let log = admin.query("SELECT name, at FROM s.log").await.unwrap();
    for [n, at] in log.texts() {
        let n: usize = n.parse().unwrap();
        let at: Timestamp = (at + "Z").parse().unwrap();
        let late = at.as_second() - due[n].as_second();
        assert!(
            (0..=1).contains(&late),
            "{} was due at {} and ran at {at}",
            schedules[n],
            due[n]
        );
    }
}

/// Schedules too far ahead to wait for.
#[tokio::test]
async fn an_event_is_due_after_its_start_and_not_after_its_end() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    run(&mut admin, "CREATE SCHEMA s").await;
    for (schedule, hours) in [
        ("AT NOW() + INTERVAL 100 HOUR", Some(100)),
        ("EVERY 1 HOUR STARTS NOW() + INTERVAL 5 HOUR", Some(5)),
        ("EVERY 10 HOUR STARTS NOW() - INTERVAL 23 HOUR", Some(7)),
        (
            "EVERY 10 HOUR STARTS NOW() - INTERVAL 23 HOUR ENDS NOW() + INTERVAL 6 HOUR",
            None,
        ),
        (
            "EVERY 10 HOUR STARTS NOW() - INTERVAL 23 HOUR DISABLE",
            None,
        ),
    ] {
        let create = format!("CREATE OR REPLACE EVENT s.e ON SCHEDULE {schedule} DO SELECT 1");
        run(&mut admin, &create).await;
        let next = admin.events().await.unwrap().next;
        let now = Timestamp::now().as_second();
        let in_hours = next.map(|next| (next.as_second() - now + 60).div_euclid(3600));
        assert_eq!(in_hours, hours, "{schedule}: {next:?}");
    }
    run(
        &mut admin,
        "CREATE EVENT s.f ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO SELECT 1",
    )
    .await;
    assert!(admin.events().await.unwrap().next.is_some());
    run(&mut admin, "SET GLOBAL event_scheduler = OFF").await;
    assert_eq!(
        admin.events().await.unwrap(),
        Events::default(),
        "the scheduler is off"
    );
}

#[tokio::test]
async fn a_running_event_is_reported() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut holder = server.admin().await;
    run(&mut holder, "SELECT GET_LOCK('l', 0)").await;
    run(&mut admin, "CREATE SCHEMA s").await;
    run(
        &mut admin,
        "CREATE EVENT s.e ON SCHEDULE AT NOW() DO SELECT GET_LOCK('l', 100)",
    )
    .await;
    for running in [true, false] {
        let seen = async { while admin.events().await.unwrap().running != running {} };
        tokio::time::timeout(TIMEOUT, seen).await.unwrap();
        run(&mut holder, "SELECT RELEASE_ALL_LOCKS()").await;
    }
    assert_eq!(
        admin.events().await.unwrap().next,
        None,
        "a one-time event is not due again"
    );
}
