//! Making a backup of one database: copy, store, remove the copy.

use std::sync::Arc;
use std::time::Duration;

use dormouse_driver::Check;
use dormouse_engine::PlainRing;
use dormouse_policy::Cause;
use dormouse_repository::{BackupId, Error as RepositoryError, Labels, Reading, Stored};
use dormouse_types::{Bytes, DatabaseName, InstanceId, State};
use jiff::Timestamp;
use tracing::{info, warn};

use super::known::{Known, Last, Sleep};
use super::manifest::{MANIFEST, Manifest, document};
use super::state::{FILES, KIND, entry};
use super::vault::blocking;
use crate::branches::Copy;
use crate::catalog::{Change, Durability};
use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::history::files::labels_of;
use crate::history::state::BASE;
use crate::instance::rekeying::with_keys;
use crate::principal::Principal;
use crate::status::EventKind;
use crate::time::now;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The database.
    pub database: DatabaseName,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// Bytes that were sent to the repository for it.
    pub new: Bytes,
    /// How long it took.
    pub took: Duration,
    /// How long the server stood still.
    pub frozen: Duration,
}

/// Result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// A backup was made.
    Made(Made),
    /// The database has slept since its last backup, which this is.
    Unchanged {
        /// Its id.
        id: String,
        /// The moment whose state it has.
        taken_at: Timestamp,
    },
}

/// Backs a database up, unless nothing can have changed since its last backup and `always` is not set.
pub(crate) async fn back_up(
    creator: &Creator,
    database: Arc<Database>,
    always: bool,
    cause: Cause,
    by: Principal,
) -> Result<Attempt, Error> {
    let backups = &creator.context.backups;
    let _turn = backups.vault()?.turn().await?;
    let attempted = creator.context.calendar.timestamp();
    let instance = database.instance;
    let mut known = backups
        .known(instance)
        .unwrap_or_else(|| Known::new(attempted));
    known.attempted = attempted;
    if !always
        && let Some(last) = known
            .last
            .as_mut()
            .filter(|last| asleep_since(last, &database))
    {
        last.good_at = attempted;
        let unchanged = Attempt::Unchanged {
            id: last.id.clone(),
            taken_at: last.taken_at,
        };
        let change = backups.note(instance, known);
        creator
            .context
            .catalog
            .write(Durability::Soon, vec![change])
            .await?;
        return Ok(unchanged);
    }
    let began = now();
    let stored = store(creator, &database, known.last.as_ref(), cause).await;
    let took = now().saturating_duration_since(began);
    let name = &database.name;
    let (event, reason, made) = match stored {
        Ok((stored, sleep, frozen)) => {
            let made = Made {
                database: name.clone(),
                id: stored.backup.id.to_string(),
                taken_at: stored.backup.labels.taken_at,
                size: Bytes(stored.backup.size),
                new: Bytes(stored.sent),
                took,
                frozen,
            };
            known.failure = None;
            known.last = Some(Last {
                id: made.id.clone(),
                taken_at: made.taken_at,
                timeline: stored.backup.labels.more.get(BASE).cloned(),
                sleep,
                good_at: attempted,
                verified: None,
            });
            let mut counts = backups.counts();
            counts.made += 1;
            counts.sent += stored.sent;
            let short = stored.backup.id.short();
            let reason = format!(
                "backup {short}: {}, of which {} are new in the repository",
                made.size, made.new
            );
            info!(database = %name, reason, "backed up");
            (EventKind::BackedUp, reason, Ok(Attempt::Made(made)))
        }
        Err(error) => {
            known.failure = Some(error.to_string());
            backups.counts().failed += 1;
            let reason = format!("its backup failed: {error}");
            warn!(database = %name, %error, "cannot be backed up");
            (EventKind::Refused, reason, Err(error))
        }
    };
    let entry = entry(name, event, cause, reason, took, by);
    let changes = vec![
        backups.note(instance, known),
        Change::Ledger(Box::new(entry)),
    ];
    creator
        .context
        .catalog
        .write(Durability::Soon, changes)
        .await?;
    made
}

/// Copies its files, and stores the copy.
async fn store(
    creator: &Creator,
    database: &Arc<Database>,
    last: Option<&Last>,
    cause: Cause,
) -> Result<(Stored, Option<Sleep>, Duration), Error> {
    let state = database.state();
    if matches!(state, State::Creating | State::Dropping) {
        return Err(Error::Refused {
            database: database.name.clone(),
            state,
            reasons: vec!["it has no complete files".to_owned()],
        });
    }
    let (from, before) = (Timestamp::now(), sleep_of(database));
    let rights = database.rights();
    let keys = keys_of(creator, database).await?;
    let Copy { id, copied } = creator.copy_of(database, Check::Pages).await?;
    let taken_at = Timestamp::now();
    let sleep = before.filter(|before| sleep_of(database) == Some(*before));
    let manifest = Manifest {
        format: Manifest::FORMAT,
        name: database.name.clone(),
        instance: database.instance,
        secret: creator.context.backups.vault()?.config().secret.reveal(),
        rights,
        version: creator.context.host.version_of(database.seat()),
        spec: database.spec(),
        branch: database.branch.as_deref().cloned(),
        keys,
    };
    let stored = send(creator, id, &manifest, last, (from, taken_at), cause).await;
    creator.warm.discard(id).await;
    Ok((stored?, sleep, copied.frozen))
}

/// Stores the files of a copy.
async fn send(
    creator: &Creator,
    copy: InstanceId,
    manifest: &Manifest,
    last: Option<&Last>,
    (from, taken_at): (Timestamp, Timestamp),
    cause: Cause,
) -> Result<Stored, Error> {
    let dir = creator.context.host.driver.directory(copy);
    let dir = dir.ok_or_else(|| Error::Machine {
        doing: format!("storing the files of instance {copy}"),
        reason: "they are not on this machine".to_owned(),
    })?;
    let mut labels = Labels::new(manifest.name.clone(), taken_at);
    labels.instance = Some(manifest.instance);
    labels.version = Some(manifest.version.clone());
    labels.reason = Some(cause.as_str().to_owned());
    labels.more.insert(KIND.to_owned(), FILES.to_owned());
    labels
        .more
        .extend([creator.context.backups.vault()?.installation()]);
    // whose history goes on from here
    let (root, ring) = (dir.clone(), manifest.keys.clone());
    let history = blocking(move || labels_of(&root, ring.as_ref())).await;
    match history {
        Ok(found) => labels.more.extend(
            found
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        ),
        // the backup is good without it
        Err(error) => {
            warn!(database = %manifest.name, %error, "its history cannot go on from this backup");
        }
    }
    // all that was committed before has been copied
    labels.more.insert("from".to_owned(), from.to_string());
    let documents = [document(MANIFEST, manifest)?];
    let last: Option<BackupId> = last.and_then(|last| last.id.parse().ok());
    let backups = &creator.context.backups;
    let work = backups.begin(&manifest.name, "backup");
    let watch = work.watch.clone();
    let stored = backups.vault()?.run(move |repository| {
        let store =
            |reading: &Reading| repository.store(&dir, &documents, &labels, reading, &watch);
        match last.map(Reading::ChangedSince) {
            None => store(&Reading::Changed),
            Some(since) => match store(&since) {
                // it was forgotten meanwhile
                Err(RepositoryError::NoBackup { .. }) => store(&Reading::Changed),
                other => other,
            },
        }
    });
    let stored = stored.await;
    drop(work);
    stored
}

/// The keys of its files, if they are encrypted.
async fn keys_of(creator: &Creator, database: &Database) -> Result<Option<PlainRing>, Error> {
    let id = database.seat();
    let keys = with_keys(&creator.context.host.keys, move |keys| keys.reveal(id)).await;
    keys.map_err(|error| Error::Machine {
        doing: format!(
            "reading the keys of database '{}' for its backup",
            database.name
        ),
        reason: error.to_string(),
    })
}

/// The sleep of a database; `None` if it may be awake.
fn sleep_of(database: &Database) -> Option<Sleep> {
    let view = database.view();
    Sleep::of(view.state, view.since, view.generation)
}

/// Whether the database has slept since a backup was made of it.
fn asleep_since(last: &Last, database: &Database) -> bool {
    last.sleep.is_some() && last.sleep == sleep_of(database)
}
