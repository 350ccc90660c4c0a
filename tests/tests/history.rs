//! The history of databases: the binary log of their servers, who may touch it, and what it is good for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::path::Path;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply, process};

use scene::{Scene, clock, reach, written};

#[path = "encryption/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod encrypted;
#[path = "history/scene.rs"]
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
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    assert_eq!(value(&mut client, "SELECT @@log_bin"), "0");
    let id = value(&mut client, "SELECT CONNECTION_ID()");

    run(dormouse, &["set", "shop", "--history", "true"]);
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
    run(dormouse, &["park", "shop"]);
    client.query("INSERT INTO app.t VALUES (3)").ok();
    let after = logs(&instance);
    assert_eq!(after[..first.len()], first[..]);
    assert_eq!(after.len(), first.len() + 2);

    run(dormouse, &["set", "shop", "--history", "false"]);
    assert_eq!(value(&mut client, "SELECT @@log_bin"), "0");
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM app.t"), "3");
    assert_eq!(logs(&instance), Vec::<String>::new());
    // another one begins, under another name
    run(dormouse, &["set", "shop", "--history", "true"]);
    let again = logs(&instance);
    assert!(again.iter().all(|name| !after.contains(name)), "{again:?}");
}

#[test]
fn a_branch_has_a_history_of_its_own() {
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    let parent = logs(&dormouse.instance("shop"));
    assert_eq!(parent.len(), 1);
    for (name, verb) in [("b1", ""), ("b2", "suspend"), ("b3", "park")] {
        if !verb.is_empty() {
            run(dormouse, &[verb, "shop"]);
        }
        run(dormouse, &["branch", "shop", name]);
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
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
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
    let scene = Scene::start(true, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
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
        encrypted::files_with(dormouse, "shop", MARKER),
        Vec::<&str>::new()
    );
    client.query("INSERT INTO app.t VALUES ('x')").ok();
}

/// One commit of a writer.
#[derive(Debug, Clone, Copy)]
struct Commit {
    writer: u64,
    number: u64,
    began: i64,
    /// `None`: the connection broke before the answer.
    acknowledged: Option<i64>,
}

/// Writes rows until told to stop, and notes what is acknowledged.
fn writer(dormouse: &Dormouse, who: &Created, writer: u64, stop: &AtomicBool) -> Vec<Commit> {
    let mut journal = Vec::new();
    let mut client = dormouse.connect(who);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = clock();
        let sql = format!("INSERT INTO app.log VALUES ({writer}, {number})");
        let answer = client.try_query(&sql);
        let acknowledged = match answer {
            Ok(Reply::Ok(_)) => Some(clock()),
            Ok(_) => None,
            Err(_) => {
                client = dormouse.connect(who);
                None
            }
        };
        journal.push(Commit {
            writer,
            number,
            began,
            acknowledged,
        });
    }
    journal
}

/// Times of the tests below; more by `DORMOUSE_TEST_TIMES`.
fn times() -> u64 {
    let more = std::env::var("DORMOUSE_TEST_TIMES").ok();
    more.map_or(5, |text| text.parse().unwrap())
}

/// Lets writers write for some seconds while servers are killed and the database is put to sleep, and compares restores
/// to random seconds with what was acknowledged.
fn restores_equal_the_journal(scene: &Scene) {
    const WRITERS: u64 = 4;
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client
        .query("CREATE TABLE app.log (writer INT, n INT, PRIMARY KEY (writer, n))")
        .ok();
    let stop = AtomicBool::new(false);
    let journal = Mutex::new(Vec::new());
    let mut first = 0;
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let (who, stop, journal) = (&who, &stop, &journal);
            scope.spawn(move || {
                let written = writer(dormouse, who, number, stop);
                journal.lock().unwrap().extend(written);
            });
        }
        scene.run(&["backup", "now", "shop"]);
        first = clock() / 1000 + 1;
        let began = Instant::now();
        let seconds = Duration::from_secs(8 + times() / 2);
        let mut dice = Dice::new(11);
        while began.elapsed() < seconds {
            let rows = |client: &mut Client| -> u64 {
                client
                    .query("SELECT COUNT(*) FROM app.log")
                    .value()
                    .parse()
                    .unwrap()
            };
            let before = rows(&mut client);
            match dice.below(3) {
                0 => process::kill(dormouse.server("shop")),
                // refused while the writers are busy, unless it finds a gap
                1 => drop(output_of(&mut dormouse.command(&["park", "shop"]))),
                _ => drop(output_of(&mut dormouse.command(&["suspend", "shop"]))),
            }
            process::until("the writers go on", || rows(&mut client) > before + 50);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let journal = journal.into_inner().unwrap();
    let last = clock() / 1000;
    reach(last + 1);
    let mut dice = Dice::new(7);
    for number in 0..times() {
        let span = u64::try_from(last - first).unwrap();
        let second = first + i64::try_from(dice.below(span)).unwrap();
        let at = written(&mut client, second);
        let name = format!("then{number}");
        scene.run(&["restore", "shop", "--at", &at, "--as", &name]);
        let mut then = scene.connect(&name, &who);
        let rows = then.query("SELECT writer, n FROM app.log").rows();
        let there: std::collections::BTreeSet<(u64, u64)> = rows
            .into_iter()
            .map(|row| {
                let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
                (number(0), number(1))
            })
            .collect();
        for commit in &journal {
            let is_in = there.contains(&(commit.writer, commit.number));
            if commit.acknowledged.is_some_and(|at| at < second * 1000) {
                assert!(is_in, "{commit:?} is missing at {second}");
            }
            if commit.began >= second * 1000 {
                assert!(!is_in, "{commit:?} is there at {second}");
            }
        }
        then.query("INSERT INTO app.log VALUES (99, 99)").ok();
        let _ = dormouse.json(&["drop", &name, "--yes"]);
    }
}

#[test]
fn a_database_restored_to_any_second_equals_what_was_acknowledged() {
    restores_equal_the_journal(&Scene::start(false, ""));
}

#[test]
fn an_encrypted_database_restored_to_any_second_equals_what_was_acknowledged() {
    restores_equal_the_journal(&Scene::start(true, ""));
}

#[test]
fn a_dropped_table_is_found_and_what_was_before_comes_back_with_accounts_triggers_and_events() {
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.old (a INT)").ok();
    client
        .query("CREATE EVENT app.`before` ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1")
        .ok();
    scene.run(&["backup", "now", "shop"]);
    for text in [
        "USE app",
        "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(50))",
        "CREATE TABLE seen (id INT)",
        "CREATE TRIGGER note AFTER INSERT ON orders FOR EACH ROW INSERT INTO seen VALUES (NEW.id)",
        "CREATE PROCEDURE add_one() INSERT INTO orders (t) VALUES ('by a procedure')",
        "CREATE FUNCTION f() RETURNS INT NOT DETERMINISTIC RETURN 7",
        "CREATE VIEW both_tables AS SELECT o.id, o.t FROM orders o JOIN seen s USING (id)",
        "CREATE EVENT often ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE EVENT never ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
        "ALTER EVENT `before` ENABLE",
        "CREATE USER bo IDENTIFIED BY 'a password'",
        "CREATE ROLE reader",
        "GRANT SELECT ON app.* TO reader",
        "GRANT reader TO bo",
        "SET DEFAULT ROLE reader FOR bo",
        "INSERT INTO orders (t) VALUES ('first'), ('second')",
        "CALL add_one()",
        "CREATE SEQUENCE sq",
        "DO NEXTVAL(sq)",
        "BEGIN",
        "UPDATE orders SET t = 'changed' WHERE id = 2",
        "DELETE FROM orders WHERE id = 1",
        "COMMIT",
        "XA START 'x'",
        "INSERT INTO orders (t) VALUES ('by XA')",
        "XA END 'x'",
        "XA PREPARE 'x'",
        "XA COMMIT 'x'",
    ] {
        match client.query(text) {
            Reply::Ok(_) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
    // bo has an internal credential
    let bo = Created {
        user: "shop.bo".to_owned(),
        password: "a password".to_owned(),
    };
    dormouse.connect(&bo).query("SELECT 1 FROM app.seen").rows();
    let contents = |client: &mut Client| {
        let queries = [
            "SELECT * FROM app.orders ORDER BY id",
            "SELECT * FROM app.seen ORDER BY id",
            "SELECT EVENT_NAME, STATUS, DEFINER FROM information_schema.EVENTS ORDER BY 1",
            "SELECT app.f(), (SELECT COUNT(*) FROM app.both_tables)",
            "SELECT TABLE_NAME, TABLE_TYPE, AUTO_INCREMENT FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = 'app' ORDER BY 1",
            "SELECT TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'app'",
            "SHOW GRANTS FOR bo",
            "SHOW GRANTS FOR reader",
        ];
        queries.map(|query| client.query(query).rows())
    };
    let before = contents(&mut client);
    client.query("DROP TABLE app.orders").ok();
    client.query("INSERT INTO app.seen VALUES (1000)").ok();
    scene.run(&["park", "shop"]);

    let found = scene.run(&["history", "shop", "--grep", "DROP TABLE .*orders"]);
    assert_eq!(dormouse.state("shop"), "parked", "it was woken");
    let entry = &found["found"][0];
    assert!(found["found"][1].is_null(), "{found}");
    let gtid = entry["gtid"].as_str().unwrap();
    assert_eq!(
        entry["restore"],
        format!("dormouse restore shop --before {gtid}")
    );
    scene.run(&["restore", "shop", "--before", gtid, "--as", "then"]);
    assert_eq!(dormouse.state("shop"), "parked", "it was woken");
    let mut then = scene.connect("then", &who);
    let after = contents(&mut then);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    let mut bo = scene.connect("then", &bo);
    bo.query("SELECT * FROM app.orders").rows();
    // nothing of replication is left, and a history of its own begins
    assert_eq!(then.query("SHOW ALL SLAVES STATUS").rows().len(), 0);
    assert_eq!(value(&mut then, "SELECT @@gtid_slave_pos"), "");
    assert_eq!(value(&mut then, "SELECT @@event_scheduler"), "ON");
    assert_eq!(value(&mut then, "SELECT @@log_bin"), "1");
    let root = dormouse.instance("then");
    assert!(!root.join("replay").exists());
    let own = root.file_name().unwrap().to_str().unwrap().to_owned() + "-";
    assert!(logs(&root).iter().all(|name| name.starts_with(&own)));
    then.query("INSERT INTO app.orders (t) VALUES ('goes on')")
        .ok();

    // in its place: the old one is kept
    let restored = scene.run(&["restore", "shop", "--before", gtid, "--yes"]);
    let kept = restored["kept"].as_str().unwrap();
    let mut shop = dormouse.connect(&who);
    assert_eq!(value(&mut shop, "SELECT COUNT(*) FROM app.orders"), "3");
    let mut kept = scene.connect(kept, &who);
    assert_eq!(value(&mut kept, "SELECT MAX(id) FROM app.seen"), "1000");
    drop(kept);
    // the history is that of its files, whatever their database is called
    let kept = restored["kept"].as_str().unwrap();
    scene.run(&["park", kept]);
    for name in [kept, "shop"] {
        let found = scene.run(&["history", name, "--grep", "DROP TABLE .*orders"]);
        assert_eq!(found["found"][0]["gtid"], gtid, "{name}: {found}");
    }
    scene.run(&["restore", "shop", "--before", gtid, "--as", "again"]);
    let mut again = scene.connect("again", &who);
    assert_eq!(value(&mut again, "SELECT COUNT(*) FROM app.orders"), "3");
}

#[test]
fn a_time_outside_of_the_history_is_refused_with_the_times_there_are() {
    let scene = Scene::start(false, "");
    let who = scene.create("shop");
    let refused = scene.refused(&[
        "restore",
        "shop",
        "--at",
        "2026-01-01 00:00:00",
        "--as",
        "x",
    ]);
    assert!(refused.contains("has no history"), "{refused}");
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    scene.run(&["backup", "now", "shop"]);
    for (at, said) in [
        ("2001-01-01 00:00:00", "does not reach there; it has 20"),
        ("2999-01-01 00:00:00", "does not reach there; it has 20"),
        ("yesterday", "'yesterday' is no time"),
    ] {
        let refused = scene.refused(&["restore", "shop", "--at", at, "--as", "x"]);
        assert!(refused.contains(said), "{refused}");
    }
    let refused = scene.refused(&["restore", "shop", "--before", "0-1-999999", "--as", "x"]);
    assert!(
        refused.contains("has no transaction 0-1-999999"),
        "{refused}"
    );
    let told = scene.run(&["history", "shop"]);
    assert_eq!(told["ranges"][0]["is_live"], true, "{told}");
}

#[test]
fn what_was_written_just_before_a_drop_is_in_the_history() {
    let scene = Scene::start_archiving_every("1h", false, "");
    let who = scene.create("shop");
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT)").ok();
    scene.run(&["backup", "now", "shop"]);
    client.query("INSERT INTO app.t VALUES (1)").ok();
    let second = clock() / 1000 + 1;
    let [then, last] = [second, second + 1].map(|second| written(&mut client, second));
    reach(second);
    client.query("INSERT INTO app.t VALUES (2)").ok();
    reach(second + 1);
    scene.run(&["drop", "shop", "--yes"]);
    for (at, name, rows) in [(then, "then", "1"), (last, "last", "2")] {
        scene.run(&["restore", "shop", "--at", &at, "--as", name]);
        let mut client = scene.connect(name, &who);
        assert_eq!(value(&mut client, "SELECT COUNT(*) FROM app.t"), rows);
    }
}

#[test]
fn a_history_outlives_kills_of_dormouse_while_it_is_archived() {
    let mut scene = Scene::start(false, "");
    let who = scene.create("shop");
    let mut client = scene.dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT PRIMARY KEY)").ok();
    scene.run(&["backup", "now", "shop"]);
    let mut dice = Dice::new(3);
    for round in 0..5 {
        let mut client = scene.dormouse.connect(&who);
        for row in 0..20 {
            let sql = format!("INSERT INTO app.t VALUES ({})", round * 100 + row);
            client.query(&sql).ok();
        }
        // somewhere in an archive, which begins each second
        thread::sleep(Duration::from_millis(dice.below(1100)));
        scene.dormouse.kill();
        scene.dormouse.up();
    }
    let mut client = scene.dormouse.connect(&who);
    client.query("DELETE FROM app.t").ok();
    let found = scene.run(&["history", "shop", "--grep", "DELETE FROM app.t"]);
    let gtid = found["found"][0]["gtid"].as_str().unwrap().to_owned();
    scene.run(&["restore", "shop", "--before", &gtid, "--as", "then"]);
    let mut then = scene.connect("then", &who);
    assert_eq!(value(&mut then, "SELECT COUNT(*) FROM app.t"), "100");
}

#[test]
fn files_that_are_archived_are_removed_from_the_server_and_still_count() {
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a INT PRIMARY KEY)").ok();
    scene.run(&["backup", "now", "shop"]);
    let first = logs(&dormouse.instance("shop"))[0].clone();
    let rows = 18;
    for row in 0..rows {
        client.query("FLUSH BINARY LOGS").ok();
        client
            .query(&format!("INSERT INTO app.t VALUES ({row})"))
            .ok();
    }
    process::until("the first file is removed", || {
        !logs(&dormouse.instance("shop")).contains(&first)
    });
    let found = scene.run(&["history", "shop", "--grep", "INSERT INTO app.t"]);
    let found = found["found"].as_array().unwrap();
    assert_eq!(found.len(), rows);
    let gtid = found[1]["gtid"].as_str().unwrap();
    scene.run(&["restore", "shop", "--before", gtid, "--as", "then"]);
    let mut then = scene.connect("then", &who);
    assert_eq!(value(&mut then, "SELECT COUNT(*) FROM app.t"), "1");
}

#[test]
fn a_log_that_is_begun_anew_past_the_proxy_is_a_gap_that_the_ledger_names() {
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (a VARCHAR(200))").ok();
    scene.run(&["backup", "now", "shop"]);
    for row in 0..100 {
        client
            .query(&format!("INSERT INTO app.t VALUES ('{row}')"))
            .ok();
    }
    let found = scene.run(&["history", "shop", "--grep", "INSERT INTO app.t"]);
    let gtid = found["found"][50]["gtid"].as_str().unwrap().to_owned();
    dormouse.platform("shop").query("RESET MASTER").ok();
    process::until("the ledger names the gap", || {
        let events = dormouse.json(&["events", "shop"]);
        events.to_string().contains("RESET MASTER")
    });
    // what was archived is there
    scene.run(&["restore", "shop", "--before", &gtid, "--as", "then"]);
    let mut then = scene.connect("then", &who);
    assert_eq!(value(&mut then, "SELECT COUNT(*) FROM app.t"), "50");
}

#[test]
fn a_database_with_a_history_that_sleeps_is_not_woken_by_what_needs_no_server() {
    let scene = Scene::start(false, "");
    let dormouse = &scene.dormouse;
    let who = scene.create("shop");
    let mut client = dormouse.connect(&who);
    let version = value(&mut client, "SELECT @@version");
    run(dormouse, &["park", "shop"]);
    let mut another = dormouse.connect(&who);
    for client in [&mut client, &mut another] {
        assert_eq!(value(client, "SELECT 1"), "1");
        assert_eq!(value(client, "SELECT @@version"), version);
        assert_eq!(dormouse.state("shop"), "parked", "it was woken");
    }
}
