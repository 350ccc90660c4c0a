//! Backups on other hosts: SFTP by a real sshd, S3 by moto if `DORMOUSE_TEST_MOTO` names its program, both through a relay that
//! can be cut or made silent in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "remote/hosts.rs"]
mod hosts;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Created, Dormouse, process};

use hosts::{Host, Moto, Relay, Sshd};

/// Gives up early.
const QUICK: &str = "options.timeout = '3'";

/// A repository on another host, and what it needs on this machine.
struct Place {
    dir: tempfile::TempDir,
    host: Box<dyn Host>,
    relay: Relay,
}

impl Place {
    fn new(host: impl Host + 'static) -> Self {
        let relay = Relay::to(host.port());
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            host: Box::new(host),
            relay,
        };
        place.write("key", "open sesame\n");
        if let Some(credentials) = place.host.credentials() {
            place.write("credentials", &credentials);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn location(&self) -> String {
        self.host.location(self.relay.port())
    }

    fn config(&self, more: &str) -> String {
        let credentials = self.host.credentials().map_or(String::new(), |_| {
            format!(
                "credentials_file = '{}'\n",
                self.path("credentials").display()
            )
        });
        let options: String = self
            .host
            .options(self.relay.port())
            .into_iter()
            .map(|(name, value)| format!("options.{name} = '{value}'\n"))
            .collect();
        format!(
            "[warm_pool]\nsize = 0\n[backup]\nrepository = '{}'\nkey_file = '{}'\n{credentials}{options}{more}\n",
            self.location(),
            self.path("key").display()
        )
    }

    /// Runs restic on the repository, if it is installed, and checks that it finds nothing wrong.
    fn restic_is_content(&self) {
        let mut restic = Command::new("restic");
        restic.args(["--no-cache", "--repo", &self.location()]);
        self.host.for_restic(self.relay.port(), &mut restic);
        restic.args(["check", "--read-data"]);
        restic.env("RESTIC_PASSWORD", "open sesame");
        match restic.output() {
            Err(_) => eprintln!("skipped: no restic"),
            Ok(output) => assert!(output.status.success(), "{output:?}"),
        }
    }
}

fn fill(dormouse: &Dormouse, who: &Created) {
    let mut client = dormouse.connect(who);
    for text in [
        "CREATE DATABASE app",
        "USE app",
        "CREATE TABLE log (n INT PRIMARY KEY, t VARCHAR(250)) SELECT seq n, SHA2(RAND(), 512) t FROM seq_1_to_20000",
    ] {
        client.query(text).ok();
    }
}

fn count(dormouse: &Dormouse, database: &str, who: &Created) -> String {
    let who = Created {
        user: format!("{database}.admin"),
        password: who.password.clone(),
    };
    let mut client = dormouse.connect(&who);
    client.query("SELECT COUNT(*) FROM app.log").value()
}

fn failed(dormouse: &Dormouse, arguments: &[&str]) -> String {
    let (success, text) = output_of(&mut dormouse.command(arguments));
    assert!(!success, "{arguments:?} succeeded: {text}");
    for secret in ["sesame", "moto-secret"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

/// Everything once: the result is that of a directory.
fn whole_cycle(place: &Place) {
    let dormouse = Dormouse::start_with(&place.config(""));
    let who = dormouse.create("shop", &[]);
    fill(&dormouse, &who);
    let none = failed(&dormouse, &["backup", "now", "shop"]);
    assert!(none.contains("dormouse backup init"), "{none}");
    let _ = dormouse.json(&["backup", "init"]);
    let again = failed(&dormouse, &["backup", "init"]);
    assert!(again.contains("already"), "{again}");
    // nothing is written meanwhile
    let _ = dormouse.json(&["park", "shop"]);
    let _ = dormouse.json(&["backup", "now", "shop"]);
    let second = dormouse.json(&["backup", "now", "shop", "--always"]);
    let new = second[0]["made"]["new"].as_u64().unwrap();
    assert!(new < 1 << 20, "{second}");
    let verified = dormouse.json(&["backup", "verify", "shop", "--data", "100"]);
    let damaged = verified["backups"][0]["damaged"].as_array().unwrap().len();
    let faults = verified["repository"]["faults"].as_array().unwrap().len();
    assert_eq!((damaged, faults), (0, 0), "{verified}");
    let _ = dormouse.json(&["set", "shop", "--backup-keep", "1"]);
    let pruned = dormouse.json(&["backup", "prune", "--at-once"]);
    assert_eq!(pruned["forgotten"], 1, "{pruned}");
    let _ = dormouse.json(&["restore", "shop", "--as", "copy"]);
    assert_eq!(count(&dormouse, "copy", &who), "20000");
    place.restic_is_content();
    let log = dormouse.log();
    assert!(!log.contains("sesame") && !log.contains("moto-secret"));
    drop(dormouse);

    // another machine
    let mut dormouse = Dormouse::prepare(&place.config(""));
    let file = dormouse.config_file();
    let recovered = dormouse.json(&["recover", "--config", file.to_str().unwrap()]);
    assert_eq!(recovered["restored"].as_array().unwrap().len(), 1);
    dormouse.up();
    assert_eq!(count(&dormouse, "shop", &who), "20000");
}

/// The host goes away, or falls silent, in the middle of each command; Dormouse is killed in the middle of a backup.
fn faults_in_the_middle(place: &Place) {
    let mut dormouse =
        Dormouse::start_with(&place.config(&format!("upload_limit = '2MiB'\n{QUICK}")));
    let who = dormouse.create("shop", &[]);
    fill(&dormouse, &who);
    let _ = dormouse.json(&["backup", "init"]);
    // sent bytes: the first data file is on its way
    place.relay.cut_after(300_000);
    let cut = failed(&dormouse, &["backup", "now", "shop"]);
    assert!(cut.contains("cannot be reached"), "{cut}");
    assert_eq!(dormouse.json(&["ls"]).as_array().unwrap().len(), 1);
    place.relay.open();
    assert_eq!(
        dormouse.json(&["backup", "ls"]).as_array().unwrap().len(),
        0
    );
    let _ = dormouse.json(&["backup", "now", "shop"]);
    for arguments in [
        &["backup", "verify", "shop"][..],
        &["restore", "shop", "--as", "copy"],
        &["backup", "now", "shop", "--always"],
        &["backup", "prune", "--at-once"],
    ] {
        place.relay.cut_after(2_000);
        let text = failed(&dormouse, arguments);
        assert!(text.contains("cannot be reached"), "{arguments:?}: {text}");
        // nothing else waits for it
        assert_eq!(count(&dormouse, "shop", &who), "20000");
        place.relay.open();
    }
    place.relay.silence_after(2_000);
    let text = failed(&dormouse, &["backup", "now", "shop", "--always"]);
    assert!(text.contains("no answer within"), "{text}");
    place.relay.open();
    let made = dormouse.json(&["backup", "now", "shop", "--always"]);
    assert!(!made[0]["made"].is_null(), "{made}");

    // what hangs does not hold up the end
    place.relay.silence_after(2_000);
    let mut hanging = dormouse.command(&["backup", "now", "shop", "--always"]);
    let mut hanging = hanging.stderr(std::process::Stdio::null()).spawn().unwrap();
    process::until("the relay is silent", || place.relay.is_reached());
    dormouse.stop();
    hanging.wait().unwrap();
    place.relay.open();
    dormouse.up();

    // killed while it sends
    place.relay.silence_after(300_000);
    let mut client = dormouse.connect(&who);
    client
        .query("UPDATE app.log SET t = SHA2(RAND(), 512)")
        .ok();
    let mut hanging = dormouse.command(&["backup", "now", "shop"]);
    let mut hanging = hanging.stderr(std::process::Stdio::null()).spawn().unwrap();
    process::until("the relay is silent", || place.relay.is_reached());
    dormouse.kill();
    hanging.wait().unwrap();
    place.relay.open();
    dormouse.up();
    let _ = dormouse.json(&["backup", "now", "shop"]);
    let _ = dormouse.json(&["backup", "prune", "--at-once"]);
    let verified = dormouse.json(&["backup", "verify", "shop", "--data", "100"]);
    let faults = verified["repository"]["faults"].as_array().unwrap().len();
    assert_eq!(faults, 0, "{verified}");
    place.restic_is_content();

    // the machine is lost, and the host fails in the middle of the recovery, which is repeated
    drop(dormouse);
    let dormouse = Dormouse::prepare(&place.config(QUICK));
    let file = dormouse.config_file();
    place.relay.cut_after(2_000);
    let text = failed(&dormouse, &["recover", "--config", file.to_str().unwrap()]);
    assert!(text.contains("cannot be reached"), "{text}");
    place.relay.open();
    let recovered = dormouse.json(&["recover", "--config", file.to_str().unwrap()]);
    assert_eq!(
        recovered["lost"].as_array().unwrap().len(),
        0,
        "{recovered}"
    );
}

#[test]
fn a_repository_by_sftp_is_as_good_as_a_directory() {
    let Some(sshd) = Sshd::start() else { return };
    whole_cycle(&Place::new(sshd));
}

#[test]
fn sftp_that_fails_in_the_middle_loses_nothing_and_holds_nothing_up() {
    let Some(sshd) = Sshd::start() else { return };
    faults_in_the_middle(&Place::new(sshd));
}

#[test]
fn what_is_wrong_with_ssh_is_told() {
    let Some(sshd) = Sshd::start() else { return };
    let (known, keys) = (sshd.path("known_hosts"), sshd.path("authorized_keys"));
    let place = Place::new(sshd);
    let dormouse = Dormouse::start_with(&place.config(QUICK));
    let _ = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["backup", "init"]);
    let told = |words: &str| {
        let text = failed(&dormouse, &["backup", "now", "shop"]);
        assert!(text.contains(words), "{words}: {text}");
    };
    for (file, words) in [(known, "host key"), (keys, "identity_file")] {
        let good = fs::read_to_string(&file).unwrap();
        fs::write(&file, "").unwrap();
        place.relay.cut_after(0);
        place.relay.open();
        told(words);
        fs::write(&file, good).unwrap();
    }
    place.relay.cut_after(0);
    told("cannot be reached");
    place.relay.open();
    let _ = dormouse.json(&["backup", "now", "shop"]);
}

#[test]
fn a_repository_in_s3_is_as_good_as_a_directory() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket();
    whole_cycle(&Place::new(moto));
}

#[test]
fn s3_that_fails_in_the_middle_loses_nothing_and_holds_nothing_up() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket();
    faults_in_the_middle(&Place::new(moto));
}

#[test]
fn a_bucket_that_is_missing_is_told() {
    let Some(moto) = Moto::start() else { return };
    let place = Place::new(moto);
    let dormouse = Dormouse::start_with(&place.config(""));
    for arguments in [&["backup", "init"][..], &["backup", "ls"]] {
        let text = failed(&dormouse, arguments);
        assert!(
            text.contains("the bucket 'backups' does not exist"),
            "{text}"
        );
    }
    place.write("credentials", "AWS_ACCESS_KEY_ID=id\n");
    let text = failed(&dormouse, &["backup", "ls"]);
    assert!(text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
    fs::set_permissions(place.path("credentials"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = failed(&dormouse, &["backup", "ls"]);
    assert!(text.contains("chmod 600"), "{text}");
}
