//! The notes: what is read from a server before it sleeps, with the door shut.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::lifecycle::Order;
use tracing::info;

use super::actor::{Actor, Failure, Hitch};
use super::{Rare, hours};
use crate::catalog::{Change, Durability, Noted};
use crate::servers::Snapshot;
use crate::time::within;

/// Stores the buffer pool's hit ratio since the database woke, for the ledger.
pub(super) async fn count_hits(actor: &mut Actor) -> Result<(), Hitch> {
    match actor.unless_wanted(actor.instance.hits()).await {
        Ok(hits) => actor.instance.count(hits),
        Err(Hitch::Failed(error)) => info!(%error, "the hit ratio is not known"),
        Err(Hitch::Wanted) => return Err(Hitch::Wanted),
    }
    Ok(())
}

/// Reads from the server what logins and answers need while it sleeps, and the global variables to restore, and
/// writes that to the catalog.
pub(super) async fn take(actor: &mut Actor) -> Result<(), Hitch> {
    settle_changes(actor).await?;
    let host = &actor.context.host;
    let snapshot = within(host.deadlines.ask, async {
        host.servers.snapshot(&actor.instance.server()?).await
    });
    let Snapshot {
        accounts,
        schemas,
        globals,
        variables,
        events,
    } = actor.unless_wanted(snapshot).await?;
    let not_now = |reason: String| Hitch::Failed(Failure::NotNow(reason));
    if events.running && !actor.carries_through {
        return Err(not_now("one of its events is running".to_owned()));
    }
    let calendar = &actor.context.calendar;
    let events = hours::ahead(calendar, events);
    let due = { events.next }.filter(|at| hours::is_due(calendar, *at) && !actor.carries_through);
    if let Some(at) = due {
        return Err(not_now(format!("an event is due at {at}")));
    }
    let noted = Noted {
        accounts,
        schemas: Some(schemas),
        globals,
        variables,
        events,
        fresh: true,
    };
    let change = Change::Note {
        name: actor.database.name.clone(),
        noted: Box::new(noted.clone()),
    };
    let catalog = &actor.context.catalog;
    catalog.write(Durability::Soon, vec![change]).await?;
    let noted = Arc::new(catalog.condense(noted));
    actor.database.change(|v| v.noted = noted);
    Ok(())
}

/// Lets nobody change accounts or global variables until the door opens, or the transition is over: neither these notes nor
/// another instance would have it.
async fn settle_changes(actor: &mut Actor) -> Result<(), Hitch> {
    let limit = actor.context.host.deadlines.ask;
    let rests = async {
        actor.database.stop_changes().await;
        Ok::<_, Infallible>(())
    };
    let rests = actor.unless_wanted(within(limit, rests)).await;
    let may_go = actor.database.current_order(actor.door) == Some(Order::ParkAndLose);
    match rests {
        Ok(()) => {}
        Err(Hitch::Failed(_)) if may_go => {}
        Err(Hitch::Failed(_)) => {
            let reason = "an account or a global variable is being changed".to_owned();
            return Err(Hitch::Failed(Failure::NotNow(reason)));
        }
        Err(Hitch::Wanted) => return Err(Hitch::Wanted),
    }
    Ok(())
}

/// Reads from the server the MEMORY tables that have rows, unless that would take longer than `patience`. They do
/// not change until it wakes.
pub(super) async fn take_memory_tables(actor: &mut Actor, patience: Duration) -> Result<(), Hitch> {
    actor.database.change(|v| v.tables_known = false);
    let host = &actor.context.host;
    let asked = within(host.deadlines.ask, async {
        let server = actor.instance.server()?;
        host.servers.memory_tables(&server, patience).await
    });
    let Some(memory_tables) = actor.unless_wanted(asked).await? else {
        let reason = format!(
            "its MEMORY tables were not found within {} ms: it has many tables, or the machine is busy",
            patience.as_millis()
        );
        return Err(Hitch::Failed(Failure::NotNow(reason)));
    };
    let rare = (!memory_tables.is_empty()).then(|| {
        Box::new(Rare {
            memory_tables,
            ..Rare::default()
        })
    });
    actor.database.change(|v| {
        v.rare = rare;
        v.tables_known = true;
    });
    Ok(())
}

/// Describes the rows that would be lost with its server's process; `None` if the order says to lose them.
pub(super) fn would_lose(actor: &Actor) -> Option<String> {
    let may_go = actor.database.current_order(actor.door) == Some(Order::ParkAndLose);
    let view = actor.database.view();
    let tables = &view.rare.as_ref().filter(|_| !may_go)?.memory_tables;
    (!tables.is_empty()).then(|| memory_tables(tables))
}

/// Tables whose rows would be lost, as a sentence.
fn memory_tables(tables: &[String]) -> String {
    const LOST: &str = "rows would be lost (park --force loses them)";
    let named = tables.iter().take(5).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match tables.len() {
        n if n <= 5 => format!("memory_table ({named}): {LOST}"),
        n => format!("memory_table ({named} and {} more): {LOST}", n - 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_five_tables_are_named() {
        let tables: Vec<String> = (0..7).map(|n| format!("app.t{n}")).collect();
        let lost = "rows would be lost (park --force loses them)";
        assert_eq!(
            memory_tables(&tables[..1]),
            format!("memory_table (app.t0): {lost}")
        );
        assert_eq!(
            memory_tables(&tables),
            format!("memory_table (app.t0, app.t1, app.t2, app.t3, app.t4 and 2 more): {lost}")
        );
    }
}
