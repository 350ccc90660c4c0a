//! Clients that disconnect while their statement runs or waits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;

fn shop(most: u32) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = {most}\nlease_timeout = \"60s\"\n"
    ));
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE d").ok();
    owner.query("CREATE TABLE d.t (i INT PRIMARY KEY)").ok();
    owner.query("INSERT INTO d.t VALUES (1)").ok();
    (dormouse, who)
}

fn shown(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let row = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    row.and_then(|row| row.into_iter().nth(1).flatten())
        .unwrap()
}

/// The last action of a client.
type Last = fn(&mut Client);

/// A statement that would run for ten minutes, holding a lock.
const LONG: &[u8] = b"SELECT SLEEP(600), i FROM d.t FOR UPDATE";

#[test]
fn a_statement_ends_with_its_client_and_releases_backend_and_locks() {
    let (dormouse, who) = shop(1);
    let mut watching = dormouse.connect(&who);
    let ways: [(&str, Last); 3] = [
        ("closes", |_| {}),
        ("resets", |client| client.reset_on_close()),
        ("asks more, and closes", |client| {
            client.command(Command::Query, b"SELECT 2 FROM DUAL");
            client.command(Command::Quit, b"");
        }),
    ];
    for (n, (way, last)) in (1..).zip(ways) {
        let mut client = dormouse.connect(&who);
        client.query("BEGIN").ok();
        client.command(Command::Query, LONG);
        process::until("it runs", || {
            let sessions = watching.query("SHOW DORMOUSE SESSIONS").rows();
            sessions
                .iter()
                .any(|row| row[3].as_deref() == Some("running"))
        });
        last(&mut client);
        drop(client);
        // the only backend, and the row's lock
        let mut other = dormouse.connect(&who);
        other.query("UPDATE d.t SET i = i + 1").ok();
        drop(other);
        assert_eq!(shown(&mut watching, "departures"), n.to_string(), "{way}");
    }
}

#[test]
fn a_client_that_shuts_down_its_sending_direction_counts_as_disconnected() {
    let (dormouse, who) = shop(1);
    let mut client = dormouse.connect(&who);
    client.command(Command::Query, LONG);
    client.finish_sending().unwrap();
    assert!(client.receive().is_err(), "it is answered");
    let mut other = dormouse.connect(&who);
    other.query("UPDATE d.t SET i = i + 1").ok();
}

#[test]
fn a_statement_sent_without_waiting_for_the_reply_is_executed() {
    let (dormouse, who) = shop(1);
    let mut client = dormouse.connect(&who);
    client.command(Command::Query, b"INSERT INTO d.t VALUES (7)");
    client.command(Command::Quit, b"");
    drop(client);
    let mut other = dormouse.connect(&who);
    process::until("it is done", || {
        other.query("SELECT COUNT(*) FROM d.t WHERE i = 7").value() == "1"
    });
    assert_eq!(shown(&mut other, "departures"), "0");
}

#[test]
fn a_statement_that_waits_for_a_backend_is_executed_after_its_client_disconnects() {
    let (dormouse, who) = shop(1);
    let mut first = dormouse.connect(&who);
    let mut watching = dormouse.connect(&who);
    first.query("BEGIN").ok();
    first.query("SELECT i FROM d.t").rows();
    let mut second = dormouse.connect(&who);
    second.command(Command::Query, b"INSERT INTO d.t VALUES (8)");
    process::until("it waits", || shown(&mut watching, "waiting") == "1");
    drop(second);
    first.query("COMMIT").ok();
    let count = "SELECT COUNT(*) FROM d.t WHERE i = 8";
    process::until("it is done", || first.query(count).value() == "1");
}

#[test]
fn a_batch_is_executed_completely_after_its_client_disconnects() {
    let (dormouse, who) = shop(1);
    let mut other = dormouse.connect(&who);
    for round in 0..20 {
        let mut client = Client::tcp(dormouse.address());
        client.capabilities |= Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
        client.login(&who.user, &who.password, None).ok();
        let first = 100 + 10 * round;
        let inserts: Vec<_> = (first..first + 5)
            .map(|i| format!("INSERT INTO d.t VALUES ({i})"))
            .collect();
        client.command(Command::Query, inserts.join("; ").as_bytes());
        if round % 2 == 0 {
            client.reset_on_close();
        }
        drop(client);
        let count = format!(
            "SELECT COUNT(*) FROM d.t WHERE i BETWEEN {first} AND {}",
            first + 4
        );
        process::until("all of it is done", || other.query(&count).value() == "5");
    }
}
