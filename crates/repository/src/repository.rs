//! A repository that is open: its place, its keys, and the ways in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustic_core::repofile::{Chunker, KeyFile, KeyId, MasterKey};
use rustic_core::{ConfigOptions, Credentials, KeyOptions, RepositoryOptions};

use crate::access::{Access, Open, Stop, stands};
use crate::error::{Error, Failure};
use crate::files::Files;
use crate::guard::{Notes, Pace, Paces};
use crate::key::Key;
use crate::location::Location;
use crate::locks::Locks;
use crate::place;
use crate::watch::Watch;

/// How a repository is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Most bytes a second sent to it by all operations together; none: no limit.
    pub upload_limit: Option<u64>,
    /// Most bytes a second read from it by all operations together; none: no limit.
    pub download_limit: Option<u64>,
    /// Where index and list of backups of a repository on another host are kept too, so that they need not be read
    /// from there each time; none: nowhere. A local repository needs none.
    pub cache: Option<PathBuf>,
    /// What the kind of place needs, but for credentials: `region`, `identity_file`, `ca_file`, ….
    pub place: BTreeMap<String, String>,
    /// File with the credentials of the place; none: they are in the environment.
    pub credentials: Option<PathBuf>,
}

/// A repository that a key has opened. Clones share its limits; every operation may run in several threads at once.
#[derive(Clone)]
pub struct Repository {
    pub(crate) location: String,
    pub(crate) files: Arc<dyn Files>,
    paces: Arc<Paces>,
    options: RepositoryOptions,
    master: MasterKey,
    opened_by: Option<KeyId>,
    id: String,
    pub(crate) locks: Locks,
}

/// A key of a repository, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The host it was made on.
    pub host: Option<String>,
    /// What it is for; `restic` calls it the user.
    pub note: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it opened this repository.
    pub in_use: bool,
}

/// The size of a chunk: four pages of InnoDB.
const CHUNK: &str = "64 KiB";

impl Repository {
    /// Creates a repository at an empty place and opens it.
    ///
    /// # Errors
    ///
    /// If there is one already, or it cannot be created.
    pub fn init(location: &Location, key: &Key, options: &Options) -> Result<Self, Error> {
        Self::enter(location, key, options, |access| {
            access.closed(|repository, _notes| {
                let created = access.files.create(&access.watch.cancel);
                created.map_err(|fail| Failure::place("creating it".to_owned(), false, fail))?;
                if stands(&repository)? {
                    return Err(Error::AlreadyThere {
                        location: access.location.to_owned(),
                    }
                    .into());
                }
                let mut config = ConfigOptions::default().set_chunker(Chunker::FixedSize);
                config.set_chunk_size = CHUNK.parse().ok();
                let keys = KeyOptions::default().with_created(true).hostname(host());
                Ok(opened(&repository.init(
                    &credentials(key),
                    &keys,
                    &config,
                )?))
            })
        })
    }

    /// Opens a repository.
    ///
    /// # Errors
    ///
    /// If there is none, the key does not open it, or it cannot be read.
    pub fn open(location: &Location, key: &Key, options: &Options) -> Result<Self, Error> {
        Self::enter(location, key, options, |access| {
            access.open(&credentials(key), |repository, _notes| {
                Ok(opened(&repository))
            })
        })
    }

    fn enter(
        location: &Location,
        key: &Key,
        options: &Options,
        way: impl FnOnce(&Access<'_>) -> Result<Opened, Error>,
    ) -> Result<Self, Error> {
        let shown = location.to_string();
        if key.is_empty() {
            return Err(Error::EmptyKey { location: shown });
        }
        let files = place::files(location, options)?;
        let paces = Arc::new(Paces {
            up: Pace::new(options.upload_limit),
            down: Pace::new(options.download_limit),
        });
        let mut rustic = RepositoryOptions::default();
        match options.cache.as_ref().filter(|_| !files.is_local()) {
            Some(dir) => rustic.cache_dir = Some(dir.clone()),
            None => rustic.no_cache = true,
        }
        let watch = Watch::default();
        let access = Access {
            location: &shown,
            files: &files,
            paces: &paces,
            options: &rustic,
            watch: &watch,
        };
        let Opened {
            master,
            opened_by,
            id,
        } = way(&access)?;
        let locks = Locks::new(Arc::clone(&files), &master);
        Ok(Self {
            location: shown,
            files,
            paces,
            options: rustic,
            master,
            opened_by,
            id,
            locks,
        })
    }

    /// The repository's own id, which it keeps when it is moved.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs one operation.
    pub(crate) fn with<T>(
        &self,
        watch: &Watch,
        step: impl FnOnce(Open, &Arc<Notes>) -> Result<T, Stop>,
    ) -> Result<T, Error> {
        let access = Access {
            location: &self.location,
            files: &self.files,
            paces: &self.paces,
            options: &self.options,
            watch,
        };
        access.open(&Credentials::Masterkey(self.master.clone()), step)
    }

    /// Adds a key that opens the repository too, and returns its id.
    ///
    /// # Errors
    ///
    /// If the repository cannot be written.
    pub fn add_key(&self, key: &Key, note: &str) -> Result<String, Error> {
        if key.is_empty() {
            return Err(Error::EmptyKey {
                location: self.location.clone(),
            });
        }
        self.with(&Watch::default(), |repository, _notes| {
            let options = KeyOptions::default()
                .with_created(true)
                .hostname(host())
                .username(note.to_owned());
            Ok(hex(&repository.add_key(key.expose(), &options)?))
        })
    }

    /// The keys that open the repository.
    ///
    /// # Errors
    ///
    /// If the repository cannot be read.
    pub fn keys(&self) -> Result<Vec<KeyInfo>, Error> {
        self.with(&Watch::default(), |repository, _notes| {
            let mut keys = Vec::new();
            for found in repository.stream_files::<KeyFile>()? {
                let (id, file) = found?;
                keys.push(KeyInfo {
                    id: hex(&id),
                    host: file.hostname,
                    note: file.username,
                    created: file.created.map(|time| time.timestamp()),
                    in_use: self.opened_by == Some(id),
                });
            }
            keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            Ok(keys)
        })
    }

    /// Removes a key by its id; what it had opened stays, since all keys wrap the same one.
    ///
    /// # Errors
    ///
    /// If there is none, or it opened this repository.
    pub fn remove_key(&self, id: &str) -> Result<(), Error> {
        let key = self.keys()?.into_iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| Error::NoKey {
            location: self.location.clone(),
            id: id.to_owned(),
        })?;
        if key.in_use {
            return Err(Error::KeyInUse { id: key.id });
        }
        self.with(&Watch::default(), |repository, _notes| {
            let id: KeyId = id.parse::<rustic_core::Id>()?.into();
            Ok(repository.delete_key(&id)?)
        })
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("location", &self.location)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What opening has found.
struct Opened {
    master: MasterKey,
    opened_by: Option<KeyId>,
    id: String,
}

fn opened(repository: &Open) -> Opened {
    Opened {
        master: repository.key(),
        opened_by: *repository.key_id(),
        id: repository
            .config()
            .id
            .into_inner()
            .to_hex()
            .as_str()
            .to_owned(),
    }
}

fn credentials(key: &Key) -> Credentials {
    Credentials::Password(key.expose().to_owned())
}

fn hex(id: &KeyId) -> String {
    id.into_inner().to_hex().as_str().to_owned()
}

/// This machine's name, as restic notes it.
pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
