//! The history of databases: the binary log of their servers, who may touch it, and what it is good for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::path::Path;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, Reply, process};

#[path = "encryption/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod scene;

/// Names of the files of a database's log, without the list of them.
fn logs(instance: &Path) -> Vec<String> {
    let entries = fs::read_dir(instance.join("binlog")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| {
            name.rsplit_once('.')
                .is_some_and(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect();
    names.sort();
    names
}

/// Runs a command.
fn run(dormouse: &Dormouse, arguments: &[&str]) {
    let _ = dormouse.json(arguments);
}

fn value(client: &mut Client, text: &str) -> String {
    client.query(text).value()
}

#[test]
fn turning_the_history_on_or_off_restarts_the_server_and_keeps_sessions() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    assert_eq!(value(&mut client, "SELECT @@log_bin"), "0");
    let id = value(&mut client, "SELECT CONNECTION_ID()");

    run(&dormouse, &["set", "shop", "--history", "true"]);
    assert_eq!(dormouse.show("shop")["history"], true);
    assert_eq!(value(&mut client, "SELECT @@log_bin"), "1");
    assert_eq!(value(&mut client, "SELECT @@binlog_format"), "ROW");
    assert_eq!(value(&mut client, "SELECT CONNECTION_ID()"), id);
    client.query("INSERT INTO app.t VALUES (1)").ok();
    let instance = dormouse.instance("shop");
    let first = logs(&instance);
    assert!(!first.is_empty());
    // a log goes on after a crash and after a park
    process::kill(dormouse.server("shop"));
    client.query("INSERT INTO app.t VALUES (2)").ok();
    run(&dormouse, &["park", "shop"]);
    client.query("INSERT INTO app.t VALUES (3)").ok();
    let after = logs(&instance);
    assert_eq!(after[..first.len()], first[..]);
    assert_eq!(after.len(), first.len() + 2);

    run(&dormouse, &["set", "shop", "--history", "false"]);
    assert_eq!(value(&mut client, "SELECT @@log_bin"), "0");
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM app.t"), "3");
    assert_eq!(logs(&instance), Vec::<String>::new());
    // another one begins, under another name
    run(&dormouse, &["set", "shop", "--history", "true"]);
    let again = logs(&instance);
    assert!(again.iter().all(|name| !after.contains(name)), "{again:?}");
}

#[test]
fn a_branch_has_a_history_of_its_own() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &["--history", "true"]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    let parent = logs(&dormouse.instance("shop"));
    assert_eq!(parent.len(), 1);
    for (name, verb) in [("b1", ""), ("b2", "suspend"), ("b3", "park")] {
        if !verb.is_empty() {
            run(&dormouse, &[verb, "shop"]);
        }
        run(&dormouse, &["branch", "shop", name]);
        let own = logs(&dormouse.instance(name));
        assert!(own.iter().all(|name| !parent.contains(name)), "{own:?}");
        let mut client = dormouse.connect(&Created {
            user: format!("{name}.admin"),
            password: who.password.clone(),
        });
        client.query("INSERT INTO app.t VALUES (1)").ok();
        assert_eq!(value(&mut client, "SELECT COUNT(*) FROM app.t"), "1");
    }
}

#[test]
fn an_owner_can_neither_write_past_the_log_nor_end_it() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &["--history", "true"]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    for text in [
        "SET SESSION sql_log_bin = 0",
        "SET GLOBAL sql_log_bin = 0",
        "SET STATEMENT sql_log_bin = 0 FOR INSERT INTO app.t VALUES (1)",
        "SET SESSION binlog_format = STATEMENT",
        "SET GLOBAL binlog_format = STATEMENT",
        "SET SESSION binlog_row_image = MINIMAL",
        "SET SESSION gtid_domain_id = 4",
        "SET SESSION server_id = 4",
        "SET SESSION gtid_seq_no = 1000000",
        "SET GLOBAL sync_binlog = 0",
        "SET GLOBAL expire_logs_days = 1",
        "SET GLOBAL max_binlog_size = 4096",
        "SET GLOBAL binlog_cache_size = 4096",
        "SET GLOBAL log_bin_trust_function_creators = 0",
        "SET GLOBAL gtid_slave_pos = '0-1-1'",
        "SET GLOBAL gtid_binlog_state = '0-1-1'",
        "RESET MASTER",
        "reset query cache, MASTER",
        "PURGE BINARY LOGS TO 'x'",
        "PURGE BINARY LOGS BEFORE NOW()",
        "CHANGE MASTER TO MASTER_HOST = 'x'",
        "START SLAVE",
        "BINLOG ''",
    ] {
        match client.query(text) {
            Reply::Err(_) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
    client
        .query("CREATE FUNCTION app.f() RETURNS INT NOT DETERMINISTIC RETURN 1")
        .ok();
    client
        .query("CREATE TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET @x = 1")
        .ok();
    assert_eq!(logs(&dormouse.instance("shop")).len(), 1);
}

#[test]
fn a_marker_row_is_not_in_the_log_of_an_encrypted_database() {
    const MARKER: &str = "Quokka-91d7-in-a-row";
    let scene = scene::Scene::start("");
    let dormouse = &scene.dormouse;
    let who = dormouse.create("shop", &["--history", "true"]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a VARCHAR(100))").ok();
    client
        .query(&format!("INSERT INTO app.t VALUES ('{MARKER}')"))
        .ok();
    process::kill(dormouse.server("shop"));
    client.query("UPDATE app.t SET a = REVERSE(a)").ok();
    process::until("it is parked", || {
        output_of(&mut dormouse.command(&["park", "shop"])).0
    });
    assert_eq!(logs(&dormouse.instance("shop")).len(), 2);
    assert_eq!(
        scene::files_with(dormouse, "shop", MARKER),
        Vec::<&str>::new()
    );
    client.query("INSERT INTO app.t VALUES ('x')").ok();
}
