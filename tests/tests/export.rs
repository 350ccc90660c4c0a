//! `dormouse export` of a database that sleeps: it sleeps on, and nothing is left of the branch that was dumped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dormouse, process};
use serde_json::Value;

/// A database with some megabytes of rows, which sleeps by order only.
fn shop() -> (Dormouse, Created) {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY, text VARCHAR(250))",
        "INSERT INTO app.t SELECT seq, REPEAT(MD5(seq), 7) FROM app.seq_1_to_20000",
        "CREATE VIEW app.v AS SELECT COUNT(*) FROM app.t",
        "CREATE FUNCTION app.f() RETURNS INT RETURN 7",
    ] {
        client.query(text).ok();
    }
    (dormouse, who)
}

/// A dump without the line that has its time.
fn dumped(dormouse: &Dormouse, more: &[&str]) -> String {
    let file = dormouse.data_dir().join("dump.sql");
    let target = ["export", "shop", "-o", file.to_str().unwrap()];
    let told = dormouse.json(&[&target[..], more].concat());
    assert_eq!(told["event"], "done", "{told}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("CREATE TABLE `t`") && text.contains("FUNCTION `f`"));
    let lines = text.lines().filter(|line| !line.starts_with("-- Dump "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Names of all databases.
fn names(dormouse: &Dormouse) -> Vec<String> {
    let all = dormouse.json(&["ls"]);
    let all = all.as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Entries of a kind in the ledger of the shop, oldest first.
fn noted(dormouse: &Dormouse, kind: &str) -> Vec<Value> {
    let all = dormouse.json(&["events", "shop"]);
    let all = all.as_array().unwrap().iter();
    all.filter(|one| one["event"] == kind).cloned().collect()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn a_sleeping_database_is_dumped_as_it_is_and_sleeps_on() {
    let (dormouse, who) = shop();
    let awake = dumped(&dormouse, &[]);
    let before = dormouse.json(&["show", "shop"])["generation"].clone();
    for verb in ["suspend", "park"] {
        let state = dormouse.json(&[verb, "shop"])["state"].clone();
        let asleep = dumped(&dormouse, &[]);
        assert!(
            asleep == awake,
            "the dump of a database that was told to {verb} differs"
        );
        assert_eq!(dormouse.json(&["show", "shop"])["state"], state);
        assert_eq!(names(&dormouse), ["shop"]);
    }
    assert_eq!(dormouse.json(&["show", "shop"])["generation"], before);
    let events = dormouse.json(&["events", "shop"]);
    let woken = |event: &Value| event["from"] == "parked" || event["from"] == "suspended";
    let events = events.as_array().unwrap();
    let woken: Vec<_> = events
        .iter()
        .filter(|event| woken(event) && event["to"] == "waking")
        .collect();
    assert!(woken.is_empty(), "{woken:#?}");
    let entries = noted(&dormouse, "exported");
    assert_eq!(entries.len(), 3, "{entries:#?}");
    for (entry, what) in
        entries
            .iter()
            .zip(["of itself", "of its branch shop-export-", "of its branch"])
    {
        assert!(
            entry["reason"].as_str().unwrap().starts_with(what),
            "{entry}"
        );
        assert!(
            entry["figures"]["bytes"].as_u64() > Some(1 << 20),
            "{entry}"
        );
        assert_eq!(entry["cause"], "operator");
        assert!(entry["actor"].as_str().unwrap().starts_with("local:uid="));
    }
    assert!(is_empty(&dormouse.data_dir().join("exports")));
    // on demand it is woken
    assert!(dumped(&dormouse, &["--wake"]) == awake);
    assert_eq!(dormouse.state("shop"), "active");
    let mut client = dormouse.connect(&who);
    assert_eq!(client.query("SELECT * FROM app.v").value(), "20000");
}

/// An export whose reader does not read, when its branch is there and the dump has begun.
fn stalled(dormouse: &Dormouse) -> (Child, String) {
    let mut export = dormouse.command(&["export", "shop"]);
    export.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut export = export.spawn().unwrap();
    let mut first = [0; 100];
    export
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let names = names(dormouse);
    let branch = names.iter().find(|name| name.starts_with("shop-export-"));
    let branch = branch.unwrap_or_else(|| panic!("{names:?}")).clone();
    (export, branch)
}

#[test]
fn nothing_is_left_of_an_export_that_is_interrupted() {
    let (dormouse, _) = shop();
    let exports = dormouse.data_dir().join("exports");
    let _ = dormouse.json(&["park", "shop"]);
    // the reader goes away
    let (mut export, _) = stalled(&dormouse);
    drop(export.stdout.take());
    assert_eq!(export.wait().unwrap().code(), Some(1));
    assert_eq!(names(&dormouse), ["shop"]);
    assert!(is_empty(&exports));
    // somebody ends it, while it waits for its reader
    let (mut export, branch) = stalled(&dormouse);
    let shown = dormouse.json(&["show", &branch]);
    assert_eq!(shown["branch"]["parent"], "shop");
    assert!(shown["branch"]["expires"].is_string(), "{shown}");
    process::terminate(export.id());
    assert_eq!(export.wait().unwrap().code(), Some(128 + 15));
    let entries = noted(&dormouse, "exported");
    let failed = |entry: &Value, why: &str| {
        let reason = entry["reason"].as_str().unwrap();
        assert!(
            entry["cause"] == "failed" && reason.contains(why),
            "{entry}"
        );
    };
    failed(&entries[0], "Broken pipe");
    failed(&entries[1], "signal 15");
    assert_eq!(names(&dormouse), ["shop"]);
    assert!(is_empty(&exports));
    // killed, it leaves a branch that ends by itself
    let (mut export, branch) = stalled(&dormouse);
    process::kill(export.id());
    assert_eq!(export.wait().unwrap().signal(), Some(9));
    let shown = dormouse.json(&["show", &branch]);
    assert!(shown["branch"]["expires"].is_string(), "{shown}");
    let _ = dormouse.json(&["drop", &branch, "--yes"]);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn an_export_that_cannot_copy_says_how_to_do_without() {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[limits]\ndatabases = 1\n",
    );
    let _ = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["park", "shop"]);
    let (done, said) = output_of(&mut dormouse.command(&["export", "shop"]));
    assert!(!done && said.contains("--wake"), "{said}");
    assert_eq!(dormouse.state("shop"), "parked");
}
