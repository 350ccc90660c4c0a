//! Rows in MEMORY tables are lost with the server's process: a database that has some is not parked by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Dormouse, process};

#[test]
fn rows_in_memory_tables_survive_every_sleep_and_a_park_is_refused_unless_forced() {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"100ms\"\nidle_park = \"200ms\"\n[warm_pool]\nsize = 0\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.cache (a INT) ENGINE=MEMORY",
        "CREATE TABLE app.empty (a INT) ENGINE=MEMORY",
        "INSERT INTO app.cache VALUES (1), (2)",
    ] {
        client.query(text).ok();
    }
    // by itself: only suspended, and the ledger says why
    let told = "memory_table (app.cache): rows would be lost";
    process::until("a park is vetoed", || {
        dormouse
            .json(&["events", "shop"])
            .to_string()
            .contains(told)
    });
    let shown = dormouse.show("shop");
    assert_eq!(shown["state"], "suspended");
    assert_eq!(shown["memory_tables"], serde_json::json!(["app.cache"]));
    let generation = shown["generation"].clone();
    assert_eq!(client.query("SELECT COUNT(*) FROM app.cache").value(), "2");

    // by order, asleep and awake
    for state in ["suspend", "wake"] {
        let _ = dormouse.json(&[state, "shop"]);
        let (parked, said) = output_of(&mut dormouse.command(&["park", "shop"]));
        assert!(!parked && said.contains(told), "{said}");
        let (_, said) = output_of(&mut dormouse.command(&["show", "shop"]));
        assert!(
            said.contains("memory tables    app.cache: no park"),
            "{said}"
        );
    }
    assert_eq!(client.query("SELECT COUNT(*) FROM app.cache").value(), "2");
    assert_eq!(dormouse.show("shop")["generation"], generation);

    let parked = dormouse.json(&["park", "shop", "--force"]);
    assert_eq!(parked["state"], "parked");
    assert_eq!(client.query("SELECT COUNT(*) FROM app.cache").value(), "0");
    // without rows it is parked by itself
    dormouse.until_state("shop", "parked");
}
