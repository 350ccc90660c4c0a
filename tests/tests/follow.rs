//! `dormouse import --follow`: a server that is written to moves into a database.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[allow(dead_code, reason = "the tests of dumps use the rest of it")]
#[path = "import/server.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Dormouse, process};
use serde_json::Value;
use server::{Server, contents};

const LOGGED: [&str; 4] = [
    "--log-bin=log",
    "--binlog-format=ROW",
    "--server-id=7",
    // the option of the fixture stands behind these
    "--sync-binlog=0",
];

/// A column of each type, keys of several types, and what acts on rows.
const TABLES: &[&str] = &[
    "CREATE DATABASE s CHARACTER SET utf8mb4",
    "USE s",
    "CREATE TABLE types (id INT AUTO_INCREMENT PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, mi MEDIUMINT, \
     mu MEDIUMINT UNSIGNED, bu BIGINT UNSIGNED, f FLOAT, d DOUBLE, dc DECIMAL(30, 10), b1 BIT(1), b64 BIT(64), \
     y YEAR, dt DATE, t0 TIME, t2 TIME(2), t6 TIME(6), dt0 DATETIME, dt3 DATETIME(3), ts TIMESTAMP NULL, \
     ts6 TIMESTAMP(6) NULL, tsu TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, \
     c CHAR(10), cl CHAR(255), v VARCHAR(2000), l1 VARCHAR(30) CHARACTER SET latin1, u16 VARCHAR(30) CHARACTER SET utf16, \
     sj VARCHAR(30) CHARACTER SET sjis, bin BINARY(20), tb TINYBLOB, lb LONGBLOB, tx TEXT, e ENUM('x', 'y', 'z'), \
     st SET('p', 'q', 'r'), j JSON, g GEOMETRY, u UUID, i6 INET6, i4 INET4, vc VARCHAR(1000) COMPRESSED, \
     bc BLOB COMPRESSED, gv INT AS (ti + 1) VIRTUAL, gs INT AS (mi + 2) STORED, inv INT INVISIBLE DEFAULT 3)",
    "CREATE TABLE nokey (a INT, b VARCHAR(20), f FLOAT, d DATETIME(6), bl BLOB)",
    "CREATE TABLE strkey (k VARCHAR(50), k2 BINARY(16), v INT, PRIMARY KEY (k, k2))",
    "CREATE TABLE ukey (k UUID PRIMARY KEY, v INT)",
    "CREATE TABLE hashed (id INT PRIMARY KEY, bl BLOB UNIQUE, tx TEXT)",
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
    "CREATE TABLE counted (id INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(20))",
    "CREATE TABLE counts (t VARCHAR(20) PRIMARY KEY, n INT)",
    "CREATE TRIGGER counts_it AFTER INSERT ON counted FOR EACH ROW INSERT INTO counts VALUES (NEW.t, 1) ON DUPLICATE KEY UPDATE n = n + 1",
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3 CACHE 10",
    "CREATE EVENT hourly ON SCHEDULE EVERY 1 HOUR STARTS '2030-01-01 00:00:00' DO INSERT INTO counted (t) VALUES ('event')",
];

/// Changes of rows of all these tables. They can be made again.
const CHANGES: &[&str] = &[
    "INSERT INTO s.types (ti, tu, mi, mu, bu, f, d, dc, b1, b64, y, dt, t0, t2, t6, dt0, dt3, ts, ts6, c, cl, v, l1, u16, sj, \
     bin, tb, lb, tx, e, st, j, g, u, i6, i4, vc, bc, inv) VALUES (-128, 255, -8388608, 16777215, 18446744073709551615, 1.1, \
     2.2e-300, -12345678901234567890.0123456789, 1, 0xFFFFFFFFFFFFFFFF, 2026, '2026-11-29', '-838:59:59', '-01:02:03.50', \
     '-00:00:00.000001', '9999-12-31 23:59:59', '2026-01-02 03:04:05.678', '2038-01-19 03:14:07', '2001-02-03 04:05:06.000009', \
     'abc ', 'ünïcödé', 'back\\\\slash\\0nul\\n''', 'café', '日本😀', '表示ソ', X'0102030000', X'', REPEAT(X'0027FF5C', 300), \
     'text', 'y', 'p,r', '{\"a\": [1]}', ST_GeomFromText('LINESTRING(0 0,1 1)'), UUID(), '2001:db8::', '192.168.0.0', \
     REPEAT('compressed ', 50), REPEAT('z', 5000), 9)",
    "INSERT INTO s.types (u) VALUES ('018f3c1e-1111-7abc-8def-0123456789ab'), ('00112233-4455-4677-8899-aabbccddee00'), \
     ('00112233-4455-f677-f899-aabbccddee00'), ('00000000-0000-0000-0000-000000000000')",
    "SET sql_mode = 'ALLOW_INVALID_DATES'",
    "INSERT INTO s.types (dt, dt0, ts, e, t0) VALUES ('2026-02-31', '0000-00-00', 0, 'none', '00:00:00')",
    "SET sql_mode = DEFAULT",
    "UPDATE s.types SET v = CONCAT(IFNULL(v, ''), '!'), ts6 = '2026-01-01 00:00:00.5' ORDER BY id DESC LIMIT 3",
    "UPDATE s.types SET tsu = tsu, lb = REPEAT('big', 10000) ORDER BY id LIMIT 1",
    "INSERT INTO s.nokey VALUES (1, 'a', 1.1, '2026-01-01', X'00'), (1, 'A', 1.1, '2026-01-01', X'00'), (NULL, NULL, NULL, NULL, NULL)",
    "UPDATE s.nokey SET b = 'changed' WHERE BINARY b = 'A' LIMIT 1",
    "DELETE FROM s.nokey WHERE a IS NULL",
    "REPLACE INTO s.strkey VALUES ('É', 'a', 1), ('straße', X'00FF0000', 2), ('q''\\\\', '', 3)",
    "UPDATE s.strkey SET v = v + 10",
    "DELETE FROM s.strkey WHERE v = 12",
    "REPLACE INTO s.ukey VALUES (UUID(), 1), ('018f3c1e-1111-7abc-8def-0123456789ab', 2)",
    "UPDATE s.ukey SET v = v + 5",
    "REPLACE INTO s.hashed VALUES (1, 'blob', 'x'), (2, NULL, 'y')",
    "UPDATE s.hashed SET tx = 'z', bl = 'other' WHERE id = 1",
    "REPLACE INTO s.parent VALUES (1), (2)",
    "INSERT INTO s.child (p) VALUES (1), (2), (1)",
    "DELETE FROM s.parent WHERE id = 1",
    "SET foreign_key_checks = 0",
    "DELETE FROM s.parent WHERE id = 2",
    "SET foreign_key_checks = 1",
    "INSERT INTO s.counted (t) VALUES ('a'), ('b'), ('a')",
    "DO NEXTVAL(s.numbers)",
];

const DEFINITIONS: &[&str] = &[
    "ALTER TABLE s.counted ADD COLUMN more VARCHAR(10) DEFAULT 'x', ADD COLUMN at TIMESTAMP(6) DEFAULT NOW(6)",
    "CREATE TABLE s.made (a INT PRIMARY KEY) SELECT 7 AS a, 'b' AS b",
    "RENAME TABLE s.made TO s.renamed",
    "INSERT INTO s.renamed VALUES (8, 'c')",
    "CREATE INDEX ON_B ON s.renamed (b)",
    "CREATE DEFINER = root@localhost VIEW s.seen AS SELECT t FROM s.counted",
    "CREATE PROCEDURE s.nothing() SELECT 'it''s; nothing'",
    "CREATE TRIGGER s.later BEFORE INSERT ON s.renamed FOR EACH ROW SET NEW.b = 'never seen'",
    "TRUNCATE TABLE s.nokey",
];

fn dormouse() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

/// A line to a server, on which nothing moves while it is held.
struct Line {
    dir: tempfile::TempDir,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Line {
    fn to(server: PathBuf) -> Self {
        let line = Self {
            dir: tempfile::tempdir().unwrap(),
            held: Arc::default(),
        };
        let listener = UnixListener::bind(line.path()).unwrap();
        let held = Arc::clone(&line.held);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&server) else {
                    continue;
                };
                let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                for (from, to) in [(client, server), (server2, client2)] {
                    let held = Arc::clone(&held);
                    std::thread::spawn(move || carry(from, to, &held));
                }
            }
        });
        line
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("line")
    }

    fn hold(&self, hold: bool) {
        *self.held.0.lock().unwrap() = hold;
        self.held.1.notify_all();
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, held: &(Mutex<bool>, Condvar)) {
    let mut bytes = [0; 4096];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        let waits = held.1.wait_while(held.0.lock().unwrap(), |held| *held);
        drop(waits.unwrap());
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// The import, as a process whose events are read.
struct Following {
    child: Child,
    events: Receiver<Value>,
}

impl Following {
    fn start(dormouse: &Dormouse, url: &str) -> Self {
        Self::start_with(dormouse, url, &[])
    }

    fn start_with(dormouse: &Dormouse, url: &str, more: &[&str]) -> Self {
        let import = ["--json", "import", "shop", "--from", url, "--follow"];
        let mut command = dormouse.command(&[&import[..], more].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    /// Waits for an event.
    fn until(&self, event: &str) -> Value {
        loop {
            let next = self.events.recv().unwrap();
            if next["event"] == event {
                return next;
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; whether it succeeded.
    fn ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(server: &Server, schema: &str) -> String {
    format!(
        "mysql://root@localhost/{schema}?socket={}",
        server.socket().display()
    )
}

/// What a server has, without the next numbers of tables: those of transactions that were undone are not in the log.
fn all(client: &mut Client) -> Vec<String> {
    let without_number = |line: String| match line.split_once(" AUTO_INCREMENT=") {
        Some((before, behind)) => {
            let behind = behind.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}{behind}")
        }
        None => line,
    };
    contents(client, &["s"])
        .into_iter()
        .map(without_number)
        .collect()
}

fn is_read_only(server: &Server) -> String {
    server.connect().query("SELECT @@GLOBAL.read_only").value()
}

#[test]
fn a_server_that_is_written_to_moves_and_nothing_is_lost_or_doubled() {
    let mut source = Server::start_with(&LOGGED);
    source.run(TABLES);
    source.run(CHANGES);
    let mut dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let following = Following::start(&dormouse, &url(&source, ""));
    following.until("copied");
    source.run(CHANGES);
    following.until("following");
    // each of the three is killed, and finds its place again
    following.kill();
    source.run(CHANGES);
    source.run(DEFINITIONS);
    source.run(&[
        "SET GLOBAL log_bin_compress = ON",
        "SET GLOBAL log_bin_compress_min_len = 10",
    ]);
    source.run(CHANGES);
    let following = Following::start(&dormouse, &url(&source, ""));
    following.until("following");
    dormouse.kill();
    source.run(CHANGES);
    following.until("waiting");
    dormouse.up();
    following.until("following");
    source.restart();
    following.until("waiting");
    following.until("following");
    source.run(CHANGES);
    // a statement of an application waits, and runs when the database is open
    let mut application = dormouse.connect(&who);
    application.command(
        dormouse_wire::Command::Query,
        b"INSERT INTO s.counted (t) VALUES ('held')",
    );
    let expected = all(&mut source.connect());
    let done = dormouse.json(&["import", "shop", "--cut-over"]);
    assert_eq!(done["event"], "cut_over", "{done}");
    assert!(following.ended());
    application.result().unwrap().ok();
    let held = "SELECT CONCAT(COUNT(*), ' ', MAX(n)) FROM s.counted JOIN s.counts USING (t) WHERE t = 'held'";
    assert_eq!(application.query(held).value(), "1 1");
    assert_eq!(is_read_only(&source), "1");
    application
        .query("DELETE FROM s.counted WHERE t = 'held'")
        .ok();
    application
        .query("DELETE FROM s.counts WHERE t = 'held'")
        .ok();
    assert_eq!(all(&mut application), expected);
    assert_eq!(all(&mut source.connect()), expected);
    let schemas = application.query("SHOW DATABASES LIKE 'dormouse_import'");
    assert!(schemas.rows().is_empty());
    // whoever does not know how it ended runs it again
    let again = dormouse.json(&["import", "shop", "--from", &url(&source, ""), "--follow"]);
    assert_eq!(
        (&again["event"], &again["end"]),
        (&done["event"], &done["end"])
    );
    assert_eq!(dormouse.show("shop")["reserved"], false);
    application
        .query("INSERT INTO s.counted (t) VALUES ('open')")
        .ok();
}

#[test]
fn a_cut_over_that_fails_sets_the_source_back_and_the_import_follows_on() {
    let source = Server::start_with(&LOGGED);
    source.run(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY)",
    ]);
    source.run(&["CREATE TRIGGER s.no BEFORE INSERT ON s.t FOR EACH ROW SET @a = 1"]);
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let following = Following::start(&dormouse, &url(&source, "s"));
    following.until("following");
    // a lock is in the way of read_only
    let mut locker = source.connect();
    locker.query("LOCK TABLES s.t WRITE").ok();
    let (done, said) =
        output_of(&mut dormouse.command(&["import", "shop", "--cut-over", "--limit", "2"]));
    assert!(
        !done && said.contains("LOCK TABLES there is in the way"),
        "{said}"
    );
    assert_eq!(is_read_only(&source), "0");
    drop(locker);
    following.until("following");
    // a superuser is not stopped by read_only
    let (stop, stopped) = channel::<()>();
    let mut writer = source.connect();
    let writer = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            writer.query("INSERT INTO s.t VALUES ()").ok();
        }
    });
    let (done, said) =
        output_of(&mut dormouse.command(&["import", "shop", "--cut-over", "--limit", "3"]));
    assert!(!done && said.contains("follows on"), "{said}");
    assert_eq!(is_read_only(&source), "0");
    following.until("following");
    stop.send(()).unwrap();
    writer.join().unwrap();
    let expected = all(&mut source.connect());
    let done = dormouse.json(&["import", "shop", "--cut-over", "--source-is-quiet"]);
    assert_eq!(done["event"], "cut_over", "{done}");
    assert!(following.ended());
    assert_eq!(is_read_only(&source), "0");
    assert_eq!(all(&mut dormouse.connect(&who)), expected);
}

#[test]
fn a_source_that_answers_no_more_ends_a_cut_over_within_its_limit() {
    let source = Server::start_with(&LOGGED);
    source.run(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY)",
    ]);
    let dormouse = dormouse();
    let _who = dormouse.create("shop", &[]);
    let line = Line::to(source.socket());
    let url = format!("mysql://root@localhost/s?socket={}", line.path().display());
    let following = Following::start(&dormouse, &url);
    following.until("following");
    line.hold(true);
    let (done, said) =
        output_of(&mut dormouse.command(&["import", "shop", "--cut-over", "--limit", "1"]));
    assert!(!done && said.contains("the connection broke"), "{said}");
    line.hold(false);
    following.until("following");
    source.run(&["INSERT INTO s.t VALUES ()"]);
    let done = dormouse.json(&["import", "shop", "--cut-over"]);
    assert_eq!(done["rows"], 1, "{done}");
    assert!(following.ended());
}

#[test]
fn what_cannot_be_followed_is_refused_and_a_divergence_names_table_and_key() {
    let source = Server::start_with(&LOGGED);
    source.run(&[
        "CREATE DATABASE s",
        "CREATE TABLE s.t (id INT PRIMARY KEY, v INT)",
    ]);
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let url = url(&source, "");
    let import = ["import", "shop", "--from", &url, "--follow"];
    let refused = |text: &str| {
        let (done, said) = output_of(&mut dormouse.command(&import));
        assert!(!done && said.contains(text), "{said}");
    };
    for (before, text, after) in [
        (
            "SET GLOBAL binlog_format = STATEMENT",
            "binlog_format = STATEMENT",
            "SET GLOBAL binlog_format = ROW",
        ),
        (
            "SET GLOBAL binlog_row_image = MINIMAL",
            "binlog_row_image = MINIMAL",
            "SET GLOBAL binlog_row_image = FULL",
        ),
        (
            "CREATE TABLE s.m (a INT) ENGINE = MyISAM",
            "s.m (MyISAM)",
            "DROP TABLE s.m",
        ),
        (
            "CREATE TABLE s.h (a INT) WITH SYSTEM VERSIONING",
            "system-versioned; ",
            "DROP TABLE s.h",
        ),
    ] {
        source.run(&[before]);
        refused(text);
        source.run(&[after]);
    }
    // nothing was copied: the database is open
    let mut application = dormouse.connect(&who);
    application.query("CREATE DATABASE s").ok();
    application.query("CREATE TABLE s.mine (a INT)").ok();
    refused("has a schema s already");
    application.query("INSERT INTO s.mine VALUES (1)").ok();
    application.query("DROP DATABASE s").ok();
    drop(application);
    let following = Following::start(&dormouse, &url);
    following.until("following");
    let mut platform = dormouse.platform("shop");
    source.run(&["INSERT INTO s.t VALUES (1, 1), (41, 1)"]);
    process::until("the rows are there", || {
        platform.query("SELECT COUNT(*) FROM s.t").value() == "2"
    });
    platform.query("DELETE FROM s.t WHERE id = 41").ok();
    source.run(&["UPDATE s.t SET v = 2"]);
    assert!(!following.ended());
    refused("diverged: `s`.`t` has not the row that the other server changes (WHERE `id` <=> 41)");
    // the same with a statement that is logged as text
    platform.query("INSERT INTO s.t VALUES (41, 1)").ok();
    let following = Following::start(&dormouse, &url);
    following.until("following");
    source.run(&[
        "SET SESSION binlog_format = STATEMENT",
        "UPDATE s.t SET v = 3",
    ]);
    assert!(!following.ended());
    refused("binlog_format = STATEMENT");
}

#[test]
fn a_log_that_was_removed_or_begun_anew_is_told_and_a_restart_copies_again() {
    let source = Server::start_with(&LOGGED);
    source.run(&["CREATE DATABASE s", "CREATE TABLE s.t (id INT PRIMARY KEY)"]);
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let url = url(&source, "s");
    let import = ["import", "shop", "--from", &url, "--follow"];
    let stopped = |texts: &[&str]| {
        let (done, said) = output_of(&mut dormouse.command(&import));
        assert!(
            !done && texts.iter().any(|text| said.contains(text)) && said.contains("--restart"),
            "{said}"
        );
    };
    let mut platform = dormouse.platform("shop");
    let mut follows = |rows: &str| {
        let following = Following::start(&dormouse, &url);
        following.until("following");
        source.run(&["INSERT INTO s.t SELECT IFNULL(MAX(id), 0) + 1 FROM s.t"]);
        process::until("the row is there", || {
            platform.query("SELECT COUNT(*) FROM s.t").value() == rows
        });
        following.kill();
    };
    follows("1");
    // a log that is being read is not removed
    let mut observer = source.connect();
    process::until("nobody reads the log", || {
        let readers =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump'";
        observer.query(readers).value() == "0"
    });
    source.run(&["INSERT INTO s.t VALUES (7)", "FLUSH BINARY LOGS"]);
    // the server keeps a file until all of it is on the disk in other ways
    process::until("the log is removed", || {
        observer.query("PURGE BINARY LOGS TO 'log.000002'").ok();
        observer.query("SHOW BINARY LOGS").rows().len() == 1
    });
    stopped(&["cannot give its binary log"]);
    let (done, said) = output_of(&mut dormouse.command(&["import", "shop", "--abandon"]));
    assert!(done, "{said}");
    // it takes statements now
    let mut owner = dormouse.connect(&who);
    owner.query("DROP DATABASE s").ok();
    follows("3");
    process::until("nobody reads the log", || {
        let readers =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump'";
        observer.query(readers).value() == "0"
    });
    // the file of the place is there again, with other contents
    source.run(&["RESET MASTER", "FLUSH BINARY LOGS"]);
    for id in 100..120 {
        source.run(&[&format!("INSERT INTO s.t VALUES ({id})")]);
    }
    // it may be that the place is in the middle of an event now
    stopped(&[
        "is not the one that was followed",
        "cannot give its binary log",
    ]);
    let following = Following::start_with(&dormouse, &url, &["--restart"]);
    following.until("copied");
    assert_eq!(platform.query("SELECT COUNT(*) FROM s.t").value(), "23");
}

/// Its files have the same names, and the same transactions stand at the same places.
#[test]
fn a_log_that_was_begun_anew_with_the_same_layout_is_told() {
    let source = Server::start_with(&LOGGED);
    source.run(&["CREATE DATABASE s", "CREATE TABLE s.t (id INT PRIMARY KEY)"]);
    let dormouse = dormouse();
    let _who = dormouse.create("shop", &[]);
    let url = url(&source, "s");
    source.run(&["RESET MASTER", "INSERT INTO s.t VALUES (1)"]);
    let following = Following::start(&dormouse, &url);
    following.until("following");
    following.kill();
    let mut observer = source.connect();
    process::until("nobody reads the log", || {
        let readers =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump'";
        observer.query(readers).value() == "0"
    });
    let second = observer.query("SELECT UNIX_TIMESTAMP() + 1").value();
    process::until("the next second has begun", || {
        observer
            .query(&format!("SELECT UNIX_TIMESTAMP() > {second}"))
            .value()
            == "1"
    });
    source.run(&[
        "RESET MASTER",
        "INSERT INTO s.t VALUES (2)",
        "INSERT INTO s.t VALUES (3)",
    ]);
    let (done, said) =
        output_of(&mut dormouse.command(&["import", "shop", "--from", &url, "--follow"]));
    assert!(
        !done && said.contains("was begun at another time"),
        "{said}"
    );
}
