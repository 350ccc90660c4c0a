//! What an export must not leave: the branch that it reads, the file with the password, a file in the middle.
//!
//! They are removed at its end, and when SIGINT, SIGTERM or SIGHUP interrupt it. What is left if it is killed: a branch, which
//! is dropped when its time is over, and files, which the next export replaces.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use dormouse_api::model::{BranchRequest, Database};
use dormouse_api::{Client, ErrorBody};
use dormouse_types::{Bytes, DatabaseName, Delay};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::super::transfer::Transfer;
use super::super::{block_on, told};
use crate::Outcome;

/// Time of a branch, without that for its size.
const SHORTEST: u64 = 60 * 60;

/// Bytes that are dumped in a second at least.
const SLOWEST: u64 = 1 << 20;

/// Names that are tried for a branch.
const ATTEMPTS: u32 = 5;

/// What has to be removed.
#[derive(Debug)]
struct Left {
    api: PathBuf,
    branch: Option<DatabaseName>,
    files: Vec<PathBuf>,
    /// The ledger is told of it, if it is interrupted.
    transfer: Option<Transfer>,
}

/// Removes what an export must not leave.
#[derive(Debug)]
pub(super) struct Leftovers(Arc<Mutex<Left>>);

impl Leftovers {
    /// From now on the signals remove it, too.
    pub(super) fn watch(api: PathBuf) -> Outcome<Self> {
        let left = Left {
            api,
            branch: None,
            files: Vec::new(),
            transfer: None,
        };
        let left = Arc::new(Mutex::new(left));
        let shared = Arc::clone(&left);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || end_at_signal(&shared, &tell));
        match told.recv() {
            Ok(Ok(())) => Ok(Self(left)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ErrorBody::new("machine", "cannot wait for signals")),
        }
    }

    /// Makes a branch for the time of the export. A signal that comes meanwhile waits until it is there to be dropped.
    pub(super) fn branch(&self, parent: &Database) -> Outcome<DatabaseName> {
        let mut left = locked(&self.0);
        let client = Client::new(&left.api);
        let mut tried = 0;
        loop {
            let request = BranchRequest {
                name: name_for(&parent.name)?,
                ttl: Some(Delay::After(lifetime(parent.storage))),
                at: None,
            };
            tried += 1;
            match block_on(async { client.branch(&parent.name, &request).await.map_err(told) }) {
                Ok(made) => {
                    left.branch = Some(made.name.clone());
                    return Ok(made.name);
                }
                Err(error) if error.code == "exists" && tried < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// This file is removed, too.
    pub(super) fn file(&self, path: PathBuf) {
        locked(&self.0).files.push(path);
    }

    /// The ledger is told of this export if it is interrupted.
    pub(super) fn tell(&self, transfer: &Transfer) {
        locked(&self.0).transfer = Some(transfer.clone());
    }

    /// Drops the branch. The files were removed by those who made them.
    ///
    /// # Errors
    /// The branch could not be dropped.
    pub(super) fn end(self) -> Outcome {
        let mut left = locked(&self.0);
        left.files.clear();
        left.transfer = None;
        remove(&mut left)
    }
}

fn locked(left: &Mutex<Left>) -> MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(left: &mut Left) -> Outcome {
    for file in left.files.drain(..) {
        // it may be gone
        let _removed = std::fs::remove_file(file);
    }
    let Some(branch) = left.branch.take() else {
        return Ok(());
    };
    let client = Client::new(&left.api);
    let dropped = block_on(async { client.drop_database(&branch).await.map_err(told) });
    match dropped {
        Err(error) if error.code != "not_found" => {
            let message = format!(
                "the branch {branch}, from which the dump was made, could not be dropped: {}",
                error.message
            );
            let hint = format!("it is dropped by itself later; or: dormouse drop {branch} --yes");
            Err(ErrorBody::new(&error.code, message).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// Waits for a signal; then removes everything and ends the program. A second signal ends it at once.
fn end_at_signal(left: &Arc<Mutex<Left>>, ready: &mpsc::Sender<Outcome>) {
    let waited = block_on(async {
        let mut signals = Signals::listen()?;
        let _waits = ready.send(Ok(()));
        let number = signals.next().await;
        let (done, removed) = oneshot::channel();
        let left = Arc::clone(left);
        std::thread::spawn(move || {
            let mut left = locked(&left);
            let removed = remove(&mut left);
            if let Some(transfer) = left.transfer.take() {
                // the program ends anyway
                let _told = transfer.end(Some(&format!("it was interrupted by signal {number}")));
            }
            let _again = done.send(removed);
        });
        let removed = tokio::select! {
            _ = signals.next() => return Ok(number),
            removed = removed => removed,
        };
        if let Ok(Err(error)) = removed {
            let hint = error.hint.unwrap_or_default();
            eprintln!("{}\n{hint}", error.message);
        }
        Ok(number)
    });
    match waited {
        Ok(number) => std::process::exit(128 + number),
        Err(error) => {
            let _told = ready.send(Err(error));
        }
    }
}

/// The signals that interrupt an export.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Outcome<Self> {
        let on = |kind| {
            signal(kind)
                .map_err(|e| ErrorBody::new("machine", format!("cannot catch signals: {e}")))
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = self.hangup.recv() => 1,
        }
    }
}

/// A name that tells what the branch is for, and that no other branch has.
fn name_for(parent: &DatabaseName) -> Outcome<DatabaseName> {
    const PURPOSE: &str = "-export-";
    let random = RandomState::new().hash_one(std::process::id()) & 0xFFFF;
    let most = DatabaseName::MAX_BYTES - PURPOSE.len() - 4;
    // a name is ASCII
    let parent = parent.as_str().get(..most).unwrap_or(parent.as_str());
    let name = format!("{parent}{PURPOSE}{random:04x}").parse();
    name.map_err(|e| ErrorBody::new("invalid", format!("cannot name a branch: {e}")))
}

/// After which time a branch of a database of this size is dropped if nobody else does it.
fn lifetime(size: Option<Bytes>) -> Duration {
    let size = size.map_or(0, |size| size.0);
    Duration::from_secs(SHORTEST + size / SLOWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_branch_tells_of_what_it_is_and_what_for() {
        let name = name_for(&"shop".parse().unwrap()).unwrap();
        assert!(name.as_str().starts_with("shop-export-"), "{name}");
        let long = "x".repeat(DatabaseName::MAX_BYTES);
        let name = name_for(&long.parse().unwrap()).unwrap();
        assert_eq!(name.as_str().len(), DatabaseName::MAX_BYTES);
        assert!(name.as_str().contains("x-export-"), "{name}");
    }

    #[test]
    fn a_large_database_has_more_time() {
        assert_eq!(lifetime(None), Duration::from_secs(3600));
        assert_eq!(lifetime(Some(Bytes(100 << 30))).as_secs(), 3600 + 102_400);
    }
}
