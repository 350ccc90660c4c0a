//! Clients disconnect at every possible byte of a command and of a reply, among sessions of the same
//! account that each have a tag: every reply must have the tag of its own session, and afterwards the
//! pool must be as before.
//!
//! `DORMOUSE_DEPARTURES` is the number of disconnects (1,500), `DORMOUSE_SEED` the seed (1).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "departures/leaver.rs"]
mod leaver;
#[path = "departures/scene.rs"]
mod scene;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dormouse_testkit::{Client, Created, Dormouse, process};

use leaver::leave;

/// Backends shared by all sessions.
const BACKENDS: usize = 4;
/// Threads whose clients disconnect.
const LEAVERS: u64 = 16;
/// Threads whose clients stay connected.
const STAYERS: u64 = 2;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// The unique tag of a session.
pub(crate) fn tag(id: u64) -> String {
    format!("<{id:012}>")
}

/// Queries a tag; checks that no state of an earlier session is visible.
pub(crate) fn ask(client: &mut Client, tag: &str) {
    let left = format!(
        "SELECT CONCAT_WS('|', '{tag}', COALESCE(@tag, 'none'), @@in_transaction, @@sql_mode = '', \
         DATABASE()) FROM DUAL WHERE 1"
    );
    let answer = client.query(&left).value();
    assert_eq!(answer, format!("{tag}|none|0|0|d"));
}

/// Stays connected and queries repeatedly.
fn stay(dormouse: &Dormouse, who: &Created, id: u64, over: &AtomicBool) -> u64 {
    let tag = tag(id);
    let mut client = Client::unix(dormouse.socket());
    client.login(&who.user, &who.password, Some("d")).ok();
    client.query(&format!("SET @mine = '{tag}'")).ok();
    let mut asked = 0;
    while !over.load(Ordering::Acquire) {
        let text = format!("SELECT CONCAT('{tag}', @mine), n FROM one");
        let rows = client.query(&text).rows();
        assert_eq!(rows[0][0], Some(format!("{tag}{tag}")), "{rows:?}");
        asked += 1;
    }
    asked
}

fn set_up(dormouse: &Dormouse, who: &Created) {
    let mut owner = dormouse.connect(who);
    for text in [
        "CREATE DATABASE d",
        "USE d",
        "CREATE TABLE one (n INT)",
        "INSERT INTO one VALUES (1)",
        "CREATE TABLE few (n INT)",
        "INSERT INTO few VALUES (1), (2), (3), (4), (5), (6), (7), (8)",
        "CREATE TABLE written (tag VARCHAR(100))",
        "CREATE PROCEDURE twice (tag VARCHAR(100)) BEGIN SELECT tag; SELECT tag, n FROM few; END",
    ] {
        owner.query(text).ok();
    }
}

fn shown(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let row = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    row.and_then(|row| row.into_iter().nth(1).flatten())
        .expect(name)
}

/// Checks that disconnected clients have left nothing: no session, no waiter, no running statement, no
/// backend in use.
fn is_as_before(dormouse: &Dormouse, who: &Created) {
    let mut client = dormouse.connect(who);
    process::until("the sessions have ended", || {
        shown(&mut client, "sessions") == "1"
    });
    assert_eq!(shown(&mut client, "waiting"), "0");
    assert_eq!(shown(&mut client, "faults"), "0");
    let running = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                   WHERE COMMAND NOT IN ('Sleep', 'Daemon') AND ID <> CONNECTION_ID()";
    process::until("no statement runs", || client.query(running).value() == "0");
    // every backend is available
    let mut all: Vec<_> = (0..BACKENDS)
        .map(|_| {
            let mut client = dormouse.connect(who);
            client.query("BEGIN").ok();
            client.query("SELECT n FROM d.one").rows();
            client
        })
        .collect();
    assert_eq!(shown(&mut client, "backends"), BACKENDS.to_string());
    for client in &mut all {
        client.query("ROLLBACK").ok();
    }
    drop(all);
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(shown(&mut client, "backends"), "0");
}

#[test]
fn clients_that_disconnect_in_the_middle_leave_nothing_to_others() {
    let departures = number("DORMOUSE_DEPARTURES", 1_500);
    let seed = number("DORMOUSE_SEED", 1);
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = {BACKENDS}\n\
         [limits]\nwrite_timeout = \"300ms\"\nread_timeout = \"300ms\"\n"
    ));
    let who = dormouse.create("shop", &[]);
    set_up(&dormouse, &who);
    let next = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let kinds = Mutex::new(BTreeMap::<String, u64>::new());
    let asked: u64 = std::thread::scope(|scope| {
        let stayers: Vec<_> = (0..STAYERS)
            .map(|n| {
                let (dormouse, who, over) = (&dormouse, &who, &over);
                scope.spawn(move || stay(dormouse, who, departures + n, over))
            })
            .collect();
        let leavers: Vec<_> = (0..LEAVERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = BTreeMap::<String, u64>::new();
                    loop {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        if id >= departures {
                            break;
                        }
                        if id % 500 == 499 {
                            // it may be refused: a statement may be running
                            let _ = dormouse.command(&["suspend", "shop"]).output();
                        }
                        for kind in leave(&dormouse, &who, seed, id) {
                            *own.entry(kind).or_default() += 1;
                        }
                    }
                    let mut all = kinds.lock().unwrap();
                    for (kind, count) in own {
                        *all.entry(kind).or_default() += count;
                    }
                })
            })
            .collect();
        // the other threads must end also if one of these panics
        let left: Vec<_> = leavers.into_iter().map(|one| one.join()).collect();
        over.store(true, Ordering::Release);
        let asked = stayers.into_iter().map(|one| one.join().unwrap()).sum();
        left.into_iter().for_each(|one| one.unwrap());
        asked
    });
    println!(
        "seed {seed}: {departures} departures, {asked} answers to those who stayed, 0 foreign"
    );
    for (kind, count) in kinds.into_inner().unwrap() {
        println!("{count:8}  {kind}");
    }
    is_as_before(&dormouse, &who);
}
