//! Replicas: they follow, sleep and wake with their database, and one takes the place of a primary that is lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use serde_json::Value;

/// A Dormouse whose databases sleep only when told to.
fn awake() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

fn count(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

/// A database with a table and this many replicas, which follow.
fn shop(dormouse: &Dormouse, replicas: usize, arguments: &[&str]) -> (Created, Client) {
    let n = replicas.to_string();
    let who = dormouse.create("shop", &[&["--replicas", &n], arguments].concat());
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("USE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    until_following(dormouse, replicas);
    (who, client)
}

fn followers(dormouse: &Dormouse) -> Vec<Value> {
    let shown = dormouse.show("shop");
    shown["followers"].as_array().unwrap().clone()
}

fn until_following(dormouse: &Dormouse, count: usize) {
    process::until("the replicas follow", || {
        let all = followers(dormouse);
        all.len() == count && all.iter().all(|one| one["doing"] == "following")
    });
}

fn instances(dormouse: &Dormouse) -> BTreeSet<u64> {
    let all = followers(dormouse);
    all.iter()
        .map(|one| one["instance"].as_u64().unwrap())
        .collect()
}

fn directory(dormouse: &Dormouse, instance: u64) -> PathBuf {
    dormouse
        .data_dir()
        .join("instances")
        .join(instance.to_string())
}

/// A connection to the server of a replica, as Dormouse itself.
fn replica(dormouse: &Dormouse, instance: u64) -> Client {
    dormouse.platform_in(&directory(dormouse, instance))
}

fn until_it_has(dormouse: &Dormouse, instance: u64, rows: u64) {
    let mut client = replica(dormouse, instance);
    process::until("a replica has the rows", || {
        client.query("SELECT COUNT(*) FROM app.t").value() == rows.to_string()
    });
}

#[test]
fn replicas_follow_and_sleep_and_wake_with_their_database() {
    let mut dormouse = awake();
    let (who, mut client) = shop(&dormouse, 2, &[]);
    let own = instances(&dormouse);
    client.query("INSERT INTO app.t VALUES (1)").ok();
    for one in &own {
        until_it_has(&dormouse, *one, 1);
        let refused = replica(&dormouse, *one)
            .query("SELECT @@GLOBAL.read_only")
            .value();
        assert_eq!(refused, "1");
    }
    let metrics = dormouse.command(&["metrics"]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    for line in [
        "dormouse_replicas_wanted{database=\"shop\"} 2",
        "dormouse_replicas_following{database=\"shop\"} 2",
        "dormouse_replicas_behind_seconds{database=\"shop\"} 0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    // before a park they get what they lack
    client
        .query("INSERT INTO app.t SELECT seq FROM app.t, seq_2_to_5000")
        .ok();
    let _ = dormouse.json(&["park", "shop"]);
    process::until("the replicas sleep", || {
        followers(&dormouse)
            .iter()
            .all(|one| one["doing"] == "asleep")
    });
    process::until("no server of it runs", || {
        let has = |id: u64| process::mentioning(&directory(&dormouse, id)).is_empty();
        own.iter().all(|id| has(*id))
    });
    client.query("INSERT INTO app.t VALUES (6000)").ok();
    until_following(&dormouse, 2);
    assert_eq!(instances(&dormouse), own, "none was made anew");
    for one in &own {
        until_it_has(&dormouse, *one, 5001);
    }
    let _ = dormouse.json(&["suspend", "shop"]);
    client.query("INSERT INTO app.t VALUES (6001)").ok();
    until_following(&dormouse, 2);
    for one in &own {
        until_it_has(&dormouse, *one, 5002);
    }
    // Dormouse ends, and finds them again
    for killed in [true, false] {
        if killed {
            dormouse.kill();
        } else {
            dormouse.stop();
        }
        dormouse.up();
        let mut client = dormouse.connect(&who);
        client
            .query("INSERT INTO app.t SELECT MAX(n) + 1 FROM app.t")
            .ok();
        until_following(&dormouse, 2);
        assert_eq!(instances(&dormouse), own, "none was made anew");
    }
    for one in &own {
        until_it_has(&dormouse, *one, 5004);
    }
    let _ = dormouse.json(&["set", "shop", "--replicas", "0"]);
    process::until("they are removed", || {
        own.iter().all(|one| !directory(&dormouse, *one).exists())
    });
}

#[test]
fn replicas_go_with_their_database() {
    let dormouse = awake();
    let (_, mut client) = shop(&dormouse, 1, &[]);
    let own = instances(&dormouse);
    client.query("INSERT INTO app.t VALUES (1)").ok();
    let _ = dormouse.json(&["move", "shop"]);
    client.query("INSERT INTO app.t VALUES (2)").ok();
    until_following(&dormouse, 1);
    assert_eq!(instances(&dormouse), own, "it follows the new primary");
    for one in &own {
        until_it_has(&dormouse, *one, 2);
    }
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    process::until("they are removed", || {
        own.iter().all(|one| !directory(&dormouse, *one).exists())
    });
}

/// Ends a writer when it is dropped, also by a failure.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes until it is told to stop; returns the last number that was acknowledged.
fn write(client: &mut Client, from: u64, ended: &AtomicBool, done: &AtomicU64) {
    let mut n = from;
    while !ended.load(Ordering::Relaxed) {
        n += 1;
        match client
            .try_query(&format!("INSERT INTO app.t VALUES ({n})"))
            .unwrap()
        {
            Reply::Ok(_) => done.store(n, Ordering::SeqCst),
            // what is unknown is looked up; a number is used once
            Reply::Err(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The commit that was under way then is in the copy from which the replica is made anew.
#[test]
fn a_commit_that_waits_for_a_lost_replica_goes_on_when_it_was_made_anew() {
    let dormouse = awake();
    let (_, mut client) = shop(&dormouse, 1, &["--durability", "replica"]);
    let mut admin = dormouse.platform("shop");
    process::until("commits wait for a replica", || {
        admin
            .query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled")
            .value()
            == "1"
    });
    let (ended, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        // the only writer: no other commit is acknowledged in its place
        scope.spawn(|| write(&mut client, 0, &ended, &done));
        let _ends = Ends(&ended);
        for _ in 0..count("DORMOUSE_TEST_LOSSES", 2) {
            until_following(&dormouse, 1);
            let goal = done.load(Ordering::SeqCst) + 100;
            process::until("the writer goes on", || done.load(Ordering::SeqCst) > goal);
            let id = *instances(&dormouse).first().unwrap();
            let (files, lost) = (directory(&dormouse, id), dormouse.data_dir().join("lost"));
            std::fs::rename(&files, &lost).unwrap();
            let own = format!("{}.cnf", files.display());
            process::mentioning(own.as_ref())
                .into_iter()
                .for_each(process::kill);
            process::until("it is made anew", || !instances(&dormouse).contains(&id));
            std::fs::remove_dir_all(&lost).unwrap();
            let goal = done.load(Ordering::SeqCst) + 10;
            process::until("the writer goes on", || done.load(Ordering::SeqCst) > goal);
        }
    });
}

/// The server and its files are gone at once, while a client writes. `DORMOUSE_TEST_LOSSES` says how often.
#[test]
fn a_lost_primary_is_replaced_and_nothing_that_was_acknowledged_is_lost() {
    let dormouse = awake();
    let (who, mut client) = shop(&dormouse, 2, &["--durability", "replica"]);
    let mut watcher = dormouse.connect(&who);
    watcher.query("SET @mine = 'kept'").ok();
    let mut admin = dormouse.platform("shop");
    process::until("commits wait for a replica", || {
        admin
            .query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled")
            .value()
            == "1"
    });
    drop(admin);
    let (ended, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| write(&mut client, 0, &ended, &done));
        for _ in 0..count("DORMOUSE_TEST_LOSSES", 2) {
            until_following(&dormouse, 2);
            let goal = done.load(Ordering::SeqCst) + 100;
            process::until("the writer goes on", || done.load(Ordering::SeqCst) > goal);
            let (pid, files) = (dormouse.server("shop"), dormouse.instance("shop"));
            let before = dormouse.show("shop")["instance"].clone();
            std::fs::rename(&files, dormouse.data_dir().join("lost")).unwrap();
            process::kill(pid);
            process::until("another one serves", || {
                let shown = dormouse.show("shop");
                shown["instance"] != before && shown["state"] == "active"
            });
            std::fs::remove_dir_all(dormouse.data_dir().join("lost")).unwrap();
        }
        let goal = done.load(Ordering::SeqCst) + 10;
        process::until("the writer goes on", || done.load(Ordering::SeqCst) > goal);
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(watcher.query("SELECT @mine").value(), "kept");
    let last = done.load(Ordering::SeqCst);
    let rows = watcher.query("SELECT n FROM app.t").rows();
    let there: BTreeSet<u64> = rows
        .iter()
        .map(|row| row[0].as_ref().unwrap().parse().unwrap())
        .collect();
    let missing: Vec<u64> = (1..=last).filter(|n| !there.contains(n)).collect();
    // one for each loss may have been under way
    assert!(
        missing.len() <= usize::try_from(count("DORMOUSE_TEST_LOSSES", 2)).unwrap(),
        "{missing:?}"
    );
    let told = dormouse.json(&["events", "shop"]).to_string();
    assert!(told.contains("took its place"), "{told}");
    let metrics = dormouse.command(&["metrics"]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    let counted = format!(
        "dormouse_failovers_total {}\n",
        count("DORMOUSE_TEST_LOSSES", 2)
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

/// Skipped where there is no second server.
#[test]
fn after_an_upgrade_the_replicas_are_made_anew_by_the_newer_server() {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let newer = std::env::var("DORMOUSE_TEST_MARIADBD_118").ok();
    let Some(newer) = newer.filter(|newer| *newer != older) else {
        println!("skipped: there is no second server");
        return;
    };
    let dormouse = Dormouse::start_with(&format!(
        "[servers]\n\"11.8\" = \"{newer}\"\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n"
    ));
    let (_, mut client) = shop(&dormouse, 2, &[]);
    let old = instances(&dormouse);
    let _ = dormouse.json(&["upgrade", "shop", "--to", "11.8"]);
    client.query("INSERT INTO app.t VALUES (1)").ok();
    process::until("all of them are new", || {
        let now = instances(&dormouse);
        now.len() == 2 && now.is_disjoint(&old)
    });
    until_following(&dormouse, 2);
    for one in instances(&dormouse) {
        until_it_has(&dormouse, one, 1);
        let version = replica(&dormouse, one).query("SELECT VERSION()").value();
        assert!(version.starts_with("11.8"), "{version}");
    }
    for one in old {
        process::until("the old ones are gone", || {
            !directory(&dormouse, one).exists()
        });
    }
}

/// A database with all the units that one may have on this machine.
fn big(dormouse: &Dormouse) {
    let mut sizes = (1..=64).rev().map(|units| format!("{units}..{units}"));
    let made = |units: String| {
        let create = ["create", "big", "--units", &units];
        output_of(&mut dormouse.command(&create)).0
    };
    assert!(sizes.any(made));
}

#[test]
fn a_replica_and_a_move_wait_for_room_and_a_database_wakes_without() {
    let dormouse = awake();
    big(&dormouse);
    let who = dormouse.create("shop", &["--units", "1..1"]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    thread::scope(|scope| {
        let moved = scope.spawn(|| dormouse.json(&["move", "shop"]));
        process::until("the move waits for room", || {
            let waits = dormouse.show("shop")["moving"]["waits_for"].clone();
            waits.as_str().is_some_and(|why| why.contains("no room"))
        });
        client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
        let _ = dormouse.json(&["park", "big"]);
        moved.join().unwrap();
    });
    // it wakes whatever others have, and a replica waits for it
    let _ = dormouse.json(&["wake", "big"]);
    let _ = dormouse.json(&["set", "shop", "--replicas", "1"]);
    process::until("it is told", || {
        let log = dormouse.log();
        log.contains("cannot make a replica") && log.contains("no room")
    });
    client.query("INSERT INTO app.t VALUES (1)").ok();
    assert_eq!(instances(&dormouse), BTreeSet::new());
    let _ = dormouse.json(&["park", "big"]);
    until_following(&dormouse, 1);
}
