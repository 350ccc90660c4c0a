//! `dormouse import` and `dormouse export`, with dumps of real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "import/data.rs"]
mod data;
#[allow(dead_code, reason = "the tests of following use the rest of it")]
#[path = "import/server.rs"]
mod server;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use data::{DUMPED, SCHEMAS, SHOP, many_statements, source, spoiled};
use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};
use server::{Server, contents};

fn dormouse() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fails(dormouse: &Dormouse, arguments: &[&str]) -> String {
    let (done, said) = output_of(&mut dormouse.command(arguments));
    assert!(!done, "{arguments:?}: {said}");
    said
}

fn works(dormouse: &Dormouse, arguments: &[&str]) -> String {
    let (done, said) = output_of(&mut dormouse.command(arguments));
    assert!(done, "{arguments:?}: {said}\n{}", dormouse.log());
    said
}

fn value(client: &mut Client, sql: &str) -> String {
    client.query(sql).value()
}

#[test]
fn a_dump_comes_in_as_it_is_plain_packed_and_from_a_pipe() {
    let source = source();
    let expected = contents(&mut source.connect(), &SCHEMAS);
    assert!(expected.len() > 20, "{expected:#?}");
    let dump = source.dump(&DUMPED);
    let plain = source.dir().join("dump.sql");
    std::fs::write(&plain, &dump).unwrap();
    for pack in ["gzip", "zstd"] {
        let packed = std::process::Command::new(pack)
            .arg("-k")
            .arg(&plain)
            .status();
        assert!(packed.unwrap().success(), "{pack}");
    }
    let dormouse = dormouse();
    for (name, file) in [
        ("plain", "dump.sql"),
        ("gz", "dump.sql.gz"),
        ("zst", "dump.sql.zst"),
    ] {
        let who = dormouse.create(name, &[]);
        let file = source.dir().join(file);
        let summary = dormouse.json(&["import", name, "--dump", text(&file)]);
        assert_eq!(summary["tables"], 5, "{summary}");
        assert_eq!(summary["rows"], 1012, "{summary}");
        let events = dormouse.json(&["events", name]);
        let mut events = events.as_array().unwrap().iter();
        let noted = events.find(|event| event["event"] == "imported").unwrap();
        assert_eq!(noted["figures"]["tables"], 5, "{noted}");
        assert_eq!(noted["figures"]["rows"], 1012, "{noted}");
        let definers = &summary["left_out"]["definer"];
        assert!(definers["count"].as_u64() >= Some(7), "{summary}");
        assert!(
            definers["details"].to_string().contains("boss@10.%"),
            "{summary}"
        );
        let mut owner = dormouse.connect(&who);
        assert_eq!(contents(&mut owner, &SCHEMAS), expected, "{name}");
        owner.query("CALL shop.fill(2)").ok();
        assert_eq!(value(&mut owner, "SELECT m FROM shop.counted"), "8");
    }
    // a pipe, into a database that the import makes
    let mut import = dormouse.command(&["import", "pipe", "--create", "--dump", "-"]);
    import.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut import = import.spawn().unwrap();
    import.stdin.take().unwrap().write_all(&dump).unwrap();
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("created pipe") && said.contains("imported 5 tables"),
        "{said}"
    );
    works(
        &dormouse,
        &["import", "pipe", "--create", "--dump", text(&plain)],
    );
}

#[test]
fn an_error_names_file_and_line_and_resuming_completes_without_a_row_twice() {
    let server = Server::start();
    let good = many_statements(&server);
    let expected = contents(&mut server.connect(), &["s"]);
    let path = server.dir().join("dump.sql");
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    let import = ["import", "shop", "--dump", text(&path)];
    let resume = [&import[..], &["--resume"]].concat();
    assert!(
        fails(
            &dormouse,
            &[&["import", "shop", "--dump", "/nowhere"][..]].concat()
        )
        .contains("/nowhere")
    );

    for bad in [
        "INSERT INTO `b` VALUES ('x'),;",
        "INSERT INTO `b` VALUES (1, 2);",
    ] {
        let (dump, line) = spoiled(&good, bad);
        std::fs::write(&path, dump).unwrap();
        let said = fails(&dormouse, &import);
        assert!(
            said.contains(&format!("dump.sql:{line}: rows for b: ")),
            "{said}"
        );
        assert!(
            said.contains("ERROR") || said.contains("1064") || said.contains("1136"),
            "{said}"
        );
        assert!(said.contains("--resume"), "{said}");
        assert_ne!(value(&mut owner, "SELECT COUNT(*) FROM s.b"), "0");
        // still wrong
        let said = fails(&dormouse, &resume);
        assert!(said.contains(&format!("dump.sql:{line}: ")), "{said}");
        // another dump
        std::fs::write(&path, good.replace("`a`", "`z`")).unwrap();
        let said = fails(&dormouse, &resume);
        assert!(said.contains("the dump has changed"), "{said}");
        // repaired
        std::fs::write(&path, &good).unwrap();
        works(&dormouse, &resume);
        assert_eq!(contents(&mut owner, &["s"]), expected);
        let said = fails(&dormouse, &resume);
        assert!(said.contains("no import into shop has stopped"), "{said}");
    }

    // past errors
    let (dump, line) = spoiled(&good, "INSERT INTO `b` VALUES (1, 2);");
    std::fs::write(&path, dump).unwrap();
    let said = fails(&dormouse, &[&import[..], &["--force"]].concat());
    assert!(
        said.contains(&format!("error: {}:{line}: rows for b: ", text(&path))),
        "{said}"
    );
    assert!(said.contains("1 statements were refused"), "{said}");
    assert_eq!(contents(&mut owner, &["s"]), expected);
}

/// Starts an import, waits until its statement waits for a lock on `s.b`, and kills it.
fn killed_in_the_middle(dormouse: &Dormouse, who: &Created, path: &Path, lock: &str) {
    let mut owner = dormouse.connect(who);
    for sql in ["SET autocommit = 0", lock] {
        owner.query(sql);
    }
    let mut import = dormouse.command(&["import", "shop", "--dump", text(path)]);
    let mut import = import.stdout(Stdio::null()).spawn().unwrap();
    let mut other = dormouse.connect(who);
    process::until("the import waits", || {
        let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO `b`%'";
        value(&mut other, sql) == "1"
    });
    import.kill().unwrap();
    import.wait().unwrap();
    process::until("its session has ended", || {
        let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO `b`%'";
        value(&mut other, sql) == "0"
    });
}

#[test]
fn a_killed_import_goes_on_at_the_beginning_of_its_table() {
    let server = Server::start();
    let good = many_statements(&server);
    let expected = contents(&mut server.connect(), &["s"]);
    let path = server.dir().join("dump.sql");
    // the table is not dropped by the dump, and its key is locked by another session once it is there
    let without_drop: Vec<_> = good
        .lines()
        .filter(|line| !line.starts_with("DROP TABLE"))
        .collect();
    let dormouse = dormouse();
    for (name, dump) in [("with", good.clone()), ("without", without_drop.join("\n"))] {
        std::fs::write(&path, dump).unwrap();
        let who = dormouse.create(name, &[]);
        let mut owner = dormouse.connect(&who);
        owner.query("SET GLOBAL lock_wait_timeout = 3600").ok();
        // stops after the first rows of `b`: a second session holds a lock on the table
        let mut import = dormouse.command(&["import", name, "--dump", text(&path)]);
        let mut import = import
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        process::until("rows of b are there", || {
            let there = owner.query("SELECT COUNT(*) > 0 FROM s.b");
            matches!(there, dormouse_testkit::Reply::Rows(rows) if rows[0][0].as_deref() == Some("1"))
        });
        import.kill().unwrap();
        import.wait().unwrap();
        let resumed =
            output_of(&mut dormouse.command(&["import", name, "--dump", text(&path), "--resume"]));
        // it may have been complete before it was killed
        assert!(
            resumed.0 || resumed.1.contains("no import"),
            "{}",
            resumed.1
        );
        assert_eq!(contents(&mut owner, &["s"]), expected, "{name}");
    }
}

#[test]
fn rows_for_a_table_that_was_there_are_never_written_twice() {
    let server = Server::start();
    let good = many_statements(&server);
    let begin = good.find("INSERT INTO `b`").unwrap();
    let end = good.find("/*!40000 ALTER TABLE `b` ENABLE").unwrap();
    let path = server.dir().join("rows.sql");
    std::fs::write(&path, format!("USE s;\n{}", &good[begin..end])).unwrap();
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE s").ok();
    owner.query("CREATE TABLE s.b (t VARCHAR(100))").ok();
    killed_in_the_middle(&dormouse, &who, &path, "LOCK TABLES s.b WRITE");
    let resume = ["import", "shop", "--dump", text(&path), "--resume"];
    let said = fails(&dormouse, &resume);
    assert!(said.contains("rows.sql:2: rows for b: "), "{said}");
    assert!(said.contains("--unsure skip"), "{said}");
    let before = value(&mut owner, "SELECT COUNT(*) FROM s.b");
    let decision = match before.as_str() {
        "0" => "repeat",
        _ => "skip",
    };
    works(&dormouse, &[&resume[..], &["--unsure", decision]].concat());
    assert_eq!(value(&mut owner, "SELECT COUNT(*) FROM s.b"), "1000");
}

#[test]
fn what_an_owner_may_not_do_is_left_out_and_told() {
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump.sql");
    let dump = "\
/*M!999999\\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'aaaa:1-5';
/*!80000 SET SESSION information_schema_stats_expiry=0 */;
SET GLOBAL general_log = 1;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `mysql`;
USE `mysql`;
CREATE TABLE global_priv (x INT);
INSERT INTO global_priv VALUES (1);
CREATE DATABASE s;
USE s;
LOCK TABLES `t` WRITE;
CREATE TABLE t (a VARCHAR(5) COLLATE utf8mb4_0900_ai_ci) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
INSERT INTO t VALUES ('x');
UNLOCK TABLES;
CREATE USER app IDENTIFIED BY 'secret';
GRANT SUPER ON *.* TO app;
FLUSH PRIVILEGES;
DELIMITER ;;
CREATE DEFINER=`root`@`localhost` PROCEDURE p() BEGIN SELECT 1; SELECT 2; END ;;
DELIMITER ;
-- Dump completed on 2026-11-29
";
    std::fs::write(&path, dump).unwrap();
    let summary = dormouse.json(&["import", "shop", "--dump", text(&path)]);
    let count = |reason: &str| summary["left_out"][reason]["count"].as_u64().unwrap_or(0);
    let expected = [
        ("replication", 3),
        ("global_variable", 1),
        ("system_schema", 4),
        ("locks", 2),
        ("account", 1),
        ("flush", 1),
        ("definer", 1),
    ];
    for (reason, times) in expected {
        assert_eq!(count(reason), times, "{reason}: {summary}");
    }
    assert_eq!(summary["rows"], 1, "{summary}");
    assert!(!summary.to_string().contains("secret"), "{summary}");
    let mut owner = dormouse.connect(&who);
    assert_eq!(value(&mut owner, "SELECT a FROM s.t"), "x");
    assert_eq!(
        value(
            &mut owner,
            "SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_NAME = 'p'"
        ),
        "admin@%"
    );

    // a dump that ends too early
    let cut = dump
        .split("FLUSH")
        .next()
        .unwrap()
        .replace("CREATE DATABASE s", "CREATE DATABASE IF NOT EXISTS s");
    std::fs::write(
        &path,
        cut.replace("CREATE TABLE t", "CREATE TABLE u")
            .replace("CREATE USER app", "CREATE USER b"),
    )
    .unwrap();
    let said = fails(&dormouse, &["import", "shop", "--dump", text(&path)]);
    assert!(said.contains("is truncated"), "{said}");
    // not SQL
    std::fs::write(&path, "SELECT 1;\n\\! touch /tmp/x\n").unwrap();
    let said = fails(&dormouse, &["import", "shop", "--dump", text(&path)]);
    assert!(
        said.contains("dump.sql:2: '\\!' is a command for the mariadb client"),
        "{said}"
    );
    // for no schema
    std::fs::write(&path, "CREATE TABLE v (i INT);").unwrap();
    let said = fails(&dormouse, &["import", "shop", "--dump", text(&path)]);
    assert!(said.contains("--schema"), "{said}");
    works(
        &dormouse,
        &["import", "shop", "--schema", "fresh", "--dump", text(&path)],
    );
    assert_eq!(value(&mut owner, "SELECT COUNT(*) FROM fresh.v"), "0");
    // larger than the server takes
    std::fs::write(
        &path,
        format!("INSERT INTO fresh.v VALUES ('{}');", "x".repeat(17 << 20)),
    )
    .unwrap();
    let said = fails(&dormouse, &["import", "shop", "--dump", text(&path)]);
    assert!(said.contains("max_allowed_packet"), "{said}");
}

#[test]
fn a_server_comes_with_its_accounts_and_their_passwords() {
    let source = source();
    source.run(&[
        "CREATE ROLE readers",
        "GRANT SELECT ON shop.* TO readers",
        "CREATE USER app IDENTIFIED BY 'app-password'",
        "GRANT ALL PRIVILEGES ON shop.* TO app",
        "CREATE USER 'report'@'127.%' IDENTIFIED BY 'report-password'",
        "GRANT readers TO 'report'@'127.%'",
        "SET DEFAULT ROLE readers FOR 'report'@'127.%'",
        "GRANT SELECT (id, name) ON shop.customer TO 'report'@'127.%'",
        "CREATE USER ops IDENTIFIED BY 'ops-password'",
        "GRANT SELECT, SUPER ON *.* TO ops",
        "CREATE USER admin IDENTIFIED BY 'not this one'",
    ]);
    let expected = contents(&mut source.connect(), &SCHEMAS);
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let url = format!(
        "mysql://root@localhost/?socket={}",
        source.socket().display()
    );
    let summary = dormouse.json(&["import", "shop", "--from", &url]);
    let accounts = summary["accounts"].to_string();
    for account in ["readers", "app@%", "report@127.%", "ops@%", "boss@10.%"] {
        assert!(accounts.contains(&format!("\"{account}\"")), "{summary}");
    }
    let not_brought = summary["not_brought"].to_string();
    for text in ["root@localhost: ", "admin@%: ", "ops@%: SUPER: "] {
        assert!(not_brought.contains(text), "{text}: {summary}");
    }
    let mut owner = dormouse.connect(&who);
    assert_eq!(contents(&mut owner, &SCHEMAS), expected);
    let login = |user: &str, password: &str| {
        let user = format!("shop.{user}");
        dormouse.connect(&Created {
            user,
            password: password.to_owned(),
        })
    };
    let mut app = login("app", "app-password");
    app.query("INSERT INTO shop.log VALUES ('new', 9)").ok();
    let mut report = login("report", "report-password");
    assert_eq!(
        value(&mut report, "SELECT COUNT(*) FROM shop.customer"),
        "4"
    );
    assert_eq!(value(&mut report, "SELECT CURRENT_ROLE()"), "readers");
    report.query("DELETE FROM shop.log").err();
    let mut ops = login("ops", "ops-password");
    assert_eq!(value(&mut ops, "SELECT COUNT(*) FROM shop.customer"), "4");

    // again: each table is made anew
    let summary = dormouse.json(&["import", "shop", "--from", &url]);
    assert!(
        summary["not_brought"]
            .to_string()
            .contains("keeps its password"),
        "{summary}"
    );
    assert_eq!(contents(&mut owner, &SCHEMAS), expected);
    // one schema alone, and a server that is not there
    let other = dormouse.create("other", &[]);
    let url = format!(
        "mysql://root@localhost/odd-name?socket={}",
        source.socket().display()
    );
    works(&dormouse, &["import", "other", "--from", &url]);
    assert_eq!(
        value(
            &mut dormouse.connect(&other),
            "SELECT COUNT(*) FROM `odd-name`.`t``;x`"
        ),
        "2"
    );
    let said = fails(
        &dormouse,
        &[
            "import",
            "other",
            "--from",
            "mysql://root@localhost/?socket=/nowhere",
        ],
    );
    assert!(said.contains("/nowhere"), "{said}");
}

#[test]
fn an_export_comes_in_again_as_it_was() {
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("SET NAMES utf8mb4").ok();
    for sql in SHOP {
        owner
            .query(&sql.replace("DEFINER = 'boss'@'10.%' ", ""))
            .ok();
    }
    let expected = contents(&mut owner, &SCHEMAS);
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.sql", "b.sql.gz"] {
        let path = dir.path().join(file);
        // it wakes
        works(&dormouse, &["park", "shop"]);
        let said = works(&dormouse, &["export", "shop", "-o", text(&path)]);
        assert!(said.contains("exported shop"), "{said}");
        assert!(!dir.path().join(format!("{file}.part")).exists());
        let name = &file[..1];
        let copy = dormouse.create(name, &[]);
        let summary = dormouse.json(&["import", name, "--dump", text(&path)]);
        assert!(summary["left_out"]["definer"].is_null(), "{summary}");
        assert_eq!(contents(&mut dormouse.connect(&copy), &SCHEMAS), expected);
    }
    // one schema, to standard output
    let output = dormouse
        .command(&["export", "shop", "--schema", "odd-name"])
        .output()
        .unwrap();
    let dump = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        dump.contains("Dump completed") && !dump.contains("customer"),
        "{dump}"
    );
    let said = fails(
        &dormouse,
        &[
            "export",
            "shop",
            "--schema",
            "missing",
            "-o",
            text(&dir.path().join("x")),
        ],
    );
    assert!(said.contains("the dump failed"), "{said}");
    assert!(!dir.path().join("x").exists() && !dir.path().join("x.part").exists());
    let secrets = std::fs::read_dir(dormouse.data_dir().join("exports"))
        .unwrap()
        .count();
    assert_eq!(secrets, 0, "files with passwords are left");
}

#[test]
fn a_directory_of_mydumpers_comes_in() {
    let dormouse = dormouse();
    let who = dormouse.create("shop", &[]);
    let dir = tempfile::tempdir().unwrap();
    let head = "/*!40101 SET NAMES binary*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\n";
    for (file, text) in [
        ("metadata", "Started dump at: 2026-11-29 10:00:00\n"),
        ("s-schema-create.sql", "CREATE DATABASE `s`;\n"),
        (
            "s.child-schema.sql",
            "CREATE TABLE `child` (`p` int, FOREIGN KEY (`p`) REFERENCES `parent` (`id`));\n",
        ),
        ("s.child.sql", "INSERT INTO `child` VALUES\n(1),\n(2);\n"),
        (
            "s.parent-schema.sql",
            "CREATE TABLE `parent` (`id` int PRIMARY KEY, `t` text);\n",
        ),
        (
            "s.parent.00000.sql",
            "INSERT INTO `parent` VALUES\n(1,\"a;\\\"b\");\n",
        ),
        (
            "s.parent.00001.sql",
            "INSERT INTO `parent` VALUES\n(2,\"c\");\n",
        ),
        ("s.v-schema.sql", "CREATE TABLE `v`(`id` int);\n"),
        (
            "s.v-schema-view.sql",
            "DROP TABLE IF EXISTS `v`;\nDROP VIEW IF EXISTS `v`;\nCREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v` AS select 1 AS `id`;\n",
        ),
        (
            "s-schema-post.sql",
            "CREATE DEFINER=`root`@`localhost` PROCEDURE `p`()\nBEGIN\n SELECT 1; \nEND;\n",
        ),
    ] {
        let text = match file {
            "metadata" => text.to_owned(),
            _ => format!("{head}{text}"),
        };
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let summary = dormouse.json(&["import", "shop", "--dump", text(dir.path())]);
    assert_eq!(summary["rows"], 4, "{summary}");
    let mut owner = dormouse.connect(&who);
    assert_eq!(
        value(
            &mut owner,
            "SELECT GROUP_CONCAT(t ORDER BY id) FROM s.parent"
        ),
        "a;\"b,c"
    );
    assert_eq!(value(&mut owner, "SELECT id FROM s.v"), "1");
    owner.query("INSERT INTO s.child VALUES (9)").err();
    std::fs::write(dir.path().join("metadata.partial"), "").unwrap();
    let said = fails(&dormouse, &["import", "shop", "--dump", text(dir.path())]);
    assert!(said.contains("not complete"), "{said}");
}
