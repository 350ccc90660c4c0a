//! Making an instance that follows the primary of a database: a copy of its files, which applies the primary's log.
//!
//! The first start of a copy recovers it with the log that it has of the primary; the last transaction in there is where it
//! follows on. Then it may be upgraded. The next start begins a log of its own, with the primary's transactions under their
//! own names, so that others can follow it in turn.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_driver::{Check, CopyOptions, History, Place};
use dormouse_policy::placement::Stay;
use dormouse_types::{InstanceId, Series, Units};

use crate::admission::Importance;
use crate::branches::Copy;
use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::follower::Follower;
use crate::instance::Instance;
use crate::instance::host::Host;
use crate::time::within;

/// How long a server stands still at most for a copy, if it can also be copied while it runs: nobody has asked for a pause.
const FROZEN_BY_CHOICE: Duration = Duration::from_millis(100);

/// Copies the files of a database that is awake and keeps a log, and lets the copy follow it. `tell` is called with what
/// it does. If that fails, nothing is left. [`Error::Refused`]: there is no room for it.
pub(crate) async fn seed(
    creator: &Creator,
    database: &Arc<Database>,
    (units, stay): (Units, Stay),
    place: &Place,
    tell: impl Fn(&'static str),
) -> Result<Follower, Error> {
    let no_room = |reason| Error::Refused {
        database: database.name.clone(),
        state: database.state(),
        reasons: vec![reason],
    };
    let room = &creator.context.host.room;
    room.has_room(units, stay).map_err(no_room)?;
    // it gets what is written from now on
    let kept = within(creator.context.host.deadlines.ask, async {
        let servers = &creator.context.host.servers;
        servers.keep_log(&database.server()?, true).await
    });
    kept.await.map_err(|error| Error::Server {
        database: database.name.clone(),
        reason: error.to_string(),
    })?;
    tell("copying its files");
    let copy = files_of(creator, database, place).await?;
    let units = match room.reserve_follower(copy.id, units, stay) {
        Ok(units) => units,
        Err(reason) => {
            creator.warm.discard(copy.id).await;
            return Err(no_room(reason));
        }
    };
    let host = Arc::clone(&creator.context.host);
    let instance = Instance::new(Arc::clone(&host), copy.id, units);
    let mut follower = Follower::new(instance.of(database.instance), Arc::clone(&host));
    tell("starting the copy");
    let begun = async {
        let admission = &creator.context.admission;
        let _admitted = admission.start(Importance::Background).await?;
        begin(&host, &mut follower, database, place.series, &tell).await
    };
    match begun.await {
        Ok(()) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let outcomes = &creator.context.outcomes;
            outcomes.has_begun(copy.id, now.unwrap_or_default());
            Ok(follower)
        }
        Err(error) => {
            creator.warm.discard(copy.id).await;
            Err(error)
        }
    }
}

async fn begin(
    host: &Host,
    follower: &mut Follower,
    database: &Database,
    series: Option<Series>,
    tell: &impl Fn(&'static str),
) -> Result<(), Error> {
    let id = follower.id();
    let failed = |doing: &str, reason: String| Error::Machine {
        doing: format!(
            "{doing} instance {id}, which is to follow '{}'",
            database.name
        ),
        reason,
    };
    follower.instance.set_follows();
    let started = follower.instance.start().await;
    started.map_err(|error| failed("starting", error.to_string()))?;
    let position = follower.ask(async |host, server| host.servers.logged(server).await);
    let position = position.await;
    let position = position.map_err(|reason| failed("reading the log of", reason))?;
    follower.instance.disconnect().await;
    let stopped = follower.instance.stop().await;
    stopped.map_err(|error| failed("stopping", error.to_string()))?;
    if let Some(series) = series {
        tell("upgrading the copy");
        upgrade(host, id, series).await?;
    }
    let restarted = follower.instance.start().await;
    restarted.map_err(|error| failed("starting", error.to_string()))?;
    let begun =
        follower.ask(async |host, server| host.servers.begin_to_follow(server, &position).await);
    begun.await.map_err(|reason| failed("preparing", reason))?;
    let source = database.server();
    let source = source.map_err(|error| failed("feeding", error.to_string()))?;
    let follows = follower.follow(&source, false).await;
    follows.map_err(|reason| failed("feeding", reason))
}

/// A new instance in this place with a copy of the files of a database, as its present server left them: an upgrade comes
/// later.
pub(crate) async fn files_of(
    creator: &Creator,
    database: &Arc<Database>,
    place: &Place,
) -> Result<Copy, Error> {
    let host = &creator.context.host;
    let version = match place.series {
        Some(series) => host.version(Some(series)),
        None => host.version_of(database.seat()),
    };
    let present = host.driver.place(database.seat()).unwrap_or_default();
    let there = Place {
        root: place.root.clone(),
        series: present.series,
    };
    let options = CopyOptions {
        frozen_at_most: creator.context.frozen_at_most,
        frozen_by_choice: creator.context.frozen_at_most.min(FROZEN_BY_CHOICE),
        check: Check::Nothing,
    };
    creator.copy_to(database, options, &there, version).await
}

/// Makes the files of a stopped instance those of a newer server; returns what was changed.
pub(crate) async fn upgrade(
    host: &Host,
    id: InstanceId,
    series: Series,
) -> Result<Vec<String>, Error> {
    let upgraded = async {
        host.driver.change_series(id, series).await?;
        // a log of this would part it from the server that it follows
        host.driver.upgrade(id, History::Off).await
    };
    let upgraded = within(host.deadlines.start, upgraded).await;
    upgraded.map_err(|error| Error::Machine {
        doing: format!("upgrading instance {id} to MariaDB {series}"),
        reason: error.to_string(),
    })
}
