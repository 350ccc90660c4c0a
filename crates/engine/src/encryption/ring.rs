//! The data keys of one database, in a file beside its directory.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cipher::{random, to_hex};
use super::{Key, KeyError, doing};

/// Layout of the file.
const FORMAT: u32 = 1;

/// Distance between two versions of a data key. The server re-encrypts a page only if its key is more than
/// `innodb_encryption_rotate_key_age` versions old, which is at least 1.
const STEP: u32 = 2;

/// Most keys of a ring. More are needed only if rotations do not come to their end.
const MOST: usize = 16;

/// Id of the key of everything: tables, logs, temporary files. The server gets no other, because whoever makes a
/// table may choose among the ids that there are (`ENCRYPTION_KEY_ID`).
const ID: u32 = 1;

/// The data keys of one database, wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRing {
    format: u32,
    /// Random; ties its keys to this ring. A copy of the database keeps it.
    id: String,
    /// Every page and table has this version, or a newer one; 0 while some are not encrypted.
    settled: u32,
    /// Oldest first.
    keys: Vec<Wrapped>,
}

/// The data keys of one database, not wrapped: for a backup that is encrypted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRing {
    settled: u32,
    /// Versions and keys in hexadecimal, oldest first.
    keys: Vec<(u32, Zeroizing<String>)>,
}

impl PlainRing {
    /// Its keys with their versions.
    pub fn keys(&self) -> impl Iterator<Item = (u32, [u8; 32])> {
        self.keys.iter().filter_map(|(version, text)| {
            let key = Key::from_text(text)?;
            Some((*version, *key.bytes()))
        })
    }

    /// This ring with the keys of an older one of the same database that it has forgotten.
    #[must_use]
    pub fn with_older(&self, older: &Self) -> Self {
        let mut ring = self.clone();
        ring.settled = self.settled.min(older.settled);
        for (version, key) in &older.keys {
            if !ring.keys.iter().any(|(known, _)| known == version) {
                ring.keys.push((*version, key.clone()));
            }
        }
        ring.keys.sort_by_key(|(version, _)| *version);
        ring
    }
}

/// Without the keys.
impl fmt::Debug for PlainRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<u32> = self.keys.iter().map(|(version, _)| *version).collect();
        f.debug_struct("PlainRing")
            .field("settled", &self.settled)
            .field("versions", &versions)
            .finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    version: u32,
    /// Fingerprint of the master key that wraps it.
    master: String,
    wrapped: String,
}

impl KeyRing {
    /// A ring with one new key.
    pub(super) fn new(master: &Key) -> Result<Self, KeyError> {
        let mut ring = Self::empty(0)?;
        ring.add_key(master)?;
        Ok(ring)
    }

    fn empty(settled: u32) -> Result<Self, KeyError> {
        let mut id = [0; 16];
        random(&mut id)?;
        Ok(Self {
            format: FORMAT,
            id: to_hex(&id),
            settled,
            keys: Vec::new(),
        })
    }

    /// A ring with these keys, wrapped by `master`.
    pub(super) fn wrap(plain: &PlainRing, master: &Key) -> Result<Self, KeyError> {
        let mut ring = Self::empty(plain.settled)?;
        let ascending = plain.keys.is_sorted_by(|a, b| a.0 < b.0);
        if plain.keys.is_empty() || plain.keys.len() > MOST || !ascending {
            let reason = "the keys of the backup are not in order".to_owned();
            return Err(KeyError::Refused(reason));
        }
        for (version, text) in &plain.keys {
            let key = Key::from_text(text).ok_or_else(|| {
                KeyError::Refused(format!("version {version} of the backup's keys is none"))
            })?;
            ring.keys.push(Wrapped {
                version: *version,
                master: master.fingerprint().to_string(),
                wrapped: master.wrap(&key, &context(&ring.id, *version))?,
            });
        }
        Ok(ring)
    }

    /// Its keys, not wrapped.
    pub(super) fn unwrap(&self, path: &Path, master: &Key) -> Result<PlainRing, KeyError> {
        let keys = self.keys.iter().map(|key| {
            let plain = self.unwrapped(key, path, master)?;
            Ok((key.version, Zeroizing::new(to_hex(plain.bytes()))))
        });
        Ok(PlainRing {
            settled: self.settled,
            keys: keys.collect::<Result<_, KeyError>>()?,
        })
    }

    fn unwrapped(&self, key: &Wrapped, path: &Path, master: &Key) -> Result<Key, KeyError> {
        let configured = master.fingerprint().to_string();
        if key.master != configured {
            return Err(KeyError::OtherMaster {
                wrapped_by: key.master.clone(),
                configured,
            });
        }
        let plain = master.unwrap(&key.wrapped, &context(&self.id, key.version));
        plain.ok_or_else(|| KeyError::Damaged {
            path: path.to_owned(),
            reason: format!("version {} of its key was changed", key.version),
        })
    }

    /// Adds a new key, with which the next server encrypts.
    pub(super) fn add_key(&mut self, master: &Key) -> Result<(), KeyError> {
        if self.keys.len() >= MOST {
            return Err(KeyError::Refused(format!(
                "it has {MOST} keys, because earlier rotations have not ended: wake it, and wait until they have"
            )));
        }
        let version = self.keys.last().map_or(1, |key| key.version + STEP);
        let wrapped = master.wrap(&Key::random()?, &context(&self.id, version))?;
        self.keys.push(Wrapped {
            version,
            master: master.fingerprint().to_string(),
            wrapped,
        });
        Ok(())
    }

    /// The version of the newest key.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.keys.last().map_or(0, |key| key.version)
    }

    /// The versions of its keys, oldest first.
    #[must_use]
    pub fn versions(&self) -> Vec<u32> {
        self.keys.iter().map(|key| key.version).collect()
    }

    /// The version that every page has, at least; 0 while some are not encrypted.
    #[must_use]
    pub fn settled(&self) -> u32 {
        self.settled
    }

    /// Whether every page is encrypted with the newest key.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled == self.newest()
    }

    /// Fingerprint of the master key of its newest key.
    #[must_use]
    pub fn master(&self) -> &str {
        self.keys.last().map_or("", |key| &key.master)
    }

    /// Notes that every page has this version; forgets older keys unless `keep`.
    pub(super) fn settle(&mut self, version: u32, keep: bool) {
        self.settled = self.settled.max(version);
        if !keep {
            self.keys.retain(|key| key.version >= version);
        }
    }

    /// Wraps every key that `from` wraps by `to` instead; `false` if there was none.
    pub(super) fn wrap_anew(&mut self, from: &Key, to: &Key) -> Result<bool, KeyError> {
        let old = from.fingerprint().to_string();
        let mut changed = false;
        for key in self.keys.iter_mut().filter(|key| key.master == old) {
            let context = context(&self.id, key.version);
            let plain = from.unwrap(&key.wrapped, &context).ok_or_else(|| {
                KeyError::Refused(format!("version {} of a data key was changed", key.version))
            })?;
            key.wrapped = to.wrap(&plain, &context)?;
            key.master = to.fingerprint().to_string();
            changed = true;
        }
        Ok(changed)
    }

    /// Its keys for a server, as the plugin reads them.
    pub(super) fn records(
        &self,
        path: &Path,
        master: &Key,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut records = Zeroizing::new(Vec::with_capacity(40 * MOST));
        for key in &self.keys {
            record(
                &mut records,
                key.version,
                &self.unwrapped(key, path, master)?,
            );
        }
        Ok(records)
    }

    /// Reads a ring; `None` if there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let text = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(doing(format!("reading {}", path.display())))?,
        };
        let damaged = |reason: String| KeyError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let ring: Self = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        let ascending = ring.keys.is_sorted_by(|a, b| a.version < b.version);
        if ring.format != FORMAT {
            return Err(damaged(format!(
                "format {}, which this version does not know",
                ring.format
            )));
        }
        if ring.keys.is_empty() || ring.keys.len() > MOST || !ascending {
            return Err(damaged("its keys are not in order".to_owned()));
        }
        Ok(Some(ring))
    }

    /// Writes the file durably, and all of it or nothing.
    pub(super) fn write(&self, path: &Path) -> Result<(), KeyError> {
        let unfinished = self.prepare(path)?;
        let publish = || {
            fs::rename(&unfinished, path)?;
            File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        publish().map_err(doing(format!("writing {}", path.display())))
    }

    /// Writes the file under a temporary name, durably.
    pub(super) fn prepare(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()
        };
        write().map_err(doing(format!("writing {}", unfinished.display())))?;
        Ok(unfinished)
    }
}

/// What a wrapped key is tied to: it cannot be used for another ring or version.
fn context(ring: &str, version: u32) -> Vec<u8> {
    format!("dormouse data key {ring} {version}").into_bytes()
}

/// `struct key` of the plugin.
fn record(records: &mut Vec<u8>, version: u32, key: &Key) {
    records.extend_from_slice(&ID.to_ne_bytes());
    records.extend_from_slice(&version.to_ne_bytes());
    records.extend_from_slice(key.bytes());
}
