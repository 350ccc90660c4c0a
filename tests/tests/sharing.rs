//! Branches on file systems that share blocks, made in files: btrfs and XFS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_testkit::{Created, Dormouse};

/// Size of a file system: XFS needs 300 MiB.
const SIZE: u64 = 512 << 20;

/// A file system in a file, unmounted on drop.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Makes and mounts one; the error says what this machine lacks.
    fn new(kind: &str, image: &Path, at: PathBuf) -> Result<Self, String> {
        File::create(image).unwrap().set_len(SIZE).unwrap();
        let make = format!("mkfs.{kind}");
        run(Command::new(&make).arg("-q").arg(image))?;
        fs::create_dir(&at).unwrap();
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(image)
            .arg(&at))?;
        Ok(Self { at })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // after a failed test its servers may still run: it is unmounted when they end
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", said.trim()))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Names of all tables with their checksums.
fn contents(dormouse: &Dormouse, who: &Created) -> String {
    let mut client = dormouse.connect(who);
    let checked = client.query("CHECK TABLE app.t EXTENDED").rows();
    assert_eq!(checked[0][3].as_deref(), Some("OK"), "{checked:?}");
    let text = "SELECT CONCAT_WS(' ', COUNT(*), SUM(CRC32(text)), MAX(text)) FROM app.t";
    client.query(text).value()
}

fn branches_share_blocks_on(kind: &str) {
    let place = tempfile::Builder::new()
        .prefix("dmfs")
        .tempdir_in("/tmp")
        .unwrap();
    let image = place.path().join("image");
    // the data directory itself is the mounted one
    let mut dormouse = Dormouse::prepare(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[limits]\ndisk_reserve = \"1MiB\"\n",
    );
    let data_dir = dormouse.data_dir();
    let mounted = match Mounted::new(kind, &image, data_dir.clone()) {
        Ok(mounted) => mounted,
        Err(reason) => {
            eprintln!("skipped: no {kind} here: {reason}");
            return;
        }
    };
    dormouse.up();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY, text VARCHAR(250))",
        "INSERT INTO app.t SELECT seq, REPEAT(MD5(seq), 7) FROM app.seq_1_to_20000",
    ] {
        client.query(text).ok();
    }
    let before = contents(&dormouse, &who);
    for verb in ["wake", "suspend", "park"] {
        let state = dormouse.json(&[verb, "shop"])["state"].clone();
        let made = dormouse.json(&["branch", "shop", verb]);
        assert_eq!(made["shared"], true, "{made}");
        assert_eq!(dormouse.show("shop")["state"], state);
        let branch = Created {
            user: format!("{verb}.admin"),
            password: who.password.clone(),
        };
        assert_eq!(contents(&dormouse, &branch), before);
        // what one of them writes is not in the other
        let mut own = dormouse.connect(&branch);
        own.query("UPDATE app.t SET text = REVERSE(text)").ok();
        assert_ne!(contents(&dormouse, &branch), before);
    }
    assert_eq!(contents(&dormouse, &who), before);
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    drop(dormouse);
    drop(mounted);
    let _ = fs::remove_dir_all(data_dir.parent().unwrap());
}

#[test]
fn a_branch_on_btrfs_shares_the_blocks_of_its_parent() {
    branches_share_blocks_on("btrfs");
}

#[test]
fn a_branch_on_xfs_shares_the_blocks_of_its_parent() {
    branches_share_blocks_on("xfs");
}
