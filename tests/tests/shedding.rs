//! Databases leave a data directory that is nearly full.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};
use serde_json::Value;

/// Size of each disk, in MiB. A database takes about 25.
const DISK: u32 = 400;

const CONFIG: &str = "data_dirs = [\"{dir}/disk2\", \"{dir}/disk3\"]\n[limits]\ndisk_reserve = \"1MiB\"\n\
    [defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

fn root(dormouse: &Dormouse, name: &str) -> PathBuf {
    dormouse.show(name)["root"].as_str().unwrap().into()
}

fn ordered(dormouse: &Dormouse, order: &[&str]) {
    let (done, said) = output_of(&mut dormouse.command(order));
    assert!(done, "{order:?}: {said}");
}

/// A database in this directory, with a row, whose size is known.
fn create(dormouse: &Dormouse, name: &str, dir: &Path) -> (Created, Client) {
    let who = dormouse.create(name, &["--in", dir.to_str().unwrap()]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT PRIMARY KEY)",
        "INSERT INTO app.t VALUES (7)",
    ] {
        client.query(text).ok();
    }
    process::until("its size is known", || {
        dormouse.show(name)["storage"].is_u64()
    });
    (who, client)
}

/// Something else takes so much of a disk that this percentage is used.
fn fill(disk: &Path, percent: u64) -> PathBuf {
    let file = disk.join("something-else");
    let (size, used) = space(disk);
    let wanted = (size * percent).div_ceil(100) - used;
    let made = File::create(&file).unwrap();
    let mut zeros = std::io::repeat(0);
    let mut zeros = std::io::Read::take(&mut zeros, wanted);
    std::io::copy(&mut zeros, &mut &made).unwrap();
    file
}

/// Size of a disk, and what is used of it, in bytes, as df(1) says.
fn space(disk: &Path) -> (u64, u64) {
    let mut df = std::process::Command::new("df");
    df.args(["-B1", "--output=size,used"]).arg(disk);
    let said = String::from_utf8(df.output().unwrap().stdout).unwrap();
    let mut numbers = said.split_whitespace().skip(2).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Why databases have moved, the oldest first.
fn reasons(dormouse: &Dormouse, name: &str) -> Vec<String> {
    let events = dormouse.json(&["events", name]);
    let events = events.as_array().unwrap().iter();
    let noted = events.filter(|event| event["event"] == "noted" && event["cause"] == "storage");
    noted
        .map(|event| event["reason"].as_str().unwrap().to_owned())
        .collect()
}

fn moved_at(dormouse: &Dormouse, name: &str) -> i64 {
    let events = dormouse.json(&["events", name]);
    let moved = |event: &&Value| {
        event["reason"]
            .as_str()
            .unwrap()
            .starts_with("it moved from")
    };
    let events = events.as_array().unwrap();
    events.iter().find(moved).unwrap()["id"].as_i64().unwrap()
}

#[test]
fn a_data_directory_that_is_nearly_full_sheds_the_least_used_databases_asleep() {
    let folders = ["disk2", "disk3"];
    let Some((_disks, mut dormouse)) = Dormouse::prepare_on_small_disks(CONFIG, &folders, DISK)
    else {
        return;
    };
    dormouse.up();
    let [disk2, disk3] = folders.map(|folder| dormouse.dir().join(folder));
    let (more_who, _) = create(&dormouse, "more", &disk2);
    let (less_who, _) = create(&dormouse, "less", &disk2);
    let (_who, mut awake) = create(&dormouse, "awake", &disk2);
    // it was awake for the shorter time
    ordered(&dormouse, &["park", "less"]);
    ordered(&dormouse, &["park", "more"]);
    let generation = |name: &str| dormouse.show(name)["generation"].clone();
    let before = ["less", "more"].map(generation);

    let junk = fill(&disk2, 75);
    process::until("two have left it", || {
        ["less", "more"]
            .iter()
            .all(|name| root(&dormouse, name) != disk2)
    });
    assert_eq!(root(&dormouse, "less"), disk3);
    assert!(moved_at(&dormouse, "less") < moved_at(&dormouse, "more"));
    for name in ["less", "more"] {
        let told = reasons(&dormouse, name);
        let from = format!("its data directory {} is ", disk2.display());
        let such = |why: &String| why.starts_with("it moves to /") && why.contains(&from);
        assert!(told.len() == 1 && told.iter().all(such), "{told:?}");
        assert_eq!(dormouse.show(name)["state"], "parked");
    }
    // they were not woken
    assert_eq!(["less", "more"].map(generation), before);
    // it has room again, and the one that is awake stays
    let (size, used) = space(&disk2);
    assert!(used * 100 < size * 65, "{used} of {size}");
    assert_eq!(root(&dormouse, "awake"), disk2);
    assert_eq!(awake.query("SELECT i FROM app.t").value(), "7");

    // the other one is full in its turn: what has moved lately stays, although it is used less
    let (_late_who, _) = create(&dormouse, "late", &disk3);
    ordered(&dormouse, &["park", "late"]);
    std::fs::remove_file(junk).unwrap();
    fill(&disk3, 75);
    process::until("it has left", || root(&dormouse, "late") != disk3);
    assert_eq!(root(&dormouse, "less"), disk3);
    for who in [more_who, less_who] {
        let mut client = dormouse.connect(&who);
        assert_eq!(client.query("SELECT i FROM app.t").value(), "7");
    }
}
