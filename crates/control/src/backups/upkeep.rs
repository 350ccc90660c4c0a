//! Which backups are kept, and the document about the installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dormouse_policy::backup::forgotten;
use dormouse_repository::{Backup, BackupId, Filter, Labels, Watch};
use dormouse_types::{DatabaseName, Keep};
use jiff::Timestamp;
use tracing::info;

use super::manifest::{INSTALLATION, Installation, Listed, document};
use super::state::{KIND, is_of_files};
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
    let all = vault
        .run(|repository| repository.list(&Filter::All))
        .await?;
    let now = Timestamp::now();
    let mut of: BTreeMap<&DatabaseName, Vec<&Backup>> = BTreeMap::new();
    for backup in all.iter().filter(|backup| is_of_files(backup)) {
        if let Some(name) = &backup.labels.database {
            of.entry(name).or_default().push(backup);
        }
    }
    let mut old: Vec<BackupId> = Vec::new();
    for (name, backups) in of {
        let taken: Vec<Timestamp> = backups.iter().map(|b| b.labels.taken_at).collect();
        let found = creator.context.registry.find(name);
        let indexes = match found {
            Some(database) => forgotten(&taken, database.spec().backups.keep, now),
            // of a dropped database: all at once, when the last is old enough
            None => {
                let keep = Keep {
                    last: 1,
                    within: vault.config().dropped_keep,
                };
                let over = taken
                    .iter()
                    .all(|at| forgotten(&[*at, now], keep, now).contains(&0));
                if over {
                    (0..taken.len()).collect()
                } else {
                    Vec::new()
                }
            }
        };
        old.extend(
            indexes
                .into_iter()
                .filter_map(|i| Some(backups.get(i)?.id.clone())),
        );
    }
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

/// Stores the document about the installation, if it has changed since it was stored last.
pub(crate) async fn store_installation(creator: &Creator) -> Result<(), Error> {
    let backups = &creator.context.backups;
    let vault = backups.vault()?;
    let mut stored = backups.installation.lock().await;
    let now = installation(creator).await?;
    if stored.as_ref() == Some(&now) {
        return Ok(());
    }
    let document = document(INSTALLATION, &now)?;
    let mut labels = Labels::of_installation(Timestamp::now());
    labels.more.insert(KIND.to_owned(), INSTALLATION.to_owned());
    let work = vault
        .run(move |repository| repository.store_documents(&[document], &labels, &Watch::default()));
    work.await?;
    *stored = Some(now);
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
