//! A database at its spend limit: warned, slow, read-only, asleep, and unrestricted again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Dormouse, process};
use serde_json::Value;

// a GiB of memory costs one a second, and nothing else costs anything
const CONFIG: &str = "
[defaults]
idle_suspend = 'never'
idle_park = 'never'
[prices]
currency = 'EUR'
memory_gib_hour = '3600'
[spend]
warn = [50, 80]
slow = 100
read_only = 150
asleep = 200
";

/// Changes the limit; returns the result.
fn limited_to(dormouse: &Dormouse, limit: f64) -> Value {
    dormouse.json(&["set", "shop", "--spend-limit", &format!("{limit:.2}")])
}

/// Reasons in the ledger with the cause `limit`.
fn told(dormouse: &Dormouse) -> Vec<String> {
    let events = dormouse.json(&["events", "shop"]);
    let events = events.as_array().unwrap().iter();
    let limit = events.filter(|e| e["event"] == "noted" && e["cause"] == "limit");
    limit
        .map(|e| e["reason"].as_str().unwrap().to_owned())
        .collect()
}

fn cost(dormouse: &Dormouse) -> f64 {
    let spend = dormouse.show("shop")["spend"].clone();
    assert_eq!(spend["currency"], "EUR");
    spend["cost"].as_str().unwrap().parse().unwrap()
}

/// A line of `dormouse show`.
fn shown(dormouse: &Dormouse, key: &str) -> String {
    let (_, text) = output_of(&mut dormouse.command(&["show", "shop"]));
    let mut lines = text.lines().filter_map(|line| line.split_once("  "));
    let line = lines.find(|(name, _)| *name == key);
    line.unwrap_or_else(|| panic!("{text}")).1.trim().to_owned()
}

const COUNT: &str = "SELECT COUNT(*) FROM app.t";

fn may_not_write(client: &mut Client, limit: f64) {
    for statement in ["INSERT INTO app.t VALUES (4)", "UPDATE app.t SET i = 5"] {
        let error = client.query(statement).err();
        assert_eq!((error.code, &error.sqlstate), (1290, b"HY000"));
        let expected = format!(
            "database 'shop' is read-only: its spend limit of {limit:.2} for this month is used up; \
             reading, DELETE, DROP, TRUNCATE and OPTIMIZE are allowed"
        );
        assert_eq!(error.message, expected);
    }
}

fn may_not_be_used(client: &mut Client) {
    let error = client.query(COUNT).err();
    let expected = "the database cannot be woken: its spend limit of this month is used up; the \
                    statement was not run";
    assert_eq!((error.code, error.message.as_str()), (1203, expected));
}

#[test]
fn restrictions_follow_step_by_step_and_a_raised_limit_ends_them_at_once() {
    let mut dormouse = Dormouse::start_with(CONFIG);
    let who = dormouse.create("shop", &["--units", "2..2", "--spend-limit", "24"]);
    let mut client = dormouse.connect(&who);
    for statement in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT)",
        "INSERT INTO app.t VALUES (1), (2)",
    ] {
        client.query(statement).ok();
    }
    let pid = dormouse.server("shop");
    process::until("it is slow", || {
        dormouse.show("shop")["spend"]["rung"] == "slow"
    });
    process::until("it has the baseline alone", || {
        dormouse.show("shop")["units"] == 1
    });
    client.query("INSERT INTO app.t VALUES (3)").ok();
    assert!(shown(&dormouse, "spend").ends_with(" EUR this month: slowed to the free units"));
    let all = told(&dormouse);
    let (last, warnings) = all.split_last().unwrap();
    assert!(last.contains(" of 24.00 EUR this month: slowed to 1 unit, which is free, until "));
    assert!(
        !warnings.is_empty() && warnings.iter().all(|w| w.ends_with(" % of its limit")),
        "{all:#?}"
    );

    // from here on it costs nothing, so only the limit decides
    let spent = cost(&dormouse);
    let limit = spent / 1.75;
    assert_eq!(limited_to(&dormouse, limit)["spend"]["rung"], "read_only");
    may_not_write(&mut client, limit);
    client.query("DELETE FROM app.t WHERE i = 1").ok();
    assert_eq!(client.query(COUNT).value(), "2");
    assert_eq!(dormouse.server("shop"), pid);
    let read_only = format!("its spend limit of {limit:.2} for this month is used up");
    assert_eq!(shown(&dormouse, "read-only"), read_only);

    let limit = spent / 3.0;
    assert_eq!(limited_to(&dormouse, limit)["spend"]["rung"], "asleep");
    dormouse.until_state("shop", "parked");
    may_not_be_used(&mut client);
    dormouse.kill();
    dormouse.up();
    let mut client = dormouse.connect(&who);
    may_not_be_used(&mut client);
    assert_eq!(dormouse.state("shop"), "parked");
    assert!(shown(&dormouse, "spend").ends_with("this month: parked until the month ends"));

    // the operator can wake it
    let _ = dormouse.json(&["wake", "shop"]);
    assert_eq!(client.query(COUNT).value(), "2");
    may_not_write(&mut client, limit);
    client.query("DELETE FROM app.t WHERE i = 2").ok();
    let _ = dormouse.json(&["park", "shop"]);
    may_not_be_used(&mut client);
    assert!(
        cost(&dormouse) <= spent,
        "{} after {spent}",
        cost(&dormouse)
    );

    assert_eq!(limited_to(&dormouse, 1000.0)["spend"]["rung"], "free");
    client.query("INSERT INTO app.t VALUES (4)").ok();
    assert_eq!(client.query(COUNT).value(), "2");
    assert_eq!(dormouse.show("shop")["units"], 2);
    assert!(
        told(&dormouse)
            .last()
            .unwrap()
            .ends_with("this month: nothing is held back")
    );
}
