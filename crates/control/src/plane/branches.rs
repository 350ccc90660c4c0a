//! Branches of databases.

use std::time::Duration;

use dormouse_types::DatabaseName;
use jiff::Timestamp;

use super::Plane;
use crate::create::BranchOrder;
use crate::error::Error;
use crate::status::Branched;

impl Plane {
    /// Makes a database that is a copy of another one at this moment, with its accounts and settings; it is dropped
    /// after `lifetime`. A parent that sleeps is not woken; one that is awake stands still for a moment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::Limit`]; [`Error::Refused`] if the parent writes too much, or
    /// its accounts are those of an older version; an error of the machine, or of the copy's server.
    pub async fn branch(
        &self,
        parent: &DatabaseName,
        name: &DatabaseName,
        lifetime: Option<Duration>,
    ) -> Result<Branched, Error> {
        if self.context.tasks.stopping() {
            return Err(Error::Stopping);
        }
        let expires = match lifetime {
            None => None,
            Some(lifetime) => Some(Timestamp::now().checked_add(lifetime).map_err(|_| {
                Error::Invalid("this lifetime ends after the year 9999".to_owned())
            })?),
        };
        let order = BranchOrder {
            parent: self.find(parent)?,
            name: name.clone(),
            expires,
        };
        self.creator
            .clone()
            .branch(order, self.principal.clone())
            .await
    }
}
