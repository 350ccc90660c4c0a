//! The servers that answer in place of those of sleeping databases: they run, come back, and end.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Dormouse, process};

/// A Dormouse without a warm pool, with this many understudies and a parked database.
fn with(understudies: usize) -> Dormouse {
    let dormouse = Dormouse::start_with(&format!(
        "[warm_pool]\nsize = 0\n[asleep]\nunderstudies = {understudies}\n"
    ));
    let _ = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["park", "shop"]);
    dormouse
}

/// Waits until so many servers run, and returns their process ids.
fn until_run(dormouse: &Dormouse, count: usize) -> Vec<u32> {
    process::until(&format!("{count} understudies run"), || {
        dormouse.servers().len() == count && metric(dormouse, "understudies") == count.to_string()
    });
    dormouse.servers()
}

fn metric(dormouse: &Dormouse, name: &str) -> String {
    let (_, metrics) = output_of(&mut dormouse.command(&["metrics"]));
    let line = format!("dormouse_{name} ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    value.unwrap_or_default().to_owned()
}

/// Everything of instances in the data directory, by the ids.
fn instances(dormouse: &Dormouse) -> Vec<String> {
    let entries = fs::read_dir(dormouse.data_dir().join("instances")).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut ids: Vec<_> = { entries.flatten().map(name) }
        .filter_map(|name| name.split('.').next().map(str::to_owned))
        .filter(|id| id.parse::<u32>().is_ok())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn they_run_while_every_database_sleeps_and_are_none() {
    let dormouse = with(2);
    until_run(&dormouse, 2);
    assert_eq!(dormouse.json(&["ls"]).as_array().unwrap().len(), 1);
    assert_eq!(dormouse.state("shop"), "parked");
    assert_eq!(metric(&dormouse, "understudy_restarts_total"), "0");
    assert_eq!(instances(&dormouse).len(), 3);
}

#[test]
fn with_none_there_is_none() {
    let dormouse = with(0);
    assert_eq!(metric(&dormouse, "understudies"), "0");
    assert_eq!(dormouse.servers(), Vec::<u32>::new());
    assert_eq!(instances(&dormouse).len(), 1);
}

#[test]
fn one_that_is_killed_comes_back() {
    let dormouse = with(1);
    let mut former = until_run(&dormouse, 1);
    for restarts in ["1", "2"] {
        process::kill(former[0]);
        process::until("another one runs", || {
            let now = dormouse.servers();
            now.len() == 1 && now != former && metric(&dormouse, "understudies") == "1"
        });
        former = dormouse.servers();
        assert_eq!(metric(&dormouse, "understudy_restarts_total"), restarts);
        assert_eq!(instances(&dormouse).len(), 2);
    }
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn a_killed_dormouse_leaves_none_behind_for_long() {
    let mut dormouse = with(1);
    let former = until_run(&dormouse, 1);
    let before = instances(&dormouse);
    dormouse.kill();
    assert_eq!(dormouse.servers(), former, "servers outlive Dormouse");
    dormouse.up();
    process::until("the former one has ended", || {
        !dormouse.servers().contains(&former[0])
    });
    until_run(&dormouse, 1);
    let after = instances(&dormouse);
    assert_eq!(after.len(), 2, "{before:?}, then {after:?}");
    // also if the catalog is lost meanwhile
    dormouse.kill();
    for file in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(dormouse.data_dir().join(file));
    }
    dormouse.up();
    // that of the database runs, too: its accounts are not known any more
    process::until("an understudy runs", || {
        metric(&dormouse, "understudies") == "1"
    });
    assert_eq!(dormouse.servers().len(), 2);
    assert_eq!(instances(&dormouse).len(), 2);
    assert_eq!(dormouse.json(&["ls"]).as_array().unwrap().len(), 1);
}

#[test]
fn they_end_with_dormouse() {
    let mut dormouse = with(2);
    until_run(&dormouse, 2);
    let shop = dormouse.show("shop")["instance"].to_string();
    dormouse.stop();
    assert_eq!(dormouse.servers(), Vec::<u32>::new());
    assert_eq!(instances(&dormouse), [shop]);
}

#[test]
fn more_than_eight_are_refused() {
    let dormouse = Dormouse::prepare("[asleep]\nunderstudies = 9\n");
    let config = dormouse.config_file();
    let (success, said) = output_of(&mut dormouse.command(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
    ]));
    assert!(!success && said.contains("[asleep] understudies"), "{said}");
}
