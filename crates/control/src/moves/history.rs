//! The history of a database that moves: what its former server has logged is archived, and what the next one logs goes on from
//! there.

use std::time::Duration;

use dormouse_types::InstanceId;
use jiff::Timestamp;
use tracing::warn;

use crate::create::Creator;
use crate::database::Database;
use crate::history::archive::{When, archive, archive_of};
use crate::time::within;

/// How long the files of a former instance are kept at least, for the archive.
pub(super) const KEPT: Duration = Duration::from_secs(3600);

/// Pause before another attempt.
const AGAIN: Duration = Duration::from_secs(30);

/// Lets the copy that follows have a transaction in common with the server that it follows, and archives up to there: so its log
/// goes on from the archived one, even if Dormouse ends before it has archived the rest.
pub(super) async fn begin(creator: &Creator, database: &Database) {
    if !keeps_one(creator, database) {
        return;
    }
    let host = &creator.context.host;
    let reminded = within(host.deadlines.ask, async {
        host.servers.remind_replica(&database.server()?).await
    });
    if let Err(error) = reminded.await {
        warn!(database = %database.name, %error, "nothing is written for its history to go on from");
    }
    if let Err(error) = archive(creator, database, When::Changed).await {
        warn!(database = %database.name, %error, "its history is not archived before the move");
    }
}

/// Whether its log is archived.
pub(super) fn keeps_one(creator: &Creator, database: &Database) -> bool {
    database.spec().history && creator.context.backups.vault().is_ok()
}

/// Goes on with what the end of Dormouse has interrupted: archives the rest of the logs of all former instances. They are removed
/// when their time is over.
pub(crate) async fn resume(creator: Creator) {
    let kept = creator.context.catalog.kept(Timestamp::now()).await;
    let kept = kept.unwrap_or_else(|error| {
        warn!(%error, "cannot see from which instances databases have moved");
        Vec::new()
    });
    for (former, name) in kept {
        if let Some(database) = creator.context.registry.find(&name)
            && keeps_one(&creator, &database)
        {
            let again = creator.clone();
            let ends = async move { end(again, &database, former, KEPT).await };
            creator.context.tasks.spawn(ends);
        }
    }
}

/// Archives the rest of the log of the instance from which it has moved, and then removes that, unless it is to be kept.
pub(super) async fn end(creator: Creator, database: &Database, former: InstanceId, keep: Duration) {
    let until = Timestamp::now()
        .saturating_add(KEPT)
        .unwrap_or(Timestamp::MAX);
    loop {
        match archive_of(&creator, database, former, When::Changed).await {
            Ok(_) => break,
            Err(_) if creator.context.host.driver.directory(former).is_none() => return,
            Err(error) if Timestamp::now() < until => {
                warn!(database = %database.name, instance = %former, %error, "the rest of its former log is not archived yet");
            }
            Err(error) => {
                warn!(database = %database.name, instance = %former, %error, "the rest of its former log is not archived");
                break;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = creator.context.tasks.ending() => return,
        }
    }
    // so it is known that another timeline has begun, of which a backup is due
    if let Err(error) = archive(&creator, database, When::Changed).await {
        warn!(database = %database.name, %error, "its history is not archived yet after the move");
    }
    if keep.is_zero() {
        creator.warm.discard(former).await;
    }
}
