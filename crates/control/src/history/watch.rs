//! Archiving by the clock, and forgetting what no backup needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_repository::{Backup, BackupId};
use dormouse_types::{InstanceId, State as Life};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::archive::{Stored, When, archive};
use super::files::FETCHED;
use super::state::{Archive, base_of};
use crate::backups::state::{entry, is_of_files};
use crate::backups::vault::blocking;
use crate::backups::watch::tell;
use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::principal::Principal;
use crate::status::EventKind;

/// How often it is looked for what is due.
const POLL: Duration = Duration::from_secs(1);

/// Logs that are stored at the same time.
const AT_ONCE: usize = 4;

/// How often archives that no backup needs are forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// How long a database that is to be dropped waits until its last changes are stored.
const LAST: Duration = Duration::from_secs(30);

/// The last attempt.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at: Timestamp,
    stored: bool,
}

/// Archives the logs of all databases until Dormouse stops.
pub(crate) async fn watch(creator: Creator) {
    let tasks = Arc::clone(&creator.context.tasks);
    if creator.context.backups.vault().is_err() {
        return;
    }
    let left = creator.context.data_dir.join("history").join(FETCHED);
    if let Err(error) = std::fs::remove_dir_all(&left)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(%error, "files of an earlier recovery are left");
    }
    let mut tried: BTreeMap<InstanceId, Tried> = BTreeMap::new();
    let mut forgot = tokio::time::Instant::now();
    let mut swept: Option<BTreeSet<InstanceId>> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = tasks.ending() => return,
        }
        let round = async {
            archive_due(&creator, &mut tried).await;
            if forgot.elapsed() > FORGET {
                forgot = tokio::time::Instant::now();
                if let Err(error) = forget_archives(&creator).await {
                    warn!(%error, "old archives are not forgotten");
                }
            }
            let there = creator.context.registry.all();
            let there = there.iter().map(|database| database.instance).collect();
            if swept.as_ref() != Some(&there) {
                if let Err(error) = sweep(&creator).await {
                    warn!(%error, "collected logs of databases that are gone are left");
                }
                swept = Some(there);
            }
        };
        tokio::select! {
            () = round => {}
            () = tasks.ending() => return,
        }
    }
}

async fn archive_due(creator: &Creator, tried: &mut BTreeMap<InstanceId, Tried>) {
    let context = &creator.context;
    let now = Timestamp::now();
    let all = context.registry.all();
    let there: BTreeSet<InstanceId> = all.iter().map(|database| database.instance).collect();
    tried.retain(|id, _| there.contains(id));
    context.histories.retain(|id| there.contains(&id));
    let mut running = JoinSet::new();
    for database in all {
        let last = tried.get(&database.instance).copied();
        if !database.spec().history || !is_due(&database, last, now, context.histories.every) {
            continue;
        }
        let begun = Tried {
            at: now,
            stored: false,
        };
        tried.insert(database.instance, begun);
        if running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            note(tried, done);
        }
        let creator = creator.clone();
        running.spawn(async move {
            (
                database.instance,
                one(&creator, &database, When::Changed).await,
            )
        });
    }
    while let Some(done) = running.join_next().await {
        note(tried, done);
    }
}

/// One that could not be stored is due again after the usual time, asleep or not.
fn note(
    tried: &mut BTreeMap<InstanceId, Tried>,
    done: Result<(InstanceId, bool), tokio::task::JoinError>,
) {
    if let Ok((id, stored)) = done
        && let Some(tried) = tried.get_mut(&id)
    {
        tried.stored = stored;
    }
}

/// Whether a log is to be stored: its server may have written since the last time, and some time has passed, or it has
/// fallen asleep since.
fn is_due(database: &Database, last: Option<Tried>, now: Timestamp, every: Duration) -> bool {
    let Some(last) = last else {
        return true;
    };
    let age = now.duration_since(last.at);
    let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    let view = database.view();
    match view.state {
        Life::Active => age >= every,
        Life::Suspended | Life::Parked | Life::Failed if !last.stored => age >= every,
        Life::Suspended | Life::Parked | Life::Failed => {
            // what it wrote last was written before it slept
            last.at < view.since
        }
        _ => false,
    }
}

/// Stores one log; tells once if that fails. Returns whether nothing is left to be stored.
async fn one(creator: &Creator, database: &Database, when: When) -> bool {
    let stored = archive(creator, database, when).await;
    let slot = creator.context.histories.slot(database.instance);
    let mut state = slot.lock().await;
    let reason = match &stored {
        Ok(Stored::Complete | Stored::Nothing) => {
            state.failed = false;
            return true;
        }
        Ok(Stored::Broken) => {
            "its log was begun anew by RESET MASTER: what was not archived before is missing in its history. Turn the \
             history off and on to begin another one"
                .to_owned()
        }
        Err(Error::Stopping) => return false,
        Err(error) => format!("its history cannot be archived: {error}"),
    };
    if std::mem::replace(&mut state.failed, true) {
        return false;
    }
    drop(state);
    error!(database = %database.name, reason, "the history is not complete");
    let (took, by) = (Duration::ZERO, Principal::Dormouse);
    let told = entry(
        &database.name,
        EventKind::Refused,
        Cause::Schedule,
        reason,
        took,
        by,
    );
    tell(creator, told).await;
    false
}

/// Stores what is left of the history of a database that is to be dropped: afterwards, that is all there is of it. A
/// repository that does not answer does not keep it.
pub(crate) async fn store_rest(creator: &Creator, database: &Database) {
    if !database.spec().history || creator.context.backups.vault().is_err() {
        return;
    }
    if tokio::time::timeout(LAST, one(creator, database, When::Always))
        .await
        .is_err()
    {
        warn!(database = %database.name, limit = ?LAST, "its last changes are not in its history: it is dropped");
    }
}

/// Removes the collected logs of instances that no database has.
async fn sweep(creator: &Creator) -> Result<(), Error> {
    let dir = creator.context.data_dir.join("history");
    let all = creator.context.registry.all();
    let there: BTreeSet<String> = all.iter().map(|d| d.instance.to_string()).collect();
    let doing = format!("removing files below {}", dir.display());
    let work = move || -> std::io::Result<()> {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if name != FETCHED && !there.contains(name) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    let failed = |error: std::io::Error| Error::Machine {
        doing,
        reason: error.to_string(),
    };
    blocking(move || work().map_err(failed)).await
}

/// Forgets the archives that no backup needs; returns how many.
pub(crate) async fn forget_archives(creator: &Creator) -> Result<usize, Error> {
    let vault = creator.context.backups.vault()?;
    let all = vault.list(dormouse_repository::Filter::All).await?;
    let live: BTreeSet<InstanceId> = creator
        .context
        .registry
        .all()
        .iter()
        .map(|database| database.instance)
        .collect();
    let old = forgotten(&all, &live);
    let count = old.len();
    if count > 0 {
        vault.run(move |repository| repository.forget(&old)).await?;
        info!(count, "old archives of histories were forgotten");
    }
    Ok(count)
}

/// The archives that no backup of files needs: those from before the oldest backup of their database. The newest of a
/// timeline that goes on stays.
fn forgotten(all: &[Backup], live: &BTreeSet<InstanceId>) -> Vec<BackupId> {
    // a timeline may go on from another one of the same database
    let mut oldest: BTreeMap<InstanceId, Timestamp> = BTreeMap::new();
    let mut based: BTreeSet<(InstanceId, &str)> = BTreeSet::new();
    let mut archives: BTreeMap<(InstanceId, &str), Vec<Archive>> = BTreeMap::new();
    for backup in all {
        let (Some(instance), Some(base)) = (backup.labels.instance, base_of(backup)) else {
            continue;
        };
        let key = (instance, base);
        if let Some(archive) = Archive::read(backup) {
            archives.entry(key).or_default().push(archive);
        } else if is_of_files(backup) {
            let at = backup.labels.taken_at;
            let known = oldest.entry(instance).or_insert(at);
            *known = at.min(*known);
            based.insert(key);
        }
    }
    let mut old = Vec::new();
    for (key, mut archives) in archives {
        archives.sort_by_key(|archive| archive.stored_at);
        let newest = archives.pop();
        match oldest.get(&key.0) {
            Some(oldest) => {
                let is_needed = |archive: &Archive| {
                    based.contains(&key) || live.contains(&key.0) || archive.stored_at >= *oldest
                };
                archives.extend(newest.filter(|newest| !is_needed(newest)));
                archives.retain(|archive| archive.stored_at < *oldest);
                old.extend(archives.into_iter().map(|archive| archive.id));
            }
            None if live.contains(&key.0) => {
                old.extend(archives.into_iter().map(|archive| archive.id));
            }
            None => {
                old.extend(archives.into_iter().chain(newest).map(|archive| archive.id));
            }
        }
    }
    old
}
