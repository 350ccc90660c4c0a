//! How far an import has come: `DATA_DIR/imports/NAME.json`, and the lock that lets one import at a time into a database.
//!
//! Invariant: the file is on the disk before a statement that changes what it says is sent. So after a crash at any
//! moment it names a point from which the statements can be run without doubling rows, or the one statement of which
//! nobody can say whether it ran.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dormouse_api::ErrorBody;
use dormouse_types::DatabaseName;
use serde::{Deserialize, Serialize};

use super::classify::Object;
use crate::Outcome;
use crate::private_file;

/// A place in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The part's name.
    pub(crate) part: String,
    /// Offset in it, decompressed.
    pub(crate) offset: u64,
    /// The line there.
    pub(crate) line: u64,
    /// Digest of all statements of the part in front of it.
    pub(crate) digest: String,
}

/// From where statements may be run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Its first statement.
    pub(crate) start: Position,
    /// Whether the statements from there on may be run any number of times, after `made` was dropped.
    pub(crate) repeatable: bool,
    /// What it has made, or was about to make, and was not there before.
    pub(crate) made: Vec<Object>,
    /// The objects that it is about.
    pub(crate) about: Vec<Object>,
}

/// What a statement that is being run leaves open if nobody hears of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The statement.
    pub(crate) at: Position,
    /// What it does, for messages.
    pub(crate) what: String,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The dump, as an absolute path.
    pub(crate) dump: PathBuf,
    /// The unit that is not finished.
    pub(crate) unit: Option<Unit>,
    /// Its statement that must not be run twice.
    pub(crate) running: Option<Running>,
    /// The last statement that ran and must not run again, if no unit has begun since.
    pub(crate) done: Option<Position>,
    /// A later statement from which to go on: it was refused, and had no effect.
    pub(crate) refused: Option<Position>,
}

/// The file with the state, locked.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    _lock: File,
}

impl Checkpoint {
    /// Locks a database's imports.
    ///
    /// # Errors
    /// Another import into the database is running, or the directory cannot be used.
    pub(crate) fn lock(data_dir: &Path, name: &DatabaseName) -> Outcome<Self> {
        let path = path(data_dir, name);
        let failed = |e: io::Error| {
            let message = format!(
                "cannot use {} for the state of the import: {e}",
                path.display()
            );
            ErrorBody::new("machine", message)
        };
        if let Some(dir) = path.parent() {
            match fs::DirBuilder::new().mode(0o700).create(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
                _ => {}
            }
        }
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.with_extension("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another import into {name} is running");
                Err(ErrorBody::new("refused", message).with_hint("wait for its end, or stop it"))
            }
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// The state that an earlier import has left.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn load(&self) -> Outcome<Option<State>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.failed("read", &e)),
        };
        let state = serde_json::from_slice(&text);
        state.map(Some).map_err(|e| self.failed("read", &e.into()))
    }

    /// Writes the state to the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn store(&self, state: &State) -> Outcome {
        let text = serde_json::to_vec(state).map_err(io::Error::from);
        let written = text.and_then(|text| private_file::write(&self.path, &text));
        written.map_err(|e| self.failed("write", &e))
    }

    /// Removes the state: the import is complete, or begins anew.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn clear(&self) -> Outcome {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", &e)),
            _ => Ok(()),
        }
    }

    fn failed(&self, doing: &str, error: &io::Error) -> ErrorBody {
        let path = self.path.display();
        ErrorBody::new(
            "machine",
            format!("cannot {doing} the state of the import, {path}: {error}"),
        )
    }
}

fn path(data_dir: &Path, name: &DatabaseName) -> PathBuf {
    data_dir.join("imports").join(format!("{name}.json"))
}

/// Removes what a dropped database's imports have left.
pub(crate) fn forget(data_dir: &Path, name: &DatabaseName) {
    let path = path(data_dir, name);
    for ending in ["json", "lock", "new", "orders", "source", "cut-over"] {
        // mostly there is none
        let _removed = fs::remove_file(path.with_extension(ending));
    }
}
