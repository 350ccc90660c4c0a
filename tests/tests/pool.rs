//! Many clients on few backends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::Barrier;

use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::command::Command;

/// A Dormouse whose databases never sleep, with `most` backends for each.
fn with_backends(most: u32, more: &str) -> Dormouse {
    Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = {most}\n{more}"
    ))
}

/// A database with a schema `app`, made past the proxy, so that no backend is open.
fn shop(dormouse: &Dormouse) -> Created {
    let who = dormouse.create("shop", &[]);
    dormouse.platform("shop").query("CREATE DATABASE app").ok();
    who
}

/// Number of connections to the server, without Dormouse's own.
fn connections(dormouse: &Dormouse) -> usize {
    let text = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                WHERE USER NOT IN ('dormouse', 'system user', 'event_scheduler')";
    dormouse
        .platform("shop")
        .query(text)
        .value()
        .parse()
        .unwrap()
}

#[test]
fn sessions_share_one_backend_and_each_keeps_its_state() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
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
    // a connection that was just closed is listed for a moment
    process::until("one connection is left", || connections(&dormouse) == 1);
}

#[test]
fn a_transaction_keeps_its_backend_and_the_others_wait() {
    let dormouse = with_backends(1, "lease_timeout = \"100ms\"\n");
    let who = shop(&dormouse);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    first
        .query("CREATE TABLE app.t (i INT PRIMARY KEY) ENGINE=InnoDB")
        .ok();
    second.query("SELECT 1 FROM DUAL").rows();
    first.query("BEGIN").ok();
    first.query("INSERT INTO app.t VALUES (1)").ok();

    let refused = second.query("SELECT COUNT(*) FROM app.t").err();
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
    assert_eq!(second.query("SELECT COUNT(*) FROM app.t").value(), "1");
}

#[test]
fn an_order_to_sleep_does_not_wait_for_sessions_that_wait_for_a_lease() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    let mut watching = dormouse.connect(&who);
    first
        .query("CREATE TABLE app.t (i INT PRIMARY KEY) ENGINE=InnoDB")
        .ok();
    first.query("BEGIN").ok();
    first.query("INSERT INTO app.t VALUES (1)").ok();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| second.query("SELECT COUNT(*) FROM app.t").value());
        process::until("a session waits", || {
            value_of(&shown(&mut watching, "STATUS"), "waiting") == "1"
        });
        let _ = dormouse.json(&["suspend", "shop"]);
        first.query("COMMIT").ok();
        assert_eq!(waiting.join().unwrap(), "1");
    });
}

#[test]
fn prepared_statements_survive_the_lease() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
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
    let who = shop(&dormouse);
    let mut owner = dormouse.connect(&who);
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
                    let zone = client.query("SELECT @@time_zone FROM DUAL").value();
                    assert_eq!(zone, format!("+00:{:02}", i % 60));
                }
            });
        }
    });
    let sum = owner.query("SELECT SUM(n) FROM app.t").value();
    assert_eq!(sum, (CLIENTS * STATEMENTS).to_string());
    process::until("four connections are left", || connections(&dormouse) <= 4);
}

/// The rows of a `SHOW DORMOUSE` of names and values.
fn shown(client: &mut Client, what: &str) -> Vec<(String, Option<String>)> {
    let rows = client.query(&format!("SHOW DORMOUSE {what}")).rows();
    rows.into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone()))
        .collect()
}

fn value_of(rows: &[(String, Option<String>)], name: &str) -> String {
    let found = rows.iter().find(|(n, _)| n == name);
    found
        .and_then(|(_, value)| value.clone())
        .unwrap_or_default()
}

#[test]
fn a_session_can_show_why_it_is_pinned() {
    let dormouse = with_backends(1, "lease_timeout = \"100ms\"\n");
    let who = shop(&dormouse);
    let mut pinned = dormouse.connect(&who);
    let mut other = dormouse.connect(&who);
    let before = shown(&mut pinned, "SESSION");
    assert_eq!(value_of(&before, "pin"), "");
    assert_eq!(value_of(&before, "server_thread"), "");
    pinned.query("CREATE TEMPORARY TABLE app.t (i INT)").ok();
    assert_eq!(other.query("SELECT 1 FROM DUAL").err().code, 1040);

    let own = shown(&mut pinned, "SESSION");
    assert!(
        value_of(&own, "pin").starts_with("temporary_table: "),
        "{own:?}"
    );
    assert_ne!(value_of(&own, "server_thread"), "");
    let sessions = other.query("SHOW DORMOUSE SESSIONS").rows();
    let state_of = |id: u32| {
        let row = sessions.iter().find(|row| row[0] == Some(id.to_string()));
        let row = row.unwrap();
        (row[3].clone().unwrap(), row[4].clone().unwrap())
    };
    let temporary = ("pinned".to_owned(), "temporary_table".to_owned());
    assert_eq!(state_of(pinned.id()), temporary);
    assert_eq!(state_of(other.id()), ("resting".to_owned(), String::new()));
    let pool = other.query("SHOW DORMOUSE POOL").rows();
    assert_eq!(pool.len(), 1);
    assert_eq!(pool[0][2], Some(pinned.id().to_string()));
    let status = shown(&mut other, "STATUS");
    assert_eq!(value_of(&status, "lease_timeouts"), "1");
    assert_eq!(value_of(&status, "kept_by_temporary_table"), "1");
    assert_eq!(other.query("SHOW DORMOUSE").err().code, 1064);
}

#[test]
fn show_dormouse_does_not_wake_the_database() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
    let mut client = dormouse.connect(&who);
    client.query("SELECT 1 FROM DUAL").rows();
    let _ = dormouse.json(&["park", "shop"]);
    for what in ["SESSION", "SESSIONS", "POOL", "STATUS"] {
        client.query(&format!("SHOW DORMOUSE {what}")).rows();
    }
    assert_eq!(value_of(&shown(&mut client, "SESSION"), "server"), "asleep");
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn a_client_keeps_its_connection_id_on_every_backend() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
    let mut client = dormouse.connect(&who);
    let mut rival = dormouse.connect(&who);
    let own = client.id().to_string();
    for _ in 0..3 {
        assert_eq!(client.query("SELECT CONNECTION_ID()").value(), own);
        rival.query("SELECT 1").value();
    }
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(client.query("SELECT CONNECTION_ID() AS id").value(), own);
}

#[test]
fn the_process_list_shows_clients_awake_and_asleep() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
    let mut asker = dormouse.connect(&who);
    let resting = dormouse.connect(&who);
    let shown = |asker: &mut Client| {
        let rows = asker.query("SHOW FULL PROCESSLIST").rows();
        let state_of = |id: u32| {
            let id = Some(id.to_string());
            rows.iter()
                .find(|row| row[0] == id)
                .map(|row| (row[4].clone().unwrap(), row[6].clone().unwrap_or_default()))
        };
        (state_of(asker.id()), state_of(resting.id()))
    };
    let asleep = Some(("Sleep".to_owned(), "sleeping in dormouse".to_owned()));
    let (own, other) = shown(&mut asker);
    assert_eq!(own.unwrap().0, "Query");
    assert_eq!(other, asleep);
    let _ = dormouse.json(&["park", "shop"]);
    let (own, other) = shown(&mut asker);
    assert_eq!(own.unwrap().0, "Query");
    assert_eq!(other, asleep);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn session_state_changed_while_the_door_was_shut_is_probed_when_it_opens() {
    let dormouse = with_backends(5, "");
    let who = shop(&dormouse);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    let mut third = dormouse.connect(&who);
    first
        .query("CREATE TABLE app.t (i INT PRIMARY KEY) ENGINE=InnoDB")
        .ok();
    first.query("BEGIN").ok();
    first.query("INSERT INTO app.t VALUES (1)").ok();
    first.query("SET @v = 2 + 3").ok();
    second.command(Command::Query, b"INSERT INTO app.t VALUES (1)");
    process::until("it waits for the row", || {
        let text = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                    WHERE INFO = 'INSERT INTO app.t VALUES (1)'";
        third.query(text).value() == "1"
    });

    let mut suspend = dormouse.command(&["suspend", "shop"]).spawn().unwrap();
    until_shut(&mut third);
    first.query("COMMIT").ok();
    assert_eq!(second.result().unwrap().err().code, 1062);
    assert!(suspend.wait().unwrap().success());

    third.query("SELECT 1 FROM app.t").value();
    process::until("it is read", || {
        value_of(&shown(&mut first, "SESSION"), "state") == "known"
    });
    process::kill(dormouse.server("shop"));
    assert_eq!(first.query("SELECT @v").value(), "5");
}

fn until_shut(client: &mut Client) {
    process::until("the door is shut", || {
        let session = client.query("SHOW DORMOUSE SESSION").rows();
        session.contains(&vec![Some("server".to_owned()), Some("asleep".to_owned())])
    });
}

#[test]
fn a_held_statement_about_the_last_one_is_answered_although_its_backend_is_gone() {
    let dormouse = with_backends(4, "");
    let who = shop(&dormouse);
    let [mut asks, mut sleeps, mut looks] = [(); 3].map(|()| dormouse.connect(&who));
    asks.query("CREATE TABLE app.t (i INT)").ok();
    asks.query("INSERT INTO app.t VALUES (1), (2), (3), (4)")
        .ok();
    let first = "SELECT SQL_CALC_FOUND_ROWS i FROM app.t LIMIT 1";
    assert_eq!(asks.query(first).rows().len(), 1);
    sleeps.command(Command::Query, b"SELECT SLEEP(2)");
    process::until("it sleeps", || {
        let text =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(2)'";
        looks.query(text).value() == "1"
    });
    let mut park = dormouse.command(&["park", "shop"]).spawn().unwrap();
    until_shut(&mut looks);
    asks.command(Command::Query, b"SELECT FOUND_ROWS()");
    assert!(park.wait().unwrap().success());
    assert_eq!(sleeps.result().unwrap().value(), "0");
    assert_eq!(asks.result().unwrap().value(), "4");
}

#[test]
fn a_vetoed_park_does_not_change_the_transaction() {
    let dormouse = with_backends(1, "");
    let who = shop(&dormouse);
    let mut client = dormouse.connect(&who);
    client.query("CREATE TABLE app.t (i INT)").ok();
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t VALUES (1), (2)").ok();
    let mut park = dormouse.command(&["park", "shop"]);
    assert!(!dormouse_testkit::dormouse::output_of(&mut park).0);
    assert_eq!(client.query("SELECT ROW_COUNT()").value(), "2");
    client.query("COMMIT").ok();
}

#[test]
fn a_transaction_that_was_suspended_releases_its_backend_at_its_end() {
    let dormouse = with_backends(1, "lease_timeout = \"5s\"\n");
    let who = shop(&dormouse);
    let mut first = dormouse.connect(&who);
    let mut second = dormouse.connect(&who);
    first.query("CREATE TABLE app.t (i INT)").ok();
    first.query("BEGIN").ok();
    first.query("INSERT INTO app.t VALUES (1)").ok();
    let _ = dormouse.json(&["suspend", "shop"]);
    assert_eq!(dormouse.state("shop"), "suspended");
    first.query("COMMIT").ok();
    assert_eq!(second.query("SELECT COUNT(*) FROM app.t").value(), "1");
}
