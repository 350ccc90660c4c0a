//! Handing a database to another instance: the end of a move.
//!
//! The door is shut at a boundary of statements and transactions; the instance that follows gets the rest, and takes changes
//! from then on; the one that it followed takes none any more. Who is the primary is decided by one write of the catalog
//! between the two: after a crash before it, the next start finds the old one, takes its fence away and removes the other;
//! after a crash behind it, it finds the new one, and removes the old.

use dormouse_driver::Run;
use dormouse_policy::Act;
use dormouse_policy::lifecycle::Order;
use dormouse_types::{CommitDurability, State};
use tracing::{info, warn};

use super::actor::{Actor, Done, Hitch};
use super::park::describe;
use super::{busy, globals, notes, seat};
use crate::catalog::{Change, Durability};
use crate::follower::Follower;
use crate::instance::Instance;
use crate::moves::progress::{Candidate, Files};
use crate::servers::Fenced;
use crate::time::{millis_since, now, within};

/// Hands the database to the instance of the order.
pub(super) async fn relocate(actor: &mut Actor, act: Act) -> Done {
    let Some((candidate, files)) = actor
        .database
        .candidate()
        .and_then(|candidate| candidate.take().map(|files| (candidate, files)))
    else {
        return Done::Refused(vec![
            "there is no instance to which it could move".to_owned(),
        ]);
    };
    let began = now();
    let from = actor.database.state();
    let handed = match files {
        Files::Following(follower) => {
            let handed = Box::pin(switch(actor, &act, &candidate, follower)).await;
            handed.map_err(|(follower, reasons)| (follower.map(Files::Following), reasons))
        }
        Files::Asleep(instance, generation) => {
            let handed = reseat(actor, &candidate, instance, generation).await;
            handed
                .map_err(|(instance, reasons)| (Some(Files::Asleep(instance, generation)), reasons))
        }
    };
    match handed {
        Ok(former) => {
            if actor.database.state() == State::Active {
                let _ = candidate.paused.set(millis_since(began));
            }
            let reason = told(actor, &former);
            info!(reason, "moved");
            let act = Act {
                reason: reason.into(),
                ..act
            };
            actor.record(from, &act, began, None).await;
            actor.database.answer(&[Order::Move], Ok(()));
            retire(actor, former, &candidate).await;
            Done::Again
        }
        Err((files, reasons)) => {
            candidate.moving.put_off();
            if let Some(files) = files {
                candidate.put_back(files);
            }
            Done::Refused(reasons)
        }
    }
}

/// What has moved where, for the ledger.
fn told(actor: &Actor, former: &Instance) -> String {
    let driver = &actor.context.host.driver;
    let (from, to) = (former.id(), actor.instance.id());
    let before = driver.place(from).unwrap_or_default();
    let now = driver.place(to).unwrap_or_default();
    let mut reason = format!("it moved from instance {from} to {to}");
    if let Some(root) = now.root.filter(|root| before.root.as_ref() != Some(root)) {
        reason.push_str(&format!(", in {}", root.display()));
    }
    if let Some(series) = now.series.filter(|series| before.series != Some(*series)) {
        reason.push_str(&format!(", of MariaDB {series}"));
    }
    reason
}

/// Switches to a follower; returns the instance that was the primary.
async fn switch(
    actor: &mut Actor,
    act: &Act,
    candidate: &Candidate,
    follower: Follower,
) -> Result<Instance, (Option<Follower>, Vec<String>)> {
    if !actor.shut(act).await {
        let sessions = actor.context.doors.sessions(&actor.database.name);
        return Err((Some(follower), vec![busy::in_the_way(&sessions)]));
    }
    actor.instance.clear_load();
    let prepared = prepare(actor, candidate, &follower).await;
    let reasons = match prepared {
        Ok(Ok(fenced)) => match take_over(actor, candidate, follower, &fenced).await {
            Ok(former) => {
                actor.open(&act.reason);
                actor.warm_up();
                actor.forget_denials();
                return Ok(former);
            }
            Err(reason) => return give_up(actor, None, vec![reason]).await,
        },
        Ok(Err(reasons)) => reasons,
        Err(Hitch::Failed(failure)) => vec![failure.to_string()],
        Err(Hitch::Wanted) => vec!["a statement arrived".to_owned()],
    };
    give_up(actor, Some(follower), reasons).await
}

/// Goes on with the primary.
async fn give_up(
    actor: &mut Actor,
    follower: Option<Follower>,
    reasons: Vec<String>,
) -> Result<Instance, (Option<Follower>, Vec<String>)> {
    let host = &actor.context.host;
    let unfenced = within(host.deadlines.ask, async {
        host.servers.unfence(&actor.instance.server()?).await
    });
    if let Err(error) = unfenced.await {
        warn!(%error, "the fence of the primary stays: its server is restarted");
        // the next start has none
        let _ = actor.stop_server().await;
        actor.look().await;
    }
    if actor.instance.run() == Run::Running {
        actor.open_again("its move was put off").await;
        actor.warm_up();
    }
    Err((follower, reasons))
}

/// The steps before the switch; returns what the primary leaves to its successor, or the reasons against it.
async fn prepare(
    actor: &mut Actor,
    candidate: &Candidate,
    follower: &Follower,
) -> Result<Result<Fenced, Vec<String>>, Hitch> {
    let name = actor.database.name.clone();
    let limit = actor.context.host.deadlines.capture;
    let vetoes = actor.context.doors.capture(&name, limit).await;
    if !vetoes.is_empty() {
        return Ok(Err(describe(&vetoes)));
    }
    notes::take(actor).await?;
    if actor.database.view().noted.events.running {
        return Ok(Err(vec!["one of its events is running".to_owned()]));
    }
    notes::take_memory_tables(actor, limit).await?;
    if let Some(reason) = notes::would_lose(actor) {
        return Ok(Err(vec![reason]));
    }
    if !candidate.moving.commit() {
        return Ok(Err(vec!["its move was cancelled".to_owned()]));
    }
    let host = &actor.context.host;
    let server = actor.instance.server();
    let failed = |error: String| Err(vec![format!("the switch failed: {error}")]);
    let fenced = within(host.deadlines.ask, async {
        host.servers.fence(&server?).await
    });
    let fenced = match fenced.await {
        Ok(fenced) => fenced,
        Err(error) => return Ok(failed(error.to_string())),
    };
    // statements wait meanwhile: rather once more, than long
    let rest = candidate.moving.rest();
    match follower.reaches(&fenced.position, rest).await {
        Ok(true) => {}
        Ok(false) => {
            let reason = format!("its copy lacks more than it applies in {rest:?}");
            return Ok(Err(vec![reason]));
        }
        Err(error) => return Ok(failed(error)),
    }
    if tokio::time::timeout(limit, actor.context.doors.release(&name))
        .await
        .is_err()
    {
        warn!("not all connections were closed; the old server's stop ends them");
    }
    Ok(Ok(fenced))
}

/// Makes the follower the primary. If that fails, the follower may be half promoted: it is not used again.
async fn take_over(
    actor: &mut Actor,
    candidate: &Candidate,
    follower: Follower,
    fenced: &Fenced,
) -> Result<Instance, String> {
    let waits = actor.database.spec().durability == CommitDurability::Replica;
    let waits = waits && actor.database.replicas().is_some();
    let limit = actor.context.host.deadlines.ask;
    let promoted = seat::promote(actor, &follower, &fenced.events, (waits, limit)).await;
    let lost = promoted.map_err(|error| format!("it cannot be promoted: {error}"))?;
    seat::write(actor, &follower.instance, candidate.kept_until).await?;
    let former = seat::take(actor, follower.instance).await;
    globals::record_lost(actor, &lost).await;
    if let Some(replicas) = actor.database.replicas() {
        replicas.wake();
    }
    Ok(former)
}

/// Takes the files of a copy that was made while the database slept.
async fn reseat(
    actor: &mut Actor,
    candidate: &Candidate,
    instance: Instance,
    generation: u64,
) -> Result<Instance, (Instance, Vec<String>)> {
    let present = actor.database.view().generation;
    if actor.instance.run() != Run::Stopped || present != generation {
        return Err((instance, vec!["it woke meanwhile".to_owned()]));
    }
    if !candidate.moving.commit() {
        return Err((instance, vec!["its move was cancelled".to_owned()]));
    }
    if let Err(error) = seat::write(actor, &instance, candidate.kept_until).await {
        return Err((instance, vec![error]));
    }
    Ok(seat::sit(actor, instance))
}

/// Removes the instance that was the primary; one that is kept for a while is stopped.
async fn retire(actor: &mut Actor, mut former: Instance, candidate: &Candidate) {
    former.disconnect().await;
    let context = &actor.context;
    context.host.room.note(former.id(), None);
    let id = former.id();
    if candidate.kept_until > jiff::Timestamp::now() {
        if former.run() != Run::Stopped
            && let Err(error) = former.stop().await
        {
            warn!(instance = %id, %error, "cannot stop the instance from which it moved");
        }
        return;
    }
    // not stopped first: what it would write to the disk is removed with it
    if let Err(error) = former.remove().await {
        warn!(instance = %id, %error, "the instance from which it moved is left to the next start");
        return;
    }
    let gone = vec![Change::InstanceGone(id)];
    if let Err(error) = context.catalog.write(Durability::Soon, gone).await {
        warn!(instance = %id, %error, "the instance from which it moved is left to the next start");
    }
}
