//! What an actor writes: the state that others see, the catalog's row, and the ledger.
//!
//! The intent of a wake says that the database is waking and that its notes are stale. A start writes it while the
//! server starts, and opens the door when it is committed to disk ([`Actor::write_intent`]). A thaw takes less time
//! than that commit, so it opens the door without waiting: a crash of Dormouse before the commit leaves a running
//! server that the catalog calls suspended, which the next start settles; a power failure in between restores the
//! old notes. If the intent of a thaw cannot be written, each later write repeats it until one succeeds.

use std::fmt::Display;
use std::time::Instant;

use dormouse_policy::lifecycle::Notes;
use dormouse_policy::{Act, Cause, Reason};
use dormouse_types::State;
use jiff::Timestamp;
use tracing::error;

use super::actor::Actor;
use super::requests::Originator;
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

    /// The state that others see, as a change of the catalog.
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

    /// Sets a transitional state and writes it to the catalog.
    pub(super) async fn write_transition(
        &mut self,
        state: State,
        reason: &Reason,
    ) -> Result<(), Error> {
        self.show(state, reason);
        self.context
            .catalog
            .write(Durability::Soon, vec![self.state_change()])
            .await
    }

    /// Writes the state, and to the ledger its cause. `before` is the CPU time of the server at the beginning of the
    /// transition, in milliseconds, if known.
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

    /// Writes the state, and to the ledger that an act was refused or has failed.
    pub(super) async fn record_not_done(
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
        if let Some(intent) = self.intent.take() {
            self.intent_failed |= !matches!(intent.await, Ok(Ok(())));
        }
        let mut changes = vec![
            self.state_change(),
            Change::Ledger(Box::new(entry)),
            Change::Meter(self.database.shared_meter()),
        ];
        let mut durability = Durability::Soon;
        if self.intent_failed {
            changes.push(Change::Stale(self.database.name.clone()));
            durability = Durability::Now;
        }
        let written = self.context.catalog.write(durability, changes).await;
        self.intent_failed &= written.is_err();
        if let Err(error) = written {
            // only the entry is lost: the next start observes the state
            error!(%error, hint = error.hint(), "cannot write the catalog");
        }
    }

    /// Begins to write the intent: the state, and that the notes are stale. Fresh notes are made stale durably,
    /// because otherwise a power failure could bring an old password back.
    pub(super) fn begin_intent(&mut self) {
        let changes = vec![
            self.state_change(),
            Change::Stale(self.database.name.clone()),
            Change::Meter(self.database.shared_meter()),
        ];
        let fresh = self.database.view().notes() == Notes::Fresh;
        let durability = if fresh {
            Durability::Now
        } else {
            Durability::Soon
        };
        let catalog = self.context.catalog.clone();
        self.intent = Some(tokio::spawn(async move {
            catalog.write(durability, changes).await
        }));
    }

    /// Waits until the intent is written; begins to write it if the notes are fresh and that was not done.
    ///
    /// # Errors
    /// If it cannot be written. Then no statement may pass the door.
    pub(super) async fn write_intent(&mut self) -> Result<(), Error> {
        if self.intent.is_none() && self.database.view().notes() == Notes::Fresh {
            self.begin_intent();
        }
        let Some(intent) = self.intent.take() else {
            return Ok(());
        };
        intent.await.unwrap_or(Err(Error::Stopping))
    }

    /// Who caused what is recorded: the act's originator, or the client that needs the server.
    fn originator(&self, cause: Cause) -> Originator {
        match &self.acts_for {
            Some(originator) => (**originator).clone(),
            None if cause == Cause::Demand => self.database.demander(),
            None => Originator::default(),
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
        let Originator {
            principal,
            woken_by,
        } = self.originator(cause);
        Entry {
            database: Some(self.database.name.clone()),
            actor: principal,
            woken_by,
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
