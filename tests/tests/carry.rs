//! Small temporary tables and locks of `GET_LOCK` are carried over a planned park, if the database is set so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};

fn shop(settings: &[&str]) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    );
    let who = dormouse.create("shop", settings);
    let mut client = dormouse.connect(&who);
    client
        .query("CREATE DATABASE app CHARACTER SET utf8mb4")
        .ok();
    (dormouse, who)
}

fn carrying() -> (Dormouse, Created) {
    shop(&["--carry", "temporary_tables"])
}

/// Parks the database; returns whether it could be parked, and what the command said.
fn park(dormouse: &Dormouse) -> (bool, String) {
    let (done, said) = output_of(&mut dormouse.command(&["park", "shop"]));
    (done, said.to_string())
}

fn all(client: &mut Client, texts: &[&str]) -> Vec<Vec<Vec<Option<String>>>> {
    texts.iter().map(|text| client.query(text).rows()).collect()
}

const EVERY_TYPE: &str = "CREATE TEMPORARY TABLE app.kinds (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    t TINYINT, b BIGINT UNSIGNED, z INT(6) ZEROFILL, d DECIMAL(30,10), f FLOAT, g DOUBLE, y YEAR, bits BIT(40),
    e ENUM('one', 'two'), s SET('x', 'y', 'z'),
    da DATE, ti TIME(3), dt DATETIME(6), ts TIMESTAMP(6) NULL,
    c CHAR(5) CHARACTER SET latin1, v VARCHAR(50) COLLATE utf8mb4_bin, u VARCHAR(20) CHARACTER SET ucs2,
    te TEXT, bi BINARY(4), vb VARBINARY(20), bl BLOB, js JSON, p POINT, ip INET6,
    double_t INT AS (t * 2) VIRTUAL, `odd ``name` INT INVISIBLE DEFAULT 4, KEY (v), CHECK (t < 100)
) ENGINE=InnoDB AUTO_INCREMENT=40 COMMENT='its own'";

#[test]
fn a_temporary_table_has_the_same_rows_and_definition_after_a_park() {
    let (dormouse, who) = carrying();
    let mut client = dormouse.connect(&who);
    for text in [
        "USE app",
        "SET time_zone = '+05:30', sql_mode = 'ALLOW_INVALID_DATES'",
        EVERY_TYPE,
        "INSERT INTO kinds (t, b, z, d, f, g, y, bits, e, s, da, ti, dt, ts, c, v, u, te, bi, vb, bl, js, p, ip) VALUES \
         (-7, 18446744073709551615, 42, -12345678901234567890.0123456789, 0.1, 0.1, 2026, 0xFF00FF00FF, 'two', 'x,z', \
          '2026-02-31', '-12:34:56.789', '0000-00-00', '2026-10-25 02:30:00.123456', _latin1 0xE4, \
          'a\u{1f42d}''\\\\ \\0', _ucs2 0x00E40416, REPEAT('long ', 1000), X'0001', X'', X'00FF27', '{\"a\": [1]}', \
          POINT(1.5, -2), '::1'), (NULL, NULL, NULL, NULL, 1e-38, -1.7976931348623157e308, NULL, NULL, NULL, '', NULL, NULL, \
          NULL, NULL, '', '', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "CREATE TEMPORARY TABLE memory (a INT) ENGINE=MEMORY AS SELECT 5 AS a UNION SELECT 3",
        "CREATE TEMPORARY TABLE empty (a INT) ENGINE=Aria",
        "SET @a = 5, sql_mode = DEFAULT",
        "INSERT INTO kinds (t, `odd ``name`) VALUES (1, 9)",
    ] {
        client.query(text).ok();
    }
    let questions = [
        "SELECT ROW_COUNT(), LAST_INSERT_ID()",
        "SHOW CREATE TABLE kinds",
        "SHOW CREATE TABLE memory",
        "SHOW CREATE TABLE empty",
        "SELECT *, `odd ``name`, CAST(f AS DOUBLE), HEX(c), HEX(v), HEX(u), HEX(bl), ST_AsText(p), HEX(bits), e + 0, \
         MD5(te), @a, double_t FROM kinds ORDER BY id",
        "SELECT * FROM memory",
        "SELECT COUNT(*) FROM empty",
    ];
    let before = all(&mut client, &questions);
    // a vetoed park and a statement behind it make no difference
    let mut other = dormouse.connect(&who);
    assert_eq!(other.query("SELECT GET_LOCK('a', 0)").value(), "1");
    assert!(!park(&dormouse).0);
    client.query("INSERT INTO memory VALUES (7)").ok();
    other.query("DO RELEASE_LOCK('a')").ok();
    client.query("DELETE FROM memory WHERE a = 7").ok();
    for round in 0..2 {
        let (parked, said) = park(&dormouse);
        assert!(parked, "{said}");
        assert_eq!(dormouse.state("shop"), "parked");
        let after = all(&mut client, &questions[1..]);
        assert_eq!(after, before[1..], "round {round}");
    }
    client.query("INSERT INTO kinds (t) VALUES (2)").ok();
    assert_eq!(client.query("SELECT LAST_INSERT_ID()").value(), "43");
    client
        .query("DROP TEMPORARY TABLE kinds, memory, empty")
        .ok();
    assert!(park(&dormouse).0);
    assert_eq!(client.query("SELECT 1 FROM kinds").err().code, 1146);
}

#[test]
fn what_is_not_carried_prevents_the_park_as_ever() {
    let (dormouse, who) = carrying();
    let mut client = dormouse.connect(&who);
    client.query("USE app").ok();
    let vetoed = |client: &mut Client, made: &str, ended: &str| {
        client.query(made).ok();
        let (parked, said) = park(&dormouse);
        assert!(
            !parked && said.contains("temporary_table"),
            "{made}: {said}"
        );
        client.query(ended).ok();
        assert!(park(&dormouse).0, "{ended}");
    };
    let large = "CREATE TEMPORARY TABLE t AS SELECT REPEAT('x', 1000) FROM seq_1_to_600";
    vetoed(&mut client, large, "DROP TEMPORARY TABLE t");
    // made by a procedure: its name is not known
    client
        .query("CREATE PROCEDURE p() CREATE TEMPORARY TABLE u (i INT)")
        .ok();
    client.query("CALL p()").ok();
    let (parked, said) = park(&dormouse);
    assert!(!parked && said.contains("temporary_table"), "{said}");
    client.command(dormouse_wire::command::Command::ResetConnection, b"");
    assert_eq!(client.receive().unwrap()[0], 0);
    // a killed server takes it with it, and the session is told
    client.query("CREATE TEMPORARY TABLE t (i INT)").ok();
    process::kill(dormouse.server("shop"));
    let error = client.query("SELECT * FROM app.t").err();
    assert!(error.message.contains("temporary_table"), "{error}");
}

#[test]
fn without_the_setting_a_temporary_table_prevents_a_park() {
    let (dormouse, who) = shop(&[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE TEMPORARY TABLE app.t (i INT)").ok();
    let (parked, said) = park(&dormouse);
    assert!(!parked && said.contains("temporary_table"), "{said}");
    let _ = dormouse.json(&["set", "shop", "--carry", "temporary_tables"]);
    assert_eq!(dormouse.show("shop")["carry"], "temporary_tables");
}

#[test]
fn a_reset_drops_what_is_carried() {
    let (dormouse, who) = carrying();
    let mut client = dormouse.connect(&who);
    client.query("CREATE TEMPORARY TABLE app.t (i INT)").ok();
    assert!(park(&dormouse).0);
    client.command(dormouse_wire::command::Command::ResetConnection, b"");
    assert_eq!(client.receive().unwrap()[0], 0);
    assert_eq!(client.query("SELECT * FROM app.t").err().code, 1146);
}

#[test]
fn a_table_that_could_not_be_made_again_prevents_the_park() {
    let (dormouse, who) = carrying();
    for (text, question, expected) in [
        ("ALTER TABLE t RENAME u", "SELECT i FROM u", "7"),
        ("RENAME TABLE t TO u", "SELECT i FROM u", "7"),
        ("HANDLER t OPEN", "HANDLER t READ FIRST", "7"),
        ("SET SESSION TRANSACTION READ ONLY", "SELECT i FROM t", "7"),
        ("SET TRANSACTION READ ONLY", "SELECT i FROM t", "7"),
    ] {
        let mut client = dormouse.connect(&who);
        client.query("USE app").ok();
        client.query("CREATE TEMPORARY TABLE t (i INT)").ok();
        client.query("INSERT INTO t VALUES (7)").ok();
        client.query(text).ok();
        assert!(!park(&dormouse).0, "{text}");
        assert_eq!(client.query(question).value(), expected, "{text}");
    }
}

#[test]
fn a_change_of_the_setting_loses_nothing() {
    let (dormouse, who) = shop(&[]);
    let mut client = dormouse.connect(&who);
    client.query("USE app").ok();
    client.query("CREATE TEMPORARY TABLE t (i INT)").ok();
    client.query("INSERT INTO t VALUES (7)").ok();
    let mut other = dormouse.connect(&who);
    let _ = dormouse.json(&["suspend", "shop"]);
    let _ = dormouse.json(&["set", "shop", "--carry", "temporary_tables"]);
    // the door opens with the new setting
    other
        .query("SELECT COUNT(*) FROM information_schema.TABLES")
        .value();
    let _ = park(&dormouse);
    assert_eq!(client.query("SELECT i FROM t").value(), "7");
}

fn carrying_locks() -> (Dormouse, Created) {
    shop(&["--carry", "temporary_tables, user_locks"])
}

#[test]
fn a_lock_is_still_the_sessions_after_a_park() {
    let (dormouse, who) = carrying_locks();
    let mut client = dormouse.connect(&who);
    let name = "a/b''c\\\\ \u{fc}";
    client.query("USE app").ok();
    client
        .query("CREATE TEMPORARY TABLE t AS SELECT 7 AS i")
        .ok();
    for _ in 0..11 {
        let taken = client.query(&format!("SELECT GET_LOCK('{name}', 0)"));
        assert_eq!(taken.value(), "1");
    }
    assert_eq!(client.query("SELECT GET_LOCK('once', 0)").value(), "1");
    let mut other = dormouse.connect(&who);
    for round in 0..3 {
        let (parked, said) = park(&dormouse);
        assert!(parked, "{said}");
        // the other session wakes the database, and comes second
        let there = "SELECT GET_LOCK('once', 0), IS_USED_LOCK('once') = {id}, IS_FREE_LOCK('free')";
        let id = client.id().to_string();
        let found = other.query(&there.replace("{id}", &id)).rows();
        assert_eq!(
            found,
            [["0", "1", "1"].map(|s| Some(s.to_owned())).to_vec()],
            "{round}"
        );
    }
    assert_eq!(client.query("SELECT i FROM t").value(), "7");
    for _ in 0..11 {
        let released = client.query(&format!("SELECT RELEASE_LOCK('{name}')"));
        assert_eq!(released.value(), "1");
        assert_eq!(other.query("SELECT GET_LOCK('once', 0)").value(), "0");
    }
    let free = client.query(&format!(
        "SELECT IS_FREE_LOCK('{name}'), RELEASE_ALL_LOCKS()"
    ));
    assert_eq!(
        free.rows(),
        [["1", "1"].map(|s| Some(s.to_owned())).to_vec()]
    );
    assert_eq!(other.query("SELECT GET_LOCK('once', 0)").value(), "1");
}

#[test]
fn sessions_that_come_in_crowds_find_carried_locks_taken() {
    let (dormouse, who) = carrying_locks();
    let mut holders: Vec<Client> = (0..8).map(|_| dormouse.connect(&who)).collect();
    let mut others: Vec<Client> = (0..24).map(|_| dormouse.connect(&who)).collect();
    for (n, holder) in holders.iter_mut().enumerate() {
        let taken = holder.query(&format!("SELECT GET_LOCK('lock {n}', 0)"));
        assert_eq!(taken.value(), "1");
    }
    assert!(park(&dormouse).0);
    std::thread::scope(|scope| {
        for (n, other) in others.iter_mut().enumerate() {
            scope.spawn(move || {
                let taken = other.query(&format!("SELECT GET_LOCK('lock {}', 0)", n % 8));
                assert_eq!(taken.value(), "0", "two sessions have lock {}", n % 8);
            });
        }
    });
    for (n, holder) in holders.iter_mut().enumerate() {
        let released = holder.query(&format!("SELECT RELEASE_LOCK('lock {n}')"));
        assert_eq!(released.value(), "1");
    }
}

#[test]
fn a_lock_of_a_client_that_leaves_while_the_database_sleeps_is_free() {
    let (dormouse, who) = carrying_locks();
    let mut client = dormouse.connect(&who);
    let mut resetting = dormouse.connect(&who);
    client.query("DO GET_LOCK('a', 0)").ok();
    resetting.query("DO GET_LOCK('b', 0)").ok();
    assert!(park(&dormouse).0);
    resetting.command(dormouse_wire::command::Command::ResetConnection, b"");
    assert_eq!(resetting.receive().unwrap()[0], 0);
    drop(client);
    process::until("the session has ended", || {
        dormouse.show("shop")["sessions"] == 1
    });
    let mut other = dormouse.connect(&who);
    let taken = other.query("SELECT GET_LOCK('a', 0) + GET_LOCK('b', 0)");
    assert_eq!(taken.value(), "2");
}

#[test]
fn a_lock_that_cannot_be_carried_prevents_the_park_and_stays() {
    let (dormouse, who) = carrying_locks();
    let mut client = dormouse.connect(&who);
    client.query("USE app").ok();
    let mut other = dormouse.connect(&who);
    let long = format!("SELECT GET_LOCK('{}', 0)", "x".repeat(65));
    let often = "SELECT SUM(GET_LOCK('often', 0)) FROM seq_1_to_300";
    let many = "SELECT SUM(GET_LOCK(CONCAT('l', seq), 0)) FROM seq_1_to_33";
    for (text, name) in [
        (&*long, "x".repeat(65)),
        ("SELECT GET_LOCK('\u{1f42d}', 0)", "\u{1f42d}".to_owned()),
        ("SELECT GET_LOCK(X'00FF', 0)", "\\0\u{ff}".to_owned()),
        (often, "often".to_owned()),
        (many, "l33".to_owned()),
    ] {
        client.query("SET NAMES utf8mb4").ok();
        client.query(text).value();
        let (parked, said) = park(&dormouse);
        assert!(!parked && said.contains("user_lock"), "{text}: {said}");
        let name = match name.starts_with("\\0") {
            true => "X'00FF'".to_owned(),
            false => format!("'{name}'"),
        };
        other.query("SET NAMES utf8mb4").ok();
        assert_eq!(
            other.query(&format!("SELECT IS_FREE_LOCK({name})")).value(),
            "0",
            "{text}"
        );
        let expected = client.query("SELECT RELEASE_ALL_LOCKS()").value();
        let taken = match text {
            text if text == often => "300",
            text if text == many => "33",
            _ => "1",
        };
        assert_eq!(expected, taken, "{text}");
    }
    assert!(park(&dormouse).0);
}

#[test]
fn a_killed_server_takes_carried_locks_with_it_and_the_session_is_told() {
    let (dormouse, who) = carrying_locks();
    let mut client = dormouse.connect(&who);
    client.query("DO GET_LOCK('a', 0)").ok();
    assert!(park(&dormouse).0);
    let mut other = dormouse.connect(&who);
    assert_eq!(other.query("SELECT GET_LOCK('a', 0)").value(), "0");
    process::kill(dormouse.server("shop"));
    let error = client.query("SELECT COUNT(*) FROM mysql.db").err();
    assert!(error.message.contains("user_lock"), "{error}");
    let mut later = dormouse.connect(&who);
    assert_eq!(later.query("SELECT GET_LOCK('a', 0)").value(), "1");
}
