//! Restoring a backup: into a new database, or in the place of one, which is kept under another name.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dormouse_driver::Place;
use dormouse_engine::{Origin, PlainRing, Secret};
use dormouse_repository::{Backup, FILES as TREE, Owner};
use dormouse_types::{Bytes, DatabaseName, InstanceId};
use jiff::Timestamp;

use super::manifest::{MANIFEST, Manifest, read};
use crate::adopt::{self, Adoption, Arrival};
use crate::create::{Creator, to_its_end};
use crate::error::Error;
use crate::instance::rekeying::with_keys;
use crate::principal::Principal;
use crate::servers::Replay;
use crate::status::BranchOf;
use crate::time::now;

/// A database that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its name.
    pub name: DatabaseName,
    /// The database of the backup.
    pub of: DatabaseName,
    /// Id of the backup.
    pub backup: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// The name under which the database is kept in whose place it stands.
    pub kept: Option<DatabaseName>,
}

/// What a backup becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A new database.
    New(DatabaseName),
    /// The database of this name; the one that there is, if any, is kept under another one.
    Place(DatabaseName),
}

impl Target {
    /// A new database, if one is named; else that of the backup.
    pub(crate) fn of(name: &DatabaseName, new: Option<DatabaseName>) -> Self {
        new.map_or_else(|| Self::Place(name.clone()), Self::New)
    }
}

/// What is done with the files of a backup beyond writing them: for a recovery to a moment.
pub(crate) struct More {
    /// The keys that its server gets, if it is encrypted.
    pub(crate) keys: Option<PlainRing>,
    /// Adds the log that the server is to apply to the directory with the files.
    pub(crate) write: AddLog,
    /// The moment whose state the database gets, in words.
    pub(crate) moment: String,
    /// Of which database it is a branch.
    pub(crate) branch: Option<BranchOf>,
}

/// See [`More::write`].
pub(crate) type AddLog = Box<dyn FnOnce(&Path) -> io::Result<Replay> + Send>;

/// Files of a backup in a new instance.
pub(crate) struct Received {
    pub(crate) arrival: Arrival,
    pub(crate) manifest: Manifest,
    pub(crate) size: Bytes,
}

/// Restores a backup. The database in whose place it comes is kept under another name, and its sessions end; its
/// settings are those of the new one. Runs to its end even if its caller no longer waits.
pub(crate) async fn restore(
    creator: Creator,
    backup: Backup,
    target: Target,
    more: Option<More>,
    by: Principal,
) -> Result<Restored, Error> {
    let work = async move {
        let began = now();
        let registry = Arc::clone(&creator.context.registry);
        let (name, old) = match target {
            Target::New(name) => (name, None),
            Target::Place(name) => {
                let old = registry.find(&name);
                (name, old)
            }
        };
        let kept = match &old {
            None => {
                registry.reserve(&name)?;
                None
            }
            Some(_) => Some(reserve_beside(&creator, &name)?),
        };
        let reserved = kept.clone().unwrap_or_else(|| name.clone());
        let restored = async {
            creator.check_disk(&name)?;
            let moment = more.as_ref().map(|more| more.moment.clone());
            let of_order = more.as_ref().and_then(|more| more.branch.clone());
            let received = receive(&creator, &backup, more, "restore").await?;
            let spec = old.as_ref().map(|old| old.shared_spec());
            let branch = match &old {
                Some(old) => old.branch.as_deref().cloned(),
                None => {
                    let own = received.manifest.name == name;
                    of_order.or_else(|| received.manifest.branch.clone().filter(|_| own))
                }
            };
            let of = received.manifest.name.clone();
            let new = Adoption {
                name: name.clone(),
                spec: spec.unwrap_or_else(|| Arc::new(received.manifest.spec)),
                branch,
                reason: format!(
                    "it was restored from backup {} of '{of}', taken at {:.0}{}",
                    backup.id.short(),
                    backup.labels.taken_at,
                    moment.map_or(String::new(), |moment| format!(
                        ", and its history {moment}"
                    ))
                ),
                arrival: received.arrival,
            };
            match old {
                None => adopt::adopt(&creator, new, began, by).await?,
                Some(old) => adopt::succeed(&creator, old, kept.clone(), new, began, by).await?,
            }
            Ok(Restored {
                name,
                of,
                backup: backup.id.to_string(),
                taken_at: backup.labels.taken_at,
                size: received.size,
                kept,
            })
        };
        let restored = restored.await;
        registry.release(&reserved);
        restored
    };
    to_its_end(work).await
}

/// Writes the files of a backup to a new instance. After a crash, the next start removes it.
pub(crate) async fn receive(
    creator: &Creator,
    backup: &Backup,
    more: Option<More>,
    doing: &'static str,
) -> Result<Received, Error> {
    let context = &creator.context;
    let vault = context.backups.vault()?;
    let _turn = vault.turn().await?;
    let id = backup.id.clone();
    let text = vault.run(move |repository| repository.read_document(&id, MANIFEST));
    let manifest: Manifest = read(MANIFEST, &text.await?)?;
    let place = context.host.place_of_version(&manifest.version)?;
    let version = context.host.version(place.series);
    let instance = context.catalog.new_instance(version).await?;
    let into = (instance, place);
    match fill(creator, backup, &manifest, more, into, doing).await {
        Ok((size, replay)) => {
            let secret = Secret::revealed(&manifest.secret);
            let own = &vault.config().secret;
            Ok(Received {
                arrival: Arrival {
                    id: instance,
                    origin: Origin {
                        instance: manifest.instance,
                        secret: secret.filter(|theirs| theirs != own),
                    },
                    rights: manifest.rights,
                    replay,
                },
                manifest,
                size,
            })
        }
        Err(error) => {
            creator.warm.discard(instance).await;
            Err(error)
        }
    }
}

async fn fill(
    creator: &Creator,
    backup: &Backup,
    manifest: &Manifest,
    more: Option<More>,
    (instance, place): (InstanceId, Place),
    doing: &'static str,
) -> Result<(Bytes, Option<Replay>), Error> {
    let context = &creator.context;
    let (keys, add_log) = match more {
        Some(more) => (more.keys, Some(more.write)),
        None => (manifest.keys.clone(), None),
    };
    if let Some(ring) = keys {
        let adopted = with_keys(&context.host.keys, move |keys| keys.adopt(instance, &ring));
        adopted.await.map_err(|error| Error::Machine {
            doing: format!("restoring the encrypted database '{}'", manifest.name),
            reason: error.to_string(),
        })?;
    }
    let vault = context.backups.vault()?;
    let work = context.backups.begin(&manifest.name, doing);
    let (id, watch) = (backup.id.clone(), work.watch.clone());
    let (said, heard) = std::sync::mpsc::channel();
    let repository = vault.run(|repository| Ok(repository.clone())).await?;
    let fill = move |to: &std::path::Path| {
        let restored = repository.restore(&id, TREE, to, Owner::Own, &watch);
        let failed = |_: &_| std::io::Error::other("the backup could not be read");
        let io = restored.as_ref().map(drop).map_err(failed);
        let added = match (io, add_log) {
            (Ok(()), Some(add)) => add(to).map(Some),
            (io, _) => io.map(|()| None),
        };
        let (io, replay) = match added {
            Ok(replay) => (Ok(()), replay),
            Err(error) => (Err(error), None),
        };
        // the receiver waits for it
        let _ = said.send((restored, replay));
        io
    };
    let driver = &context.host.driver;
    let received = driver.receive(instance, &place, Box::new(fill)).await;
    drop(work);
    match (received, heard.try_recv()) {
        (_, Ok((Err(error), _))) => Err(error.into()),
        (Ok(()), Ok((Ok(restored), replay))) => Ok((Bytes(restored.bytes), replay)),
        (Ok(()), Err(_)) => Ok((Bytes(0), None)),
        (Err(error), _) => Err(Error::Machine {
            doing: format!("restoring a backup of '{}'", manifest.name),
            reason: error.to_string(),
        }),
    }
}

/// Reserves a name for the database that is replaced: `NAME-before-20261129-1403`.
fn reserve_beside(creator: &Creator, name: &DatabaseName) -> Result<DatabaseName, Error> {
    const LONGEST: usize = 63;
    let zoned = Timestamp::now().to_zoned(creator.context.time_zone.clone());
    let suffix = zoned.strftime("-before-%Y%m%d-%H%M").to_string();
    for attempt in 0..100 {
        let more = if attempt == 0 {
            String::new()
        } else {
            format!("-{attempt}")
        };
        let room = LONGEST - suffix.len() - more.len();
        let short: String = name.as_str().chars().take(room).collect();
        let candidate = format!("{short}{suffix}{more}");
        let Ok(candidate) = candidate.parse::<DatabaseName>() else {
            break;
        };
        match creator.context.registry.reserve(&candidate) {
            Err(Error::Exists(_)) => {}
            other => return other.map(|()| candidate),
        }
    }
    Err(Error::Exists(name.clone()))
}
