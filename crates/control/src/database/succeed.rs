//! Handing a database's name on to another instance: a branch that is brought back, a restore in place.

use std::time::Instant;

use dormouse_policy::Act;
use dormouse_policy::lifecycle::Order;
use dormouse_types::State;
use jiff::Timestamp;
use tracing::error;

use super::actor::{Actor, Done};
use super::requests::Heir;
use crate::catalog::{Change, Durability};
use crate::error::Error;
use crate::status::EventKind;
use crate::time::now;

/// Ends the sessions and the server, and gives the name to the heir in one write. The old files are kept under another
/// name, or removed. If the write fails, the database goes on.
pub(super) async fn succeed(actor: &mut Actor, act: Act, heir: Heir) -> Done {
    let began = now();
    let doors = &actor.context.doors;
    actor.instance.clear_load();
    doors.remove(&actor.database.name);
    // afterwards no database has them
    let name = actor.database.name.clone();
    let left = actor
        .context
        .catalog
        .former(Some(name), Timestamp::MAX)
        .await;
    let left = left.unwrap_or_else(|error| {
        error!(%error, "instances from which it has moved are left to the next start");
        Vec::new()
    });
    if let Err(error) = hand_on(actor, &act, &heir, began).await {
        error!(%error, hint = error.hint(), "cannot be replaced");
        let database = &actor.database;
        actor.context.doors.add(&database.name);
        actor
            .context
            .doors
            .set_access(&database.name, &database.spec().access);
        let reserved = database.spec().reserved;
        let doors = &actor.context.doors;
        doors.reserve(&database.name, reserved.as_deref());
        actor.context.storage.restrict(database);
        actor.shut_by_force();
        actor.look().await;
        actor.database.answer(&[Order::Drop], Err(error));
        return Done::Again;
    }
    if heir.keep_as.is_none() {
        // their rows say that they are being removed: if this fails, the next start does it
        let primary = actor.instance.id();
        let removed = actor
            .instance
            .remove()
            .await
            .map_err(|error| (primary, error));
        let mut gone = vec![removed.map(|()| primary)];
        for id in left {
            let removed = actor.context.host.remove(id).await;
            gone.push(removed.map(|()| id).map_err(|error| (id, error)));
        }
        let mut changes = Vec::new();
        for removed in gone {
            match removed {
                Ok(id) => changes.push(Change::InstanceGone(id)),
                Err((id, error)) => {
                    error!(instance = %id, %error, "the replaced instance is left to the next start");
                }
            }
        }
        if let Err(error) = actor.context.catalog.write(Durability::Soon, changes).await {
            error!(%error, hint = error.hint(), "the replaced instances are left to the next start");
        }
    }
    actor.note_room();
    actor.database.answer(&[Order::Drop], Ok(()));
    Done::Gone
}

async fn hand_on(actor: &mut Actor, act: &Act, heir: &Heir, began: Instant) -> Result<(), Error> {
    let id = actor.instance.id();
    let from = actor.database.state();
    actor.look().await;
    actor.instance.disconnect().await;
    actor.stop_server().await.map_err(|error| Error::Machine {
        doing: format!("stopping instance {id}"),
        reason: error.to_string(),
    })?;
    let moment = actor.context.calendar.moment();
    actor.database.meter().end(moment);
    let name = actor.database.name.clone();
    let (reason, mut changes) = match &heir.keep_as {
        Some(to) => {
            let reason = format!("it was kept as '{to}', and its name has another database");
            let to = to.clone();
            (reason, vec![Change::Rename { from: name, to }])
        }
        None => {
            let vacate = Change::Vacate { name, instance: id };
            ("it was replaced".to_owned(), vec![vacate])
        }
    };
    let entry = actor.entry(
        EventKind::Dropped,
        from,
        State::Dropping,
        act.cause,
        reason,
        began,
    );
    changes.extend([
        Change::Claim(heir.row.clone()),
        Change::Meter(actor.database.shared_meter()),
        Change::Ledger(Box::new(entry)),
    ]);
    actor.context.catalog.write(Durability::Now, changes).await
}
