//! Writers that go on while copies are made of their database and its server is killed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply, process};
use serde_json::Value;

/// Number of writers.
const WRITERS: usize = 8;
/// Number of copies that are made meanwhile.
const COPIES: u64 = 6;

/// Acknowledged commits of all writers; more by `DORMOUSE_TEST_COMMITS`.
fn commits() -> u64 {
    let more = std::env::var("DORMOUSE_TEST_COMMITS").ok();
    more.map_or(4800, |text| text.parse().unwrap())
}

/// Makes the table of the writers.
pub(crate) fn make_table(client: &mut Client) {
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.log (writer INT, n INT, t VARCHAR(250), PRIMARY KEY (writer, n))",
    ] {
        client.query(text).ok();
    }
}

/// One writer; notes the last commit that was acknowledged. An interrupted one may have happened.
fn write(dormouse: &Dormouse, who: &Created, writer: u64, last: &AtomicU64, stop: &AtomicBool) {
    let mut client = dormouse.connect(who);
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let text = format!("INSERT INTO app.log VALUES ({writer}, {n}, REPEAT('x', 200))");
        match client.try_query(&text) {
            Ok(Reply::Ok(_)) => last.store(n, Ordering::SeqCst),
            // its server was killed: the commit's outcome is unknown, and the next number is a new one
            Ok(Reply::Err(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Eight writers write to `shop` while `copy` makes copies of it, under the names that it gets, and its server is killed.
/// Every copy has what was acknowledged before it was ordered, and no more than what had been sent when it was made; its
/// tables are sound. Copies are dropped afterwards.
pub(crate) fn write_meanwhile(dormouse: &Dormouse, who: &Created, copy: impl Fn(u64, &str)) {
    make_table(&mut dormouse.connect(who));
    let last: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let (last, stop) = (&last, &AtomicBool::new(false));
    let mut dice = Dice::new(20_261_129);
    let a_copy = commits() / WRITERS as u64 / COPIES;
    thread::scope(|scope| {
        for (writer, last) in last.iter().enumerate() {
            scope.spawn(move || write(dormouse, who, writer as u64, last, stop));
        }
        for round in 0..COPIES {
            let goal = (round + 1) * a_copy;
            process::until("each writer goes on", || {
                last.iter().all(|n| n.load(Ordering::SeqCst) > goal)
            });
            if dice.below(2) == 1 {
                process::kill(dormouse.server("shop"));
                // the next statement wakes it
                process::until("it is awake again", || {
                    dormouse.show("shop")["pid"] != Value::Null
                });
            }
            let now = || -> Vec<u64> { last.iter().map(|n| n.load(Ordering::SeqCst)).collect() };
            let name = format!("copy{round}");
            let before = now();
            copy(round, &name);
            let after = now();
            let owner = Created {
                user: format!("{name}.admin"),
                password: who.password.clone(),
            };
            check(&mut dormouse.connect(&owner), &name, &before, &after);
            let _ = dormouse.json(&["drop", &name, "--yes"]);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

fn check(copy: &mut Client, name: &str, before: &[u64], after: &[u64]) {
    let checked = copy.query("CHECK TABLE app.log EXTENDED").rows();
    assert_eq!(checked[0][3].as_deref(), Some("OK"), "{checked:?}");
    for (writer, (before, after)) in before.iter().zip(after).enumerate() {
        let text = format!("SELECT MAX(n) FROM app.log WHERE writer = {writer}");
        let found: u64 = copy.query(&text).value().parse().unwrap();
        assert!(
            found >= *before,
            "{name}: writer {writer}: {found} < {before}"
        );
        // one statement is under way, and a kill may have left the outcome of the one before unknown
        assert!(
            found <= after + 1,
            "{name}: writer {writer}: {found} > {after}"
        );
    }
}
