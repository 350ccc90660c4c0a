//! Branches and backups of a database that writes too much for its server to stand still: they are made while it runs on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dormouse_testkit::{Client, Created, Dormouse};

/// Changes each page of a table again and again: what has changed cannot be copied in the time that is allowed.
fn churn(client: &mut Client, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        client.query("UPDATE app.fat SET t = REVERSE(t)").ok();
    }
}

/// Ends the writers, also after a failure.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Adds rows; counts those whose commit was acknowledged.
fn write(client: &mut Client, acknowledged: &AtomicU64, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        client
            .query("INSERT INTO app.log (t) VALUES (REPEAT('x', 200))")
            .ok();
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// A copy has what was acknowledged before, in sound tables.
fn is_whole(dormouse: &Dormouse, name: &str, who: &Created, acknowledged: u64) {
    let mut client = dormouse.connect(&Created {
        user: format!("{name}.admin"),
        password: who.password.clone(),
    });
    let count = client.query("SELECT COUNT(*) FROM app.log").value();
    let rows: u64 = count.parse().unwrap();
    assert!(rows >= acknowledged, "{name}: {rows} >= {acknowledged}");
    let last = client.query("SELECT MAX(n) FROM app.log").value();
    assert_eq!(last, count, "{name}");
    let mixed = "SELECT COUNT(DISTINCT LEFT(t, 1)) FROM app.fat";
    assert_eq!(client.query(mixed).value(), "1", "{name}: half a statement");
    for table in ["log", "fat"] {
        let checked = client.query(&format!("CHECK TABLE app.{table}"));
        assert!(format!("{checked:?}").contains("OK"), "{checked:?}");
    }
}

#[test]
fn a_database_that_never_pauses_is_branched_and_backed_up() {
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    fs::write(&key, "open sesame\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "[warm_pool]\nsize = 0\n[snapshot]\nfrozen_at_most = '10ms'\n[backup]\nrepository = '{}'\nkey_file = '{}'\n",
        place.path().join("repository").display(),
        key.display()
    );
    let dormouse = Dormouse::start_with(&config);
    let report = dormouse.json(&["doctor"]).to_string();
    if !report.contains("/mariadb-backup") {
        eprintln!("skipped: {report}");
        return;
    }
    let _made = dormouse.json(&["backup", "init"]);
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.log (n INT PRIMARY KEY AUTO_INCREMENT, t VARCHAR(250))",
        // one statement changes many files' worth of what can be copied in ten milliseconds
        "CREATE TABLE app.fat (n INT PRIMARY KEY, t TEXT)",
        "USE app",
        "INSERT INTO app.fat SELECT seq, CONCAT('a', REPEAT('x', 4000), 'b') FROM seq_1_to_20000",
    ] {
        client.query(text).ok();
    }
    let (ended, acknowledged) = (&AtomicBool::new(false), &AtomicU64::new(0));
    thread::scope(|scope| {
        let _end = End(ended);
        let (mut first, mut second) = (dormouse.connect(&who), dormouse.connect(&who));
        scope.spawn(move || churn(&mut first, ended));
        scope.spawn(move || write(&mut second, acknowledged, ended));
        while acknowledged.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let before = acknowledged.load(Ordering::SeqCst);
        let _made = dormouse.json(&["branch", "shop", "twin"]);
        is_whole(&dormouse, "twin", &who, before);
        let before = acknowledged.load(Ordering::SeqCst);
        let _made = dormouse.json(&["backup", "now", "shop"]);
        let _made = dormouse.json(&["restore", "shop", "--as", "back"]);
        is_whole(&dormouse, "back", &who, before);
    });
    let log = dormouse.log();
    let beside = log.matches("copied by mariadb-backup").count();
    // file systems that share blocks make a copy in no time
    assert!(
        beside == 2 || log.contains("shared: true"),
        "{beside}: {log}"
    );
}
