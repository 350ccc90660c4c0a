//! restic's locks.
//!
//! `rustic_core` needs none, but `restic` does: its `prune` and `check` want to be alone. So what writes leaves a lock
//! that `restic` sees, and is refused while `restic` is alone. A lock is a file with the time, the host and the
//! process, encrypted like all else; its holder writes it anew every five minutes. A lock that is older than half an
//! hour, or whose process on this host has ended, is ignored, and removed if Dormouse had written it. Dormouse waits for
//! locks of its own: within a process by [`Turns`], and for other processes by looking again.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key as CipherKey, Nonce};
use jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Failure};
use crate::files::{Entry, Fail, FailKind, Files, LOCKS};
use crate::repository::host;
use crate::turns::{PATIENCE, Turn, Turns, Usage};
use crate::watch::{Cancel, Watch};

/// When restic takes a lock for abandoned.
const STALE: SignedDuration = SignedDuration::from_mins(30);

/// How often a held lock is written anew, as by restic.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// The user's name in locks of ours, which we may remove.
const OURS: &str = "dormouse";

/// How often it is looked whether another process of Dormouse's has removed its lock.
const AGAIN: Duration = Duration::from_secs(1);

/// The locks of a repository.
#[derive(Clone)]
pub(crate) struct Locks(Arc<Folder>);

struct Folder {
    files: Arc<dyn Files>,
    key: Zeroizing<Vec<u8>>,
}

/// A lock as restic writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lock {
    time: String,
    exclusive: bool,
    hostname: String,
    username: String,
    pid: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

/// A lock that is held until it is released or dropped.
#[must_use]
pub(crate) struct Held {
    refresher: Option<(Sender<()>, JoinHandle<()>)>,
    _turn: Turn,
}

impl Held {
    /// Removes the lock.
    pub(crate) fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((end, refresher)) = self.refresher.take() {
            drop(end);
            // It removes the lock and cannot panic.
            let _ = refresher.join();
        }
    }
}

impl Locks {
    pub(crate) fn new(files: Arc<dyn Files>, master: &MasterKey) -> Self {
        let key = [&master.encrypt[..], &master.mac.k, &master.mac.r].concat();
        Self(Arc::new(Folder {
            files,
            key: Zeroizing::new(key),
        }))
    }

    /// Takes a lock, after those of this process that are in the way. What only reads leaves no file: it may have no right to.
    pub(crate) fn take(&self, location: &str, usage: Usage, watch: &Watch) -> Result<Held, Error> {
        let turn = Turns::at(location).wait(usage, location, watch)?;
        let mut held = Held {
            refresher: None,
            _turn: turn,
        };
        let exclusive = match usage {
            Usage::Read => return Ok(held),
            Usage::Store | Usage::Prune => false,
            Usage::Alone => true,
        };
        let folder = &self.0;
        let failed = |fail: Fail| {
            Failure::place("writing a lock".to_owned(), false, fail).into_error(location)
        };
        let name = folder.lock(location, exclusive, watch, failed)?;
        let (end, ended) = channel();
        let kept = Arc::clone(folder);
        let refresher = thread::Builder::new().name("repository-lock".to_owned());
        let own = name.clone();
        match refresher.spawn(move || kept.refresh(own, exclusive, &ended)) {
            Ok(refresher) => {
                held.refresher = Some((end, refresher));
                Ok(held)
            }
            Err(error) => {
                folder.remove(&name);
                Err(failed(error.into()))
            }
        }
    }
}

impl Folder {
    /// Writes a lock when no other is in the way; waits for those of Dormouse's.
    fn lock(
        &self,
        location: &str,
        exclusive: bool,
        watch: &Watch,
        failed: impl Fn(Fail) -> Error,
    ) -> Result<String, Error> {
        let cancel = &watch.cancel;
        let (began, mut told) = (Instant::now(), false);
        let mut free = self.in_the_way(exclusive, None, cancel).map_err(&failed)?;
        let result = loop {
            if let Some(lock) = free {
                let ours = lock.username == OURS;
                if !ours || began.elapsed() > PATIENCE {
                    break Err(Error::Locked {
                        location: location.to_owned(),
                        holder: format!(
                            "process {} of {} on {}",
                            lock.pid, lock.username, lock.hostname
                        ),
                        since: lock.time,
                    });
                }
                if !told {
                    watch.waits_for(Some(&format!("another Dormouse on {}", lock.hostname)));
                    told = true;
                }
                thread::sleep(AGAIN);
                if cancel.is_cancelled() {
                    break Err(Error::Cancelled);
                }
                free = self.in_the_way(exclusive, None, cancel).map_err(&failed)?;
                continue;
            }
            let name = self.write(exclusive, cancel).map_err(&failed)?;
            // Somebody may have done the same meanwhile; then both see the other's lock, and at least one gives way.
            match self.in_the_way(exclusive, Some(&name), cancel) {
                Ok(None) => break Ok(name),
                Ok(other) => {
                    self.remove(&name);
                    free = other;
                }
                Err(fail) => {
                    self.remove(&name);
                    break Err(failed(fail));
                }
            }
        };
        if told {
            watch.waits_for(None);
        }
        result
    }

    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        Aes256CtrPoly1305Aes::new(CipherKey::from_slice(&self.key))
    }

    fn write(&self, exclusive: bool, cancel: &Cancel) -> Result<String, Fail> {
        let lock = Lock {
            time: Timestamp::now().to_string(),
            exclusive,
            hostname: host(),
            username: OURS.to_owned(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        let odd = |text: &str| Fail::new(FailKind::Broken, text);
        let text = serde_json::to_vec(&lock).map_err(|error| odd(&error.to_string()))?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| odd(&error.to_string()))?;
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), text.as_slice());
        let sealed = sealed.map_err(|_| odd("the lock cannot be encrypted"))?;
        let bytes = [&nonce[..], &sealed].concat();
        let name = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        let path = format!("{LOCKS}/{name}");
        self.files.write(&path, &[bytes.into()], cancel)?;
        Ok(name)
    }

    fn read(&self, name: &str, cancel: &Cancel) -> Result<Option<Lock>, Fail> {
        let bytes = self.files.read(&format!("{LOCKS}/{name}"), None, cancel)?;
        let Some((nonce, sealed)) = bytes.split_at_checked(16) else {
            return Ok(None);
        };
        let Ok(text) = self.cipher().decrypt(Nonce::from_slice(nonce), sealed) else {
            return Ok(None);
        };
        // The first byte tells that restic has compressed it.
        let text = match text.split_first() {
            Some((2, packed)) => zstd::decode_all(packed).unwrap_or_default(),
            _ => text,
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The first lock that forbids another one; one that waits for nothing rather than one of Dormouse's.
    fn in_the_way(
        &self,
        exclusive: bool,
        own: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Option<Lock>, Fail> {
        let entries = match self.files.list(LOCKS, cancel) {
            // A repository that nobody has locked yet; if it is not there at all, that is seen later.
            Err(fail) if fail.kind == FailKind::Gone => return Ok(None),
            entries => entries?,
        };
        let mut found: Option<Lock> = None;
        for entry in entries {
            let name = entry.name.as_str();
            if name.len() != 64 || own == Some(name) {
                continue;
            }
            let lock = match self.read(name, cancel) {
                Ok(Some(lock)) => lock,
                Ok(None) => unreadable(&entry),
                Err(fail) if fail.kind == FailKind::Gone => continue,
                Err(fail) => return Err(fail),
            };
            if lock.is_stale() {
                if lock.username == OURS {
                    self.remove(name);
                }
            } else if (exclusive || lock.exclusive)
                && found.as_ref().is_none_or(|found| found.username == OURS)
            {
                found = Some(lock);
            }
        }
        Ok(found)
    }

    fn remove(&self, name: &str) {
        // If it stays, it is stale in half an hour.
        let _ = self
            .files
            .remove(&format!("{LOCKS}/{name}"), &Cancel::default());
    }

    /// Writes the lock anew from time to time until the other end is dropped, then removes it.
    fn refresh(&self, mut name: String, exclusive: bool, ended: &Receiver<()>) {
        while ended.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
            if let Ok(newer) = self.write(exclusive, &Cancel::default()) {
                self.remove(&name);
                name = newer;
            }
        }
        self.remove(&name);
    }
}

/// What is assumed of a lock that cannot be read: that its holder is alone, since the file was written.
fn unreadable(entry: &Entry) -> Lock {
    let written = entry.modified.and_then(|at| Timestamp::try_from(at).ok());
    Lock {
        time: written.unwrap_or_else(Timestamp::now).to_string(),
        exclusive: true,
        hostname: "a host that is not known".to_owned(),
        username: "a user that is not known".to_owned(),
        pid: 0,
        uid: 0,
        gid: 0,
    }
}

impl Lock {
    fn is_stale(&self) -> bool {
        let old = self
            .time
            .parse::<Timestamp>()
            .is_ok_and(|time| Timestamp::now().duration_since(time) > STALE);
        old || self.hostname == host()
            && self.pid != 0
            && !Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

#[cfg(test)]
mod tests;
