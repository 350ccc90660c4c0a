//! Conditions that prevent a start: each gets one readable error that says what to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::net::TcpListener;

use dormouse_testkit::Dormouse;
use dormouse_testkit::dormouse::output_of;

/// `up` must fail with a short message that contains all of `words`.
fn fails(dormouse: &Dormouse, arguments: &[&str], words: &[&str]) {
    let (success, said) = output_of(&mut dormouse.command(arguments));
    assert!(!success, "{arguments:?} succeeded: {said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
    assert!(said.lines().count() <= 6, "too long: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_missing_server() {
    let dormouse = Dormouse::prepare("");
    let config = dormouse.data_dir().with_file_name("missing.toml");
    fs::write(&config, "engine.mariadbd = '/nowhere/mariadbd'\n").unwrap();
    let config = config.to_str().unwrap();
    fails(
        &dormouse,
        &["up", "--listen", "127.0.0.1:0", "--config", config],
        &["/nowhere/mariadbd"],
    );
}

#[test]
fn a_used_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let own = format!("pid {}", std::process::id());
    fails(
        &Dormouse::prepare(""),
        &["up", "--listen", &address],
        &[&address, &own, "--listen"],
    );
}

#[test]
fn a_damaged_catalog() {
    let mut dormouse = Dormouse::start_with("[warm_pool]\nsize = 0\n");
    dormouse.stop();
    let catalog = dormouse.data_dir().join("catalog.sqlite");
    // with its log, SQLite would repair the first page
    for log in ["catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(dormouse.data_dir().join(log));
    }
    fs::write(&catalog, "this is no catalog").unwrap();
    fails(
        &dormouse,
        &["up", "--listen", "127.0.0.1:0"],
        &["catalog.sqlite", "hint"],
    );
    assert_eq!(
        fs::read_to_string(&catalog).unwrap(),
        "this is no catalog",
        "it was overwritten"
    );
}

#[test]
fn a_second_dormouse_on_the_same_directory() {
    let dormouse = Dormouse::start_with("[warm_pool]\nsize = 0\n");
    let own = format!("pid {}", dormouse.pid());
    fails(&dormouse, &["up", "--listen", "127.0.0.1:0"], &[&own]);
}

#[test]
fn a_setting_that_does_not_exist() {
    let dormouse = Dormouse::prepare("");
    let config = dormouse.data_dir().with_file_name("typo.toml");
    fs::write(&config, "[limits]\nhold_timeuot = '1s'\n").unwrap();
    fails(
        &dormouse,
        &["up", "--config", config.to_str().unwrap()],
        &["hold_timeuot", "hold_timeout"],
    );
}

#[test]
fn a_command_without_a_dormouse() {
    fails(&Dormouse::prepare(""), &["ls"], &["dormouse", "up"]);
}

#[test]
fn a_full_disk_while_a_database_is_created() {
    let config = "[warm_pool]\nsize = 0\n[limits]\ndisk_reserve = \"0B\"\n";
    let Some((_disk, mut dormouse)) = Dormouse::prepare_on_small_disk(config, 60) else {
        return;
    };
    dormouse.up();
    // space for the template and one instance only
    let mut last = (true, String::new());
    for n in 0..5 {
        last = output_of(&mut dormouse.command(&["create", &format!("db{n}")]));
        if !last.0 {
            break;
        }
    }
    let (success, said) = last;
    let alive = dormouse.json(&["ls"]);
    assert!(!success && said.contains("No space left"), "{said}");
    assert!(alive.is_array() || alive.is_object(), "{alive}");
}
