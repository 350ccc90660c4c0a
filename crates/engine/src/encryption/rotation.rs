//! Wrapping all keys by another master key, so that a crash at any step leaves files that either master key
//! can read.
//!
//! 1. The *transition file* is written: the old master key wrapped by the new one, and the reverse.
//! 2. Every ring is written anew beside its file, then renamed over it.
//! 3. The transition file is removed: from now on the old master key reads nothing.
//!
//! A start that finds the transition file unwraps the other master key, and wraps all keys by the configured one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::keeper::{KeeperConfig, rings};
use super::{Key, KeyError, KeyRing, doing};

/// Context of a wrapped master key.
const CONTEXT: &[u8] = b"dormouse master key";

/// The transition file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transition {
    old: String,
    new: String,
    old_by_new: String,
    new_by_old: String,
}

fn path(config: &KeeperConfig) -> PathBuf {
    config.data_dir.join("master-key-rotation")
}

/// Wraps all keys by a new master key.
pub(super) fn rotate(config: &KeeperConfig, old: &Key, new: &Key) -> Result<(), KeyError> {
    begin(config, old, new)?;
    wrap_all(config, old, new)?;
    end(config)
}

/// Writes the transition file.
pub(super) fn begin(config: &KeeperConfig, old: &Key, new: &Key) -> Result<(), KeyError> {
    let transition = Transition {
        old: old.fingerprint().to_string(),
        new: new.fingerprint().to_string(),
        old_by_new: new.wrap(old, CONTEXT)?,
        new_by_old: old.wrap(new, CONTEXT)?,
    };
    let path = path(config);
    let write = || {
        let unfinished = path.with_extension("unfinished");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&transition)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync(&config.data_dir)
    };
    write().map_err(doing(format!("writing {}", path.display())))
}

/// Wraps every key that `old` wraps by `new`. All new files are complete before the first is renamed.
pub(super) fn wrap_all(config: &KeeperConfig, old: &Key, new: &Key) -> Result<(), KeyError> {
    let mut ready = Vec::new();
    for path in rings(&config.instances)? {
        let Some(mut ring) = KeyRing::read(&path)? else {
            continue;
        };
        if ring.wrap_anew(old, new)? {
            ready.push((ring.prepare(&path)?, path));
        }
    }
    let publish = || {
        for (unfinished, path) in &ready {
            fs::rename(unfinished, path)?;
        }
        if ready.is_empty() {
            return Ok(());
        }
        sync(&config.instances)
    };
    publish().map_err(doing("replacing the files with wrapped keys"))
}

fn end(config: &KeeperConfig) -> Result<(), KeyError> {
    let path = path(config);
    let remove = || {
        fs::remove_file(&path)?;
        sync(&config.data_dir)
    };
    remove().map_err(doing(format!("removing {}", path.display())))
}

/// Ends a rotation that a crash has interrupted: wraps all keys by the configured master key, be it the new or the
/// old one.
pub(super) fn resume(config: &KeeperConfig, configured: &Key) -> Result<(), KeyError> {
    let path = path(config);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(doing(format!("reading {}", path.display())))?,
    };
    let damaged = |reason: String| KeyError::Damaged {
        path: path.clone(),
        reason,
    };
    let transition: Transition =
        serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    let mine = configured.fingerprint().to_string();
    let wrapped = if mine == transition.new {
        &transition.old_by_new
    } else if mine == transition.old {
        &transition.new_by_old
    } else {
        return Err(KeyError::Refused(format!(
            "a rotation of the master key from {} to {} was interrupted, and the configured master key is {mine}: \
             configure one of those two",
            transition.old, transition.new
        )));
    };
    let other = configured.unwrap(wrapped, CONTEXT);
    let other = other.ok_or_else(|| damaged("it was changed".to_owned()))?;
    wrap_all(config, &other, configured)?;
    end(config)
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Version of the key of an instance's redo log, from the log's header; `None` if the log is not encrypted.
pub(super) fn redo_version(root: &Path) -> Result<Option<u32>, KeyError> {
    const HEADER: usize = 56;
    const ID: std::ops::Range<usize> = 48..52;
    const VERSION: std::ops::Range<usize> = 52..56;
    let path = root.join("data/ib_logfile0");
    let mut header = [0; HEADER];
    let mut read = || {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(no_follow)
            .open(&path)?;
        file.read_exact(&mut header)
    };
    read().map_err(doing(format!("reading {}", path.display())))?;
    let number = |range| {
        let bytes: Option<[u8; 4]> = header.get(range).and_then(|b: &[u8]| b.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    Ok((number(ID) == 1).then(|| number(VERSION)))
}
