//! From active or suspended to parked.

use std::convert::Infallible;
use std::time::Instant;

use dormouse_driver::Run;
use dormouse_policy::{Act, Cause};
use dormouse_types::{State, Veto, VetoReason};
use tracing::{error, warn};

use super::actor::{Actor, Done, Failure, Hitch, carries_through};
use super::{flush, hours, notes, rights};
use crate::time::{now, within};

/// Lets every session note its state, takes the notes, stops the server. Until the stop, a statement that arrives
/// cancels this. An ordered park, or one by the spend limit, is carried through; statements wait.
pub(super) async fn park(actor: &mut Actor, act: Act) -> Done {
    let began = now();
    let from = actor.database.state();
    let before = actor.database.view().cpu_ms;
    if from == State::Suspended
        && actor.database.view().tables_known
        && let Some(reason) = notes::would_lose(actor)
    {
        // nothing has changed since it was frozen, so it need not be thawed
        actor.deny(State::Parked);
        actor
            .record_not_done(State::Parked, Cause::Veto, &reason, began)
            .await;
        return Done::Refused(vec![reason]);
    }
    if from == State::Active {
        let shut = match actor.database.moving().is_some() {
            true => flush::shut_when_written(actor, &act).await,
            false => actor.shut(&act).await,
        };
        if !shut {
            return actor.in_use().await;
        }
    }
    actor.carries_through = carries_through(&act);
    actor.instance.clear_load();
    if let Err(error) = actor.write_transition(State::Parking, &act.reason).await {
        error!(%error, hint = error.hint(), "cannot write the catalog");
        return not_parked(actor, from, error.into(), began).await;
    }
    if actor.instance.run() != Run::Running
        && let Err(unmet) = actor.thaw_server().await
    {
        return not_parked(actor, from, unmet.into(), began).await;
    }
    match prepare(actor, from).await {
        Ok(reasons) if reasons.is_empty() => {}
        Ok(reasons) => return vetoed(actor, from, reasons, began).await,
        Err(hitch) if hitch.is_locked_out() => {
            // it cannot be asked; without notes the next login wakes it
            rights::note_locked_out(actor).await;
            actor.instance.disconnect().await;
        }
        Err(hitch) => return not_parked(actor, from, hitch, began).await,
    }
    if let Err(unmet) = actor.stop_server().await {
        actor.look().await;
        if actor.instance.run() != Run::Stopped {
            return not_parked(actor, from, unmet.into(), began).await;
        }
    }
    actor.park_denied = None;
    actor.exempt = false;
    actor.show(State::Parked, &act.reason);
    actor.record(from, &act, began, before).await;
    actor.instance.stopped();
    actor.scaling = None;
    Box::pin(hours::learn(actor)).await;
    Done::Again
}

/// The steps before the stop; returns the reasons against it.
async fn prepare(actor: &mut Actor, from: State) -> Result<Vec<String>, Hitch> {
    let vetoes = capture(actor).await?;
    if !vetoes.is_empty() {
        return Ok(describe(&vetoes));
    }
    if from == State::Active {
        notes::count_hits(actor).await?;
    }
    notes::take(actor).await?;
    let limit = actor.context.host.deadlines.ask;
    notes::take_memory_tables(actor, limit).await?;
    if let Some(reason) = notes::would_lose(actor) {
        return Ok(vec![reason]);
    }
    if let Some(replicas) = actor.database.replicas() {
        let host = &actor.context.host;
        let position = within(host.deadlines.ask, async {
            host.servers.logged(&actor.instance.server()?).await
        });
        if let Ok(position) = position.await {
            let caught_up = async {
                replicas.catch_up(&position).await;
                Ok::<_, Failure>(())
            };
            actor.unless_wanted(caught_up).await?;
            replicas.rest(&position);
        }
    }
    actor.instance.disconnect().await;
    let release = actor.context.doors.release(&actor.database.name);
    let limit = actor.context.host.deadlines.capture;
    if tokio::time::timeout(limit, release).await.is_err() {
        warn!("not all connections were closed; the server's stop ends them");
    }
    if actor.wanted() {
        return Err(Hitch::Wanted);
    }
    Ok(Vec::new())
}

async fn capture(actor: &Actor) -> Result<Vec<Veto>, Hitch> {
    let limit = actor.context.host.deadlines.capture;
    let capture = async {
        Ok::<_, Infallible>(
            actor
                .context
                .doors
                .capture(&actor.database.name, limit)
                .await,
        )
    };
    // the proxy has its own deadline for each session; this one is for a proxy that hangs
    actor.unless_wanted(within(limit * 2, capture)).await
}

/// Cancels the park because state of sessions or rows of MEMORY tables would be lost.
async fn vetoed(actor: &mut Actor, from: State, reasons: Vec<String>, began: Instant) -> Done {
    actor.deny(State::Parked);
    let reason = reasons.join("; ");
    if actor.wanted() {
        return not_parked(actor, from, Hitch::Wanted, began).await;
    }
    back_to(actor, from, &reason).await;
    actor
        .record_not_done(State::Parked, Cause::Veto, &reason, began)
        .await;
    Done::Refused(reasons)
}

/// Cancels the park.
async fn not_parked(actor: &mut Actor, from: State, hitch: Hitch, began: Instant) -> Done {
    match hitch {
        Hitch::Failed(failure) if from == State::Suspended => {
            let reason = failure.to_string();
            actor.deny(State::Parked);
            actor.look().await;
            back_to(actor, from, &reason).await;
            actor
                .record_not_done(State::Parked, Cause::Failed, &reason, began)
                .await;
            Done::Refused(vec![reason])
        }
        hitch => actor.stay_awake(State::Parked, hitch, began).await,
    }
}

/// Restores the state before the attempt: freezes the server again, or opens the door. If that fails, the next
/// turn settles the state.
async fn back_to(actor: &mut Actor, from: State, reason: &str) {
    if actor.instance.run() == Run::Stopped {
        return;
    }
    if from != State::Suspended {
        actor.open_again(reason).await;
        return;
    }
    actor.instance.disconnect().await;
    match actor.freeze_server().await {
        Ok(()) => actor.show(State::Suspended, reason),
        Err(error) => {
            warn!(%error, "cannot freeze it again");
            actor.look().await;
        }
    }
}

/// Vetoes as sentences, one per pin, with the sessions that have it.
pub(super) fn describe(vetoes: &[Veto]) -> Vec<String> {
    let mut reasons: Vec<(VetoReason, Vec<u32>)> = Vec::new();
    for veto in vetoes {
        match reasons
            .iter_mut()
            .find(|(reason, _)| *reason == veto.reason)
        {
            Some((_, sessions)) => sessions.push(veto.session),
            None => reasons.push((veto.reason, vec![veto.session])),
        }
    }
    let told = reasons.into_iter().map(|(pin, sessions)| {
        let named: Vec<String> = sessions.iter().take(5).map(ToString::to_string).collect();
        let named = named.join(", ");
        match sessions.len() {
            1 => format!("{pin} (session {named})"),
            n if n <= 5 => format!("{pin} (sessions {named})"),
            n => format!("{pin} (sessions {named} and {} more)", n - 5),
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use dormouse_types::Pin;

    use super::*;

    #[test]
    fn vetoes_are_listed_by_pin_with_at_most_five_sessions() {
        let veto = |session, pin| Veto {
            session,
            reason: VetoReason::Pinned(pin),
        };
        let mut vetoes = vec![veto(7, Pin::UserVariable), veto(1, Pin::Transaction)];
        vetoes.extend((10..17).map(|s| veto(s, Pin::Transaction)));
        assert_eq!(
            describe(&vetoes),
            [
                "user_variable (session 7)",
                "transaction (sessions 1, 10, 11, 12, 13 and 3 more)"
            ]
        );
    }
}
