//! Repositories in temporary directories, with files as a server has them, and with `restic` where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "repository/faults.rs"]
mod faults;
#[path = "repository/keys.rs"]
mod keys;
#[path = "repository/restic.rs"]
mod restic;
#[path = "repository/store.rs"]
mod store;
#[path = "repository/upkeep.rs"]
mod upkeep;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dormouse_repository::{Document, Key, Labels, Options, Reading, Repository, Stored, Watch};
use jiff::Timestamp;
use tempfile::TempDir;

/// A repository and a directory to store, both empty.
pub(crate) struct Scene {
    dir: TempDir,
    pub(crate) repository: Repository,
}

pub(crate) fn key() -> Key {
    Key::new("correct horse".to_owned())
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let location = dir
            .path()
            .join("repository")
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let repository = Repository::init(&location, &key(), &Options::default()).unwrap();
        Self { dir, repository }
    }

    /// A path in the scene's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory to store.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where the repository is.
    pub(crate) fn place(&self) -> PathBuf {
        self.path("repository")
    }

    pub(crate) fn open(&self) -> Result<Repository, dormouse_repository::Error> {
        let location = self.place().to_str().unwrap().parse().unwrap();
        Repository::open(&location, &key(), &Options::default())
    }

    /// Writes a file that was last changed a while ago.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        age(&path, 60);
    }

    pub(crate) fn store(&self) -> Stored {
        self.repository
            .store(
                &self.data(),
                &[],
                &labels("shop"),
                &Reading::Changed,
                &Watch::default(),
            )
            .unwrap()
    }

    /// How many backups there are.
    pub(crate) fn count(&self) -> usize {
        self.repository
            .list(&dormouse_repository::Filter::All)
            .unwrap()
            .len()
    }
}

/// Sets when a file was last changed.
pub(crate) fn age(path: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

pub(crate) fn labels(database: &str) -> Labels {
    Labels::new(database.parse().unwrap(), Timestamp::now())
}

pub(crate) fn document(name: &str, text: &str) -> Document {
    Document {
        name: name.to_owned(),
        bytes: text.to_owned().into(),
    }
}

/// Bytes that do not compress, different for each seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Every path below a directory with mode, time of change and contents (of a symlink: where it points).
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            let (time, bytes) = if meta.is_dir() {
                left.push(path);
                (SystemTime::UNIX_EPOCH, Vec::new())
            } else if meta.is_symlink() {
                (
                    SystemTime::UNIX_EPOCH,
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes(),
                )
            } else {
                (meta.modified().unwrap(), fs::read(&path).unwrap())
            };
            found.insert(name, (meta.permissions().mode(), time, bytes));
        }
    }
    found
}
