//! One dormouse per data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Error;

/// The lock's file in the data directory; in it, who has the lock.
const FILE: &str = "lock";

/// Held for as long as this process may write in the data directory. The system lets go of it when
/// the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on a data directory.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE);
        let machine = |doing: &str, e: &std::io::Error| Error::Machine {
            doing: format!("{doing} {}", path.display()),
            reason: e.to_string(),
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| machine("opening", &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(64).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "of unknown process id".to_owned(),
                    pid => format!("pid {pid}"),
                };
                return Err(Error::Busy {
                    data_dir: data_dir.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(e)) => return Err(machine("locking", &e)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| machine("writing", &e))?;
        Ok(Self { _file: file })
    }
}
