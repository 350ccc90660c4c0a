//! Databases in several data directories and of several servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};
use serde_json::Value;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

/// One with a second data directory.
fn two_roots(more: &str) -> Dormouse {
    Dormouse::start_with(&format!("data_dirs = [\"{{dir}}/disk2\"]\n{more}{AWAKE}"))
}

fn second(dormouse: &Dormouse) -> PathBuf {
    dormouse.dir().join("disk2")
}

fn root(dormouse: &Dormouse, name: &str) -> PathBuf {
    dormouse.show(name)["root"].as_str().unwrap().into()
}

/// A database in the second data directory, with a row.
fn shop(dormouse: &Dormouse) -> (Created, Client) {
    let dir = second(dormouse);
    let who = dormouse.create("shop", &["--in", dir.to_str().unwrap()]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT PRIMARY KEY)",
        "INSERT INTO app.t VALUES (7)",
    ] {
        client.query(text).ok();
    }
    (who, client)
}

fn rows(client: &mut Client) -> String {
    client.query("SELECT GROUP_CONCAT(i) FROM app.t").value()
}

/// Names of all in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

fn ordered(dormouse: &Dormouse, order: &[&str]) -> String {
    let (done, said) = output_of(&mut dormouse.command(order));
    assert!(done, "{order:?}: {said}");
    said
}

/// The answer of `GET /v1/status`.
fn status(dormouse: &Dormouse) -> Value {
    let mut stream = UnixStream::connect(dormouse.data_dir().join("api.sock")).unwrap();
    let request = "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn refused(dormouse: &Dormouse, order: &[&str]) -> String {
    let (done, said) = output_of(&mut dormouse.command(order));
    assert!(!done, "{order:?}: {said}");
    said
}

#[test]
fn a_database_lives_in_the_directory_in_which_it_was_made() {
    let mut dormouse = two_roots("");
    let (who, mut client) = shop(&dormouse);
    let here = dormouse.create("here", &[]);
    assert_eq!(root(&dormouse, "shop"), second(&dormouse));
    assert_eq!(root(&dormouse, "here"), dormouse.data_dir());
    let instance = dormouse.show("shop")["instance"].to_string();
    let files = second(&dormouse).join("instances").join(&instance);
    assert!(files.join("data/app").is_dir());
    ordered(&dormouse, &["park", "shop"]);
    assert_eq!(rows(&mut client), "7");
    ordered(&dormouse, &["suspend", "shop"]);
    assert_eq!(rows(&mut client), "7");
    // its branch is beside it, and what is made of it anew too
    ordered(&dormouse, &["branch", "shop", "twig"]);
    assert_eq!(root(&dormouse, "twig"), second(&dormouse));
    ordered(&dormouse, &["branch", "here", "leaf"]);
    assert_eq!(root(&dormouse, "leaf"), dormouse.data_dir());
    // a server that ran on is found there
    let server = dormouse.server("shop");
    dormouse.kill();
    dormouse.up();
    let mut client = dormouse.connect(&who);
    assert_eq!(rows(&mut client), "7");
    assert_eq!(dormouse.server("shop"), server);
    process::kill(server);
    assert_eq!(rows(&mut client), "7");
    let status = status(&dormouse);
    let roots = status["roots"].as_array().unwrap();
    let dirs: Vec<_> = roots
        .iter()
        .map(|root| root["dir"].as_str().unwrap())
        .collect();
    let both = [dormouse.data_dir(), second(&dormouse)];
    assert_eq!(dirs, both.each_ref().map(|dir| dir.to_str().unwrap()));
    assert!(
        roots
            .iter()
            .all(|root| root["free"].is_u64() && root["trouble"].is_null())
    );
    for name in ["shop", "twig"] {
        ordered(&dormouse, &["drop", name, "--yes"]);
    }
    assert_eq!(names(&second(&dormouse).join("instances")), [""; 0]);
    let mut client = dormouse.connect(&here);
    assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
    let said = refused(&dormouse, &["create", "lost", "--in", "/nowhere"]);
    assert!(
        said.contains("/nowhere is none of the data directories") && said.contains("disk2"),
        "{said}"
    );
}

/// What an unmounted disk leaves: an empty directory.
fn unmount(dormouse: &Dormouse) {
    std::fs::rename(second(dormouse), dormouse.dir().join("away")).unwrap();
    std::fs::create_dir(second(dormouse)).unwrap();
}

fn mount(dormouse: &Dormouse) {
    std::fs::remove_dir(second(dormouse)).unwrap();
    std::fs::rename(dormouse.dir().join("away"), second(dormouse)).unwrap();
}

#[test]
fn a_missing_disk_fails_its_databases_alone_and_nothing_is_written_in_its_place() {
    let mut dormouse = two_roots("");
    let (who, _) = shop(&dormouse);
    let here = dormouse.create("here", &[]);
    ordered(&dormouse, &["park", "shop"]);
    dormouse.stop();
    unmount(&dormouse);
    // with the catalog, and without it
    for has_catalog in [true, false] {
        if !has_catalog {
            for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
                let _ = std::fs::remove_file(dormouse.data_dir().join(name));
            }
        }
        dormouse.up();
        let seen = dormouse.show("shop");
        let reason = seen["reason"].as_str().unwrap();
        let dir = second(&dormouse).display().to_string();
        assert_eq!(seen["state"], "failed", "{reason}");
        assert!(
            reason.contains(&dir) && reason.contains("not mounted"),
            "{reason}"
        );
        assert_eq!(seen["root"].as_str(), Some(&*dir));
        let mut client = dormouse.connect(&here);
        assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
        let said = refused(&dormouse, &["wake", "shop"]);
        assert!(said.contains(&dir), "{said}");
        refused(&dormouse, &["drop", "shop", "--yes"]);
        let said = refused(&dormouse, &["create", "other", "--in", &dir]);
        assert!(said.contains("not mounted"), "{said}");
        let status = status(&dormouse);
        let trouble = status["roots"][1]["trouble"].as_str().unwrap();
        assert!(trouble.contains("not mounted"), "{trouble}");
        assert_eq!(names(&second(&dormouse)), [""; 0]);
        dormouse.stop();
    }
    mount(&dormouse);
    dormouse.up();
    ordered(&dormouse, &["wake", "shop"]);
    let mut client = dormouse.connect(&who);
    assert_eq!(rows(&mut client), "7");
}

#[test]
fn a_disk_that_is_mounted_later_serves_its_databases_without_a_restart() {
    let mut dormouse = two_roots("");
    let (who, _) = shop(&dormouse);
    ordered(&dormouse, &["park", "shop"]);
    dormouse.stop();
    unmount(&dormouse);
    dormouse.up();
    assert_eq!(dormouse.state("shop"), "failed");
    mount(&dormouse);
    ordered(&dormouse, &["wake", "shop"]);
    let mut client = dormouse.connect(&who);
    assert_eq!(rows(&mut client), "7");
}

/// The servers that this machine has, as paths, with their versions; `None` if it is one.
fn two_servers() -> Option<[(String, String); 2]> {
    let of = |variable: &str| {
        let path = std::env::var(variable).ok()?;
        let output = std::process::Command::new(&path).arg("--version").output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        let (_, rest) = said.split_once(" Ver ").unwrap();
        let mut numbers = rest.split('.');
        let version = format!("{}.{}", numbers.next().unwrap(), numbers.next().unwrap());
        Some((path, version))
    };
    let both = [
        of("DORMOUSE_TEST_MARIADBD")?,
        of("DORMOUSE_TEST_MARIADBD_118")?,
    ];
    let different = both[0].1 != both[1].1;
    different.then_some(both)
}

fn version(client: &mut Client) -> String {
    let text = client.query("SELECT VERSION() FROM DUAL WHERE 1").value();
    let mut numbers = text.split('.');
    format!("{}.{}", numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_database_stays_with_the_version_of_the_server_that_made_it() {
    let Some([(first, own), (second, other)]) = two_servers() else {
        println!("skipped: two servers of different versions are needed");
        return;
    };
    let servers = format!("servers.\"{other}\" = \"{second}\"\n");
    let mut dormouse = Dormouse::start_with(&format!(
        "warm_pool.size = 1\n{servers}[asleep]\nunderstudies = 1\n{AWAKE}"
    ));
    let old = dormouse.create("old", &[]);
    let new = dormouse.create("new", &["--version", &other]);
    let both = [("old", &old, &own), ("new", &new, &other)];
    let check = |dormouse: &Dormouse| {
        for (name, who, series) in both {
            let mut client = dormouse.connect(who);
            assert_eq!(version(&mut client), *series);
            assert_eq!(dormouse.show(name)["version"].as_str(), Some(&**series));
            ordered(dormouse, &["park", name]);
            // its own understudy answers, and nothing wakes it
            let asked = "SELECT CONCAT(VERSION(), ' ', 6 * 7)";
            process::until("an understudy answers", || {
                let answer = client.query(asked).value();
                assert!(answer.starts_with(&format!("{series}.")), "{answer}");
                assert!(answer.ends_with(" 42"), "{answer}");
                let parked = dormouse.state(name) == "parked";
                if !parked {
                    ordered(dormouse, &["park", name]);
                }
                parked
            });
            assert_eq!(version(&mut client), *series);
        }
    };
    check(&dormouse);
    let listed = ordered(&dormouse, &["ls"]);
    assert!(
        listed.contains("VERSION") && listed.contains(&other),
        "{listed}"
    );
    ordered(&dormouse, &["branch", "new", "twig"]);
    assert_eq!(dormouse.show("twig")["version"].as_str(), Some(&*other));
    let said = refused(&dormouse, &["create", "odd", "--version", "9.9"]);
    assert!(said.contains(&own) && said.contains(&other), "{said}");

    // another one is the default
    for name in ["old", "new"] {
        ordered(&dormouse, &["park", name]);
    }
    dormouse.stop();
    dormouse.set_config(&servers, &format!("servers.\"{own}\" = \"{first}\"\n"));
    dormouse.set_config(
        &format!("mariadbd = '{first}'"),
        &format!("mariadbd = '{second}'"),
    );
    dormouse.up();
    check(&dormouse);
    let newest = dormouse.create("newest", &[]);
    assert_eq!(version(&mut dormouse.connect(&newest)), other);

    // one is not here any more
    for name in ["old", "new"] {
        ordered(&dormouse, &["park", name]);
    }
    dormouse.stop();
    dormouse.set_config(&format!("servers.\"{own}\" = \"{first}\"\n"), "");
    dormouse.up();
    let seen = dormouse.show("old");
    let reason = seen["reason"].as_str().unwrap();
    assert_eq!(seen["state"], "failed", "{reason}");
    assert!(
        reason.contains(&format!("install MariaDB {own}")),
        "{reason}"
    );
    assert_eq!(seen["version"].as_str(), Some(&*own));
    let said = refused(&dormouse, &["wake", "old"]);
    assert!(said.contains(&format!("install MariaDB {own}")), "{said}");
    let mut client = dormouse.connect(&new);
    assert_eq!(version(&mut client), other);
}

#[test]
fn a_replica_is_in_another_directory_than_its_primary() {
    let dormouse = two_roots("");
    let (first, second) = (dormouse.data_dir(), second(&dormouse));
    let (_, mut client) = shop(&dormouse);
    let _ = dormouse.create("here", &["--replicas", "1"]);
    ordered(&dormouse, &["set", "shop", "--replicas", "1"]);
    for (name, other) in [("shop", &first), ("here", &second)] {
        let shown = || dormouse.show(name)["followers"].clone();
        process::until("it follows", || shown()[0]["doing"] == "following");
        let replica = shown()[0]["instance"].to_string();
        let files = other.join("instances").join(&replica);
        assert!(files.is_dir(), "the replica of {name}, {replica}");
    }
    assert_eq!(rows(&mut client), "7");
}
