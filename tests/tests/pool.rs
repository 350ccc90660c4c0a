//! Many clients on few backends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::Barrier;

use dormouse_testkit::{Client, Dormouse};
use dormouse_wire::command::Command;

/// A Dormouse whose databases never sleep, with so many backends for each.
fn with_backends(most: u32, more: &str) -> Dormouse {
    Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = {most}\n{more}"
    ))
}

/// How many connections the server has, but for this one's own and Dormouse's.
fn connections(client: &mut Client) -> usize {
    let text = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                WHERE USER NOT IN ('dormouse', 'system user', 'event_scheduler')";
    client.query(text).value().parse().unwrap()
}

#[test]
fn sessions_share_one_backend_and_each_keeps_its_state() {
    let dormouse = with_backends(1, "");
    let who = dormouse.create("shop", &[]);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    first.query("CREATE DATABASE a").ok();
    first.query("CREATE DATABASE b").ok();
    first
        .query("CREATE TABLE a.t (i INT PRIMARY KEY AUTO_INCREMENT, n INT)")
        .ok();
    first.query("CREATE ROLE reader").ok();

    first.query("USE a").ok();
    second.query("USE b").ok();
    first.query("SET NAMES latin1, time_zone = '+03:00'").ok();
    second.query("SET sql_mode = 'ANSI'").ok();
    second.query("SET ROLE reader").ok();
    first.query("INSERT INTO t (n) VALUES (7), (8)").ok();
    second.query("INSERT INTO a.t (n) VALUES (9)").ok();
    let state = "SELECT CONCAT_WS('|', DATABASE(), @@time_zone, @@character_set_client, \
                 CURRENT_ROLE(), LAST_INSERT_ID(), @@sql_mode LIKE '%ANSI%')";
    for _ in 0..3 {
        assert_eq!(first.query(state).value(), "a|+03:00|latin1|1|0");
        assert_eq!(second.query(state).value(), "b|SYSTEM|utf8mb4|reader|3|1");
    }
    assert_eq!(connections(&mut first), 1);
}

#[test]
fn a_transaction_keeps_its_backend_and_the_others_wait() {
    let dormouse = with_backends(1, "lease_timeout = \"100ms\"\n");
    let who = dormouse.create("shop", &[]);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    first
        .query("CREATE TABLE mysql.t (i INT PRIMARY KEY) ENGINE=InnoDB")
        .ok();
    second.query("SELECT 1").rows();
    first.query("BEGIN").ok();
    first.query("INSERT INTO mysql.t VALUES (1)").ok();

    let refused = second.query("SELECT COUNT(*) FROM mysql.t").err();
    assert_eq!(refused.code, 1040);
    assert!(
        refused.message.contains("lease_timeout"),
        "{}",
        refused.message
    );
    assert!(
        refused.message.contains("backends_max = 1"),
        "{}",
        refused.message
    );

    first.query("COMMIT").ok();
    assert_eq!(second.query("SELECT COUNT(*) FROM mysql.t").value(), "1");
}

#[test]
fn prepared_statements_outlive_the_lease() {
    let dormouse = with_backends(1, "");
    let who = dormouse.create("shop", &[]);
    let mut clients = [dormouse.connect(&who), dormouse.connect(&who)];
    // both prepare the same text; its parameter's type is sent with the first execution only
    let ids = clients
        .each_mut()
        .map(|client| client.prepare("SELECT ? + 1"));
    for round in 0..3_u8 {
        for (client, id) in clients.iter_mut().zip(ids) {
            let mut execute = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0]].concat();
            // a TINY
            execute.extend_from_slice(if round == 0 { &[1, 1, 0] } else { &[0] });
            execute.push(round);
            client.command(Command::StmtExecute, &execute);
            let reply = client.binary_reply();
            // a binary row: its header, no NULLs, an INT
            let row = &reply[reply.len() - 2];
            assert_eq!(*row, [0, 0, round + 1, 0, 0, 0]);
        }
    }
}

#[test]
fn fifty_clients_on_four_backends_lose_nothing() {
    const CLIENTS: usize = 50;
    const STATEMENTS: usize = 40;
    let dormouse = with_backends(4, "");
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE app").ok();
    owner
        .query("CREATE TABLE app.t (i INT PRIMARY KEY, n INT NOT NULL)")
        .ok();
    for i in 0..CLIENTS {
        owner
            .query(&format!("INSERT INTO app.t VALUES ({i}, 0)"))
            .ok();
    }
    let barrier = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for i in 0..CLIENTS {
            let (dormouse, who, barrier) = (&dormouse, &who, &barrier);
            scope.spawn(move || {
                let mut client = dormouse.connect(who);
                client.query("USE app").ok();
                client
                    .query(&format!("SET time_zone = '+00:{:02}'", i % 60))
                    .ok();
                barrier.wait();
                for n in 0..STATEMENTS {
                    client.query("BEGIN").ok();
                    client
                        .query(&format!("UPDATE t SET n = n + 1 WHERE i = {i}"))
                        .ok();
                    let now = client.query(&format!("SELECT n FROM t WHERE i = {i}"));
                    assert_eq!(now.value(), (n + 1).to_string());
                    client.query("COMMIT").ok();
                    let zone = client.query("SELECT @@time_zone").value();
                    assert_eq!(zone, format!("+00:{:02}", i % 60));
                }
            });
        }
    });
    let sum = owner.query("SELECT SUM(n) FROM app.t").value();
    assert_eq!(sum, (CLIENTS * STATEMENTS).to_string());
    assert!(connections(&mut owner) <= 4);
}
