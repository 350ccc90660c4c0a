//! The databases by name.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use dormouse_types::DatabaseName;

use crate::config::PoolLimits;
use crate::database::Database;

/// All databases.
pub(crate) struct Directory {
    databases: RwLock<HashMap<DatabaseName, Arc<Database>>>,
    pool_limits: Arc<PoolLimits>,
}

impl Directory {
    /// An empty directory; `pool` limits the backends of each database.
    pub(crate) fn new(pool: PoolLimits) -> Self {
        Self {
            databases: RwLock::default(),
            pool_limits: Arc::new(pool),
        }
    }

    pub(crate) fn find(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        self.databases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Adds a database with its door shut. An existing one is left as it is.
    pub(crate) fn add(&self, name: &DatabaseName) {
        let mut databases = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        databases
            .entry(name.clone())
            .or_insert_with(|| Database::new(name.clone(), Arc::clone(&self.pool_limits)));
    }

    /// Removes a database and ends its sessions.
    pub(crate) fn remove(&self, name: &DatabaseName) {
        let removed = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(database) = removed {
            database.dropped();
        }
    }

    /// Every database.
    pub(crate) fn all(&self) -> Vec<Arc<Database>> {
        let databases = self
            .databases
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        databases.values().cloned().collect()
    }
}
