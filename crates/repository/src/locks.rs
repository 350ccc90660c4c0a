//! restic's locks, in a local repository.
//!
//! `rustic_core` needs none, but `restic` does: its `prune` and `check` want to be alone. So what writes leaves a lock
//! that `restic` sees, and is refused while `restic` is alone. A lock is a file with the time, the host and the
//! process, encrypted like all else; its holder writes it anew every five minutes. A lock that is older than half an
//! hour, or whose process on this host has ended, is ignored, and removed if Dormouse had written it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key as CipherKey, Nonce};
use jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Failure};
use crate::repository::host;

/// When restic takes a lock for abandoned.
const STALE: SignedDuration = SignedDuration::from_mins(30);

/// How often a held lock is written anew, as by restic.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// The user's name in locks of ours, which we may remove.
const OURS: &str = "dormouse";

/// The locks of a repository; of none on another host, where they are not kept.
#[derive(Clone)]
pub(crate) struct Locks(Option<Arc<Folder>>);

struct Folder {
    path: PathBuf,
    key: Zeroizing<[u8; 64]>,
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
pub(crate) struct Held(Option<(Sender<()>, JoinHandle<()>)>);

impl Held {
    /// Removes the lock.
    pub(crate) fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((end, refresher)) = self.0.take() {
            drop(end);
            // It removes the lock and cannot panic.
            let _ = refresher.join();
        }
    }
}

impl Locks {
    pub(crate) fn new(repository: Option<PathBuf>, master: &MasterKey) -> Self {
        let parts = [&master.encrypt[..], &master.mac.k, &master.mac.r].concat();
        let key = <[u8; 64]>::try_from(parts.as_slice())
            .ok()
            .map(Zeroizing::new);
        let folder = repository.zip(key).map(|(path, key)| Folder {
            path: path.join("locks"),
            key,
        });
        Self(folder.map(Arc::new))
    }

    /// Takes a lock beside others, unless somebody wants to be alone.
    pub(crate) fn share(&self, location: &str) -> Result<Held, Error> {
        self.take(location, false)
    }

    /// Takes a lock that allows no other.
    pub(crate) fn exclude(&self, location: &str) -> Result<Held, Error> {
        self.take(location, true)
    }

    fn take(&self, location: &str, exclusive: bool) -> Result<Held, Error> {
        let Some(folder) = &self.0 else {
            return Ok(Held(None));
        };
        let failed = |error: io::Error| {
            let told =
                rustic_core::RusticError::with_source(rustic_core::ErrorKind::Backend, "", error);
            Failure::place("writing a lock".to_owned(), false, &told).into_error(location)
        };
        let free = |own: Option<&str>| match folder.in_the_way(exclusive, own) {
            Ok(None) => Ok(()),
            Ok(Some(lock)) => Err(Error::Locked {
                location: location.to_owned(),
                holder: format!(
                    "process {} of {} on {}",
                    lock.pid, lock.username, lock.hostname
                ),
                since: lock.time,
            }),
            Err(error) => Err(failed(error)),
        };
        free(None)?;
        let name = folder.write(exclusive).map_err(failed)?;
        // Somebody may have done the same meanwhile; then both see the other's lock, and at least one gives way.
        if let Err(error) = free(Some(&name)) {
            folder.remove(&name);
            return Err(error);
        }
        let (end, ended) = channel();
        let kept = Arc::clone(folder);
        let refresher = thread::Builder::new().name("repository-lock".to_owned());
        match refresher.spawn(move || kept.refresh(name, exclusive, &ended)) {
            Ok(refresher) => Ok(Held(Some((end, refresher)))),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Folder {
    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        Aes256CtrPoly1305Aes::new(CipherKey::from_slice(&self.key[..]))
    }

    fn write(&self, exclusive: bool) -> io::Result<String> {
        let lock = Lock {
            time: Timestamp::now().to_string(),
            exclusive,
            hostname: host(),
            username: OURS.to_owned(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        let text = serde_json::to_vec(&lock)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), text.as_slice());
        let sealed = sealed.map_err(|_| io::Error::other("the lock cannot be encrypted"))?;
        let bytes = [&nonce[..], &sealed].concat();
        let name = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let unfinished = self.path.join(format!("{name}-tmp-"));
        let written = fs::write(&unfinished, &bytes)
            .and_then(|()| fs::rename(&unfinished, self.path.join(&name)));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        Ok(name)
    }

    fn read(&self, path: &Path) -> io::Result<Option<Lock>> {
        let bytes = fs::read(path)?;
        let Some((nonce, sealed)) = bytes.split_at_checked(16) else {
            return Ok(None);
        };
        let Ok(text) = self.cipher().decrypt(Nonce::from_slice(nonce), sealed) else {
            return Ok(None);
        };
        // The first byte tells that restic has compressed it.
        let text = match text.split_first() {
            Some((2, packed)) => zstd::decode_all(packed)?,
            _ => text,
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The first lock that forbids another one.
    fn in_the_way(&self, exclusive: bool, own: Option<&str>) -> io::Result<Option<Lock>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name
                .to_str()
                .filter(|name| name.len() == 64 && own != Some(*name))
            else {
                continue;
            };
            let lock = match self.read(&entry.path()) {
                Ok(Some(lock)) => lock,
                Ok(None) => unreadable(&entry)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if lock.is_stale() {
                if lock.username == OURS {
                    self.remove(name);
                }
            } else if exclusive || lock.exclusive {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    fn remove(&self, name: &str) {
        // If it stays, it is stale in half an hour.
        let _ = fs::remove_file(self.path.join(name));
    }

    /// Writes the lock anew from time to time until the other end is dropped, then removes it.
    fn refresh(&self, mut name: String, exclusive: bool, ended: &Receiver<()>) {
        while ended.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
            if let Ok(newer) = self.write(exclusive) {
                self.remove(&name);
                name = newer;
            }
        }
        self.remove(&name);
    }
}

/// What is assumed of a lock that cannot be read: that its holder is alone, since the file was written.
fn unreadable(entry: &fs::DirEntry) -> io::Result<Lock> {
    let written = Timestamp::try_from(entry.metadata()?.modified()?).map_err(io::Error::other)?;
    Ok(Lock {
        time: written.to_string(),
        exclusive: true,
        hostname: "a host that is not known".to_owned(),
        username: "a user that is not known".to_owned(),
        pid: 0,
        uid: 0,
        gid: 0,
    })
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
