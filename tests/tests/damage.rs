//! A page that the disk has damaged: a backup is refused and says where, and a branch is not, which is for looking at it.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use dormouse_testkit::Dormouse;
use dormouse_testkit::dormouse::output_of;

/// Flips a bit of a byte of a file.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A Dormouse with a repository in the directory.
fn start() -> (tempfile::TempDir, Dormouse) {
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    fs::write(&key, "open sesame\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[backup]\nrepository = '{}'\nkey_file = '{}'\n",
        place.path().join("repository").display(),
        key.display()
    ));
    let _ = dormouse.json(&["backup", "init"]);
    (place, dormouse)
}

#[test]
fn a_backup_of_a_damaged_page_is_refused_with_its_place_and_wakes_nothing() {
    let (_place, dormouse) = start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY, text VARCHAR(250))",
        "INSERT INTO app.t SELECT seq, REPEAT(MD5(seq), 7) FROM app.seq_1_to_5000",
    ] {
        client.query(text).ok();
    }
    let _ = dormouse.json(&["backup", "now", "shop"]);
    client.query("DELETE FROM app.t WHERE id < 100").ok();
    let _ = dormouse.json(&["park", "shop"]);
    let table = dormouse.instance("shop").join("data/app/t.ibd");
    flip(&table, 7 * 16384 + 5000);
    let (done, said) = output_of(&mut dormouse.command(&["backup", "now", "shop"]));
    assert!(!done, "{said}");
    for part in ["data/app/t.ibd", "page 7", "CHECK TABLE", "shop"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(dormouse.state("shop"), "parked");
    let stored = || {
        dormouse
            .json(&["backup", "ls", "shop"])
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(stored(), 1, "the good one alone");
    let _ = dormouse.json(&["branch", "shop", "look"]);
    flip(&table, 7 * 16384 + 5000);
    let _ = dormouse.json(&["backup", "now", "shop"]);
    assert_eq!(stored(), 2);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn a_table_without_its_definition_is_found_by_verify() {
    let (_place, dormouse) = start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE `an app`",
        "USE `an app`",
        "CREATE TABLE `t é` (id INT PRIMARY KEY, text TEXT, FULLTEXT (text))",
        "CREATE TABLE p (id INT) PARTITION BY HASH (id) PARTITIONS 2",
        "CREATE TABLE m (id INT) ENGINE = MyISAM",
        "CREATE TABLE a (id INT) ENGINE = Aria",
        "CREATE TABLE c (id INT NOT NULL) ENGINE = CSV",
        "CREATE TABLE mp (id INT) ENGINE = MyISAM PARTITION BY HASH (id) PARTITIONS 2",
        "CREATE SEQUENCE s",
        "CREATE VIEW v AS SELECT 1",
        "INSERT INTO m VALUES (1)",
    ] {
        client.query(text).ok();
    }
    let _ = dormouse.json(&["park", "shop"]);
    let data = dormouse.instance("shop").join("data/an@0020app");
    let damaged = || {
        let _ = dormouse.json(&["backup", "now", "shop", "--always"]);
        let (_, said) = output_of(&mut dormouse.command(&["backup", "verify", "shop"]));
        said
    };
    let whole = damaged();
    assert!(whole.contains("every table is good"), "{whole}");
    for (file, named) in [
        ("t@0020@0p.frm", "an app.t é"),
        ("p.frm", "an app.p"),
        ("s.frm", "an app.s"),
        ("m.frm", "an@0020app/m.MYD"),
        ("mp.frm", "an@0020app/mp#P#p0.MYD"),
        ("a.frm", "an@0020app/a.MAD"),
        ("c.frm", "an@0020app/c.CSV"),
        ("p#P#p1.ibd", "an app.p"),
        ("m.MYD", "an app.m"),
        ("m.MYI", "an app.m"),
        ("a.MAD", "an app.a"),
    ] {
        let kept = data.join("../kept");
        fs::rename(data.join(file), &kept).unwrap();
        let said = damaged();
        assert!(said.contains("is damaged"), "{file}: {said}");
        assert!(said.contains(named), "{file}: {said}");
        fs::rename(&kept, data.join(file)).unwrap();
    }
}
