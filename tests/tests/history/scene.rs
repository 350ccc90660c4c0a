//! A Dormouse with a backup repository, and times.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Scene {
    pub(crate) dormouse: Dormouse,
    dir: TempDir,
}

impl Scene {
    /// Starts it with a repository, these further lines of configuration, and a master key if asked for.
    pub(crate) fn start(encrypted: bool, more: &str) -> Self {
        Self::start_archiving_every("1s", encrypted, more)
    }

    /// The same; the histories are archived so often.
    pub(crate) fn start_archiving_every(every: &str, encrypted: bool, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("backup.key", "a key"), ("master.key", &*"5a".repeat(32))] {
            let file = dir.path().join(file);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let place = dir.path().display();
        let mut config = format!(
            "{more}\n[backup]\nrepository = '{place}/repository'\nkey_file = '{place}/backup.key'\n\
             [history]\narchive_every = '{every}'\n"
        );
        if encrypted {
            config.push_str(&format!(
                "[encryption]\nmaster_key_file = '{place}/master.key'\n"
            ));
        }
        let dormouse = Dormouse::start_with(&config);
        let scene = Self { dormouse, dir };
        scene.run(&["backup", "init"]);
        scene
    }

    /// Where the backups are.
    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// Runs a command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        self.dormouse.json(arguments)
    }

    /// The error of a command.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let (good, text) = output_of(&mut self.dormouse.command(arguments));
        assert!(!good, "{text}");
        text
    }

    /// A database with a history.
    pub(crate) fn create(&self, name: &str) -> Created {
        self.dormouse.create(name, &["--history", "true"])
    }

    /// A client of a copy of a database, with the same password.
    pub(crate) fn connect(&self, name: &str, who: &Created) -> Client {
        let (_, user) = who.user.split_once('.').unwrap();
        self.dormouse.connect(&Created {
            user: format!("{name}.{user}"),
            password: who.password.clone(),
        })
    }
}

/// Milliseconds since 1970.
pub(crate) fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A second since 1970, as `dormouse restore --at` reads it.
pub(crate) fn written(client: &mut Client, second: i64) -> String {
    client.query("SET time_zone = '+00:00'").ok();
    client
        .query(&format!("SELECT FROM_UNIXTIME({second})"))
        .value()
}

/// Returns when a second has begun.
pub(crate) fn reach(second: i64) {
    dormouse_testkit::process::until("the second has begun", || clock() >= second * 1000);
}
