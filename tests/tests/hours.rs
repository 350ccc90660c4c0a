//! Schedules: events of sleeping databases run, and timetables keep databases awake.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, process};
use serde_json::Value;

const NEVER: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";
const SOON: &str = "[defaults]\nidle_suspend = \"1s\"\nidle_park = \"never\"\n";

/// A database with a table that events write to.
fn shop(config: &str) -> (Dormouse, Created, Client) {
    let dormouse = Dormouse::start_with(config);
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (i INT)").ok();
    (dormouse, who, client)
}

/// The transitions in the ledger, including refused sleeps: new state, cause, reason.
fn told(dormouse: &Dormouse) -> Vec<[String; 3]> {
    let events = dormouse.json(&["events", "shop"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let changed = events.as_array().unwrap().iter();
    changed
        .filter(|event| event["event"] == "changed" || event["event"] == "refused")
        .map(|event| ["to", "cause", "reason"].map(|key| text(&event[key])))
        .collect()
}

#[test]
fn a_due_event_wakes_its_database_which_sleeps_again_afterwards() {
    for state in ["parked", "suspended"] {
        let (dormouse, _, mut client) = shop(NEVER);
        client
            .query(
                "CREATE EVENT app.once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 6 SECOND \
                 DO INSERT INTO app.t VALUES (7)",
            )
            .ok();
        client
            .query(
                "CREATE EVENT app.later ON SCHEDULE EVERY 1 HOUR \
                 STARTS CURRENT_TIMESTAMP + INTERVAL 1 HOUR DO INSERT INTO app.t VALUES (8)",
            )
            .ok();
        let order = if state == "parked" { "park" } else { "suspend" };
        let _ = dormouse.json(&[order, "shop"]);
        assert_eq!(dormouse.state("shop"), state);
        let _ = dormouse.json(&["set", "shop", "--idle-suspend", "1s"]);
        process::until("it was woken and sleeps again", || {
            told(&dormouse).len() >= 3
        });

        let told = told(&dormouse);
        let [first, woken, asleep] = told.as_slice() else {
            panic!("{told:#?}");
        };
        assert_eq!(first[1], "operator");
        assert_eq!([&woken[0], &woken[1]], ["active", "schedule"], "{told:#?}");
        assert!(woken[2].contains("event"), "{told:#?}");
        assert_eq!([&asleep[0], &asleep[1]], ["suspended", "idle"]);
        // the event was the only use
        assert_eq!(
            client.query("SELECT GROUP_CONCAT(i) FROM app.t").value(),
            "7"
        );
    }
}

#[test]
fn a_running_event_delays_the_sleep() {
    let (dormouse, _, mut client) = shop(SOON);
    for statement in [
        "CREATE TABLE app.times (began DATETIME(6), ended DATETIME(6))",
        "CREATE EVENT app.long ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 5 SECOND DO BEGIN \
         INSERT INTO app.times VALUES (SYSDATE(6), NULL); DO SLEEP(5); \
         UPDATE app.times SET ended = SYSDATE(6); END",
    ] {
        client.query(statement).ok();
    }
    process::until("it slept, was woken, and sleeps again", || {
        let slept = told(&dormouse)
            .into_iter()
            .filter(|[to, cause, _]| to == "suspended" && cause == "idle");
        slept.count() == 2
    });
    let told = told(&dormouse);
    let causes: Vec<_> = told
        .iter()
        .map(|[to, cause, _]| format!("{to} {cause}"))
        .collect();
    let expected = [
        "suspended idle",
        "active schedule",
        "suspended failed",
        "suspended idle",
    ];
    assert_eq!(causes, expected, "{told:#?}");
    assert_eq!(told[2][2], "one of its events is running");
    // it had ended when its server was frozen
    let slept = &dormouse.show("shop")["since"];
    let slept = slept
        .as_str()
        .unwrap()
        .trim_end_matches('Z')
        .replace('T', " ");
    let ask =
        format!("SELECT ended < '{slept}' AND ended >= began + INTERVAL 5 SECOND FROM app.times");
    client.query("SET time_zone = '+00:00'").ok();
    assert_eq!(client.query(&ask).value(), "1");
}

#[test]
fn a_timetable_keeps_a_database_awake() {
    let idle = "[defaults]\nidle_suspend = \"1s\"\nidle_park = \"1s\"\n";
    let dormouse = Dormouse::start_with(idle);
    let always = "mon-sun 00:00-24:00";
    let _ = dormouse.create("shop", &["--keep-awake", always]);
    let _ = dormouse.create("blog", &[]);
    // the database that was created later sleeps
    dormouse.until_state("blog", "parked");
    assert_eq!(dormouse.state("shop"), "active");
    assert_eq!(told(&dormouse), [[""; 3]; 0]);

    let _ = dormouse.json(&["set", "shop", "--keep-awake", "never"]);
    dormouse.until_state("shop", "parked");
    let _ = dormouse.json(&["set", "shop", "--keep-awake", always]);
    dormouse.until_state("shop", "active");
    let told = told(&dormouse);
    let last = told.last().unwrap();
    assert_eq!(
        *last,
        ["active", "schedule", "its timetable keeps it awake"]
    );
}
