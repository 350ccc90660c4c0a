//! Removing a database.

use std::time::Instant;

use dormouse_policy::Act;
use dormouse_policy::lifecycle::{Door, Order};
use dormouse_types::State;
use jiff::Timestamp;
use tracing::error;

use super::actor::{Actor, Done};
use super::succeed;
use crate::catalog::{Change, Durability};
use crate::error::Error;
use crate::principal::Principal;
use crate::status::EventKind;
use crate::time::now;

/// Ends the sessions and the server, removes the files and the rows.
pub(super) async fn remove(actor: &mut Actor, act: Act) -> Done {
    if let Some(heir) = actor.database.heir() {
        return Box::pin(succeed::succeed(actor, act, heir)).await;
    }
    let began = now();
    let from = actor.database.state();
    if from != State::Dropping {
        // kept until the files are gone, also by the next start: then nobody has ordered it
        let by = actor.acts_for.as_deref().map(|by| &by.principal);
        let by = by.unwrap_or(&Principal::Dormouse);
        let reason = format!("{} by {by}", act.reason);
        actor.show(State::Dropping, reason);
        let changes = vec![actor.state_change()];
        if let Err(error) = actor.context.catalog.write(Durability::Now, changes).await {
            actor.show(from, "it could not be dropped");
            actor.database.answer(&[Order::Drop], Err(error));
            return Done::Again;
        }
    }
    actor.instance.clear_load();
    actor.context.doors.remove(&actor.database.name);
    actor.door = Door::Shut;
    if let Err(error) = erase(actor, from, &act, began).await {
        error!(%error, hint = error.hint(), "cannot remove it yet");
        actor.deny(State::Dropping);
        actor.database.answer(&[Order::Drop], Err(error));
        return Done::Again;
    }
    actor.context.registry.remove(&actor.database.name);
    actor.database.answer(&[Order::Drop], Ok(()));
    Done::Gone
}

async fn erase(actor: &mut Actor, from: State, act: &Act, began: Instant) -> Result<(), Error> {
    let instance = actor.instance.id();
    let name = actor.database.name.clone();
    let catalog = &actor.context.catalog;
    let former = catalog.former(Some(name), Timestamp::MAX).await?;
    for id in former.iter().copied() {
        let removed = actor.context.host.remove(id).await;
        removed.map_err(|error| Error::Machine {
            doing: format!("removing instance {id}, from which it moved"),
            reason: error.to_string(),
        })?;
    }
    // what its server has used until now is the last to be counted
    actor.look().await;
    actor.instance.disconnect().await;
    actor
        .instance
        .remove()
        .await
        .map_err(|error| Error::Machine {
            doing: format!("removing instance {instance}"),
            reason: error.to_string(),
        })?;
    actor.note_room();
    actor.database.change(|v| v.serving = None);
    let now = actor.context.calendar.moment();
    actor.database.meter().end(now);
    let name = actor.database.name.clone();
    let (dropped, to) = (EventKind::Dropped, State::Dropping);
    let reason = actor.database.view().reason;
    let entry = actor.entry(dropped, from, to, act.cause, reason, began);
    let mut changes = vec![
        Change::Gone {
            name,
            instance,
            origin: actor.database.instance,
        },
        Change::Ledger(Box::new(entry)),
        Change::Meter(actor.database.shared_meter()),
    ];
    changes.extend(former.into_iter().map(Change::InstanceGone));
    let catalog = &actor.context.catalog;
    catalog.write(Durability::Soon, changes).await
}
