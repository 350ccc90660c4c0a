//! File locks between processes, which child processes do not inherit.
//!
//! A lock of `flock(2)` belongs to the open file, which a child shares from `fork` until it executes its
//! program: if Dormouse is killed meanwhile, the lock outlives it. A record lock (`fcntl_locking(2)`,
//! F_SETLK) belongs to the process and ends with it. It has two weaknesses, which this module covers: closing
//! any descriptor of the file releases the lock, so nothing else in this process may open the file; and it
//! does not exclude others in its own process, so a list of held locks does that.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::error::Error;

/// The plane's lock in the data directory; it holds the process id of the owner.
const FILE: &str = "lock";

/// The locked files of this process, by device and inode.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A lock on a file, held until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    /// `None` only while it is dropped.
    file: Option<File>,
    id: (u64, u64),
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another part of this one, holds it.
    #[error("{0} holds it")]
    Held(String),
    /// The file cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock on a file, which is created if missing, and writes this process's id into it.
    ///
    /// # Errors
    /// [`LockError::Held`] if it is held, with its holder if known (`pid 123`).
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut held = held();
        if let Ok(there) = fs::metadata(path)
            && held.contains(&id(&there))
        {
            return Err(LockError::Held(format!("pid {}", std::process::id())));
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.mode(0o600).open(path)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(LockError::Held(holder(&file))),
            Err(other) => return Err(io::Error::from(other).into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        let id = id(&file.metadata()?);
        held.insert(id);
        Ok(Self {
            file: Some(file),
            id,
        })
    }

    /// Takes the plane's lock on a data directory.
    pub(crate) fn of_plane(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE);
        Self::take(&path).map_err(|error| match error {
            LockError::Held(holder) => Error::Busy {
                data_dir: data_dir.to_owned(),
                holder,
            },
            LockError::Io(error) => Error::Machine {
                doing: format!("locking {}", path.display()),
                reason: error.to_string(),
            },
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut held = held();
        // closed while the list is locked: to close it after another has taken the lock would release that
        // lock
        self.file.take();
        held.remove(&self.id);
    }
}

fn held() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(of: &fs::Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// The holder of a lock that could not be taken. A process in another container has no pid here.
fn holder(file: &File) -> String {
    let whole = Flock::from(FlockType::WriteLock);
    match fcntl_getlk(file, &whole) {
        Ok(Some(Flock { pid: Some(pid), .. })) => format!("pid {}", pid.as_raw_nonzero()),
        _ => "of unknown process id".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_that_has_the_open_file_does_not_hold_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let inherited = lock.file.as_ref().unwrap().try_clone().unwrap();
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(inherited)
            .spawn()
            .unwrap();
        drop(lock);
        let again = Lock::take(&path).map(drop);
        child.kill().unwrap();
        child.wait().unwrap();
        again.unwrap();
    }

    #[test]
    fn a_second_attempt_in_the_process_fails_and_keeps_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        for _ in 0..2 {
            let refused = Lock::take(&path).unwrap_err().to_string();
            assert_eq!(refused, format!("pid {} holds it", std::process::id()));
        }
        let text = path.display().to_string();
        let taken = fs::read_to_string("/proc/locks").unwrap();
        let inode = format!(":{} ", lock.id.1);
        assert!(taken.contains(&inode), "{text} is not in {taken}");
        drop(lock);
        Lock::take(&path).unwrap();
    }
}
