//! From active or suspended to parked.

use std::time::Instant;

use dormouse_driver::Run;
use dormouse_policy::lifecycle::Order;
use dormouse_policy::{Act, Cause};
use dormouse_types::{State, Veto, VetoReason};
use tracing::{error, warn};

use super::{Actor, Done, Hitch};
use crate::world::{now, within};

impl Actor {
    /// Lets every session note its state, notes what must be known, stops the server. Until it is
    /// stopped a statement that arrives ends all this at once.
    pub(super) async fn park(&mut self, act: Act) -> Done {
        let began = now();
        let from = self.database.state();
        let before = self.database.view().cpu_ms;
        if from == State::Suspended
            && self.database.view().tables_known
            && let Some(reason) = self.would_lose()
        {
            // it need not even be thawed: nothing changes while it is frozen
            self.deny(State::Parked);
            self.record_refusal(State::Parked, Cause::Veto, &reason, began)
                .await;
            return Done::Refused(vec![reason]);
        }
        if from == State::Active && !self.shut(&act).await {
            return self.in_use().await;
        }
        self.insists = super::insists(&act);
        self.growing = None;
        self.rest_size();
        if let Err(error) = self.intend(State::Parking, &act.reason).await {
            error!(database = %self.database.name, %error, hint = error.hint(), "cannot write the catalog");
            return self
                .not_parked(from, Hitch::Failed(error.to_string()), began)
                .await;
        }
        if self.run != Run::Running
            && let Err(reason) = self
                .apply(Run::Running, self.world.config.deadlines.freeze)
                .await
        {
            return self.not_parked(from, Hitch::Failed(reason), began).await;
        }
        match self.capture().await {
            Ok(vetoes) if vetoes.is_empty() => {}
            Ok(vetoes) => return self.vetoed(from, describe(&vetoes), began).await,
            Err(hitch) => return self.not_parked(from, hitch, began).await,
        }
        if from == State::Active
            && let Err(hitch) = self.note_hits().await
        {
            return self.not_parked(from, hitch, began).await;
        }
        if let Err(hitch) = self.take_notes().await {
            return self.not_parked(from, hitch, began).await;
        }
        let limit = self.world.config.deadlines.ask;
        if let Err(hitch) = self.note_memory_tables(limit).await {
            return self.not_parked(from, hitch, began).await;
        }
        if let Some(reason) = self.would_lose() {
            return self.vetoed(from, vec![reason], began).await;
        }
        self.world.servers.forget(self.database.instance).await;
        let release = self.world.doors.release(&self.database.name);
        let limit = self.world.config.deadlines.capture;
        if tokio::time::timeout(limit, release).await.is_err() {
            warn!(database = %self.database.name, "connections are left to the server's own end");
        }
        if self.wanted() {
            return self.not_parked(from, Hitch::Wanted, began).await;
        }
        if let Err(reason) = self
            .apply(Run::Stopped, self.world.config.deadlines.stop)
            .await
        {
            self.look().await;
            if self.run != Run::Stopped {
                return self.not_parked(from, Hitch::Failed(reason), began).await;
            }
        }
        self.park_denied = None;
        self.pardoned = false;
        self.show(State::Parked, &act.reason);
        self.record(from, &act, began, before).await;
        self.forget_size();
        Box::pin(self.learn_habits()).await;
        Done::Again
    }

    async fn capture(&self) -> Result<Vec<Veto>, Hitch> {
        let limit = self.world.config.deadlines.capture;
        let capture = async {
            let vetoes = self.world.doors.capture(&self.database.name, limit).await;
            Ok::<_, String>(vetoes)
        };
        // the traffic keeps the deadline itself, session by session: this is for when it does not
        self.unless_wanted(within(limit * 2, capture)).await
    }

    /// Which rows its server's process would take with it, unless somebody has said that they may go.
    fn would_lose(&self) -> Option<String> {
        let may_go = self.database.current_order(self.door) == Some(Order::ParkAndLose);
        let view = self.database.view();
        let tables = &view.rare.as_ref().filter(|_| !may_go)?.memory_tables;
        (!tables.is_empty()).then(|| memory_tables(tables))
    }

    /// Sessions have state, or tables rows, that would be lost.
    async fn vetoed(&mut self, from: State, reasons: Vec<String>, began: Instant) -> Done {
        self.deny(State::Parked);
        let reason = reasons.join("; ");
        if self.wanted() {
            return self.not_parked(from, Hitch::Wanted, began).await;
        }
        self.back_to(from, &reason).await;
        self.record_refusal(State::Parked, Cause::Veto, &reason, began)
            .await;
        Done::Refused(reasons)
    }

    /// The park is not to be.
    async fn not_parked(&mut self, from: State, hitch: Hitch, began: Instant) -> Done {
        match hitch {
            Hitch::Failed(reason) if from == State::Suspended => {
                self.deny(State::Parked);
                self.look().await;
                self.back_to(from, &reason).await;
                self.record_refusal(State::Parked, Cause::Failed, &reason, began)
                    .await;
                Done::Refused(vec![reason])
            }
            hitch => self.stay_awake(State::Parked, hitch, began).await,
        }
    }

    /// As it was before the attempt: frozen again, or open again; if that fails, whatever is true
    /// is settled next.
    async fn back_to(&mut self, from: State, reason: &str) {
        if self.run == Run::Stopped {
            return;
        }
        if from != State::Suspended {
            self.open(reason);
            return;
        }
        self.world.servers.forget(self.database.instance).await;
        match self
            .apply(Run::Frozen, self.world.config.deadlines.freeze)
            .await
        {
            Ok(()) => self.show(State::Suspended, reason),
            Err(reason) => {
                warn!(database = %self.database.name, reason, "cannot freeze it again");
                self.look().await;
            }
        }
    }
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

/// Vetoes as sentences, one per pin, with the sessions that have it.
fn describe(vetoes: &[Veto]) -> Vec<String> {
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
    fn a_few_tables_are_named() {
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

    #[test]
    fn vetoes_are_told_by_pin_with_a_few_sessions_each() {
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
