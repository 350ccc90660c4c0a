//! Listing, forgetting, pruning and checking backups.

use std::collections::BTreeSet;

use rustic_core::repofile::SnapshotId;
use rustic_core::{CheckOptions, PruneOptions, ReadSubsetOption};

use crate::error::Error;
use crate::labels::{Backup, BackupId, Filter};
use crate::repository::Repository;
use crate::turns::Usage;
use crate::watch::Watch;

/// How much of the data a check reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// None: only whether everything that is needed stands there with the right length.
    Nothing,
    /// A random share of it, in percent.
    Percent(f64),
    /// All.
    Everything,
}

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is damaged; backups that need it cannot be restored whole.
    pub faults: Vec<String>,
    /// What is unusual and harmless, such as data that no backup needs.
    pub remarks: Vec<String>,
}

impl Checked {
    /// Whether nothing is damaged.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What a prune has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bytes that no backup needs and that are gone now.
    pub removed: u64,
    /// Bytes that no backup needs and that a prune removes in 23 hours at the earliest, so that no store that runs
    /// meanwhile loses what it counts on.
    pub marked: u64,
    /// Bytes that were written anew, because the rest of their files was not needed.
    pub rewritten: u64,
}

/// Runs an operation, and again if it has found damage: it begins with reading the index, and another program may have pruned the
/// repository since, and removed rightly what that index names.
fn read_again<T>(operation: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match operation() {
        Err(Error::Damaged { .. }) => operation(),
        other => other,
    }
}

impl Repository {
    /// The backups, oldest first.
    ///
    /// # Errors
    ///
    /// If the repository cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Backup>, Error> {
        self.with(&Watch::default(), |repository, _notes| {
            let snapshots = repository.get_all_snapshots()?;
            let mut backups: Vec<_> = snapshots.iter().map(Backup::read).collect();
            backups.retain(|backup| filter.takes(backup));
            backups.sort_by(|a, b| (a.labels.taken_at, &a.id).cmp(&(b.labels.taken_at, &b.id)));
            Ok(backups)
        })
    }

    /// Forgets backups. Their data stays until a [`Repository::prune`]. Those that are gone already are no error.
    ///
    /// # Errors
    ///
    /// If the repository cannot be written.
    pub fn forget(&self, ids: &[BackupId]) -> Result<(), Error> {
        let watch = Watch::default();
        let lock = self.locks.take(&self.location, Usage::Store, &watch)?;
        let forgotten = self.with(&watch, |repository, _notes| {
            let there: BTreeSet<_> = repository.list::<SnapshotId>()?.collect();
            let ids = ids
                .iter()
                .map(|id| Ok(SnapshotId::from(id.as_str().parse::<rustic_core::Id>()?)));
            let mut ids = ids.collect::<rustic_core::RusticResult<Vec<_>>>()?;
            ids.retain(|id| there.contains(id));
            if !ids.is_empty() {
                repository.delete_snapshots(&ids)?;
            }
            Ok(())
        });
        lock.release();
        forgotten
    }

    /// Removes data that no backup needs: marks it now, and removes what was marked more than 23 hours ago. Stores may
    /// run meanwhile.
    ///
    /// # Errors
    ///
    /// If the repository is locked by `restic`, damaged, or cannot be written. What was begun is finished by the next one.
    pub fn prune(&self, watch: &Watch) -> Result<Pruned, Error> {
        self.prune_with(&PruneOptions::default(), watch)
    }

    /// As [`Repository::prune`], and removes it all at once. Only when nothing stores into the repository.
    ///
    /// # Errors
    ///
    /// As [`Repository::prune`].
    pub fn prune_at_once(&self, watch: &Watch) -> Result<Pruned, Error> {
        self.prune_with(&PruneOptions::default().instant_delete(true), watch)
    }

    fn prune_with(&self, options: &PruneOptions, watch: &Watch) -> Result<Pruned, Error> {
        let usage = match options.instant_delete {
            true => Usage::Alone,
            false => Usage::Prune,
        };
        let lock = self.locks.take(&self.location, usage, watch)?;
        let prune = || {
            self.with(watch, |repository, _notes| {
                let plan = repository.prune_plan(options)?;
                let sizes = plan.stats.size_sum();
                let unneeded = sizes.remove + sizes.repackrm + plan.stats.size_unref;
                let marked = plan.stats.size_to_delete;
                let (removed, marked) = if options.instant_delete {
                    (unneeded + marked.remove + marked.keep, 0)
                } else {
                    (marked.remove, unneeded + marked.keep)
                };
                let pruned = Pruned {
                    removed,
                    marked,
                    rewritten: sizes.repack,
                };
                repository.prune(options, plan)?;
                Ok(pruned)
            })
        };
        let pruned = read_again(prune);
        lock.release();
        pruned
    }

    /// Checks the repository: that all that the backups need is there, and a sample of the data or all of it.
    ///
    /// # Errors
    ///
    /// If it cannot be read at all. What is damaged stands in the result.
    pub fn check(&self, sample: Sample, watch: &Watch) -> Result<Checked, Error> {
        let options = match sample {
            Sample::Nothing => CheckOptions::default(),
            Sample::Percent(percent) => CheckOptions::default()
                .read_data(true)
                .read_data_subset(ReadSubsetOption::Percentage(percent.clamp(0.0, 100.0))),
            Sample::Everything => CheckOptions::default().read_data(true),
        };
        let lock = self.locks.take(&self.location, Usage::Read, watch)?;
        let check = || {
            self.with(watch, |repository, notes| {
                let mut checked = Checked::default();
                for (level, found) in repository.check(options)?.0 {
                    let text = found
                        .to_string()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ");
                    match format!("{level:?}").as_str() {
                        "Warn" => checked.remarks.push(text),
                        _ => checked.faults.push(text),
                    }
                }
                if !checked.is_good() {
                    notes.told();
                }
                Ok(checked)
            })
        };
        let mut checked = read_again(check);
        if matches!(&checked, Ok(found) if !found.is_good()) {
            // Somebody else may have pruned it meanwhile, which takes away what an older index names.
            checked = check();
        }
        lock.release();
        match checked {
            // Damage that ends the check early is what it was to find.
            Err(Error::Damaged { cause, .. }) => Ok(Checked {
                faults: vec![cause],
                remarks: Vec::new(),
            }),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
