//! All databases, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use dormouse_types::{DatabaseName, State};

use crate::database::Database;
use crate::error::Error;

/// All databases, by name.
pub(crate) struct Registry {
    names: RwLock<Names>,
    most: usize,
}

#[derive(Default)]
struct Names {
    known: BTreeMap<DatabaseName, Arc<Database>>,
    /// Names of databases that are being made.
    reserved: BTreeSet<DatabaseName>,
}

impl Registry {
    /// For at most `most` databases.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            names: RwLock::default(),
            most,
        }
    }

    /// The database of a name.
    pub(crate) fn find(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.read(|names| names.known.get(name).cloned())
    }

    /// Every database, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Database>> {
        self.read(|names| names.known.values().cloned().collect())
    }

    /// Every active database.
    pub(crate) fn active(&self) -> Vec<Arc<Database>> {
        let active = |database: &&Arc<Database>| database.state() == State::Active;
        self.read(|names| names.known.values().filter(active).cloned().collect())
    }

    /// Reserves a name for a new database, until [`Registry::release`].
    ///
    /// # Errors
    /// If the name is taken or there are too many databases.
    pub(crate) fn reserve(&self, name: &DatabaseName) -> Result<(), Error> {
        self.edit(|names| {
            if names.known.contains_key(name) || names.reserved.contains(name) {
                return Err(Error::Exists(name.clone()));
            }
            if names.known.len() + names.reserved.len() >= self.most {
                return Err(Error::Limit {
                    what: "too many databases".to_owned(),
                    most: self.most as u64,
                });
            }
            names.reserved.insert(name.clone());
            Ok(())
        })
    }

    /// Releases a reserved name.
    pub(crate) fn release(&self, name: &DatabaseName) {
        self.edit(|names| names.reserved.remove(name));
    }

    /// Adds a database.
    pub(crate) fn insert(&self, database: Arc<Database>) {
        self.edit(|names| names.known.insert(database.name.clone(), database));
    }

    /// Removes a database.
    pub(crate) fn remove(&self, name: &DatabaseName) {
        self.edit(|names| names.known.remove(name));
    }

    fn read<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(&mut self.names.write().unwrap_or_else(PoisonError::into_inner))
    }
}
