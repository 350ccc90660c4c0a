//! Backups of real databases: what they have, how they come back on this machine and on another, and what faults and
//! kills leave.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dice, Dormouse, process};
use serde_json::Value;

#[path = "branches/writers.rs"]
mod writers;

/// Kills of the test below; more by `DORMOUSE_TEST_KILLS`.
fn kills() -> u64 {
    let more = std::env::var("DORMOUSE_TEST_KILLS").ok();
    more.map_or(6, |text| text.parse().unwrap())
}

/// A place for a repository and its key, outside of every data directory.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self(dir);
        place.write_key("key", "open sesame\n");
        place.write_key("master", &"00112233445566778899aabbccddeeff".repeat(2));
        place
    }

    fn write_key(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A configuration with this repository.
    fn config(&self, more: &str) -> String {
        let (repository, key) = (self.path("repository"), self.path("key"));
        format!(
            "{more}\n[warm_pool]\nsize = 0\n[backup]\nrepository = '{}'\nkey_file = '{}'\n",
            repository.display(),
            key.display()
        )
    }

    /// Number of snapshots in the repository: of databases, of histories, and of the installation.
    fn snapshots(&self) -> usize {
        fs::read_dir(self.path("repository/snapshots"))
            .unwrap()
            .count()
    }

    fn wait_for_snapshots(&self, number: usize) {
        process::until("the repository has the next snapshot", || {
            self.snapshots() >= number
        });
    }

    /// Runs restic on the repository, if it is installed.
    fn restic(&self, arguments: &[&str]) -> Option<(bool, String)> {
        let mut restic = Command::new("restic");
        restic
            .args(["--no-cache", "--repo"])
            .arg(self.path("repository"))
            .args(arguments)
            .env("RESTIC_PASSWORD", "open sesame");
        restic.output().ok().map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success(), text)
        })
    }
}

fn of(database: &str, who: &Created) -> Created {
    Created {
        user: format!("{database}.admin"),
        password: who.password.clone(),
    }
}

fn bo(database: &str) -> Created {
    Created {
        user: format!("{database}.bo"),
        password: "a password".to_owned(),
    }
}

/// Makes a table with `rows` rows, and a user who may read it.
fn fill(client: &mut Client, rows: u32) {
    for text in [
        "CREATE DATABASE app".to_owned(),
        "USE app".to_owned(),
        format!(
            "CREATE TABLE log (n INT PRIMARY KEY, t VARCHAR(250)) SELECT seq n, REPEAT('x', 200) t FROM seq_1_to_{rows}"
        ),
        "CREATE VIEW v AS SELECT n FROM log".to_owned(),
        "CREATE USER bo IDENTIFIED BY 'a password'".to_owned(),
        "GRANT SELECT ON app.* TO bo".to_owned(),
    ] {
        client.query(&text).ok();
    }
}

fn count(client: &mut Client) -> String {
    client.query("SELECT COUNT(*) FROM app.log").value()
}

fn failed(dormouse: &Dormouse, arguments: &[&str]) -> String {
    let (success, text) = output_of(&mut dormouse.command(arguments));
    assert!(!success, "{arguments:?} succeeded: {text}");
    text
}

#[test]
fn a_backup_wakes_nothing_and_comes_back_beside_or_in_the_place_of_its_database() {
    let place = Place::new();
    let dormouse = Dormouse::start_with(&place.config(""));
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    fill(&mut client, 1000);
    let missing = failed(&dormouse, &["backup", "now", "shop"]);
    assert!(missing.contains("dormouse backup init"), "{missing}");
    let _ = dormouse.json(&["backup", "init"]);
    let again = failed(&dormouse, &["backup", "init"]);
    assert!(again.contains("already"), "{again}");
    for state in ["active", "suspended", "parked"] {
        match state {
            "suspended" => drop(dormouse.json(&["suspend", "shop"])),
            "parked" => drop(dormouse.json(&["park", "shop"])),
            // the server has not written it to its files yet
            _ => drop(client.query("CREATE SEQUENCE app.s").ok()),
        }
        let made = dormouse.json(&["backup", "now", "shop"]);
        assert_eq!(
            made[0]["made"]["frozen_ms"] == 0,
            state != "active",
            "{made}"
        );
        assert_eq!(dormouse.state("shop"), state);
        let again = dormouse.json(&["backup", "now", "shop"]);
        assert_eq!(again[0]["made"].is_null(), state != "active", "{again}");
    }
    // the second and later ones send what has changed
    let all = dormouse.json(&["backup", "ls", "shop"]);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 4, "{all:?}");
    let new = |at: usize| all[at]["new"].as_u64().unwrap();
    assert!(new(1) * 5 < new(0), "{all:?}");
    let first = all[0]["id"].as_str().unwrap();
    let verified = dormouse.json(&["backup", "verify", "shop", "--data", "100"]);
    assert_eq!(
        verified["backups"][0]["damaged"].as_array().unwrap().len(),
        0
    );
    assert_eq!(dormouse.state("shop"), "parked");

    client.query("DELETE FROM app.log WHERE n > 10").ok();
    let restored = dormouse.json(&["restore", "shop", "--as", "before", "--backup", &first[..8]]);
    assert_eq!(
        (restored["name"].as_str(), &restored["kept"]),
        (Some("before"), &Value::Null)
    );
    let mut before = dormouse.connect(&of("before", &who));
    assert_eq!(count(&mut before), "1000");
    assert_eq!(before.query("SELECT NEXT VALUE FOR app.s").value(), "1");
    assert_eq!(count(&mut dormouse.connect(&bo("before"))), "1000");
    assert_eq!(count(&mut client), "10");
    let taken = failed(&dormouse, &["restore", "before", "--as", "shop"]);
    assert!(taken.contains("no backup of database 'before'"), "{taken}");
    let taken = failed(&dormouse, &["restore", "shop", "--as", "before"]);
    assert!(
        taken.contains("there is a database 'before' already"),
        "{taken}"
    );
    let restored = dormouse.json(&["restore", "shop", "--yes"]);
    let kept = restored["kept"].as_str().unwrap();
    assert!(client.is_cut_within(Duration::from_secs(30)));
    assert_eq!(count(&mut dormouse.connect(&who)), "1000");
    assert_eq!(count(&mut dormouse.connect(&of(kept, &who))), "10");
    assert_eq!(count(&mut dormouse.connect(&bo(kept))), "10");
    // a database that was dropped comes back
    let _ = dormouse.json(&["drop", "before", "--yes"]);
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    let none = failed(&dormouse, &["restore", "before"]);
    assert!(none.contains("no backup of database 'before'"), "{none}");
    let _ = dormouse.json(&["restore", "shop"]);
    assert_eq!(count(&mut dormouse.connect(&bo("shop"))), "1000");

    let events = dormouse.json(&["events", "shop"]);
    let text = events.to_string();
    assert!(
        text.contains("backed_up") && text.contains("restored from backup"),
        "{text}"
    );
    let (_, metrics) = output_of(&mut dormouse.command(&["metrics"]));
    assert!(
        metrics.contains("dormouse_backups_made_total 4"),
        "{metrics}"
    );
    if let Some((success, text)) = place.restic(&["check", "--read-data"]) {
        assert!(success, "{text}");
        let (_, text) = place.restic(&["ls", &first[..8], "/files/data"]).unwrap();
        assert!(text.contains("/files/data/ibdata1"), "{text}");
    }
}

/// Copies of both kinds, in turns.
#[test]
fn a_backup_of_a_database_that_is_written_to_has_all_that_was_acknowledged() {
    let place = Place::new();
    let dormouse = Dormouse::start_with(&place.config(""));
    let _ = dormouse.json(&["backup", "init"]);
    let who = dormouse.create("shop", &["--units", "2..2"]);
    writers::write_meanwhile(&dormouse, &who, |round, name| {
        if round % 3 == 2 {
            let _ = dormouse.json(&["branch", "shop", name]);
        } else {
            let _ = dormouse.json(&["backup", "now", "shop"]);
            let _ = dormouse.json(&["restore", "shop", "--as", name]);
        }
    });
}

/// Twenty databases, some encrypted, come back from the repository alone.
#[test]
fn the_disaster_drill_brings_all_databases_back() {
    const ALL: u32 = 20;
    let place = Place::new();
    let master = place.path("master");
    let encryption = format!(
        "[encryption]\nmode = 'auto'\nmaster_key_file = '{}'\n",
        master.display()
    );
    let plain = format!(
        "[encryption]\nmode = 'off'\nmaster_key_file = '{}'\n",
        master.display()
    );
    let config = "[defaults]\nidle_suspend = '1s'\nidle_park = '2s'\nbackup = 'never'\n";
    let config = place.config(config);
    let mut dormouse = Dormouse::start_with(&format!("{config}{plain}"));
    let _ = dormouse.json(&["backup", "init"]);
    let mut owners = Vec::new();
    for n in 1..=ALL {
        let name = format!("db{n}");
        let who = dormouse.create(&name, &["--idle-park", &format!("{n}m")]);
        let mut client = dormouse.connect(&who);
        fill(&mut client, n * 10);
        drop(client);
        if n % 5 == 0 {
            let _ = dormouse.json(&["key", "encrypt", &name]);
        }
        let _ = dormouse.json(&["park", &name]);
        owners.push(who);
    }
    let token = dormouse.json(&["token", "add", "--role", "viewer", "--name", "ci"]);
    let dropped = dormouse.create("dropped", &[]);
    let made = dormouse.json(&["backup", "now", "--all"]);
    assert_eq!(made.as_array().unwrap().len(), ALL as usize + 1);
    let stored = place.snapshots();
    let _ = dormouse.json(&["drop", "dropped", "--yes"]);
    place.wait_for_snapshots(stored + 1);
    // neither has a backup of its own now
    let replaced = dormouse.json(&["restore", "db2", "--yes"]);
    let kept = replaced["kept"].as_str().unwrap();
    place.wait_for_snapshots(stored + 2);
    dormouse.kill();
    drop(dormouse);

    // another machine: an empty data directory, a new master key
    place.write_key("master", &"ffeeddccbbaa99887766554433221100".repeat(2));
    let mut dormouse = Dormouse::prepare(&format!("{config}{encryption}"));
    let file = dormouse.config_file();
    let recovered = dormouse.json(&["recover", "--config", file.to_str().unwrap()]);
    assert_eq!(
        recovered["restored"].as_array().unwrap().len(),
        ALL as usize + 1,
        "{recovered}"
    );
    assert_eq!(
        (&recovered["lost"], &recovered["tokens"]),
        (&Value::Array(Vec::new()), &Value::from(1))
    );
    let again = dormouse.json(&["recover", "--config", file.to_str().unwrap()]);
    assert_eq!(
        again["present"].as_array().unwrap().len(),
        ALL as usize + 1,
        "{again}"
    );
    dormouse.up();
    for (n, who) in (1..=ALL).zip(&owners) {
        let name = format!("db{n}");
        let shown = dormouse.show(&name);
        assert_eq!(shown["idle_park"], format!("{n}m").as_str(), "{shown}");
        assert_eq!(shown["encryption"].is_null(), n % 5 != 0, "{shown}");
        let rows = (n * 10).to_string();
        assert_eq!(count(&mut dormouse.connect(who)), rows);
        let mut user = dormouse.connect(&bo(&name));
        assert_eq!(user.query("SELECT COUNT(*) FROM app.v").value(), rows);
        let refused = user.query("INSERT INTO app.log VALUES (0, '')").err();
        assert_eq!(refused.code, 1142, "{refused:?}");
        let _ = dormouse.json(&["park", &name]);
    }
    let tokens = dormouse.json(&["token", "ls"]);
    assert_eq!(tokens[0]["id"], token["id"]);
    let gone = dormouse.json(&["ls"]);
    assert_eq!(gone.as_array().unwrap().len(), ALL as usize + 1);
    assert_eq!(count(&mut dormouse.connect(&of(kept, &owners[1]))), "20");
    // its backup stays for a while
    let _ = dormouse.json(&["restore", "dropped"]);
    dormouse.connect(&dropped).query("SELECT 1").value();
}

#[test]
fn installations_share_a_repository_and_see_their_own_backups_alone() {
    let place = Place::new();
    let [one, other] = [(); 2].map(|()| Dormouse::start_with(&place.config("")));
    let _ = one.json(&["backup", "init"]);
    let mode = fs::metadata(place.path("repository"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let who = one.create("shop", &[]);
    fill(&mut one.connect(&who), 10);
    let _ = one.json(&["backup", "now", "shop"]);
    let _ = other.create("shop", &["--backup-keep", "1"]);
    for _ in 0..2 {
        let _ = other.json(&["backup", "now", "shop", "--always"]);
    }
    let _ = other.json(&["backup", "prune"]);
    assert_eq!(other.json(&["backup", "ls"]).as_array().unwrap().len(), 1);
    assert_eq!(one.json(&["backup", "ls"]).as_array().unwrap().len(), 1);
    let _ = one.json(&["restore", "shop", "--as", "again"]);
    assert_eq!(count(&mut one.connect(&of("again", &who))), "10");
    let lost = Dormouse::prepare(&place.config(""));
    let config = lost.config_file();
    let text = failed(&lost, &["recover", "--config", config.to_str().unwrap()]);
    assert!(text.contains("several installations"), "{text}");
}

#[test]
fn faults_of_the_repository_are_told_and_lose_nothing() {
    let place = Place::new();
    let mut dormouse = Dormouse::start_with(&place.config(""));
    let who = dormouse.create("shop", &[]);
    fill(&mut dormouse.connect(&who), 100);
    let _ = dormouse.json(&["backup", "init"]);
    let _ = dormouse.json(&["backup", "now", "shop"]);
    let repository = place.path("repository");
    let away = place.path("away");
    let is_whole = |dormouse: &Dormouse| {
        assert_eq!(count(&mut dormouse.connect(&who)), "100");
        let dir = fs::read_dir(dormouse.data_dir().join("instances")).unwrap();
        let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let instances = names.filter(|name| name.parse::<u32>().is_ok() || name.ends_with(".tmp"));
        assert_eq!(instances.count(), 1, "a copy was left");
    };

    // not mounted
    fs::rename(&repository, &away).unwrap();
    let text = failed(&dormouse, &["backup", "now", "shop"]);
    assert!(text.contains("no repository stands at"), "{text}");
    is_whole(&dormouse);
    fs::rename(&away, &repository).unwrap();
    let _ = dormouse.json(&["backup", "now", "shop"]);

    // a wrong key: noticed at the next start
    place.write_key("key", "open barley");
    dormouse.stop();
    dormouse.up();
    let text = failed(&dormouse, &["backup", "now", "shop"]);
    assert!(
        text.contains("the key does not open the repository"),
        "{text}"
    );
    place.write_key("key", "open sesame");
    let _ = dormouse.json(&["backup", "now", "shop", "--always"]);
    is_whole(&dormouse);

    // a second key, and the first one is removed
    place.write_key("second", "open wheat");
    let second = place.path("second");
    let _ = dormouse.json(&[
        "backup",
        "key",
        "add",
        "--file",
        second.to_str().unwrap(),
        "--note",
        "in the safe",
    ]);
    let keys = dormouse.json(&["backup", "key", "ls"]);
    let in_use = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["in_use"] == true)
        .unwrap();
    let text = failed(
        &dormouse,
        &["backup", "key", "rm", &in_use["id"].as_str().unwrap()[..8]],
    );
    assert!(text.contains("cannot be removed"), "{text}");

    // truncated data
    let newest = newest_pack(&repository.join("data"));
    let whole = fs::read(&newest).unwrap();
    let mut permissions = fs::metadata(&newest).unwrap().permissions();
    permissions.set_mode(0o600);
    fs::set_permissions(&newest, permissions).unwrap();
    fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let text = failed(&dormouse, &["backup", "verify", "shop", "--data", "100"]);
    assert!(
        text.contains("damaged") || text.contains("not good"),
        "{text}"
    );
    is_whole(&dormouse);
    fs::write(&newest, &whole).unwrap();
    let _ = dormouse.json(&["backup", "verify", "shop", "--data", "100"]);
    let _ = dormouse.json(&["backup", "prune", "--at-once"]);
    is_whole(&dormouse);
}

fn newest_pack(dir: &Path) -> PathBuf {
    let mut packs = Vec::new();
    for sub in fs::read_dir(dir).unwrap() {
        for pack in fs::read_dir(sub.unwrap().path()).unwrap() {
            let pack = pack.unwrap();
            packs.push((pack.metadata().unwrap().len(), pack.path()));
        }
    }
    packs.into_iter().max().unwrap().1
}

/// Whatever a kill interrupts: no server stands still, no copy and no half of a database remains, and the next backup
/// and restore succeed.
#[test]
fn a_kill_of_dormouse_during_backups_and_restores_leaves_nothing() {
    let mut dice = Dice::new(20_261_130);
    let place = Place::new();
    let mut dormouse = Dormouse::start_with(
        &place.config("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n"),
    );
    let who = dormouse.create("shop", &[]);
    fill(&mut dormouse.connect(&who), 20_000);
    let _ = dormouse.json(&["backup", "init"]);
    let _ = dormouse.json(&["backup", "now", "shop"]);
    for round in 0..kills() {
        let arguments: &[&str] = match round % 3 {
            0 => &["backup", "now", "shop", "--always"],
            1 => &["restore", "shop", "--as", "again"],
            _ => &["restore", "shop", "--yes"],
        };
        let nowhere = Stdio::null;
        let mut order = dormouse.command(arguments);
        let mut order = order.stdout(nowhere()).stderr(nowhere()).spawn().unwrap();
        thread::sleep(Duration::from_millis(dice.below(1500)));
        dormouse.kill();
        let _ = order.wait();
        process::until("no server stands still", || {
            !dormouse.servers().into_iter().any(process::is_frozen)
        });
        dormouse.up();
        let all = dormouse.json(&["ls"]);
        let names: Vec<&str> = all
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|d| d["name"].as_str())
            .collect();
        assert!(names.contains(&"shop"), "{arguments:?}: {names:?}");
        for name in &names {
            assert_eq!(
                count(&mut dormouse.connect(&of(name, &who))),
                "20000",
                "{arguments:?}: {name}"
            );
        }
        for name in names.iter().filter(|name| **name != "shop") {
            let _ = dormouse.json(&["drop", name, "--yes"]);
        }
        process::until("the leftovers are gone", || {
            let dir = fs::read_dir(dormouse.data_dir().join("instances")).unwrap();
            let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names
                .filter(|n| n.parse::<u32>().is_ok() || n.ends_with(".tmp"))
                .count()
                == 1
        });
    }
    let _ = dormouse.json(&["backup", "now", "shop", "--always"]);
    let _ = dormouse.json(&["restore", "shop", "--as", "last"]);
    assert_eq!(count(&mut dormouse.connect(&of("last", &who))), "20000");
    if let Some((success, text)) = place.restic(&["check"]) {
        assert!(success, "{text}");
    }
}

/// Each wants the repository in another way; all of them end well.
#[test]
fn backups_prunes_and_verifies_at_the_same_time_wait_for_each_other() {
    let place = Place::new();
    let dormouse = Dormouse::start_with(&place.config(""));
    let who = dormouse.create("shop", &["--backup-keep", "50"]);
    fill(&mut dormouse.connect(&who), 1000);
    let _ = dormouse.json(&["backup", "init"]);
    let _ = dormouse.json(&["backup", "now", "shop"]);
    let work: [(&[&str], u32); 4] = [
        (&["backup", "now", "shop", "--always"], 12),
        (&["backup", "prune", "--at-once"], 12),
        (&["backup", "prune"], 12),
        (&["backup", "verify", "shop", "--data", "100"], 3),
    ];
    thread::scope(|scope| {
        for (arguments, rounds) in work {
            let dormouse = &dormouse;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let _ = dormouse.json(arguments);
                }
            });
        }
    });
    if let Some((success, text)) = place.restic(&["check", "--read-data"]) {
        assert!(success, "{text}");
    }
}
