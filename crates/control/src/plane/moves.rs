//! Moves of databases to other instances.

use std::time::Duration;

use dormouse_driver::Place;
use dormouse_types::{DatabaseName, Series};

use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::moves::check::{UpgradeCheck, check_upgrade};
use crate::moves::counts::MoveCounts;
use crate::moves::{MoveDone, MoveOrder};
use crate::principal::Principal;

/// Moves of databases.
pub struct Moves<'a> {
    pub(super) creator: &'a Creator,
    pub(super) principal: &'a Principal,
}

impl Moves<'_> {
    /// Moves a database to a new instance in this data root, of this or a newer server, while it serves: its sessions notice
    /// a pause. One that sleeps is not woken. The old files are kept for this long.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if it is being moved already, if the move was cancelled, or if sessions with
    /// state that cannot be carried, open transactions or running statements put the switch off for too long; an error of
    /// the machine, or of the copy's server. Then nothing has changed.
    pub async fn make(
        &self,
        name: &DatabaseName,
        wish: Place,
        keep: Duration,
    ) -> Result<MoveDone, Error> {
        let database = self.find(name)?;
        let place = self.place(&database, &wish)?;
        let order = MoveOrder {
            database,
            place,
            keep,
        };
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

    /// Upgrades a copy of a database, starts it, checks its tables, and removes it.
    ///
    /// # Errors
    /// As for [`make`](Self::make); [`Error::Server`] if the copy's server does not start after the upgrade.
    pub async fn check_upgrade(
        &self,
        name: &DatabaseName,
        series: Series,
    ) -> Result<UpgradeCheck, Error> {
        let database = self.find(name)?;
        let wish = Place {
            root: None,
            series: Some(series),
        };
        let place = self.place(&database, &wish)?;
        let creator = self.creator.clone();
        check_upgrade(creator, database, place).await
    }

    /// How many there were since Dormouse started.
    #[must_use]
    pub fn counts(&self) -> MoveCounts {
        self.creator.context.moves.counts()
    }

    /// Where it moves, with the series only if that is another one.
    fn place(&self, database: &Database, wish: &Place) -> Result<Place, Error> {
        let host = &self.creator.context.host;
        let present = host.driver.place(database.seat()).unwrap_or_default();
        let series = wish.series.filter(|wished| present.series != Some(*wished));
        if let (Some(from), Some(to)) = (present.series, series)
            && to < from
        {
            return Err(Error::Invalid(format!(
                "'{}' is of MariaDB {from}: its files cannot become those of the older {to}; dormouse export, and import \
                 it there",
                database.name
            )));
        }
        // checks that both are there
        host.new_place(wish)?;
        // a copy without one is made in the root of its origin
        let root = wish.root.clone();
        Ok(Place { root, series })
    }

    fn find(&self, name: &DatabaseName) -> Result<std::sync::Arc<Database>, Error> {
        let found = self.creator.context.registry.find(name);
        found.ok_or_else(|| Error::NotFound(name.clone()))
    }
}
