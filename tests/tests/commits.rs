//! Commits that the end of the server interrupts: with a history it is known what became of each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse};
use dormouse_wire::command::Command;
use dormouse_wire::reply::{ErrPacket, OkPacket};
use dormouse_wire::status::Status;

use between::{Between, When};
use scene::Scene;

#[path = "commits/between.rs"]
mod between;
#[path = "history/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod scene;

/// What marks a commit.
const MARK: &str = "SAVEPOINT `dm_";

/// A database with a history, or without one.
fn database(history: bool) -> (Scene, Created) {
    database_that(history, false)
}

fn database_that(history: bool, encrypted: bool) -> (Scene, Created) {
    let scene = Scene::start(
        encrypted,
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    );
    let who = match history {
        true => scene.create("shop"),
        false => scene.dormouse.create("shop", &[]),
    };
    let mut client = scene.dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT AUTO_INCREMENT PRIMARY KEY, v INT)",
    ] {
        client.query(text).ok();
    }
    (scene, who)
}

/// Number of rows with this value.
fn rows(dormouse: &Dormouse, who: &Created, v: u32) -> String {
    let mut client = dormouse.connect(who);
    let text = format!("SELECT COUNT(*) FROM app.t WHERE v = {v}");
    client.query(&text).value()
}

/// A counter of the database's pool.
fn counter(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let found = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    found.unwrap().pop().unwrap().unwrap()
}

#[test]
fn a_commit_whose_reply_is_lost_gets_the_reply_that_the_server_would_have_given() {
    let (scene, who) = database(true);
    let dormouse = &scene.dormouse;
    // how the transaction begins, how it is committed, and whether another one is open then
    let table = [
        ("BEGIN", "COMMIT", false),
        ("SET autocommit = 0", "COMMIT /* of this */ WORK;", false),
        ("BEGIN", "BEGIN", true),
        ("START TRANSACTION", "START TRANSACTION READ ONLY", true),
        ("SET autocommit = 0", "SET autocommit = 1", false),
        ("SET autocommit = 0", "SET SESSION autocommit=ON", false),
    ];
    for (v, (begin, commit, open)) in (1..).zip(table) {
        // as it is without an interruption
        let mut undisturbed = dormouse.connect(&who);
        undisturbed.query(begin).ok();
        let insert = format!("INSERT INTO app.t (v) VALUES ({v})");
        undisturbed.query(&insert).ok();
        let expected = undisturbed.query(commit).ok();
        let in_transaction = expected.status.contains(Status::IN_TRANS);
        assert_eq!(in_transaction, open, "{commit}");
        drop(undisturbed);

        let between = Between::kill_at(dormouse, "shop", MARK, When::After);
        let mut client = dormouse.connect(&who);
        client.query("SET @@session.time_zone = '+03:00'").ok();
        client.query(begin).ok();
        client.query(&insert).ok();
        let id = client.query("SELECT CONNECTION_ID()").value();
        assert_eq!(client.query(commit).ok(), expected, "{commit}");
        assert!(between.has_fired(), "{commit}");
        assert_eq!(rows(dormouse, &who, v), "2", "{commit}");
        // the session is the same
        assert_eq!(client.query("SELECT CONNECTION_ID()").value(), id);
        assert_eq!(client.query("SELECT @@time_zone").value(), "+03:00");
        let now = client.query("SELECT @@in_transaction").value();
        assert_eq!(now, if open { "1" } else { "0" }, "{commit}");
        assert_eq!(
            counter(&mut client, "commits_found_committed"),
            v.to_string()
        );
    }
}

#[test]
fn a_prepared_commit_is_known_as_well_in_an_encrypted_database() {
    let (scene, who) = database_that(true, true);
    let dormouse = &scene.dormouse;
    let between = Between::kill_at(dormouse, "shop", MARK, When::After);
    let mut client = dormouse.connect(&who);
    let commit = client.prepare("COMMIT");
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t (v) VALUES (1)").ok();
    let execute = [&commit.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
    client.command(Command::StmtExecute, &execute);
    let reply = client.receive().unwrap();
    let ok = OkPacket::parse(&reply, client.capabilities).unwrap();
    assert_eq!(
        ok.status,
        Status::AUTOCOMMIT,
        "{:?}",
        ErrPacket::parse(&reply)
    );
    assert!(between.has_fired());
    assert_eq!(rows(dormouse, &who, 1), "1");
}

#[test]
fn a_commit_that_did_not_happen_is_made_on_the_next_server() {
    let (scene, who) = database(true);
    let dormouse = &scene.dormouse;
    let between = Between::kill_at(dormouse, "shop", "COMMIT", When::Before);
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t (v) VALUES (1)").ok();
    client.query("COMMIT").ok();
    assert!(between.has_fired());
    assert_eq!(rows(dormouse, &who, 1), "1");
    assert_eq!(counter(&mut client, "commits_found_rolled_back"), "1");
    assert_eq!(counter(&mut client, "transactions_replayed"), "1");
    assert_eq!(client.query("SELECT @@in_transaction").value(), "0");
}

#[test]
fn a_commit_that_did_not_happen_and_cannot_be_made_is_an_error_that_applications_try_again() {
    let (scene, who) = database(true);
    let dormouse = &scene.dormouse;
    let between = Between::kill_at(dormouse, "shop", "COMMIT", When::Before);
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t (v) VALUES (1)").ok();
    client.query("SELECT UUID()").value();
    let error = client.query("COMMIT").err();
    assert_eq!((error.code, error.sqlstate()), (1213, "40001"), "{error:?}");
    let reason = "a statement has another result now";
    assert!(error.message.contains(reason), "{error:?}");
    assert!(between.has_fired());
    assert_eq!(rows(dormouse, &who, 1), "0");
    assert_eq!(counter(&mut client, "transactions_not_replayed"), "1");
    assert_eq!(client.query("SELECT @@in_transaction").value(), "0");
}

#[test]
fn without_a_history_the_outcome_of_a_commit_is_not_known() {
    let (scene, who) = database(false);
    let dormouse = &scene.dormouse;
    let between = Between::kill_at(dormouse, "shop", "COMMIT", When::After);
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t (v) VALUES (1)").ok();
    let error = client.query("COMMIT").err();
    assert_eq!((error.code, error.sqlstate()), (1053, "08007"), "{error:?}");
    assert!(between.has_fired());
    assert_eq!(rows(dormouse, &who, 1), "1");
}

#[test]
fn a_session_that_loses_more_than_its_transaction_is_told_that_it_has_committed() {
    let (scene, who) = database(true);
    let dormouse = &scene.dormouse;
    let between = Between::kill_at(dormouse, "shop", "COMMIT", When::After);
    let mut client = dormouse.connect(&who);
    client.query("SELECT GET_LOCK('a', 0)").value();
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t (v) VALUES (1)").ok();
    let error = client.query("COMMIT").err();
    assert_eq!((error.code, error.sqlstate()), (1927, "08S01"), "{error:?}");
    assert!(error.message.contains("it has committed"), "{error:?}");
    assert!(client.receive().is_err(), "the session has ended");
    assert!(between.has_fired());
    assert_eq!(rows(dormouse, &who, 1), "1");
}

#[test]
fn what_changes_only_its_session_is_run_again() {
    let (scene, who) = database(false);
    let dormouse = &scene.dormouse;
    let mark = "/* this */";
    for text in [
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "COMMIT",
        "ROLLBACK",
        "SET NAMES latin1",
        "SET autocommit = 0",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET TRANSACTION READ ONLY",
        "USE app",
    ] {
        let between = Between::kill_at(dormouse, "shop", mark, When::After);
        let mut client = dormouse.connect(&who);
        client.query("SELECT COUNT(*) FROM app.t").value();
        client.query(&format!("{mark} {text}")).ok();
        assert!(between.has_fired(), "{text}");
        // as it is without an interruption
        let mut undisturbed = dormouse.connect(&who);
        undisturbed.query(text).ok();
        let state = "SELECT @@in_transaction, @@autocommit, @@tx_isolation, @@character_set_client, DATABASE()";
        let expected = undisturbed.query(state).rows();
        assert_eq!(client.query(state).rows(), expected, "{text}");
    }
    let between = Between::kill_at(dormouse, "shop", mark, When::After);
    let mut client = dormouse.connect(&who);
    let prepared = client.prepare(&format!("DO 1 {mark}"));
    assert!(between.has_fired());
    let execute = [&prepared.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
    client.command(Command::StmtExecute, &execute);
    OkPacket::parse(&client.receive().unwrap(), client.capabilities).unwrap();
    let between = Between::kill_at(dormouse, "shop", "\u{2}app", When::After);
    client.command(Command::InitDb, b"app");
    OkPacket::parse(&client.receive().unwrap(), client.capabilities).unwrap();
    assert!(between.has_fired());
    assert_eq!(client.query("SELECT DATABASE()").value(), "app");
}
