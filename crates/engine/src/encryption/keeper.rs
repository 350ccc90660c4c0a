//! [`Keeper`]: the master key and the key rings of all instances.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_types::InstanceId;

use super::{
    Fingerprint, Key, KeyError, KeyRing, MASTER_COMMAND_TIMEOUT, MasterSource, PlainRing,
    ServerKeys, Settings, doing, plugin, rotation,
};
use crate::Installation;

/// Directory of plugins for encrypted servers, in the data directory.
const PLUGINS: &str = "plugins";

/// Configuration of a [`Keeper`].
#[derive(Debug, Clone, Default)]
pub struct KeeperConfig {
    /// The installation's data directory.
    pub data_dir: PathBuf,
    /// Directory of the instances' keys, and of the instances.
    pub instances: PathBuf,
    /// More directories of instances. Their keys are in the first one.
    pub more_instances: Vec<PathBuf>,
    /// Where the master key comes from; `None`: no database can be encrypted.
    pub master: Option<MasterSource>,
    /// Where the master key before this one comes from: its keys are wrapped anew at the start.
    pub previous: Option<MasterSource>,
    /// Whether new databases are encrypted.
    pub new_databases: bool,
}

/// The master key and the key rings of all instances. Its methods block for as long as the disk takes.
#[derive(Debug)]
pub struct Keeper {
    config: KeeperConfig,
    /// Directory of plugins for encrypted servers; `None` without a master key.
    plugins: Option<PathBuf>,
    /// Held while files of keys change.
    master: Mutex<Option<Key>>,
}

/// State of one instance's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingStatus {
    /// Versions of its keys, oldest first.
    pub versions: Vec<u32>,
    /// The version that every page has, at least; 0 while some are not encrypted.
    pub settled: u32,
    /// Whether all is encrypted with the newest key.
    pub is_settled: bool,
    /// Fingerprint of the master key that wraps the newest.
    pub master: String,
}

impl Keeper {
    /// Prepares the server's plugin and reads the master key. If that cannot be read, encrypted databases cannot be
    /// started until it can; [`Keeper::trouble`] says why. Blocks, for as long as a command takes that prints the
    /// key.
    ///
    /// # Errors
    /// Files cannot be written.
    pub fn open(config: KeeperConfig, installation: &Installation) -> Result<Arc<Self>, KeyError> {
        let mut plugins = None;
        if config.master.is_some() {
            let dir = config.data_dir.join(PLUGINS);
            plugins = Some(plugin::ensure(installation, &dir)?);
        }
        Ok(Arc::new(Self {
            config,
            plugins,
            master: Mutex::new(None),
        }))
    }

    /// Why encrypted databases cannot be started now, if they cannot. Blocks like [`Keeper::open`].
    #[must_use]
    pub fn trouble(&self) -> Option<KeyError> {
        self.is_on().then(|| self.master_key().err())?
    }

    /// A keeper without a master key.
    #[must_use]
    pub fn off(instances: &Path) -> Arc<Self> {
        Arc::new(Self {
            config: KeeperConfig {
                instances: instances.to_owned(),
                ..KeeperConfig::default()
            },
            plugins: None,
            master: Mutex::new(None),
        })
    }

    /// Whether new databases are encrypted.
    #[must_use]
    pub fn encrypts_new(&self) -> bool {
        self.config.new_databases && self.plugins.is_some()
    }

    /// Whether databases can be encrypted: there is a master key.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.plugins.is_some()
    }

    /// Directory of plugins for encrypted servers.
    #[must_use]
    pub fn plugins(&self) -> Option<&Path> {
        self.plugins.as_deref()
    }

    /// Directory of plugins for encrypted servers of an installation; `None` without a master key.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn plugins_of(&self, installation: &Installation) -> Result<Option<PathBuf>, KeyError> {
        let dir = self.config.data_dir.join(PLUGINS);
        let is_on = self.is_on();
        is_on
            .then(|| plugin::ensure(installation, &dir))
            .transpose()
    }

    /// Where the master key comes from.
    #[must_use]
    pub fn source(&self) -> Option<&MasterSource> {
        self.config.master.as_ref()
    }

    /// The master key's fingerprint; `None` if there is none, or it could not be read yet.
    #[must_use]
    pub fn master(&self) -> Option<Fingerprint> {
        self.alone().as_ref().map(Key::fingerprint)
    }

    /// The keys with which an instance starts as a server of this installation; `None` if it is not encrypted.
    ///
    /// # Errors
    /// Its keys cannot be unwrapped.
    pub fn for_start(
        &self,
        id: InstanceId,
        installation: &Installation,
    ) -> Result<Option<ServerKeys>, KeyError> {
        let path = self.path(id);
        let Some(ring) = KeyRing::read(&path)? else {
            return Ok(None);
        };
        let Some(plugin_dir) = self.plugins_of(installation)? else {
            return Err(KeyError::NoMaster {
                wrapped_by: ring.master().to_owned(),
            });
        };
        let (_alone, master) = self.master_key()?;
        // a rotation may have replaced it meanwhile
        let Some(ring) = KeyRing::read(&path)? else {
            return Ok(None);
        };
        Ok(Some(ServerKeys {
            records: ring.records(&path, &master)?,
            plugin_dir,
            settings: Settings {
                version: ring.newest(),
            },
        }))
    }

    /// Makes the keys of a new instance, if new databases are encrypted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn provision(&self, id: InstanceId) -> Result<(), KeyError> {
        if !self.encrypts_new() {
            return Ok(());
        }
        self.encrypt(id).map(drop)
    }

    /// Gives a copy of an instance the same keys, if it is encrypted.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn copy(&self, from: InstanceId, to: InstanceId) -> Result<(), KeyError> {
        // not between a rotation of the master key and the wrapping of all keys
        let _alone = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        match KeyRing::read(&self.path(from))? {
            Some(ring) => ring.write(&self.path(to)),
            None => Ok(()),
        }
    }

    /// The keys of an instance, not wrapped, for a backup that is encrypted; `None` if it is not encrypted.
    ///
    /// # Errors
    /// They cannot be unwrapped.
    pub fn reveal(&self, id: InstanceId) -> Result<Option<PlainRing>, KeyError> {
        let path = self.path(id);
        if KeyRing::read(&path)?.is_none() {
            return Ok(None);
        }
        let (_alone, master) = self.master_key()?;
        let ring = KeyRing::read(&path)?;
        ring.map(|ring| ring.unwrap(&path, &master)).transpose()
    }

    /// Gives a new instance the keys of a backup.
    ///
    /// # Errors
    /// There is no master key, the keys are none, or the file cannot be written.
    pub fn adopt(&self, id: InstanceId, keys: &PlainRing) -> Result<(), KeyError> {
        let (_alone, master) = self.master_key()?;
        KeyRing::wrap(keys, &master)?.write(&self.path(id))
    }

    /// Gives an instance a key, unless it has one; `false` if it had. It takes effect at the next start of its
    /// server.
    ///
    /// # Errors
    /// There is no master key, or the file cannot be written.
    pub fn encrypt(&self, id: InstanceId) -> Result<bool, KeyError> {
        let (_alone, master) = self.master_key()?;
        let path = self.path(id);
        if KeyRing::read(&path)?.is_some() {
            return Ok(false);
        }
        KeyRing::new(&master)?.write(&path)?;
        Ok(true)
    }

    /// Gives an encrypted instance a new key, with which the next start of its server encrypts.
    ///
    /// # Errors
    /// It is not encrypted, an earlier rotation has not ended, or the file cannot be written.
    pub fn rotate(&self, id: InstanceId) -> Result<(), KeyError> {
        let (_alone, master) = self.master_key()?;
        let path = self.path(id);
        let Some(mut ring) = KeyRing::read(&path)? else {
            return Err(KeyError::Refused(
                "it is not encrypted; `dormouse key encrypt NAME` encrypts it".to_owned(),
            ));
        };
        if !ring.is_settled() {
            return Err(KeyError::Refused(
                "its files are still being encrypted with the key that it got last; `dormouse key ls` shows how far \
                 that is, and it goes on while the database is awake"
                    .to_owned(),
            ));
        }
        // checks the master key before a key is added that it would wrap
        ring.records(&path, &master)?;
        ring.add_key(&master)?;
        ring.write(&path)
    }

    /// Notes that every page of an instance has a key of this version, and forgets older keys, which nothing
    /// needs; those that the binary log may need stay if `keep`.
    ///
    /// # Errors
    /// The redo log has another key, or the file cannot be written.
    pub fn settle(&self, id: InstanceId, version: u32, keep: bool) -> Result<(), KeyError> {
        let _alone = self.alone();
        let path = self.path(id);
        let Some(mut ring) = KeyRing::read(&path)? else {
            return Ok(());
        };
        let redo = rotation::redo_version(&self.directory(id))?;
        if redo != Some(version) {
            return Err(KeyError::Refused(format!(
                "the redo log has key version {redo:?}, not {version}; the next start of the server changes that"
            )));
        }
        let before = ring.clone();
        ring.settle(version, keep);
        if ring == before {
            return Ok(());
        }
        ring.write(&path)
    }

    /// State of an instance's keys; `None` if it is not encrypted.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn status(&self, id: InstanceId) -> Result<Option<RingStatus>, KeyError> {
        let ring = KeyRing::read(&self.path(id))?;
        Ok(ring.map(|ring| RingStatus {
            versions: ring.versions(),
            settled: ring.settled(),
            is_settled: ring.is_settled(),
            master: ring.master().to_owned(),
        }))
    }

    /// Reads the master key anew and wraps all keys by it. Returns the fingerprints before and after.
    ///
    /// # Errors
    /// The source gives the same key as before, or no key; or a file cannot be written: then the next start
    /// goes on, with either master key.
    pub fn rotate_master(&self) -> Result<(Fingerprint, Fingerprint), KeyError> {
        let Some(source) = &self.config.master else {
            return Err(KeyError::NotConfigured);
        };
        let (mut master, old) = self.master_key()?;
        let new = source.load(&self.config.data_dir, MASTER_COMMAND_TIMEOUT)?;
        if new == old {
            return Err(KeyError::Refused(format!(
                "{source} still gives the master key {}: put the new key there first{}",
                old.fingerprint(),
                match source {
                    MasterSource::Env(_) =>
                        "; a variable changes only with a restart: set the new key and, as \
                         previous_master_key_env, the old one, and start Dormouse again",
                    _ => "",
                }
            )));
        }
        rotation::rotate(&self.config, &old, &new)?;
        let changed = (old.fingerprint(), new.fingerprint());
        *master = Some(new);
        Ok(changed)
    }

    /// The lock under which files of keys change, with the master key if it was read.
    fn alone(&self) -> MutexGuard<'_, Option<Key>> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same with the master key, which is read now if it was not. Ends a rotation of the master key that a crash
    /// has interrupted, before any key is used.
    fn master_key(&self) -> Result<(MutexGuard<'_, Option<Key>>, Key), KeyError> {
        let mut alone = self.alone();
        if let Some(master) = &*alone {
            let master = master.clone();
            return Ok((alone, master));
        }
        let Some(source) = &self.config.master else {
            return Err(KeyError::NotConfigured);
        };
        let load =
            |source: &MasterSource| source.load(&self.config.data_dir, MASTER_COMMAND_TIMEOUT);
        let master = load(source)?;
        rotation::resume(&self.config, &master)?;
        if let Some(previous) = &self.config.previous {
            let previous = load(previous)?;
            if previous != master {
                rotation::wrap_all(&self.config, &previous, &master)?;
            }
        }
        *alone = Some(master.clone());
        Ok((alone, master))
    }

    /// The directory of an instance.
    fn directory(&self, id: InstanceId) -> PathBuf {
        let first = self.config.instances.join(id.to_string());
        let mut elsewhere =
            { self.config.more_instances.iter() }.map(|dir| dir.join(id.to_string()));
        match first.is_dir() {
            true => first,
            false => elsewhere.find(|dir| dir.is_dir()).unwrap_or(first),
        }
    }

    /// Forgets the keys of an instance: without them no copy of its files can be read.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, id: InstanceId) -> Result<(), KeyError> {
        let _alone = self.alone();
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(doing(format!("removing {}", path.display()))(e))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, id: InstanceId) -> PathBuf {
        self.config.instances.join(format!("{id}.keys"))
    }
}

/// The files with wrapped keys.
pub(super) fn rings(instances: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let list = || -> std::io::Result<_> {
        let mut all = Vec::new();
        for entry in fs::read_dir(instances)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "keys") {
                all.push(path);
            }
        }
        Ok(all)
    };
    match list() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(doing(format!("reading {}", instances.display()))),
    }
}

#[cfg(test)]
mod tests;
