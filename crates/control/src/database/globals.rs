//! The global variables that statements have set: they are set again on the next server.

use dormouse_policy::Cause;
use dormouse_types::State;
use tracing::warn;

use super::actor::Actor;
use crate::time::{now, within};

/// Sets the global variables that statements had set before the park; returns those that could not be set.
pub(super) async fn restore(actor: &Actor) -> Vec<String> {
    let noted = actor.database.view().noted;
    if noted.globals.is_empty() {
        return Vec::new();
    }
    let host = &actor.context.host;
    let all = async {
        let server = actor.instance.server()?;
        host.servers.apply_globals(&server, &noted.globals).await
    };
    within(host.deadlines.ask, all)
        .await
        .unwrap_or_else(|error| vec![error.to_string()])
}

/// Sets the noted global variables that no statement has set on the running server; returns those that could
/// not be set. Dormouse may have been killed after it started this server and before it restored them. The others
/// keep their values, which may be newer than the note.
pub(super) async fn restore_missing(actor: &Actor) -> Vec<String> {
    let noted = actor.database.view().noted;
    if noted.globals.is_empty() {
        return Vec::new();
    }
    let host = &actor.context.host;
    let all = async {
        let server = actor.instance.server()?;
        let set = host.servers.snapshot(&server).await?.globals;
        let is_missing = |name: &str| set.iter().all(|(other, _)| other != name);
        let missing = noted.globals.iter().filter(|(name, _)| is_missing(name));
        let missing: Vec<_> = missing.cloned().collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        host.servers.apply_globals(&server, &missing).await
    };
    within(host.deadlines.ask, all)
        .await
        .unwrap_or_else(|error| vec![error.to_string()])
}

/// Writes to the log and the ledger which global variables could not be restored.
pub(super) async fn record_lost(actor: &mut Actor, lost: &[String]) {
    if lost.is_empty() {
        return;
    }
    let reason = format!("not set again after the start: {}", lost.join("; "));
    warn!(reason, "global variables were lost");
    actor
        .record_not_done(State::Active, Cause::Failed, &reason, now())
        .await;
}
