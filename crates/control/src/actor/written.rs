//! What an actor writes down: the state as it is shown, and in the ledger how it came about.

use std::fmt::Display;
use std::time::Instant;

use dormouse_policy::lifecycle::Notes;
use dormouse_policy::{Act, Cause, Reason};
use dormouse_types::State;
use jiff::Timestamp;
use tracing::error;

use super::{Actor, millis};
use crate::catalog::{Change, Durability, Entry};
use crate::world::now;
use crate::{Error, EventKind, Figures};

impl Actor {
    /// Changes the state as everybody sees it; [`Actor::record`] writes it down.
    pub(super) fn show(&mut self, state: State, reason: impl Display) {
        if self.database.state() != state {
            self.since = now();
        }
        self.database.change(|v| {
            if v.state != state {
                v.since = Timestamp::now();
            }
            v.state = state;
            v.reason = reason.to_string().into();
        });
        self.world.metered(&self.database, None);
    }

    /// The state as everybody sees it, to be written down.
    pub(super) fn state_change(&self) -> Change {
        let view = self.database.view();
        Change::State {
            name: self.database.name.clone(),
            state: view.state,
            since: view.since,
            generation: view.generation,
            units: view.units,
            reason: view.reason.as_ref().to_owned(),
        }
    }

    /// Shows a state of transition and writes it down, with whatever belongs to it.
    pub(super) async fn intend(&mut self, state: State, reason: &Reason) -> Result<(), Error> {
        self.show(state, reason);
        self.world
            .catalog
            .write(Durability::Soon, vec![self.state_change()])
            .await
    }

    /// Writes down the state, and in the ledger how it came about. `before` is the CPU time that the
    /// server had used when it began, in milliseconds, where it was looked at.
    pub(super) async fn record(
        &mut self,
        from: State,
        act: &Act,
        began: Instant,
        before: Option<u64>,
    ) {
        let state = self.database.state();
        let changed = EventKind::Changed;
        let mut entry = self.entry(changed, from, state, act.cause, &act.reason, began);
        entry.figures.idle_ms = act.reason.idle().map(millis);
        let after = self.database.view().cpu_ms;
        entry.figures.took_cpu_ms = after.zip(before).and_then(|(a, b)| a.checked_sub(b));
        self.write_down(entry).await;
    }

    /// Writes down the state, and in the ledger that something was not done.
    pub(super) async fn record_refusal(
        &mut self,
        to: State,
        cause: Cause,
        reason: &str,
        began: Instant,
    ) {
        let state = self.database.state();
        self.write_down(self.entry(EventKind::Refused, state, to, cause, reason, began))
            .await;
    }

    pub(super) async fn write_down(&mut self, entry: Entry) {
        self.marked_stale().await;
        let changes = vec![
            self.state_change(),
            Change::Ledger(Box::new(entry)),
            Change::Meter(self.database.shared_meter()),
        ];
        let written = self.world.catalog.write(Durability::Soon, changes).await;
        self.complain(written);
    }

    /// Begins to write down that what is noted is about to be out of date, with the state. It must
    /// outlive a loss of power: an old password must not come back with it.
    pub(super) fn mark_stale(&mut self) {
        let changes = vec![
            self.state_change(),
            Change::Stale(self.database.name.clone()),
            Change::Meter(self.database.shared_meter()),
        ];
        let fresh = self.database.view().notes() == Notes::Fresh;
        let sync = if fresh {
            Durability::Now
        } else {
            Durability::Soon
        };
        let catalog = self.world.catalog.clone();
        self.staling = Some(tokio::spawn(
            async move { catalog.write(sync, changes).await },
        ));
    }

    /// Waits until [`Actor::mark_stale`] is done, if it was begun.
    pub(super) async fn marked_stale(&mut self) {
        if let Some(staling) = self.staling.take()
            && let Ok(written) = staling.await
        {
            self.complain(written);
        }
    }

    /// What is true is found again at the next start: nothing is lost but what was to be written,
    /// so it is no reason to leave a statement waiting.
    pub(super) fn complain(&self, written: Result<(), Error>) {
        if let Err(error) = written {
            error!(database = %self.database.name, %error, hint = error.hint(), "cannot write the catalog");
        }
    }

    pub(super) fn entry(
        &self,
        event: EventKind,
        from: State,
        to: State,
        cause: Cause,
        reason: impl Display,
        began: Instant,
    ) -> Entry {
        let took = now().saturating_duration_since(began);
        Entry {
            database: self.database.name.clone(),
            event,
            from: Some(from),
            to: Some(to),
            cause,
            reason: reason.to_string(),
            duration_ms: Some(millis(took)),
            figures: Figures {
                hit_ratio_ppm: self.asked.ratio_ppm,
                ..self.database.view().figures()
            },
        }
    }
}
