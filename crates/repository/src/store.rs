//! Storing a directory and documents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, ParentOptions};

use crate::error::Error;
use crate::labels::{Backup, BackupId, Labels};
use crate::repository::Repository;
use crate::restore::{DOCUMENTS, FILES};
use crate::source::{Document, Source};
use crate::turns::Usage;
use crate::watch::Watch;

/// Which files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reading {
    /// Those whose size or time of change differs from the database's last backup.
    #[default]
    Changed,
    /// Those whose size or time of change differs from this backup, whose list is not searched for: the fast way in
    /// a repository with many backups.
    ChangedSince(BackupId),
    /// All.
    All,
}

/// What storing has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The backup.
    pub backup: Backup,
    /// Bytes that were sent to the repository, with index and list.
    pub sent: u64,
    /// Files that were read, because they were new or had changed.
    pub files_read: u64,
    /// How long it took.
    pub took: Duration,
}

impl Repository {
    /// Stores a directory and documents as one backup. Nothing may write to the directory meanwhile; its files must
    /// have the times of change of the originals, or all are read (what they have in common with earlier backups is
    /// not sent again).
    ///
    /// # Errors
    ///
    /// If a file cannot be read whole or the repository cannot be written; then there is no such backup.
    pub fn store(
        &self,
        dir: &Path,
        documents: &[Document],
        labels: &Labels,
        reading: &Reading,
        watch: &Watch,
    ) -> Result<Stored, Error> {
        self.archive(Some(dir), documents, labels, reading, watch)
    }

    /// Stores documents alone as one backup.
    ///
    /// # Errors
    ///
    /// As [`Repository::store`].
    pub fn store_documents(
        &self,
        documents: &[Document],
        labels: &Labels,
        watch: &Watch,
    ) -> Result<Stored, Error> {
        self.archive(None, documents, labels, &Reading::All, watch)
    }

    fn archive(
        &self,
        dir: Option<&Path>,
        documents: &[Document],
        labels: &Labels,
        reading: &Reading,
        watch: &Watch,
    ) -> Result<Stored, Error> {
        check_names(documents)?;
        let started = Instant::now();
        let lock = self.locks.take(&self.location, Usage::Store, watch)?;
        let stored = self.with(watch, |repository, notes| {
            let source = Source::list(dir, documents, labels.taken_at, notes)?;
            let options = options(reading);
            let paths = [PathBuf::from(if dir.is_some() { FILES } else { DOCUMENTS })];
            let snapshot = repository.to_indexed_ids()?.archive(
                &options,
                &source,
                snapshot(labels),
                &paths,
            )?;
            Ok(Stored {
                backup: Backup::read(&snapshot),
                sent: notes.sent(),
                files_read: notes.files_read(),
                took: started.elapsed(),
            })
        });
        lock.release();
        stored
    }
}

fn check_names(documents: &[Document]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for document in documents {
        let name = document.name.as_str();
        let wrong = name.is_empty() || name.contains(['/', '\0']) || name == "." || name == "..";
        if wrong || !seen.insert(name) {
            return Err(Error::DocumentName(name.to_owned()));
        }
    }
    Ok(())
}

fn options(reading: &Reading) -> BackupOptions {
    let mut parent = ParentOptions::default().ignore_inode(true);
    // The snapshot's host is the database, and a branch may have another's backup as its parent.
    let group = match reading {
        Reading::Changed => "host,paths",
        Reading::ChangedSince(id) => {
            parent = parent.parents(vec![id.as_str().to_owned()]);
            ""
        }
        Reading::All => {
            parent = parent.force(true);
            ""
        }
    };
    parent.group_by = group.parse().ok();
    BackupOptions::default().parent_opts(parent)
}

fn snapshot(labels: &Labels) -> SnapshotFile {
    let mut snapshot = SnapshotFile {
        time: labels.taken_at.to_zoned(TimeZone::UTC),
        program_version: format!("dormouse {}", env!("CARGO_PKG_VERSION")),
        hostname: labels.host().to_owned(),
        username: "dormouse".to_owned(),
        ..SnapshotFile::default()
    };
    for tag in labels.tags() {
        snapshot.tags.add(tag);
    }
    snapshot
}
