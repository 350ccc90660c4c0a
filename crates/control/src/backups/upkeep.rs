//! Which backups are kept, and the document about the installation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_policy::backup::forgotten;
use dormouse_repository::{Backup, BackupId, Filter, Labels, Watch};
use dormouse_types::{DatabaseName, InstanceId, Keep};
use jiff::Timestamp;
use tracing::info;

use super::manifest::{INSTALLATION, Installation, Listed, document};
use super::state::{KIND, Told, is_of_files};
use super::vault::blocking;
use crate::create::Creator;
use crate::error::Error;

/// Number of documents about the installation that are kept.
const INSTALLATIONS: usize = 10;

/// Largest file that the document about the installation takes.
const FILE_MOST: u64 = 1 << 20;

/// Forgets the backups that no rule keeps; returns how many.
pub(crate) async fn forget_old(creator: &Creator) -> Result<u64, Error> {
    let vault = creator.context.backups.vault()?;
    let all = vault.list(Filter::All).await?;
    let mut old = self::old(creator, &all, vault.config().dropped_keep);
    let mut installations: Vec<&Backup> = all.iter().filter(|b| is_installation(b)).collect();
    installations.reverse();
    old.extend(
        installations
            .iter()
            .skip(INSTALLATIONS)
            .map(|b| b.id.clone()),
    );
    let count = old.len() as u64;
    if count > 0 {
        vault.run(move |repository| repository.forget(&old)).await?;
        info!(count, "old backups were forgotten");
    }
    Ok(count)
}

/// The backups of files that no rule keeps. There are two kinds of groups: those of a name, of which the database of that
/// name keeps what its rule says; and those of an instance, which are the same rule's if a database has it under another
/// name, and are kept for a while if it was dropped, though its name may be another one's.
fn old(creator: &Creator, all: &[Backup], dropped_keep: Duration) -> Vec<BackupId> {
    let now = Timestamp::now();
    let registry = &creator.context.registry;
    let live: BTreeMap<InstanceId, Keep> = registry
        .all()
        .into_iter()
        .map(|database| (database.instance, database.shared_spec().backups.keep))
        .collect();
    let mut of_name: BTreeMap<&DatabaseName, Vec<&Backup>> = BTreeMap::new();
    let mut of_instance: BTreeMap<Option<InstanceId>, Vec<&Backup>> = BTreeMap::new();
    for backup in all.iter().filter(|backup| is_of_files(backup)) {
        if let Some(name) = &backup.labels.database {
            of_name.entry(name).or_default().push(backup);
        }
        of_instance
            .entry(backup.labels.instance)
            .or_default()
            .push(backup);
    }
    let mut kept: BTreeSet<&BackupId> = BTreeSet::new();
    for (name, group) in &of_name {
        if let Some(database) = registry.find(name) {
            kept.extend(kept_of(group, database.shared_spec().backups.keep, now));
        }
    }
    for (instance, group) in &of_instance {
        match instance.and_then(|instance| live.get(&instance)) {
            Some(rule) => kept.extend(kept_of(group, *rule, now)),
            None => {
                // all at once, when the last is old enough
                let newest = group.iter().map(|backup| backup.labels.taken_at).max();
                let age = newest.map(|newest| now.duration_since(newest));
                let age = age
                    .and_then(|age| Duration::try_from(age).ok())
                    .unwrap_or_default();
                if age < dropped_keep {
                    kept.extend(group.iter().map(|backup| &backup.id));
                }
            }
        }
    }
    let files = all.iter().filter(|backup| is_of_files(backup));
    files
        .filter(|backup| !kept.contains(&backup.id))
        .map(|backup| backup.id.clone())
        .collect()
}

/// What a rule keeps of a group.
fn kept_of<'a>(group: &[&'a Backup], rule: Keep, now: Timestamp) -> Vec<&'a BackupId> {
    let taken: Vec<Timestamp> = group.iter().map(|backup| backup.labels.taken_at).collect();
    let old = forgotten(&taken, rule, now);
    let kept = group.iter().enumerate().filter(|(at, _)| !old.contains(at));
    kept.map(|(_, backup)| &backup.id).collect()
}

/// Stores the document about the installation, if it has changed since it was stored last. Nothing while the installation is
/// recovered.
pub(crate) async fn store_installation(creator: &Creator) -> Result<(), Error> {
    let backups = &creator.context.backups;
    let vault = backups.vault()?;
    let mut told = backups.installation.lock().await;
    if matches!(*told, Told::Recovering) {
        return Ok(());
    }
    let now = installation(creator).await?;
    if matches!(&*told, Told::Stored(before) if **before == now) {
        return Ok(());
    }
    let document = document(INSTALLATION, &now)?;
    let mut labels = Labels::of_installation(Timestamp::now());
    labels.more.insert(KIND.to_owned(), INSTALLATION.to_owned());
    labels.more.extend([vault.installation()]);
    let work = vault
        .run(move |repository| repository.store_documents(&[document], &labels, &Watch::default()));
    work.await?;
    *told = Told::Stored(Box::new(now));
    Ok(())
}

async fn installation(creator: &Creator) -> Result<Installation, Error> {
    let context = &creator.context;
    let config = context.backups.vault()?.config();
    let databases = context.registry.all().into_iter().map(|database| Listed {
        name: database.name.clone(),
        instance: database.instance,
    });
    let databases = databases.collect();
    let (catalog, files) = (context.catalog.clone(), config.files.clone());
    let data_dir = context.data_dir.clone();
    blocking(move || {
        let mut tokens = catalog.tokens()?;
        for token in &mut tokens {
            // not worth a new document each hour
            token.about.used = None;
        }
        Ok(Installation {
            format: Installation::FORMAT,
            databases,
            tokens,
            files: read_files(&data_dir, &files).map_err(|error| Error::Machine {
                doing: format!("reading files of {} for a backup", data_dir.display()),
                reason: error.to_string(),
            })?,
        })
    })
    .await
}

pub(crate) fn is_installation(backup: &Backup) -> bool {
    let kind = backup.labels.more.get(KIND);
    backup.own && kind.is_some_and(|kind| kind == INSTALLATION)
}

/// The files of these names below a directory, also those in directories.
fn read_files(data_dir: &Path, names: &[PathBuf]) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = names.to_vec();
    while let Some(name) = left.pop() {
        let path = data_dir.join(&name);
        let meta = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                left.push(name.join(entry?.file_name()));
            }
        } else if meta.is_file()
            && meta.len() <= FILE_MOST
            && let Some(text) = name.to_str()
        {
            files.push((text.to_owned(), std::fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
