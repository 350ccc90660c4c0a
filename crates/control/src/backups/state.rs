//! Backups of all databases, as shared by those who make and watch them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_repository::{Backup, Cancel, Filter, Progress, Watch};
use dormouse_types::{Bytes, DatabaseName, InstanceId};
use jiff::Timestamp;

use super::known::Known;
use super::manifest::Installation;
use super::vault::Vault;
use crate::catalog::{Change, Entry};
use crate::error::Error;
use crate::principal::Principal;
use crate::status::{EventKind, Figures};

/// Label of a backup of files, in contrast to other things in the repository.
pub(crate) const KIND: &str = "kind";
pub(crate) const FILES: &str = "files";

/// Backups of all databases.
pub(crate) struct Backups {
    /// `None`: no repository is configured.
    vault: Option<Vault>,
    known: Mutex<BTreeMap<InstanceId, Known>>,
    running: Mutex<BTreeMap<u64, Running>>,
    counts: Mutex<Counts>,
    pub(crate) installation: tokio::sync::Mutex<Told>,
}

/// What this process has told the repository about the installation.
#[derive(Default)]
pub(crate) enum Told {
    /// Nothing yet.
    #[default]
    Nothing,
    /// This document.
    Stored(Box<Installation>),
    /// Nothing, to its end: it recovers the installation, and what is not there yet would be missing in the document.
    Recovering,
}

/// Counts since Dormouse started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Backups that were made.
    pub made: u64,
    /// Bytes that they sent to the repository.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Test restores that succeeded.
    pub verified: u64,
    /// Test restores that failed.
    pub damaged: u64,
    /// Databases whose last good backup is too old.
    pub late: u64,
}

/// Work on backups that goes on.
#[derive(Debug, Clone)]
pub struct Running {
    /// The database.
    pub database: DatabaseName,
    /// What is done: `backup`, `restore`, `verify`.
    pub doing: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Bytes done.
    pub done: Bytes,
    /// Bytes in all; 0 while that is not known.
    pub total: Bytes,
    /// What it waits for, in words.
    pub waits_for: Option<String>,
    cancel: Cancel,
}

impl Backups {
    pub(crate) fn new(vault: Option<Vault>, known: BTreeMap<InstanceId, Known>) -> Self {
        Self {
            vault,
            known: Mutex::new(known),
            running: Mutex::default(),
            counts: Mutex::default(),
            installation: tokio::sync::Mutex::default(),
        }
    }

    /// The repository.
    ///
    /// # Errors
    /// If none is configured.
    pub(crate) fn vault(&self) -> Result<&Vault, Error> {
        self.vault.as_ref().ok_or(Error::NoRepository)
    }

    /// What the catalog knows of an instance's backups.
    pub(crate) fn known(&self, instance: InstanceId) -> Option<Known> {
        self.all_known().get(&instance).cloned()
    }

    fn all_known(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instances whose backups are those of the database that has this one now.
    pub(crate) fn lineage(&self, instance: InstanceId) -> BTreeSet<InstanceId> {
        let known = self.known(instance);
        let before = known.map(|known| known.before).unwrap_or_default();
        before.into_iter().chain([instance]).collect()
    }

    /// Notes that an instance comes in the place of another one; returns the change for the catalog.
    pub(crate) fn inherit(&self, from: InstanceId, to: InstanceId, now: Timestamp) -> Change {
        let mut known = Known::new(now);
        known.before = self.lineage(from).into_iter().collect();
        self.note(to, known)
    }

    /// Notes what is known of an instance's backups; returns the change for the catalog.
    pub(crate) fn note(&self, instance: InstanceId, known: Known) -> Change {
        self.all_known().insert(instance, known.clone());
        let known = Box::new(known);
        Change::BackedUp { instance, known }
    }

    /// Forgets instances that no database has.
    pub(crate) fn retain(&self, there: impl Fn(InstanceId) -> bool) {
        self.all_known().retain(|id, _| there(*id));
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work that goes on.
    pub(crate) fn running(&self) -> Vec<Running> {
        self.all_running().values().cloned().collect()
    }

    fn all_running(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work that goes on: Dormouse stops.
    pub(crate) fn cancel(&self) {
        for running in self.all_running().values() {
            running.cancel.cancel();
        }
    }

    /// Registers work, until the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>, database: &DatabaseName, doing: &'static str) -> Work {
        let cancel = Cancel::default();
        let mut all = self.all_running();
        let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
        let running = Running {
            database: database.clone(),
            doing,
            since: Timestamp::now(),
            done: Bytes(0),
            total: Bytes(0),
            waits_for: None,
            cancel: cancel.clone(),
        };
        all.insert(number, running);
        let backups = Arc::clone(self);
        let progress = move |now: Progress| {
            if let Some(running) = backups.all_running().get_mut(&number) {
                running.done = Bytes(now.done);
                running.total = Bytes(now.total);
            }
        };
        let backups = Arc::clone(self);
        let waits = move |what: Option<&str>| {
            if let Some(running) = backups.all_running().get_mut(&number) {
                running.waits_for = what.map(str::to_owned);
            }
        };
        Work {
            backups: Arc::clone(self),
            number,
            watch: Watch {
                cancel,
                progress: Some(Arc::new(progress)),
                waits: Some(Arc::new(waits)),
            },
        }
    }

    /// The backups of files in the repository, oldest first.
    pub(crate) async fn list(&self, database: Option<DatabaseName>) -> Result<Vec<Backup>, Error> {
        let filter = database.map_or(Filter::All, Filter::Database);
        let mut all = self.vault()?.list(filter).await?;
        all.retain(is_of_files);
        Ok(all)
    }
}

/// Whether it has the files of a database.
pub(crate) fn is_of_files(backup: &Backup) -> bool {
    backup.own
        && backup
            .labels
            .more
            .get(KIND)
            .is_some_and(|kind| kind == FILES)
}

/// Work that is registered.
pub(crate) struct Work {
    backups: Arc<Backups>,
    number: u64,
    pub(crate) watch: Watch,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.backups.all_running().remove(&self.number);
    }
}

/// An entry of the ledger about a backup.
pub(crate) fn entry(
    database: &DatabaseName,
    event: EventKind,
    cause: dormouse_policy::Cause,
    reason: String,
    took: std::time::Duration,
    by: Principal,
) -> Entry {
    Entry {
        database: Some(database.clone()),
        actor: by,
        woken_by: None,
        event,
        from: None,
        to: None,
        cause,
        reason,
        duration_ms: Some(crate::time::millis(took)),
        figures: Figures::default(),
    }
}
