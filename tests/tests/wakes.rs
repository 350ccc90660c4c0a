//! Which statement woke a database, and whose it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};
use dormouse_wire::command::Command;
use serde_json::Value;

const CONFIG: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

struct World {
    dormouse: Dormouse,
    owner: Created,
}

impl World {
    fn new(config: &str) -> Self {
        let dormouse = Dormouse::start_with(config);
        let owner = dormouse.create("shop", &[]);
        let world = Self { dormouse, owner };
        let mut client = world.dormouse.connect(&world.owner);
        for text in [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (i INT, s VARCHAR(20))",
            "INSERT INTO d.t VALUES (1, 'sekret')",
            "CREATE USER checker IDENTIFIED BY 'sekret'",
            "GRANT ALL ON d.* TO checker",
        ] {
            client.query(text).ok();
        }
        world
    }

    /// A session of another user.
    fn checker(&self) -> Client {
        let mut client = Client::tcp(self.dormouse.address());
        client.login("shop.checker", "sekret", Some("d")).ok();
        client
    }

    fn park(&self) {
        let _ = self.dormouse.json(&["park", "shop"]);
    }

    /// What woke it last, by the ledger.
    fn woken_by(&self) -> (String, String) {
        let mut by = Value::Null;
        // the entry is written when statements pass already
        process::until("the wake is in the ledger", || {
            let last = self.dormouse.json(&["events", "shop", "--limit", "1"]);
            by = last[0]["woken_by"].clone();
            last[0]["to"] == "active"
        });
        let text = |key: &str| by[key].as_str().unwrap_or("none").to_owned();
        (text("statement"), text("account"))
    }
}

#[test]
fn the_report_adds_up_the_wakes_of_each_statement_and_account() {
    let prices = "[prices]\ncpu_hour = \"36\"\nmemory_gib_hour = \"1\"\n";
    let world = World::new(&format!("{prices}{CONFIG}"));
    let mut app = world.dormouse.connect(&world.owner);
    let mut checker = world.checker();
    for n in 0..3 {
        world.park();
        let text = format!("SELECT i FROM d.t WHERE s = 'sekret' /* {n}4711 */ AND i < {n}4711");
        app.query(&text).rows();
        world.woken_by();
    }
    for n in 0..2 {
        world.park();
        checker.query(&format!("SELECT {n}4711 FROM t")).rows();
        world.woken_by();
        // others do not count while it is awake
        app.query("SELECT s FROM d.t").rows();
    }
    world.park();
    let _ = world.dormouse.json(&["wake", "shop"]);
    let report = world.dormouse.json(&["wakes", "shop"]);
    let found: Vec<_> = { report["rows"].as_array().unwrap().iter() }
        .map(|row| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let by = &row["woken_by"];
            (
                (
                    text(&by["statement"]),
                    text(&by["account"]),
                    text(&row["cause"]),
                ),
                row["wakes"].as_u64().unwrap(),
            )
        })
        .collect();
    let count = |statement: &str, account: &str, cause: &str| {
        let key = (statement.to_owned(), account.to_owned(), cause.to_owned());
        let found = found.iter().find(|(what, _)| *what == key);
        found.map(|(_, wakes)| *wakes)
    };
    let of_app = "SELECT i FROM d.t WHERE s = ? AND i < ?";
    assert_eq!(
        count(of_app, "admin@127.0.0.1", "statement"),
        Some(3),
        "{report}"
    );
    assert_eq!(
        count("SELECT ? FROM t", "checker@127.0.0.1", "statement"),
        Some(2),
        "{report}"
    );
    assert_eq!(count("-", "-", "order"), Some(1), "{report}");
    assert_eq!(count("-", "-", "created"), Some(1), "{report}");
    assert_eq!(found.len(), 4, "{report}");
    assert_eq!((&report["wakes"], &report["more"]), (&7.into(), &0.into()));
    let shares = |key: &str| {
        { report["rows"].as_array().unwrap().iter() }
            .map(|row| row[key].as_u64().unwrap())
            .sum::<u64>()
    };
    // each is rounded down
    assert!(
        (999_000..=1_000_000).contains(&shares("share_ppm")),
        "{report}"
    );
    assert_eq!(report["measure"], "cost");
    assert_eq!(shares("awake_ms"), report["awake_ms"].as_u64().unwrap());
    let text = output_of(&mut world.dormouse.command(&["wakes", "shop", "--since", "2h"])).1;
    for line in [
        format!("`{of_app}` by admin@127.0.0.1: 3 wakes, "),
        "`SELECT ? FROM t` by checker@127.0.0.1: 2 wakes, ".to_owned(),
        "    a health check that reads a table: use SELECT 1, which wakes nothing".to_owned(),
        "an order by local:uid=".to_owned(),
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(&line)),
            "{line}\n{text}"
        );
    }
    let events = output_of(&mut world.dormouse.command(&["events", "shop"])).1;
    assert!(
        events.contains("a statement arrived: `SELECT ? FROM t` by checker@127.0.0.1\n"),
        "{events}"
    );
    // neither a literal nor a comment is kept
    let catalog = world.dormouse.data_dir().join("catalog.sqlite");
    let mut kept = vec![report.to_string(), text, events];
    for file in [catalog.clone(), catalog.with_extension("sqlite-wal")] {
        kept.push(String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned());
    }
    assert!(kept[3].contains("SELECT ? FROM t") || kept[4].contains("SELECT ? FROM t"));
    for text in kept {
        assert!(!text.contains("sekret") && !text.contains("4711"));
    }
}

#[test]
fn every_kind_of_command_that_wakes_is_named() {
    let world = World::new(CONFIG);
    let mut client = world.checker();
    let account = "checker@127.0.0.1".to_owned();
    let prepared = client.prepare("SELECT s FROM t WHERE i = ? AND s <> 'sekret'");
    let wakes_from = |sleep: &str, expected: &str, run: &mut dyn FnMut()| {
        let _ = world.dormouse.json(&[sleep, "shop"]);
        run();
        let expected = (expected.to_owned(), account.clone());
        assert_eq!(world.woken_by(), expected);
    };
    let wakes = |expected: &str, run: &mut dyn FnMut()| wakes_from("park", expected, run);
    let query = |client: &mut Client, text: &str| client.try_query(text).map(drop).unwrap();
    wakes("SELECT s FROM t WHERE i IN (...)", &mut || {
        query(&mut client, "SELECT s FROM t WHERE i IN (1, 2, 3)");
    });
    // a text that is longer than what is kept in memory of it
    let long = format!("SELECT '{}' FROM t WHERE i = 17", "sekret".repeat(100_000));
    wakes("SELECT …", &mut || query(&mut client, &long));
    wakes("INSERT INTO t VALUES (...)", &mut || {
        query(
            &mut client,
            "INSERT INTO t VALUES (1, 'sekret'), (2, 'sekret')",
        );
    });
    let mut execute = prepared.to_le_bytes().to_vec();
    // one parameter, a number
    execute.extend_from_slice(&[0, 1, 0, 0, 0, 0, 1, 3, 0, 1, 0, 0, 0]);
    wakes("SELECT s FROM t WHERE i = ? AND s <> ?", &mut || {
        client.command(Command::StmtExecute, &execute);
        client.binary_reply();
    });
    wakes("SELECT i FROM t WHERE i = ?", &mut || {
        client.prepare("SELECT i FROM t WHERE i = 17");
    });
    wakes("COM_STATISTICS", &mut || {
        client.command(Command::Statistics, b"");
        client.receive().unwrap();
    });
    // in this mode quotes are those of names, and what was prepared before may have values in them: it is not read, and
    // it prevents a park
    client.query("SET sql_mode = 'ANSI_QUOTES'").ok();
    wakes_from(
        "suspend",
        "SELECT \"i\" FROM \"t\" WHERE s = ?",
        &mut || {
            query(&mut client, "SELECT \"i\" FROM \"t\" WHERE s = 'sekret'");
        },
    );
    wakes_from("suspend", "COM_STMT_EXECUTE", &mut || {
        client.command(Command::StmtExecute, &execute);
        client.binary_reply();
    });
}

#[test]
fn a_thaw_is_a_wake_too_and_an_owner_sees_those_of_its_database() {
    let world = World::new(CONFIG);
    let mut client = world.checker();
    for _ in 0..2 {
        let _ = world.dormouse.json(&["suspend", "shop"]);
        client.query("SELECT i FROM t").rows();
        let account = "checker@127.0.0.1".to_owned();
        assert_eq!(world.woken_by(), ("SELECT i FROM t".to_owned(), account));
    }
    let report = world.dormouse.json(&["wakes", "shop", "--since", "1h"]);
    let wakes = |report: &Value| {
        let rows = report["rows"].as_array().unwrap().clone();
        let found = rows.iter().find(|row| row["cause"] == "statement");
        found.map(|row| row["wakes"].clone())
    };
    assert_eq!(wakes(&report), Some(2.into()), "{report}");
    // nothing of a database of the same name before
    let _ = world.dormouse.json(&["drop", "shop", "--yes"]);
    let (found, error) = output_of(&mut world.dormouse.command(&["wakes", "shop"]));
    assert!(!found && error.contains("shop"), "{error}");
    let _ = world.dormouse.create("shop", &[]);
    let report = world.dormouse.json(&["wakes", "shop"]);
    assert_eq!(
        (wakes(&report), &report["wakes"]),
        (None, &1.into()),
        "{report}"
    );
}
