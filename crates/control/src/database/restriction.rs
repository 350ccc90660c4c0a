//! Whether statements of a database may write: its quota, its spend limit, and the disk.

use std::sync::{MutexGuard, PoisonError};

use dormouse_policy::spend::Rung;
use dormouse_policy::storage::Fill;

use super::Database;
use crate::doors::Doors;

impl Database {
    /// Why the database may not grow or change now: its quota, its spend limit, or the disk.
    fn restriction(&self, disk: Option<&str>) -> Option<String> {
        let view = self.look();
        let used_up = || {
            let (used, quota) = view.storage.zip(self.spec().storage_quota)?;
            (view.fill == Fill::Full)
                .then(|| format!("its storage quota of {quota} is used up ({used})"))
        };
        let spent = || {
            let limit = self.spec().spend_limit?;
            (view.rung >= Rung::ReadOnly)
                .then(|| format!("its spend limit of {limit} for this month is used up"))
        };
        used_up()
            .or_else(spent)
            .or_else(|| disk.map(ToOwned::to_owned))
    }

    /// Passes the restriction on to the data path if it has changed. One lock covers reading the view and
    /// passing it on, so the last call passes on the newest.
    pub(crate) fn restrict(&self, disk: Option<&str>, doors: &dyn Doors) {
        let mut told = self.restricted();
        let reason = self.restriction(disk);
        if told.as_deref() != reason.as_deref() {
            doors.restrict(&self.name, reason.as_deref());
            *told = reason.map(String::into_boxed_str);
        }
    }

    pub(super) fn restricted(&self) -> MutexGuard<'_, Option<Box<str>>> {
        self.restricted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
