//! Starting the actors of databases that are in the catalog.

use std::sync::Arc;

use dormouse_types::State;

use crate::catalog::DatabaseRow;
use crate::database::actor::Actor;
use crate::database::context::Context;
use crate::database::{Database, turn};
use crate::meter::SharedMeter;

/// Starts the actor of a database that was found in the catalog.
pub(crate) fn start_actor(
    context: &Arc<Context>,
    row: DatabaseRow,
    meter: SharedMeter,
) -> Arc<Database> {
    let name = row.name.clone();
    let dropping = row.state == State::Dropping;
    let database = Database::new(row, meter);
    context.registry.insert(Arc::clone(&database));
    if !dropping {
        context.doors.add(&name);
        context.doors.set_access(&name, &database.spec().access);
        context
            .doors
            .reserve(&name, database.spec().reserved.as_deref());
        context.storage.restrict(&database);
    }
    let actor = Actor::found(Arc::clone(context), Arc::clone(&database));
    context.tasks.spawn(turn::run(actor, true));
    database
}
