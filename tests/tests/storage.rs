//! Traffic counters of a database, and its storage quota.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dice::Dice;
use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::command::Command;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";
const INSERT: &str = "INSERT INTO s.big VALUES (REPEAT('a', 1000000))";

/// A value of `SHOW DORMOUSE STATUS`.
fn figure(client: &mut Client, name: &str) -> Option<String> {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let mut rows = rows.into_iter();
    let found = rows.find(|row| row[0].as_deref() == Some(name));
    found.and_then(|mut row| row.pop()).flatten()
}

fn carried(client: &mut Client) -> [u64; 3] {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    ["statements", "bytes_in", "bytes_out"].map(|name| {
        let row = rows.iter().find(|row| row[0].as_deref() == Some(name));
        row.and_then(|row| row[1].as_deref())
            .unwrap()
            .parse()
            .unwrap()
    })
}

#[test]
fn statements_and_bytes_are_counted_awake_and_asleep() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let long = format!("SELECT LENGTH('{}')", "a".repeat(100_000));
    for asleep in [false, true] {
        if asleep {
            let _ = dormouse.json(&["park", "shop"]);
        }
        let texts: &[&str] = if asleep {
            &["SELECT 1", "SELECT @@version"]
        } else {
            &["SELECT 1", "SELEC", &long, "SELECT REPEAT('a', 1000000)"]
        };
        let received = client.received;
        let before = carried(&mut client);
        for text in texts {
            client.query(text);
        }
        let received = client.received - received;
        let after = carried(&mut client);
        assert_eq!(dormouse.state("shop") == "parked", asleep);
        // the statement that shows the counter is not in it
        let asked = texts.iter().copied().chain(["SHOW DORMOUSE STATUS"]);
        let sent: usize = asked.map(|text| text.len() + 5).sum();
        let expected = [texts.len() as u64 + 1, sent as u64, received];
        assert_eq!([0, 1, 2].map(|i| after[i] - before[i]), expected);
    }
    let metrics = dormouse.command(&["metrics"]).output().unwrap().stdout;
    let metrics = String::from_utf8(metrics).unwrap();
    for name in ["statements", "received_bytes", "sent_bytes"] {
        let line = format!("dormouse_{name}_total{{database=\"shop\"}} ");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn a_result_counts_while_it_streams() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let mut other = dormouse.connect(&who);
    let rows = "SELECT REPEAT('a', 1000000) UNION ALL SELECT SLEEP(1000)";
    client.command(Command::Query, rows.as_bytes());
    process::until("its beginning is counted", || {
        carried(&mut other)[2] > 900_000
    });
    other.query(&format!("KILL {}", client.id())).ok();
}

/// The error of a statement that would make the database larger.
fn refused(reply: Reply) {
    let error = reply.err();
    assert_eq!((error.code, &error.sqlstate), (1290, b"HY000"));
    let said = &error.message;
    let begin = "database 'shop' is read-only: its storage quota of 64MiB is used up (";
    assert!(said.starts_with(begin), "{said}");
    assert!(
        said.ends_with("; reading, DELETE, DROP, TRUNCATE and OPTIMIZE are allowed"),
        "{said}"
    );
}

/// Fills the database until it is full.
fn fill(client: &mut Client) {
    let full = (0..1000).find_map(|_| match client.query(INSERT) {
        Reply::Ok(_) => None,
        error => Some(error),
    });
    refused(full.unwrap_or_else(|| panic!("its quota is not noticed")));
}

fn limited() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!("{AWAKE}storage_quota = \"64MiB\"\n"));
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for statement in [
        "CREATE DATABASE s",
        "CREATE TABLE s.big (b LONGBLOB)",
        "CREATE TABLE s.small (i INT)",
        "CREATE TABLE s.other (i INT)",
    ] {
        client.query(statement).ok();
    }
    (dormouse, who)
}

fn execute(client: &mut Client, id: u32) -> Reply {
    let argument = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
    client.command(Command::StmtExecute, &argument);
    client.result().unwrap()
}

#[test]
fn a_full_database_is_read_only_until_it_has_space_again() {
    let (mut dormouse, who) = limited();
    let mut client = dormouse.connect(&who);
    let mut writer = dormouse.connect(&who);
    for statement in [
        "INSERT INTO s.small VALUES (1), (2)",
        "PREPARE writes FROM 'INSERT INTO s.small VALUES (3)'",
        "PREPARE removes FROM 'DELETE FROM s.small WHERE i = 2'",
        "BEGIN",
        "UPDATE s.small SET i = 7 WHERE i = 1",
    ] {
        client.query(statement).ok();
    }
    let prepared = client.prepare("INSERT INTO s.small VALUES (3)");
    execute(&mut client, prepared).ok();

    fill(&mut writer);
    refused(client.query("UPDATE s.small SET i = 8"));
    refused(client.query("SELECT 1; INSERT INTO s.small VALUES (3)"));
    refused(client.query(&format!("/* {} */ {INSERT}", " ".repeat(200_000))));
    refused(client.query("EXECUTE writes"));
    refused(execute(&mut client, prepared));
    client.command(Command::StmtPrepare, INSERT.as_bytes());
    refused(client.result().unwrap());
    client.command(Command::CreateDb, b"other");
    refused(client.result().unwrap());
    client.query("EXECUTE removes").ok();
    client.query("COMMIT").ok();
    let left = "SELECT GROUP_CONCAT(i ORDER BY i) FROM s.small";
    assert_eq!(client.query(left).value(), "3,7");
    let reason = figure(&mut client, "read_only").unwrap();
    assert!(reason.starts_with("its storage quota"), "{reason}");

    let shown = dormouse.show("shop");
    assert_eq!(shown["read_only"], reason);
    assert!(shown["storage"].as_u64().unwrap() >= 64 << 20, "{shown}");
    let told = dormouse.json(&["events", "shop"]).to_string();
    assert!(told.contains("is refused from now on"), "{told}");

    // the refusal does not wake it, and a crash does not end the restriction
    let _ = dormouse.json(&["park", "shop"]);
    refused(writer.query(INSERT));
    assert_eq!(dormouse.state("shop"), "parked");
    dormouse.kill();
    dormouse.up();
    let mut client = dormouse.connect(&who);
    refused(client.query(INSERT));
    assert_eq!(dormouse.state("shop"), "parked");

    client.query("DROP TABLE s.big").ok();
    process::until("it may grow again", || {
        dormouse.show("shop")["read_only"].is_null()
    });
    client.query("CREATE TABLE s.big (b LONGBLOB)").ok();
    client.query(INSERT).ok();
    assert_eq!(figure(&mut client, "read_only"), None);
}

/// Contexts in which a text can be.
const AROUND: &[[&str; 2]] = &[
    ["/* ", " */"],
    ["/*! ", " */"],
    ["/*!40000 ", " */"],
    ["/*!50700 ", " */"],
    ["/*!101199 ", " */"],
    ["/*!999999 ", " */"],
    ["/*M!100100 ", " */"],
    ["/*M!999999 ", " */"],
    ["-- ", "\n"],
    ["# ", "\n"],
    ["( ", " )"],
    ["'", "'"],
    ["'", "\\'"],
    ["\"", "\""],
    ["`", "`"],
    ["SELECT '", "'"],
    ["SELECT '\\", "'"],
    ["SELECT \"", "\""],
    ["SELECT ", ""],
    ["PREPARE p FROM '", "'"],
    ["PREPARE p FROM '", "'; EXECUTE p"],
    ["EXECUTE IMMEDIATE '", "'"],
    ["EXECUTE IMMEDIATE '/* ' ", ""],
    ["ANALYZE ", ""],
    ["ANALYZE FORMAT=JSON ", ""],
    ["EXPLAIN ", ""],
    ["SET STATEMENT max_statement_time = 1 FOR ", ""],
    ["BEGIN NOT ATOMIC ", "; END"],
    ["a: BEGIN NOT ATOMIC ", "; END"],
    ["IF 1 THEN ", "; END IF"],
    ["WITH a AS (SELECT 1) ", ""],
    ["BEGIN; ", "; COMMIT"],
    [
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; ",
        "; SET sql_mode = ''",
    ],
    ["SET sql_mode = 'ANSI_QUOTES'; ", "; SET sql_mode = ''"],
];

/// A text that may write, possibly hidden in another construct.
fn suspicious(dice: &mut Dice, depth: u32) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        match dice.below(7) {
            0 | 1 => text += "INSERT INTO s.small VALUES (1)",
            2 => text += dice.one_of(&["SELECT 1", "DO 1", "SELECT '\\'", "EXECUTE p"]),
            3 => text += dice.one_of(&["DELETE FROM s.other", "\\", "'", "--", "*/"]),
            4 => text += "; ",
            _ if depth > 0 => {
                let [before, behind] = AROUND[dice.index(AROUND.len())];
                text += &format!("{before}{}{behind}", suspicious(dice, depth - 1));
            }
            _ => text += "; ",
        }
        text.push(' ');
    }
    text
}

#[test]
fn no_writing_text_is_allowed() {
    let (dormouse, who) = limited();
    let mut client = dormouse.connect(&who);
    client.query("INSERT INTO s.small VALUES (7)").ok();
    fill(&mut client);
    let mut dice = Dice::new(1290);
    let (mut let_through, mut ran) = (0, 0);
    for _ in 0..6000 {
        let text = suspicious(&mut dice, 3);
        match client.query(&text) {
            Reply::Err(error) if error.code == 1290 => continue,
            Reply::Err(_) => {}
            Reply::Ok(_) | Reply::Rows(_) => ran += 1,
        }
        let_through += 1;
        let rows = client.query("SELECT COUNT(*) FROM s.small").value();
        assert_eq!(rows, "1", "{text}");
    }
    assert!(let_through > 500 && ran > 100, "{let_through} {ran}");
}
