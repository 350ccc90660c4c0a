//! Backups of databases.

use dormouse_policy::Cause;
use dormouse_repository::{Backup, Checked, Key, KeyInfo, Pruned, Sample, Watch};
use dormouse_types::DatabaseName;

use crate::backups::make::{Attempt, Made, back_up};
use crate::backups::recover::{Recovered, recover};
use crate::backups::restore::{Restored, Target, restore};
use crate::backups::state::{Counts, Running};
use crate::backups::upkeep::{forget_old, store_installation};
use crate::backups::verify::{Verified, verify};
use crate::create::{Creator, to_its_end};
use crate::error::Error;
use crate::history::recover::restore_to;
use crate::history::search::history;
use crate::history::{Point, Reading, Scope};
use crate::principal::Principal;

/// Shortest beginning of a backup's id that names it.
const SHORTEST: usize = 4;

/// Backups of databases.
pub struct Backups<'a> {
    pub(super) creator: &'a Creator,
    pub(super) principal: &'a Principal,
}

impl Backups<'_> {
    /// Where the repository stands, if one is configured.
    #[must_use]
    pub fn location(&self) -> Option<String> {
        let vault = self.creator.context.backups.vault().ok()?;
        Some(vault.config().location.to_string())
    }

    /// Creates the repository.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; [`Error::Repository`] if there is one, or it cannot be made.
    pub async fn init(&self) -> Result<(), Error> {
        self.creator.context.backups.vault()?.init().await
    }

    /// Makes a backup of a database, which is not woken. One that has slept since its last backup is not stored again,
    /// unless `always`. Runs to its end even if its caller no longer waits.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoRepository`]; [`Error::Repository`]; those of a copy.
    pub async fn make(&self, name: &DatabaseName, always: bool) -> Result<Attempt, Error> {
        let found = self.creator.context.registry.find(name);
        let database = found.ok_or_else(|| Error::NotFound(name.clone()))?;
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        to_its_end(async move {
            let made = back_up(&creator, database, always, Cause::Operator, by).await?;
            if matches!(made, Attempt::Made(Made { .. })) {
                store_installation(&creator).await?;
            }
            Ok(made)
        })
        .await
    }

    /// The backups of a database, or of all, oldest first. Those of dropped databases are among them, also of dropped ones
    /// of the same name.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; [`Error::Repository`].
    pub async fn list(&self, database: Option<DatabaseName>) -> Result<Vec<Backup>, Error> {
        self.creator.context.backups.list(database).await
    }

    /// The backups of the database that has this name now, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of [`list`](Self::list).
    pub async fn list_present(&self, name: &DatabaseName) -> Result<Vec<Backup>, Error> {
        let context = &self.creator.context;
        let found = context.registry.find(name);
        let database = found.ok_or_else(|| Error::NotFound(name.clone()))?;
        let own = context.backups.lineage(database.instance);
        let mut all = self.list(None).await?;
        all.retain(|backup| backup.labels.instance.is_some_and(|id| own.contains(&id)));
        Ok(all)
    }

    /// The newest backup of a database, or the one whose id begins so. Of a name that a database has, the newest of that
    /// database.
    ///
    /// # Errors
    /// [`Error::NoBackup`]; [`Error::Invalid`] if several ids begin so.
    pub async fn find(&self, name: &DatabaseName, id: Option<&str>) -> Result<Backup, Error> {
        let Some(id) = id else {
            return self.newest(name).await;
        };
        let all = self.list(Some(name.clone())).await?;
        let mut such = all
            .into_iter()
            .filter(|backup| backup.id.as_str().starts_with(id));
        let (first, second) = (such.next(), such.next());
        match (first, second) {
            (Some(found), None) if id.len() >= SHORTEST => Ok(found),
            (Some(_), _) => Err(Error::Invalid(format!(
                "more than one backup may begin with '{id}': write more of its id"
            ))),
            (None, _) => Err(Error::NoBackup(format!(
                "there is no backup {id} of database '{name}'"
            ))),
        }
    }

    async fn newest(&self, name: &DatabaseName) -> Result<Backup, Error> {
        let none =
            |more: &str| Error::NoBackup(format!("there is no backup of database '{name}'{more}"));
        if self.creator.context.registry.find(name).is_none() {
            let newest = self.list(Some(name.clone())).await?.into_iter().next_back();
            return newest.ok_or_else(|| none(""));
        }
        let newest = self.list_present(name).await?.into_iter().next_back();
        newest.ok_or_else(|| {
            none("; if a dropped one of this name is meant, name its backup with --backup")
        })
    }

    /// Restores a backup of a database, the newest one or the one whose id begins so, as the new database `into`, or in the
    /// place of the database, which is kept under another name.
    ///
    /// # Errors
    /// As [`find`](Self::find); [`Error::Exists`]; [`Error::Repository`]; an error of the machine, or of the restored server.
    pub async fn restore(
        &self,
        name: &DatabaseName,
        id: Option<&str>,
        into: Option<DatabaseName>,
    ) -> Result<Restored, Error> {
        let backup = self.find(name, id).await?;
        let target = Target::of(name, into);
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        restore(creator, backup, target, None, by).await
    }

    /// Restores a database to a point of its history, as the new database `into`, or in its place; it is kept under
    /// another name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the history does not have that point; else as [`restore`](Self::restore).
    pub async fn restore_to(
        &self,
        name: &DatabaseName,
        point: Point,
        into: Option<DatabaseName>,
    ) -> Result<Restored, Error> {
        let target = Target::of(name, into);
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        restore_to(creator, name.clone(), point, (target, None), by).await
    }

    /// What the history of a database has, and the transactions in it that a regular expression finds. Wakes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoRepository`]; [`Error::Repository`]; [`Error::Invalid`] if it is no regular
    /// expression.
    pub async fn history(
        &self,
        name: &DatabaseName,
        expression: Option<&str>,
        scope: Scope,
    ) -> Result<Reading, Error> {
        history(self.creator, name, expression, scope).await
    }

    /// Restores a backup for a test, and lets its server check every table.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub async fn verify(&self, name: &DatabaseName, id: Option<&str>) -> Result<Verified, Error> {
        let backup = self.find(name, id).await?;
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        verify(creator, backup, name.clone(), Cause::Operator, by).await
    }

    /// Checks the repository, with so much of its data.
    ///
    /// # Errors
    /// [`Error::Repository`] if it cannot be read at all.
    pub async fn check(&self, sample: Sample) -> Result<Checked, Error> {
        let vault = self.creator.context.backups.vault()?;
        vault
            .run(move |repository| repository.check(sample, &Watch::default()))
            .await
    }

    /// Forgets the backups that no rule keeps, and removes the data that no backup needs: at once, or a day later, so
    /// that others may store meanwhile. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`Error::Repository`].
    pub async fn prune(&self, at_once: bool) -> Result<(u64, Pruned), Error> {
        let creator = self.creator.clone();
        to_its_end(async move {
            let forgotten = forget_old(&creator).await?;
            let vault = creator.context.backups.vault()?;
            let pruned = vault.run(move |repository| {
                if at_once {
                    repository.prune_at_once(&Watch::default())
                } else {
                    repository.prune(&Watch::default())
                }
            });
            Ok((forgotten, pruned.await?))
        })
        .await
    }

    /// The keys of the repository.
    ///
    /// # Errors
    /// [`Error::Repository`].
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, Error> {
        let vault = self.creator.context.backups.vault()?;
        vault.run(dormouse_repository::Repository::keys).await
    }

    /// Adds a key; returns its id.
    ///
    /// # Errors
    /// [`Error::Repository`].
    pub async fn add_key(&self, key: Key, note: String) -> Result<String, Error> {
        let vault = self.creator.context.backups.vault()?;
        vault
            .run(move |repository| repository.add_key(&key, &note))
            .await
    }

    /// Removes the key whose id begins so.
    ///
    /// # Errors
    /// [`Error::Repository`], also if it is the one in use; [`Error::Invalid`] if several ids begin so.
    pub async fn remove_key(&self, id: String) -> Result<(), Error> {
        let all = self.keys().await?;
        let such: Vec<_> = all
            .into_iter()
            .filter(|key| key.id.starts_with(&id))
            .collect();
        let id = match such.as_slice() {
            [one] if id.len() >= SHORTEST => one.id.clone(),
            [] => id,
            _ => {
                let what = format!("more than one key may begin with '{id}': write more of its id");
                return Err(Error::Invalid(what));
            }
        };
        let vault = self.creator.context.backups.vault()?;
        vault
            .run(move |repository| repository.remove_key(&id))
            .await
    }

    /// The work that goes on.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        self.creator.context.backups.running()
    }

    /// Counts since Dormouse started.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.creator.context.backups.counts()
    }

    /// Restores every database that the repository has and the catalog has not; `tell` hears how far that is.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; [`Error::Repository`].
    pub async fn recover(&self, tell: impl Fn(&str) + Send + Sync) -> Result<Recovered, Error> {
        recover(self.creator.clone(), self.principal.clone(), tell).await
    }
}
