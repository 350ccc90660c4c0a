//! Branches of real databases: what they have, also of a parent that is written to and killed, and what a kill of
//! Dormouse leaves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dice, Dormouse, process};

#[path = "branches/writers.rs"]
mod writers;

/// Kills of the test below; more by `DORMOUSE_TEST_KILLS`.
fn kills() -> u64 {
    let more = std::env::var("DORMOUSE_TEST_KILLS").ok();
    more.map_or(6, |text| text.parse().unwrap())
}

fn of(branch: &str, who: &Created) -> Created {
    Created {
        user: format!("{branch}.admin"),
        password: who.password.clone(),
    }
}

#[test]
fn a_branch_has_the_data_and_the_accounts_of_its_parent_and_goes_its_own_way() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    writers::make_table(&mut client);
    for text in [
        "INSERT INTO app.log VALUES (1, 1, 'of the parent')",
        "CREATE FUNCTION app.f() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM app.log)",
        "CREATE USER bo IDENTIFIED BY 'a password'",
        "GRANT SELECT ON app.* TO bo",
    ] {
        client.query(text).ok();
    }
    // bo has an internal credential
    let bo = |name: &str| Created {
        user: format!("{name}.bo"),
        password: "a password".to_owned(),
    };
    dormouse
        .connect(&bo("shop"))
        .query("SELECT 1 FROM app.log")
        .value();
    let pid = dormouse.server("shop");
    for (n, state) in ["active", "suspended", "parked"].iter().enumerate() {
        if *state != "active" {
            let verb = if *state == "parked" {
                "park"
            } else {
                "suspend"
            };
            let _ = dormouse.json(&[verb, "shop"]);
        }
        let name = format!("b{n}");
        let made = dormouse.json(&["branch", "shop", &name]);
        assert_eq!(made["branch"]["parent"], "shop");
        assert_eq!(dormouse.state("shop"), *state);
        assert_eq!(made["frozen_ms"] == 0, *state != "active", "{made}");
        let mut branch = dormouse.connect(&of(&name, &who));
        assert_eq!(branch.query("SELECT app.f()").value(), "1");
        branch
            .query("INSERT INTO app.log VALUES (1, 2, 'of the branch')")
            .ok();
        let mut user = dormouse.connect(&bo(&name));
        assert_eq!(user.query("SELECT COUNT(*) FROM app.log").value(), "2");
        // no internal credential of the parent
        let mut platform = dormouse.platform(&name);
        let shown = platform.query("SHOW CREATE USER bo@'%'").value();
        assert_eq!(shown.matches("USING").count(), 2, "{shown}");
        let _ = dormouse.json(&["park", &name]);
        assert_eq!(user.query("SELECT COUNT(*) FROM app.log").value(), "2");
    }
    assert_eq!(client.query("SELECT COUNT(*) FROM app.log").value(), "1");
    assert_ne!(dormouse.server("shop"), pid, "it was parked");
    // back to the parent
    let mut branch = dormouse.connect(&of("b2", &who));
    assert_eq!(branch.query("SELECT COUNT(*) FROM app.log").value(), "2");
    let _ = dormouse.json(&["reset", "b2", "--yes"]);
    assert!(branch.is_cut_within(std::time::Duration::from_secs(30)));
    let mut branch = dormouse.connect(&of("b2", &who));
    assert_eq!(branch.query("SELECT COUNT(*) FROM app.log").value(), "1");
    let again = output_of(&mut dormouse.command(&["branch", "shop", "b1"]));
    assert!(!again.0 && again.1.contains("already"), "{}", again.1);
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    let mut branch = dormouse.connect(&of("b1", &who));
    assert_eq!(branch.query("SELECT COUNT(*) FROM app.log").value(), "2");
}

#[test]
fn a_branch_of_a_database_that_is_written_to_has_all_that_was_acknowledged() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &["--units", "2..2"]);
    writers::write_meanwhile(&dormouse, &who, |_, name| {
        let _ = dormouse.json(&["branch", "shop", name]);
    });
}

/// Its files are those of a crash: the indexes do not fit the rows.
#[test]
fn a_branch_has_whole_indexes_of_a_myisam_table_that_is_written_to() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("USE app").ok();
    client
        .query(
            "CREATE TABLE m (a INT AUTO_INCREMENT PRIMARY KEY, b CHAR(40), c CHAR(40), KEY (b), KEY (c)) \
             ENGINE = MyISAM",
        )
        .ok();
    let ended = AtomicBool::new(false);
    let write = || {
        let insert = "INSERT INTO m (b, c) SELECT UUID(), MD5(RAND()) FROM seq_1_to_500";
        while !ended.load(Ordering::Relaxed) {
            client.query(insert).ok();
        }
    };
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        scope.spawn(write);
        for n in 0..8 {
            let name = format!("b{n}");
            let _ = dormouse.json(&["branch", "shop", &name]);
            let mut branch = dormouse.connect(&of(&name, &who));
            let checked = branch.query("CHECK TABLE app.m").rows();
            if checked.last().unwrap().last().unwrap().as_deref() != Some("OK") {
                wrong.push(checked);
            }
            drop(branch);
            let _ = dormouse.json(&["drop", &name, "--yes"]);
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong, Vec::<Vec<Vec<Option<String>>>>::new());
}

/// Whatever a kill interrupts: no server stands still, no half of a branch remains.
#[test]
fn a_kill_of_dormouse_leaves_no_frozen_server_and_no_half_of_a_branch() {
    let mut dice = Dice::new(20_261_129);
    let mut dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    writers::make_table(&mut client);
    client.query("USE app").ok();
    client
        .query("INSERT INTO app.log SELECT 1, seq, REPEAT('x', 200) FROM seq_1_to_20000")
        .ok();
    let pid = dormouse.server("shop");
    for round in 0..kills() {
        let name = format!("b{round}");
        let mut order = dormouse.command(&["branch", "shop", &name]);
        let nowhere = std::process::Stdio::null;
        let mut order = order.stdout(nowhere()).stderr(nowhere()).spawn().unwrap();
        thread::sleep(std::time::Duration::from_millis(dice.below(700)));
        dormouse.kill();
        let _ = order.wait();
        process::until("the server runs", || !process::is_frozen(pid));
        dormouse.up();
        assert_eq!(dormouse.server("shop"), pid);
        let mut client = dormouse.connect(&who);
        assert_eq!(
            client.query("SELECT COUNT(*) FROM app.log").value(),
            "20000"
        );
        let all = dormouse.json(&["ls"]);
        let names: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["name"].clone())
            .collect();
        if names.iter().any(|one| *one == name.as_str()) {
            let mut branch = dormouse.connect(&of(&name, &who));
            assert_eq!(
                branch.query("SELECT COUNT(*) FROM app.log").value(),
                "20000"
            );
            drop(branch);
            let _ = dormouse.json(&["drop", &name, "--yes"]);
        }
        process::until("the leftovers are gone", || {
            let dir = std::fs::read_dir(dormouse.data_dir().join("instances")).unwrap();
            let names = dir.map(|entry| entry.unwrap().file_name());
            names
                .filter(|n| {
                    n.to_str()
                        .is_some_and(|n| n.parse::<u32>().is_ok() || n.ends_with(".tmp"))
                })
                .count()
                == 1
        });
    }
}
