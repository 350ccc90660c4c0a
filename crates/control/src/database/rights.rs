//! The rights of the accounts in a database's files: brought to this version's before the door opens.
//!
//! The server is started for that alone, so that no code of the database runs before; then it is stopped, and started
//! as usual. A server that runs is stopped first. The catalog has the new version of the rights only when the files have them, and when the next
//! start is an ordinary one. So a crash at any point repeats the step.

use dormouse_driver::Run;
use dormouse_engine::rights;
use dormouse_policy::Cause;
use dormouse_types::State;
use tracing::{error, info, warn};

use super::actor::{Actor, Failure, PAUSE};
use crate::catalog::{Change, Durability};
use crate::instance::Unmet;
use crate::status::EventKind;
use crate::time::{now, within};

/// Whether the files have rights of an older version, or Dormouse's account in them must be repaired.
pub(super) fn are_old(actor: &Actor) -> bool {
    actor.database.rights() < rights::CURRENT
}

/// Brings the rights in the files of the stopped server to this version's. The intent of the wake must be written: a
/// server that is found while a database wakes may be one for maintenance.
pub(super) async fn renew(actor: &mut Actor) -> Result<(), Failure> {
    let began = now();
    let sql = actor.context.host.servers.repair_sql();
    maintain(actor, Some(&sql)).await?;
    let hardened = harden_for_maintenance(actor).await;
    if actor.instance.run() != Run::Stopped {
        actor.instance.disconnect().await;
        actor.stop_server().await?;
    }
    maintain(actor, None).await?;
    let taken = hardened?;
    record(actor, &taken, began).await
}

async fn harden_for_maintenance(actor: &mut Actor) -> Result<Vec<String>, Failure> {
    actor.start_server().await?;
    harden(actor).await
}

async fn harden(actor: &Actor) -> Result<Vec<String>, Failure> {
    let host = &actor.context.host;
    let hardened = async {
        let server = actor.instance.server()?;
        host.servers.harden(&server).await
    };
    Ok(within(host.deadlines.start, hardened).await?)
}

async fn maintain(actor: &Actor, sql: Option<&str>) -> Result<(), Failure> {
    let host = &actor.context.host;
    let told = host.driver.maintain(actor.instance.id(), sql);
    let told = within(host.deadlines.freeze, told).await;
    Ok(told.map_err(Unmet::from)?)
}

/// Stops a running server whose files have rights of an older version: it may be one for maintenance that a crash has
/// left, and what its old owner has set in its memory must go, too.
pub(super) async fn stop(actor: &mut Actor) {
    actor.shut_by_force();
    actor.instance.disconnect().await;
    let stopped = async {
        actor.stop_server().await?;
        maintain(actor, None).await
    };
    if let Err(failure) = stopped.await {
        warn!(error = %failure, "cannot stop a server whose accounts have old rights");
        actor.look().await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Notes that the server refuses Dormouse's account: the next start repairs it.
pub(super) async fn note_locked_out(actor: &mut Actor) {
    let reason = "its server refuses Dormouse's own account: its next start repairs that";
    error!(
        reason,
        "a user of the database has changed Dormouse's account"
    );
    actor.database.set_rights(0);
    let change = Change::Rights {
        instance: actor.instance.id(),
        rights: 0,
    };
    let catalog = &actor.context.catalog;
    if let Err(error) = catalog.write(Durability::Now, vec![change]).await {
        // until Dormouse restarts, the view has it
        error!(%error, hint = error.hint(), "cannot write the catalog");
    }
    let state = actor.database.state();
    actor
        .record_not_done(state, Cause::Failed, reason, now())
        .await;
}

/// Writes to the catalog that the files have this version's rights, and to the ledger what was taken away.
async fn record(
    actor: &mut Actor,
    taken: &[String],
    began: std::time::Instant,
) -> Result<(), Failure> {
    const NAMED: usize = 30;
    let mut reason = "repaired: its accounts have the rights of this version".to_owned();
    if !taken.is_empty() {
        let named = taken.iter().take(NAMED).cloned().collect::<Vec<_>>();
        reason.push_str("; taken away: ");
        reason.push_str(&named.join("; "));
    }
    if taken.len() > NAMED {
        reason.push_str(&format!("; and {} more", taken.len() - NAMED));
    }
    info!(reason, "rights");
    let change = Change::Rights {
        instance: actor.instance.id(),
        rights: rights::CURRENT,
    };
    let (state, noted) = (actor.database.state(), EventKind::Noted);
    let entry = actor.entry(noted, state, State::Active, Cause::Demand, &reason, began);
    let changes = vec![change, Change::Ledger(Box::new(entry))];
    let catalog = &actor.context.catalog;
    catalog.write(Durability::Now, changes).await?;
    actor.database.set_rights(rights::CURRENT);
    Ok(())
}
