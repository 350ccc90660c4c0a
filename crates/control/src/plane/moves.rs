//! Moves of databases to other instances.

use std::time::Duration;

use dormouse_types::DatabaseName;

use crate::create::Creator;
use crate::error::Error;
use crate::moves::{MoveDone, MoveOrder};
use crate::principal::Principal;

/// Moves of databases.
pub struct Moves<'a> {
    pub(super) creator: &'a Creator,
    pub(super) principal: &'a Principal,
}

impl Moves<'_> {
    /// Moves a database to a new instance, while it serves: its sessions notice a pause. One that sleeps is not woken. The
    /// old files are kept for this long.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is being moved already, if the move was cancelled, or if sessions with
    /// state that cannot be carried, open transactions or running statements put the switch off for too long; an error of
    /// the machine, or of the copy's server. Then nothing has changed.
    pub async fn make(&self, name: &DatabaseName, keep: Duration) -> Result<MoveDone, Error> {
        let database = self.find(name)?;
        let order = MoveOrder { database, keep };
        let creator = self.creator.clone();
        creator.relocate(order, self.principal.clone()).await
    }

    /// Ends the move of a database before it switches.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is not being moved, or switches at this moment.
    pub fn cancel(&self, name: &DatabaseName) -> Result<(), Error> {
        let database = self.find(name)?;
        let reason = match database.moving() {
            Some(moving) if moving.cancel() => return Ok(()),
            Some(_) => "it switches at this moment: its move can be cancelled no longer",
            None => "it is not being moved",
        };
        Err(Error::Refused {
            database: name.clone(),
            state: database.state(),
            reasons: vec![reason.to_owned()],
        })
    }

    fn find(
        &self,
        name: &DatabaseName,
    ) -> Result<std::sync::Arc<crate::database::Database>, Error> {
        let found = self.creator.context.registry.find(name);
        found.ok_or_else(|| Error::NotFound(name.clone()))
    }
}
