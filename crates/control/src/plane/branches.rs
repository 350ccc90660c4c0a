//! Branches of databases.

use std::time::Duration;

use dormouse_types::DatabaseName;
use jiff::Timestamp;

use crate::backups::restore::Target;
use crate::branches::BranchOrder;
use crate::create::Creator;
use crate::error::Error;
use crate::history::Point;
use crate::history::recover::restore_to;
use crate::principal::Principal;
use crate::status::{BranchOf, Branched};

/// Branches of databases.
pub struct Branches<'a> {
    pub(super) creator: &'a Creator,
    pub(super) principal: &'a Principal,
}

impl Branches<'_> {
    /// Makes a database that is a copy of another one at this moment, with its accounts and settings; it is dropped
    /// after `lifetime`. A parent that sleeps is not woken; one that is awake stands still for a moment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::Limit`]; [`Error::Refused`] if the parent writes too much, or
    /// its accounts are those of an older version; an error of the machine, or of the copy's server.
    pub async fn make(
        &self,
        parent: &DatabaseName,
        name: &DatabaseName,
        lifetime: Option<Duration>,
    ) -> Result<Branched, Error> {
        let order = self.order(parent, name, lifetime)?;
        let creator = self.creator.clone();
        creator.branch(order, self.principal.clone()).await
    }

    /// As [`make`](Self::make), with what the parent had at a point of its history ([`Backups::restore_to`]).
    ///
    /// # Errors
    /// Those of both.
    ///
    /// [`Backups::restore_to`]: crate::plane::backups::Backups::restore_to
    pub async fn make_at(
        &self,
        parent: &DatabaseName,
        name: &DatabaseName,
        lifetime: Option<Duration>,
        point: Point,
    ) -> Result<Branched, Error> {
        let order = self.order(parent, name, lifetime)?;
        let of = BranchOf {
            parent: parent.clone(),
            instance: order.parent.instance,
            at: Timestamp::now(),
            expires: order.expires,
        };
        let into = (Target::New(name.clone()), Some(of.clone()));
        let (creator, by) = (self.creator.clone(), self.principal.clone());
        let restored = restore_to(creator, parent.clone(), point, into, by).await?;
        Ok(Branched {
            name: restored.name,
            of,
            frozen: Duration::ZERO,
            size: restored.size,
            shared: false,
        })
    }

    fn order(
        &self,
        parent: &DatabaseName,
        name: &DatabaseName,
        lifetime: Option<Duration>,
    ) -> Result<BranchOrder, Error> {
        let context = &self.creator.context;
        if context.tasks.stopping() {
            return Err(Error::Stopping);
        }
        let found = context.registry.find(parent);
        let never = || Error::Invalid("this lifetime ends after the year 9999".to_owned());
        let expires = match lifetime {
            None => None,
            Some(lifetime) => {
                let end = context.calendar.timestamp().checked_add(lifetime);
                Some(end.map_err(|_| never())?)
            }
        };
        Ok(BranchOrder {
            parent: found.ok_or_else(|| Error::NotFound(parent.clone()))?,
            name: name.clone(),
            expires,
        })
    }

    /// Brings a branch back to what its parent is at this moment. It keeps its name, its settings and the time at which
    /// it is dropped; its sessions end.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] if it is no branch, or its parent is gone; the others of
    /// [`make`](Self::make).
    pub async fn reset(&self, name: &DatabaseName) -> Result<Branched, Error> {
        let found = self.creator.context.registry.find(name);
        let branch = found.ok_or_else(|| Error::NotFound(name.clone()))?;
        let creator = self.creator.clone();
        creator.reset(branch, self.principal.clone()).await
    }
}
