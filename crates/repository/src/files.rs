//! The files of a repository, wherever they stand: what a kind of place can do, and why it fails.
//!
//! Four kinds implement it: a directory ([`crate::disk`]), object stores, SFTP and REST ([`crate::remote`]). A file appears whole
//! or not at all. A list that cannot be read whole is an error, and not a short list: a prune would take all else for unused.

use std::fmt;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use rustic_core::{FileType, Id};

use crate::watch::Cancel;

/// The folders of a repository.
pub(crate) const FOLDERS: [&str; 5] = ["data", "index", "keys", "locks", "snapshots"];

/// The folder of locks, which `rustic_core` does not know.
pub(crate) const LOCKS: &str = "locks";

/// The file that says that a repository stands here.
pub(crate) const CONFIG: &str = "config";

/// What the name of a file ends with while it is written.
pub(crate) const UNFINISHED: &str = "-tmp-";

/// A place of files. Paths are relative to the repository, as restic names them: `config`, `data/ab/abcd…`, `index/…`.
/// Every call blocks; those to another host end early if they are cancelled.
pub(crate) trait Files: fmt::Debug + Send + Sync {
    /// Whether it is a directory of this machine.
    fn is_local(&self) -> bool {
        false
    }

    /// Prepares an empty place; one that is prepared stays as it is.
    fn create(&self, cancel: &Cancel) -> Result<(), Fail>;

    /// The length of a file, if there is one.
    fn length(&self, path: &str, cancel: &Cancel) -> Result<Option<u64>, Fail>;

    /// The files of a folder; those of `data` stand in folders of two digits.
    fn list(&self, folder: &str, cancel: &Cancel) -> Result<Vec<Entry>, Fail>;

    /// Reads a file, or a part of it, which is an error if it is shorter.
    fn read(&self, path: &str, part: Option<Part>, cancel: &Cancel) -> Result<Bytes, Fail>;

    /// Writes a file anew.
    fn write(&self, path: &str, content: &[Bytes], cancel: &Cancel) -> Result<(), Fail>;

    /// Removes a file; one that is gone is no error.
    fn remove(&self, path: &str, cancel: &Cancel) -> Result<(), Fail>;
}

/// A file in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Without its folder.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// When it was written, if the place says so.
    pub(crate) modified: Option<SystemTime>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Why a place failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fail {
    pub(crate) kind: FailKind,
    /// What happened, without a secret.
    pub(crate) text: String,
}

/// What a failure of a place means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailKind {
    /// No such file.
    Gone,
    /// A file is shorter than it was.
    Short,
    /// The place refuses.
    Denied,
    /// No space is left.
    Full,
    /// The location, its options or this machine must be corrected: no such bucket, a host that is not known.
    Setup,
    /// It does not answer, or fails; may pass.
    Away,
    /// It answers with something else; does not pass by itself.
    Broken,
    /// The caller ended it.
    Cancelled,
}

impl Fail {
    pub(crate) fn new(kind: FailKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(FailKind::Cancelled, "cancelled")
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fail {}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FailKind::Gone,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => FailKind::Short,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FailKind::Denied,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => FailKind::Full,
            _ => FailKind::Away,
        };
        Self::new(kind, error.to_string())
    }
}

/// Where a file of `rustic_core` stands.
pub(crate) fn path(kind: FileType, id: &Id) -> String {
    let hex = id.to_hex();
    let name = hex.as_str();
    match kind {
        FileType::Config => CONFIG.to_owned(),
        FileType::Pack => format!("data/{}/{name}", name.get(..2).unwrap_or("00")),
        _ => format!("{}/{name}", kind.dirname()),
    }
}
