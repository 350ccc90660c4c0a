//! What an actor writes: the state that others see, the catalog's row, and the ledger.
//!
//! A statement passes the door only when the catalog says that the database is on its way to be awake and
//! that what is noted of it is out of date: this intent is committed before ([`Actor::write_intent`]). From
//! parked it is on the disk by then, since it is written while the server starts. A thaw is sooner than a disk,
//! so from suspended it is on the disk some milliseconds after: a crash of Dormouse does not lose it, and
//! a loss of power in these milliseconds does.

use std::fmt::Display;
use std::time::Instant;

use dormouse_policy::lifecycle::Notes;
use dormouse_policy::{Act, Cause, Reason};
use dormouse_types::State;
use jiff::Timestamp;
use tracing::error;

use super::actor::Actor;
use crate::catalog::{Change, Durability, Entry};
use crate::error::Error;
use crate::status::{EventKind, Figures};
use crate::time::{millis, millis_since, now};

impl Actor {
    /// Changes the state that others see; [`Actor::record`] writes it.
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
        self.context.metering.see(&self.database, None);
    }

    /// The state that others see, to be written.
    pub(super) fn state_change(&self) -> Change {
        let view = self.database.view();
        Change::State {
            name: self.database.name.clone(),
            instance: self.instance.id(),
            state: view.state,
            since: view.since,
            generation: view.generation,
            units: view.units,
            serving: view.serving.clone(),
            reason: view.reason.as_ref().to_owned(),
        }
    }

    /// Shows a state of transition and writes it.
    pub(super) async fn intend(&mut self, state: State, reason: &Reason) -> Result<(), Error> {
        self.show(state, reason);
        self.context
            .catalog
            .write(Durability::Soon, vec![self.state_change()])
            .await
    }

    /// Writes the state, and in the ledger how it came about. `before` is the CPU time that the server
    /// had used when it began, in milliseconds, where it was looked at.
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
        self.write_entry(entry).await;
    }

    /// Writes the state, and in the ledger that something was not done.
    pub(super) async fn record_refusal(
        &mut self,
        to: State,
        cause: Cause,
        reason: impl Display,
        began: Instant,
    ) {
        let state = self.database.state();
        let entry = self.entry(EventKind::Refused, state, to, cause, reason, began);
        self.write_entry(entry).await;
    }

    /// Writes the state, an entry of the ledger, and what was metered.
    pub(super) async fn write_entry(&mut self, entry: Entry) {
        let changes = vec![
            self.state_change(),
            Change::Ledger(Box::new(entry)),
            Change::Meter(self.database.shared_meter()),
        ];
        let durability = std::mem::replace(&mut self.next_write, Durability::Soon);
        let written = self.context.catalog.write(durability, changes).await;
        if let Err(error) = written {
            self.next_write = durability;
            // what is true is found again at the next start: nothing is lost but the entry
            error!(%error, hint = error.hint(), "cannot write the catalog");
        }
    }

    /// Begins to write that what is noted is about to be out of date, with the state. If that is committed
    /// without waiting for the disk, the next write puts it there: an old password must not come back
    /// with a loss of power.
    pub(super) fn begin_intent(&mut self, durability: Durability) {
        let changes = vec![
            self.state_change(),
            Change::Stale(self.database.name.clone()),
            Change::Meter(self.database.shared_meter()),
        ];
        let fresh = self.database.view().notes() == Notes::Fresh;
        let durability = match durability {
            Durability::Now if fresh => Durability::Now,
            _ => Durability::Soon,
        };
        if fresh && durability == Durability::Soon {
            self.next_write = Durability::Now;
        }
        let catalog = self.context.catalog.clone();
        self.intent = Some(tokio::spawn(async move {
            catalog.write(durability, changes).await
        }));
    }

    /// Waits until [`Actor::begin_intent`] is done; begins it if what is noted is about to be out of date.
    ///
    /// # Errors
    /// If it cannot be written: then no statement may pass the door.
    pub(super) async fn write_intent(&mut self) -> Result<(), Error> {
        if self.intent.is_none() && self.database.view().notes() == Notes::Fresh {
            self.begin_intent(Durability::Soon);
        }
        let Some(intent) = self.intent.take() else {
            return Ok(());
        };
        intent.await.unwrap_or(Err(Error::Stopping))
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
        Entry {
            database: self.database.name.clone(),
            event,
            from: Some(from),
            to: Some(to),
            cause,
            reason: reason.to_string(),
            duration_ms: Some(millis_since(began)),
            figures: Figures {
                hit_ratio_ppm: self.instance.hit_ratio(),
                ..self.database.view().figures()
            },
        }
    }
}
