//! Databases that move to other instances: under load, asleep, and with sessions in the way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dormouse, process};

#[path = "relocation/load.rs"]
mod load;

/// A Dormouse whose databases sleep only when told to.
fn awake() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

fn count(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

fn seat(dormouse: &Dormouse) -> u64 {
    dormouse.show("shop")["instance"].as_u64().unwrap()
}

fn moves(dormouse: &Dormouse) -> u64 {
    let before = seat(dormouse);
    let done = dormouse.json(&["move", "shop"]);
    assert_eq!(done["from"], before, "{done}");
    let now = seat(dormouse);
    assert_eq!(done["to"], now, "{done}");
    assert_ne!(before, now);
    now
}

/// `DORMOUSE_MOVES` says how many, `DORMOUSE_MOVE_CLIENTS` how many clients.
#[test]
fn a_database_moves_under_load_and_no_client_notices() {
    let dormouse = awake();
    let who = dormouse.create("shop", &["--units", "2..2"]);
    load::make(&mut dormouse.connect(&who));
    let clients = count("DORMOUSE_MOVE_CLIENTS", 8);
    load::run(&dormouse, &who, clients, || {
        for _ in 0..count("DORMOUSE_MOVES", 3) {
            moves(&dormouse);
        }
    });
}

#[test]
fn a_database_moves_to_another_data_directory_and_back() {
    let dormouse = Dormouse::start_with(
        "data_dirs = [\"{dir}/disk2\"]\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n",
    );
    let who = dormouse.create("shop", &["--units", "2..2"]);
    let own = dormouse.data_dir().to_str().unwrap().to_owned();
    let other = dormouse.dir().join("disk2").to_str().unwrap().to_owned();
    load::make(&mut dormouse.connect(&who));
    load::run(&dormouse, &who, 4, || {
        for dir in [&other, &own, &other] {
            let _ = dormouse.json(&["move", "shop", "--to", dir]);
            assert_eq!(dormouse.show("shop")["root"], **dir);
        }
    });
    let _ = dormouse.json(&["park", "shop"]);
    let _ = dormouse.json(&["move", "shop", "--to", &own]);
    let shown = dormouse.show("shop");
    assert_eq!(
        (&shown["root"], &shown["state"]),
        (&own.into(), &"parked".into()),
        "{shown}"
    );
    let (moved, why) = output_of(&mut dormouse.command(&["move", "shop", "--to", "/nowhere"]));
    assert!(
        !moved && why.contains("none of the data directories"),
        "{why}"
    );
    let mut client = dormouse.connect(&who);
    assert_eq!(
        client.query("SELECT COUNT(*) FROM app.account").value(),
        "4"
    );
}

/// Skipped where there is no second server. `DORMOUSE_UPGRADES` says how many, `DORMOUSE_MOVE_CLIENTS` how many clients.
#[test]
fn databases_are_upgraded_under_load_and_no_client_notices() {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let newer = std::env::var("DORMOUSE_TEST_MARIADBD_118").ok();
    let Some(newer) = newer.filter(|newer| *newer != older) else {
        return;
    };
    let dormouse = Dormouse::start_with(&format!(
        "[servers]\n\"11.8\" = \"{newer}\"\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n"
    ));
    for n in 0..count("DORMOUSE_UPGRADES", 1) {
        let name = format!("shop{n}");
        let who = dormouse.create(&name, &["--units", "2..2"]);
        load::make(&mut dormouse.connect(&who));
        let before = dormouse.show(&name)["instance"].clone();
        let checked = dormouse.json(&["upgrade", &name, "--to", "11.8", "--check"]);
        assert_eq!(checked["damaged"], serde_json::json!([]), "{checked}");
        assert_eq!(dormouse.show(&name)["instance"], before);
        load::run(&dormouse, &who, count("DORMOUSE_MOVE_CLIENTS", 4), || {
            let _ = dormouse.json(&["upgrade", &name, "--to", "11.8", "--keep", "0"]);
        });
        assert_eq!(dormouse.show(&name)["version"], "11.8");
        let mut client = dormouse.connect(&who);
        let version = client.query("SELECT VERSION()").value();
        assert!(version.starts_with("11.8"), "{version}");
        let back = ["upgrade", &name, "--to", "10.11"];
        let (done, why) = output_of(&mut dormouse.command(&back));
        assert!(!done && why.contains("older"), "{why}");
        let _ = dormouse.json(&["drop", &name, "--yes"]);
    }
    // one that sleeps is upgraded asleep
    let old = dormouse.create("blog", &[]);
    let mut client = dormouse.connect(&old);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    client.query("INSERT INTO app.t VALUES (7)").ok();
    let _ = dormouse.json(&["park", "blog"]);
    let _ = dormouse.json(&["upgrade", "blog", "--to", "11.8"]);
    assert_eq!(dormouse.state("blog"), "parked");
    assert_eq!(client.query("SELECT n FROM app.t").value(), "7");
    let version = client.query("SELECT VERSION()").value();
    assert!(version.starts_with("11.8"), "{version}");
}

#[test]
fn what_a_server_has_is_there_after_a_move() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let first = dormouse.instance("shop");
    let mut admin = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "USE app",
        "CREATE TABLE i (n INT PRIMARY KEY AUTO_INCREMENT, t TEXT) ENGINE = InnoDB",
        "CREATE TABLE m (n INT PRIMARY KEY, t TEXT) ENGINE = MyISAM",
        "INSERT INTO i (t) VALUES ('a'), ('b')",
        "INSERT INTO m VALUES (1, 'a')",
        "CREATE USER bo IDENTIFIED BY 'a password'",
        "GRANT SELECT, INSERT ON app.* TO bo",
        "CREATE EVENT runs ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SET @a = 1",
        "CREATE EVENT rests ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO SET @a = 1",
        "SET GLOBAL max_statement_time = 77",
        "SET @mine = 'kept'",
        "SET SESSION sql_mode = 'ANSI'",
    ] {
        admin.query(text).ok();
    }
    let events =
        "SELECT GROUP_CONCAT(event_name, ' ', status ORDER BY 1) FROM information_schema.events";
    let before = admin.query(events).value();
    assert_eq!(before, "rests DISABLED,runs ENABLED");
    let bo = Created {
        user: "shop.bo".to_owned(),
        password: "a password".to_owned(),
    };
    dormouse.connect(&bo).query("SELECT * FROM app.i").rows();
    let prepared = admin.prepare("INSERT INTO i (t) VALUES ('by a prepared statement')");
    for _ in 0..2 {
        moves(&dormouse);
        assert_eq!(admin.query("SELECT @mine").value(), "kept");
        assert_eq!(admin.query("SELECT @@sql_mode LIKE '%ANSI%'").value(), "1");
        assert_eq!(
            admin.query("SELECT @@GLOBAL.max_statement_time").value(),
            "77.000000"
        );
        assert_eq!(admin.query("SELECT @@GLOBAL.read_only").value(), "0");
        assert_eq!(admin.query(events).value(), before);
        let mut execute = prepared.to_le_bytes().to_vec();
        execute.extend_from_slice(&[0, 1, 0, 0, 0]);
        let ok = admin.exchange_whole(dormouse_wire::Command::StmtExecute, &execute);
        assert_eq!(ok.unwrap().get(4), Some(&0));
        admin
            .query("INSERT INTO m SELECT MAX(n) + 1, 'later' FROM m")
            .ok();
        dormouse
            .connect(&bo)
            .query("INSERT INTO app.i (t) VALUES ('bo')")
            .ok();
    }
    for round in 0..3 {
        assert_eq!(
            admin.query("SELECT COUNT(*) FROM app.i").value(),
            "6",
            "{round}"
        );
        assert_eq!(
            admin.query("SELECT COUNT(*) FROM app.m").value(),
            "3",
            "{round}"
        );
        assert_eq!(admin.query(events).value(), before, "{round}");
        dormouse.connect(&bo).query("SELECT * FROM app.i").rows();
        let _ = dormouse.json(&["park", "shop"]);
    }
    // others are made of it, under the credentials that it began with
    let _ = dormouse.json(&["branch", "shop", "copy"]);
    let copy = Created {
        user: "copy.bo".to_owned(),
        password: "a password".to_owned(),
    };
    assert_eq!(
        dormouse
            .connect(&copy)
            .query("SELECT COUNT(*) FROM app.i")
            .value(),
        "6"
    );
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    assert!(!first.exists(), "the files from which it moved are gone");
}

#[test]
fn a_database_that_sleeps_moves_asleep() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    client.query("INSERT INTO app.t VALUES (1)").ok();
    let _ = dormouse.json(&["park", "shop"]);
    let generation = dormouse.show("shop")["generation"].clone();
    moves(&dormouse);
    let shown = dormouse.show("shop");
    assert_eq!(shown["state"], "parked", "{shown}");
    assert_eq!(shown["generation"], generation, "no server was started");
    assert_eq!(client.query("SELECT n FROM app.t").value(), "1");
    // one that is frozen keeps what it has in memory: it is thawed for the move
    let _ = dormouse.json(&["suspend", "shop"]);
    moves(&dormouse);
    assert_eq!(client.query("SELECT n FROM app.t").value(), "1");
}

#[test]
fn a_session_that_cannot_be_carried_puts_the_move_off_and_it_can_be_cancelled() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    // the first move begins the log
    moves(&dormouse);
    client.query("CREATE TEMPORARY TABLE app.mine (n INT)").ok();
    client.query("INSERT INTO app.mine VALUES (7)").ok();
    let before = seat(&dormouse);
    let mut command = dormouse.command(&["move", "shop"]);
    let moved = thread::spawn(move || output_of(&mut command));
    process::until("the move waits for the session", || {
        let waits = dormouse.show("shop")["moving"]["waits_for"].to_string();
        waits.contains("temporary_table")
    });
    let (again, why) = output_of(&mut dormouse.command(&["move", "shop"]));
    assert!(!again && why.contains("being moved already"), "{why}");
    let (cancelled, said) = output_of(&mut dormouse.command(&["move", "shop", "--cancel"]));
    assert!(cancelled, "{said}");
    let (moved, why) = moved.join().unwrap();
    assert!(!moved && why.contains("cancelled"), "{why}");
    assert_eq!(seat(&dormouse), before);
    assert_eq!(client.query("SELECT n FROM app.mine").value(), "7");
    assert_eq!(dormouse.show("shop")["moving"], serde_json::Value::Null);
    let (cancelled, why) = output_of(&mut dormouse.command(&["move", "shop", "--cancel"]));
    assert!(!cancelled && why.contains("not being moved"), "{why}");
    client.query("DROP TEMPORARY TABLE app.mine").ok();
    moves(&dormouse);
}

#[test]
fn an_open_transaction_goes_on_and_the_switch_waits_for_its_end() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    moves(&dormouse);
    client.query("BEGIN").ok();
    client.query("INSERT INTO app.t VALUES (1)").ok();
    let mut command = dormouse.command(&["move", "shop"]);
    let moved = thread::spawn(move || output_of(&mut command));
    process::until("the move waits for the transaction", || {
        let waits = dormouse.show("shop")["moving"]["waits_for"].to_string();
        waits.contains("transaction")
    });
    client.query("INSERT INTO app.t VALUES (2)").ok();
    assert!(!moved.is_finished());
    client.query("COMMIT").ok();
    let (moved, said) = moved.join().unwrap();
    assert!(moved, "{said}");
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "2");
}

#[test]
fn a_database_leaves_a_disk_that_has_no_room_for_a_copy_of_it() {
    const CONFIG: &str = "data_dirs = [\"{dir}/small\"]\n[places]\nshed = false\n[limits]\ndisk_reserve = \"1MiB\"\n\
        [defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";
    let Some((_disk, mut dormouse)) = Dormouse::prepare_on_small_disks(CONFIG, &["small"], 110)
    else {
        return;
    };
    dormouse.up();
    let small = dormouse.dir().join("small");
    let who = dormouse.create("shop", &["--in", small.to_str().unwrap()]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (c LONGBLOB)").ok();
    for _ in 0..20 {
        client
            .query("INSERT INTO app.t VALUES (REPEAT('x', 500000))")
            .ok();
    }
    let junk = vec![1; (free(&small) - (30 << 20)) as usize];
    std::fs::write(small.join("something-else"), junk).unwrap();

    let before = free(&small);
    let (made, told) = output_of(&mut dormouse.command(&["branch", "shop", "other"]));
    assert!(!made && told.contains("disk_reserve"), "{told}");
    let left = std::fs::read_dir(small.join("instances")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().ends_with(".tmp")),
        "{left:?}"
    );
    assert!(free(&small) + (4 << 20) > before);

    let to = dormouse.data_dir();
    let _ = dormouse.json(&["move", "shop", "--to", to.to_str().unwrap()]);
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "20");
}

/// Bytes that are free on a disk.
fn free(disk: &Path) -> u64 {
    let mut df = std::process::Command::new("df");
    df.args(["-B1", "--output=avail"]).arg(disk);
    let said = String::from_utf8(df.output().unwrap().stdout).unwrap();
    said.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_server_keeps_little_of_a_log_that_was_for_a_move_alone() {
    let mut dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let kept = "SELECT @@GLOBAL.log_bin, @@GLOBAL.binlog_expire_logs_seconds";
    for _ in 0..2 {
        moves(&dormouse);
        assert_eq!(
            client.query(kept).rows(),
            [["1", "60"].map(|it| Some(it.to_owned()))]
        );
    }
    dormouse.kill();
    dormouse.up();
    let mut client = dormouse.connect(&who);
    assert_eq!(
        client.query(kept).rows(),
        [["1", "60"].map(|it| Some(it.to_owned()))]
    );
}

#[test]
fn files_from_which_it_moved_are_kept_as_long_as_told() {
    let mut dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let first = dormouse.instance("shop");
    let _ = dormouse.json(&["move", "shop", "--keep", "1d"]);
    assert!(first.is_dir());
    dormouse.kill();
    dormouse.up();
    assert!(first.is_dir(), "a start keeps them");
    let mut client = dormouse.connect(&who);
    client
        .query("SELECT 1 FROM DUAL WHERE 1 = 1 FOR UPDATE")
        .rows();
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    assert!(!first.exists(), "they go with the database");
}

/// Orders of the API and statements of an owner, also of clients that leave before the answer, while it moves and sleeps.
#[test]
fn no_account_that_was_changed_during_moves_is_lost() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let ended = AtomicBool::new(false);
    let made = thread::scope(|scope| {
        let by_order = |thread: u64| {
            let (dormouse, ended) = (&dormouse, &ended);
            scope.spawn(move || {
                let mut made = Vec::new();
                for n in 0.. {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let name = format!("o{thread}_{n}");
                    let _ = dormouse.json(&["user", "add", "shop", &name]);
                    made.push(name);
                }
                made
            })
        };
        let by_statement = |thread: u64| {
            let (dormouse, ended, who) = (&dormouse, &ended, &who);
            scope.spawn(move || {
                let mut made = Vec::new();
                let mut client = dormouse.connect(who);
                for n in 0.. {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let name = format!("s{thread}_{n}");
                    client.query(&format!("CREATE USER {name}")).ok();
                    made.push(name);
                }
                made
            })
        };
        let threads: Vec<_> = (0..3)
            .map(by_order)
            .chain((0..2).map(by_statement))
            .collect();
        for _ in 0..count("DORMOUSE_MOVES", 4) {
            moves(&dormouse);
            // refused while it is busy, unless it finds a gap
            let _ = output_of(&mut dormouse.command(&["park", "shop"]));
        }
        ended.store(true, Ordering::SeqCst);
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<String>>()
    });
    let listed = |dormouse: &Dormouse| -> std::collections::BTreeSet<String> {
        let users = dormouse.json(&["user", "ls", "shop"]);
        let users = users.as_array().unwrap().iter();
        users
            .map(|user| user["user"].as_str().unwrap().to_owned())
            .collect()
    };
    let awake = listed(&dormouse);
    let _ = dormouse.json(&["park", "shop"]);
    let noted = listed(&dormouse);
    for name in made {
        assert!(awake.contains(&name), "{name} is lost");
        assert!(noted.contains(&name), "{name} is not in the notes");
    }
}

/// Skipped where there is no second server.
#[test]
fn an_upgraded_database_that_sleeps_is_not_woken_by_what_needs_no_server() {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let newer = std::env::var("DORMOUSE_TEST_MARIADBD_118").ok();
    let Some(newer) = newer.filter(|newer| *newer != older) else {
        println!("skipped: there is no second server");
        return;
    };
    let dormouse = Dormouse::start_with(&format!(
        "[servers]\n\"11.8\" = \"{newer}\"\n[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n"
    ));
    let who = dormouse.create("shop", &[]);
    let mut before = dormouse.connect(&who);
    before.query("SELECT 1").value();
    let _ = dormouse.json(&["upgrade", "shop", "--to", "11.8"]);
    for _ in 0..2 {
        let _ = dormouse.json(&["park", "shop"]);
        for client in [&mut before, &mut dormouse.connect(&who)] {
            assert_eq!(client.query("SELECT 1").value(), "1");
            assert_eq!(dormouse.state("shop"), "parked", "SELECT 1 woke it");
            let version = client.query("SELECT @@version").value();
            assert!(version.starts_with("11.8"), "{version}");
            assert_eq!(dormouse.state("shop"), "parked", "it was woken");
        }
        let _ = dormouse.json(&["wake", "shop"]);
    }
}
