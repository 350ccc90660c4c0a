//! Which instance serves the database: what a move and a failover have in common.
//!
//! A follower is promoted; then one write of the catalog makes it the primary; then it serves.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::error;

use super::View;
use super::actor::Actor;
use crate::catalog::{Change, Durability, Moved};
use crate::follower::Follower;
use crate::instance::Instance;
use crate::servers::EventStates;
use crate::time::within;

/// Lets a follower take changes, with the states of the primary's events and the global variables that statements have set;
/// returns those that could not be set. `waits`: its commits wait for a replica. If it fails, it may be half promoted.
pub(super) async fn promote(
    actor: &Actor,
    follower: &Follower,
    events: &EventStates,
    (waits, limit): (bool, Duration),
) -> Result<Vec<String>, impl Display + use<>> {
    let host = &actor.context.host;
    let globals = Arc::clone(&actor.database.view().noted);
    let promoted = async {
        let server = follower.server()?;
        host.servers.promote(&server, events, waits).await?;
        match globals.globals.is_empty() {
            true => Ok(Vec::new()),
            false => host.servers.apply_globals(&server, &globals.globals).await,
        }
    };
    within(limit, promoted).await
}

/// Writes that this instance serves the database, and how long the former one is kept; if its server runs, also that the notes
/// are stale.
pub(super) async fn write(
    actor: &Actor,
    instance: &Instance,
    kept_until: Timestamp,
) -> Result<(), String> {
    let name = actor.database.name.clone();
    let moved = Moved {
        name: name.clone(),
        origin: actor.database.instance,
        from: actor.instance.id(),
        to: instance.id(),
        kept_until,
    };
    let mut changes = vec![Change::Moved(Box::new(moved))];
    if let Some(serving) = instance.serving() {
        let view = actor.database.view();
        let state = Change::State {
            name: name.clone(),
            instance: instance.id(),
            state: view.state,
            since: view.since,
            generation: view.generation.wrapping_add(1),
            units: instance.units(),
            serving: Some(Arc::clone(serving)),
            reason: view.reason.as_ref().to_owned(),
        };
        changes.extend([state, Change::Stale(name)]);
    }
    let written = actor.context.catalog.write(Durability::Now, changes).await;
    written.map_err(|error| {
        error!(%error, hint = error.hint(), "cannot write the catalog: the primary stays");
        error.to_string()
    })
}

/// The running server of an instance serves the database from now on, as the catalog says; returns the instance that did.
pub(super) async fn take(actor: &mut Actor, instance: Instance) -> Instance {
    actor.instance.disconnect().await;
    let former = sit(actor, instance);
    actor.next_generation();
    let stale = |view: &mut View| Arc::make_mut(&mut view.noted).fresh = false;
    actor.database.change(stale);
    // what it has used as a follower is not charged
    actor.database.meter().hand_over();
    actor.look().await;
    actor.instance.count_from_start();
    former
}

/// An instance serves the database from now on; returns the one that did.
pub(super) fn sit(actor: &mut Actor, mut instance: Instance) -> Instance {
    // its next start is no longer that of a follower
    instance.set_history(actor.keeps_log());
    let (seat, units) = (instance.id(), instance.units());
    actor.database.change(|view| {
        view.seat = seat;
        view.units = units;
    });
    std::mem::replace(&mut actor.instance, instance)
}
