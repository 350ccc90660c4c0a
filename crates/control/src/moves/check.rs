//! Trying an upgrade on a copy that is removed afterwards.

use std::sync::Arc;

use dormouse_driver::Place;
use dormouse_types::InstanceId;
use serde::{Deserialize, Serialize};

use crate::admission::Importance;
use crate::create::{Creator, to_its_end};
use crate::database::Database;
use crate::error::Error;
use crate::instance::Instance;
use crate::seed::{files_of, upgrade};
use crate::time::{millis_since, now, within};

/// What an upgrade would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeCheck {
    /// What is changed in the server's own tables, and what is taken away.
    pub changed: Vec<String>,
    /// Tables that are damaged, or that the newer server cannot use, as `schema.table: reason`.
    pub damaged: Vec<String>,
    /// How long the upgrade took, in milliseconds, without the copy of the files.
    pub upgrade_ms: u64,
}

/// Upgrades a copy of a database, starts it, checks its tables, and removes it.
pub(crate) async fn check_upgrade(
    creator: Creator,
    database: Arc<Database>,
    place: Place,
) -> Result<UpgradeCheck, Error> {
    let work = async move {
        creator.check_disk(&database.name)?;
        let copy = files_of(&creator, &database, &place).await?;
        let checked = check_copy(&creator, &database, copy.id, &place).await;
        creator.warm.discard(copy.id).await;
        checked
    };
    to_its_end(work).await
}

async fn check_copy(
    creator: &Creator,
    database: &Database,
    id: InstanceId,
    place: &Place,
) -> Result<UpgradeCheck, Error> {
    let host = &creator.context.host;
    let began = now();
    let changed = match place.series {
        Some(series) => upgrade(host, id, series).await?,
        None => Vec::new(),
    };
    let upgrade_ms = millis_since(began);
    let server = |reason: String| Error::Server {
        database: database.name.clone(),
        reason: format!("the upgraded copy: {reason}"),
    };
    let units = database.view().units;
    let mut instance = Instance::new(Arc::clone(host), id, units).of(database.instance);
    // nothing of the database may run in it
    instance.set_follows();
    let admitted = creator
        .context
        .admission
        .start(Importance::Background)
        .await?;
    let started = instance.start().await;
    started.map_err(|error| server(error.to_string()))?;
    drop(admitted);
    let checked = within(host.deadlines.start, async {
        host.servers.check(&instance.server()?).await
    });
    let damaged = checked.await.map_err(|error| server(error.to_string()))?;
    instance.disconnect().await;
    Ok(UpgradeCheck {
        changed,
        damaged,
        upgrade_ms,
    })
}
