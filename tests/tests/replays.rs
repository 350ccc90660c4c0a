//! Transactions and queries that the end of the server interrupts, and that are run again on the next one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::command::Command;
use dormouse_wire::reply::{ErrPacket, OkPacket};

/// A database that stays awake, with a table of accounts and their money.
fn database() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT AUTO_INCREMENT PRIMARY KEY, v INT, at TIMESTAMP NULL)",
        "INSERT INTO app.t (v) VALUES (10), (20)",
        "CREATE TABLE app.pause (s INT)",
        "INSERT INTO app.pause VALUES (600)",
        "CREATE TABLE app.log (i INT AUTO_INCREMENT PRIMARY KEY, t INT)",
    ] {
        client.query(text).ok();
    }
    (dormouse, who)
}

/// A counter of the database's pool.
fn counter(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let found = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    found.unwrap().pop().unwrap().unwrap()
}

/// An execution of a prepared statement with one number.
fn execute(client: &mut Client, statement: u32, with_type: bool, number: u32) -> OkPacket {
    let mut packet = statement.to_le_bytes().to_vec();
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, u8::from(with_type)]);
    if with_type {
        packet.extend_from_slice(&[3, 0]);
    }
    packet.extend_from_slice(&number.to_le_bytes());
    client.command(Command::StmtExecute, &packet);
    let reply = client.receive().unwrap();
    OkPacket::parse(&reply, client.capabilities)
        .unwrap_or_else(|_| panic!("{:?}", ErrPacket::parse(&reply)))
}

#[test]
fn a_transaction_goes_on_when_its_server_was_killed_between_two_statements() {
    for begin in ["BEGIN", "SET autocommit = 0"] {
        let (dormouse, who) = database();
        let mut client = dormouse.connect(&who);
        client.query("USE app").ok();
        client.query("SET time_zone = '+05:00'").ok();
        client.query("INSERT INTO log (t) VALUES (0)").ok();
        client.query(begin).ok();
        // of the statement before the transaction
        client
            .query("INSERT INTO log (t) VALUES (LAST_INSERT_ID() + 100)")
            .ok();
        assert_eq!(client.query("SELECT SUM(v) FROM t").value(), "30");
        let id = client
            .query("INSERT INTO t (v, at) VALUES (5, NOW()), (6, NOW())")
            .ok();
        client.query("SAVEPOINT a").ok();
        client.query("INSERT INTO t (v) VALUES (1000)").ok();
        client.query("ROLLBACK TO a").ok();
        assert_eq!(
            client.query("INSERT INTO t (i) VALUES (1)").err().code,
            1062
        );
        let insert = client.prepare("INSERT INTO log (t) VALUES (?)");
        let first = execute(&mut client, insert, true, 7).last_insert_id;
        assert_eq!(
            execute(&mut client, insert, false, 8).last_insert_id,
            first + 1
        );
        client.command(Command::StmtClose, &insert.to_le_bytes());

        let before = dormouse.server("shop");
        process::kill(before);
        let text = "SELECT v, at IS NULL FROM t WHERE i >= 3";
        let rows = client.query(text).rows();
        let row = |v: &str| vec![Some(v.to_owned()), Some("0".to_owned())];
        assert_eq!(rows, [row("5"), row("6")]);
        assert_ne!(dormouse.server("shop"), before);
        assert_eq!(
            client.query("SELECT LAST_INSERT_ID()").value(),
            (first + 1).to_string()
        );
        assert_eq!(client.query("SELECT @@in_transaction").value(), "1");
        // the time goes on
        let text = "SELECT @@timestamp > UNIX_TIMESTAMP('2020-01-01') AND SLEEP(0.01) + @@timestamp < SYSDATE(6) + 0";
        assert_eq!(client.query(text).value(), "1");
        // others see nothing of it until it commits
        let mut other = dormouse.connect(&who);
        assert_eq!(other.query("SELECT SUM(v) FROM app.t").value(), "30");
        client.query("COMMIT").ok();
        assert_eq!(other.query("SELECT SUM(v) FROM app.t").value(), "41");
        let ids = other.query("SELECT MIN(i) FROM app.t WHERE v = 5").value();
        assert_eq!(ids, id.last_insert_id.to_string());
        let log = other
            .query("SELECT GROUP_CONCAT(t ORDER BY i) FROM app.log")
            .value();
        assert_eq!(log, "0,101,7,8");
        assert_eq!(counter(&mut client, "transactions_replayed"), "1");
        // and the next id is a new one
        let next = client
            .query("INSERT INTO t (v) VALUES (1)")
            .ok()
            .last_insert_id;
        assert!(next > id.last_insert_id + 1, "{next}");
    }
}

#[test]
fn a_transaction_that_has_read_what_is_different_now_is_not_run_again() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    assert_eq!(
        client.query("SELECT v FROM app.t WHERE i = 1").value(),
        "10"
    );
    process::kill(dormouse.server("shop"));
    let mut other = dormouse.connect(&who);
    other.query("UPDATE app.t SET v = 11 WHERE i = 1").ok();
    let error = client.query("UPDATE app.t SET v = 15 WHERE i = 1").err();
    assert_eq!((error.code, error.sqlstate()), (1213, "40001"), "{error:?}");
    let reason = "a statement has another result now";
    assert!(error.message.contains(reason), "{error:?}");
    // nothing of it is left, neither here nor on the server
    assert_eq!(client.query("SELECT @@in_transaction").value(), "0");
    other.query("UPDATE app.t SET v = 12 WHERE i = 1").ok();
    assert_eq!(other.query("SELECT v FROM app.t WHERE i = 1").value(), "12");
}

#[test]
fn what_cannot_be_repeated_without_a_trace_is_not_run_again() {
    let table = [
        ("SET @a = 1", "more than rows"),
        ("SET time_zone = '+01:00'", "more than rows"),
        ("SELECT UUID()", "another result"),
    ];
    let (dormouse, who) = database();
    for (text, reason) in table {
        let mut client = dormouse.connect(&who);
        client.query("BEGIN").ok();
        client.query("UPDATE app.t SET v = v + 1").ok();
        client.query(text);
        process::kill(dormouse.server("shop"));
        let error = client.query("SELECT 1 FROM app.t").err();
        assert_eq!((error.code, error.sqlstate()), (1213, "40001"), "{text}");
        assert!(error.message.contains(reason), "{text}: {error:?}");
        let sum = dormouse.connect(&who).query("SELECT SUM(v) FROM app.t");
        assert_eq!(sum.value(), "30", "{text}");
    }
}

/// Kills the server while it runs a statement that sleeps. If that is run again, it does not sleep.
fn kill_sleeper(dormouse: &Dormouse, who: &Created) {
    let mut platform = dormouse.platform("shop");
    let text = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
    process::until("the statement runs", || platform.query(text).value() == "1");
    let mut other = dormouse.connect(who);
    other.query("UPDATE app.pause SET s = 0").ok();
    process::kill(dormouse.server("shop"));
}

#[test]
fn a_query_that_has_shown_nothing_yet_is_run_again() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    let text = "SELECT SLEEP((SELECT s FROM app.pause)), SUM(v) FROM app.t";
    let sent = |client: &mut Client| client.command(Command::Query, text.as_bytes());
    sent(&mut client);
    kill_sleeper(&dormouse, &who);
    let rows = client.result().unwrap().rows();
    assert_eq!(rows, [[Some("0".to_owned()), Some("30".to_owned())]]);
    assert_eq!(counter(&mut client, "queries_read_again"), "1");
    // within a transaction, which is run again first
    client.query("UPDATE app.pause SET s = 600").ok();
    client.query("BEGIN").ok();
    client.query("UPDATE app.t SET v = v + 1").ok();
    sent(&mut client);
    kill_sleeper(&dormouse, &who);
    let rows = client.result().unwrap().rows();
    assert_eq!(rows, [[Some("0".to_owned()), Some("32".to_owned())]]);
    client.query("COMMIT").ok();
    assert_eq!(client.query("SELECT SUM(v) FROM app.t").value(), "32");
    // a function may have written
    client
        .query("CREATE FUNCTION app.f() RETURNS INT RETURN 1")
        .ok();
    client.query("UPDATE app.pause SET s = 600").ok();
    sent(&mut client);
    kill_sleeper(&dormouse, &who);
    let error = client.result().unwrap().err();
    assert_eq!((error.code, error.sqlstate()), (1053, "08007"), "{error:?}");
}

#[test]
fn a_statement_that_writes_on_its_own_is_not_run_again() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    let text = "UPDATE app.t SET v = v + 1 + SLEEP(600)";
    client.command(Command::Query, text.as_bytes());
    kill_sleeper(&dormouse, &who);
    let error = client.result().unwrap().err();
    assert_eq!((error.code, error.sqlstate()), (1053, "08007"), "{error:?}");
    assert_eq!(client.query("SELECT SUM(v) FROM app.t").value(), "30");
}

#[test]
fn a_database_with_tables_without_transactions_is_not_written_to_twice() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    client
        .query("CREATE TABLE app.m (i INT) ENGINE = MyISAM")
        .ok();
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.m VALUES (1)").ok();
    process::kill(dormouse.server("shop"));
    let error = client.query("INSERT INTO app.m VALUES (2)").err();
    assert_eq!((error.code, error.sqlstate()), (1213, "40001"), "{error:?}");
    let reason = "tables without transactions";
    assert!(error.message.contains(reason), "{error:?}");
    let rows = client
        .query("SELECT COUNT(*) FROM app.m WHERE i = 2")
        .value();
    assert_eq!(rows, "0");
}

#[test]
fn a_rollback_needs_no_transaction() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    client.query("UPDATE app.t SET v = UUID_SHORT() % 100").ok();
    client.query("SELECT UUID()").value();
    process::kill(dormouse.server("shop"));
    client.query("ROLLBACK").ok();
    assert_eq!(client.query("SELECT SUM(v) FROM app.t").value(), "30");
}

/// The next server may not know of an id that an open transaction was told, and would give it to somebody else.
#[test]
fn an_id_that_is_generated_again_is_nobody_elses() {
    let (dormouse, who) = database();
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE TABLE app.parent (p INT PRIMARY KEY)",
        "INSERT INTO app.parent VALUES (1), (2)",
        "CREATE TABLE app.child (i INT AUTO_INCREMENT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES app.parent (p))",
        "BEGIN",
    ] {
        client.query(text).ok();
    }
    let inserted = client.query("INSERT INTO app.child (p) VALUES (1)").ok();
    let told = inserted.last_insert_id;
    process::kill(dormouse.server("shop"));
    let mut holder = dormouse.connect(&who);
    holder.query("SELECT * FROM app.parent WHERE p = 9").rows();
    let mut platform = dormouse.platform("shop");
    // as if its disk had nothing of what was not committed
    platform
        .query("ALTER TABLE app.child AUTO_INCREMENT = 1")
        .ok();
    // the row of the child is there, and its parent is waited for
    holder.query("BEGIN").ok();
    let lock = "SELECT p FROM app.parent WHERE p = 1 FOR UPDATE";
    assert_eq!(holder.query(lock).value(), "1");
    let mut waiting = |count: &str| {
        let rows = platform.query("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'");
        rows.rows()[0][1].as_deref() == Some(count)
    };
    let mut other = dormouse.connect(&who);
    let mut client = std::thread::scope(|scope| {
        let goes_on = scope.spawn(move || {
            let seen = client
                .query("SELECT COUNT(*) FROM app.child WHERE p = 1")
                .value();
            (client, seen)
        });
        process::until("it is run again", || waiting("1"));
        let text = "INSERT INTO app.child (p) VALUES (2)";
        let inserts = scope.spawn(|| other.query(text));
        process::until("the other one has inserted, or waits", || {
            inserts.is_finished() || waiting("2")
        });
        holder.query("COMMIT").ok();
        let (mut client, seen) = goes_on.join().unwrap();
        assert_eq!(seen, "1");
        client.query("COMMIT").ok();
        let inserted = inserts.join().unwrap().ok();
        assert!(inserted.last_insert_id > told);
        client
    });
    let ids = "SELECT i FROM app.child WHERE p = 1";
    assert_eq!(client.query(ids).value(), told.to_string());
    assert_eq!(counter(&mut client, "transactions_replayed"), "1");
}
