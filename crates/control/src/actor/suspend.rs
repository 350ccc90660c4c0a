//! From active to suspended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::Run;
use dormouse_engine::buffer_pool;
use dormouse_policy::lifecycle::Denied;
use dormouse_policy::{Act, Cause};
use dormouse_types::State;
use tracing::{error, info, warn};

use super::{Actor, Done, Hitch};
use crate::Snapshot;
use crate::catalog::{Change, Durability, Noted};
use crate::database::Rare;
use crate::world::{now, within};

/// How long a server may work, before it is suspended, on what must be known only before it is parked.
const GLANCE: Duration = Duration::from_millis(5);

impl Actor {
    /// Shuts the doors, notes what must be known, shrinks, freezes. Until the process is frozen
    /// a statement that arrives ends all this at once.
    pub(super) async fn suspend(&mut self, act: Act) -> Done {
        let began = now();
        let before = self.database.view().cpu_ms;
        if !self.shut(&act).await {
            return self.in_use().await;
        }
        self.growing = None;
        self.rest_size();
        if let Err(error) = self.intend(State::Suspending, &act.reason).await {
            error!(database = %self.database.name, %error, hint = error.hint(), "cannot write the catalog");
            return self
                .stay_awake(State::Suspended, Hitch::Failed(error.to_string()), began)
                .await;
        }
        if let Err(hitch) = self.lull().await {
            return self.stay_awake(State::Suspended, hitch, began).await;
        }
        if let Err(reason) = self
            .apply(Run::Frozen, self.world.config.deadlines.freeze)
            .await
        {
            self.look().await;
            if self.run != Run::Frozen {
                return self
                    .stay_awake(State::Suspended, Hitch::Failed(reason), began)
                    .await;
            }
        }
        self.suspend_denied = None;
        self.pardoned = false;
        self.show(State::Suspended, &act.reason);
        self.record(State::Active, &act, began, before).await;
        Box::pin(self.learn_habits()).await;
        Done::Again
    }

    /// All that comes before the freeze.
    async fn lull(&mut self) -> Result<(), Hitch> {
        self.note_hits().await?;
        self.take_notes().await?;
        match self.note_memory_tables(GLANCE).await {
            Err(Hitch::Failed(reason)) => {
                info!(database = %self.database.name, reason, "its MEMORY tables are not known");
            }
            other => other?,
        }
        let limit = self.world.config.deadlines.shrink;
        let shrink = within(limit, async {
            let server = self.database.server()?;
            let to = buffer_pool::suspended();
            self.world.servers.shrink(&server, to).await
        });
        match self.unless_wanted(shrink).await {
            Err(Hitch::Failed(reason)) => {
                warn!(database = %self.database.name, reason, "frozen with a large buffer pool");
            }
            other => other?,
        }
        self.world.servers.forget(self.database.instance).await;
        if self.wanted() {
            Err(Hitch::Wanted)
        } else {
            Ok(())
        }
    }

    /// With the door shut: asks the server for what must be known while it sleeps, and writes
    /// it down.
    pub(super) async fn take_notes(&mut self) -> Result<(), Hitch> {
        let limit = self.world.config.deadlines.ask;
        let snapshot = within(limit, async {
            self.world.servers.snapshot(&self.database.server()?).await
        });
        let Snapshot {
            accounts,
            schemas,
            globals,
            variables,
            events,
        } = self.unless_wanted(snapshot).await?;
        if events.running && !self.insists {
            return Err(Hitch::Failed("one of its events is running".to_owned()));
        }
        let events = self.ahead(events);
        if let Some(at) = events.next.filter(|at| self.is_due(*at) && !self.insists) {
            return Err(Hitch::Failed(format!("an event is due at {at}")));
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
            name: self.database.name.clone(),
            noted: Box::new(noted.clone()),
        };
        self.world
            .catalog
            .write(Durability::Soon, vec![change])
            .await
            .map_err(|e| Hitch::Failed(e.to_string()))?;
        let noted = Arc::new(self.world.catalog.condense(noted));
        self.database.change(|v| v.noted = noted);
        Ok(())
    }

    /// With the door shut: asks the server for the MEMORY tables that have rows, unless it would work
    /// longer than this on it. They stay as they are until it wakes.
    pub(super) async fn note_memory_tables(&mut self, patience: Duration) -> Result<(), Hitch> {
        self.database.change(|v| v.tables_known = false);
        let limit = self.world.config.deadlines.ask;
        let asked = async {
            let server = self.database.server()?;
            self.world.servers.memory_tables(&server, patience).await
        };
        let Some(memory_tables) = self.unless_wanted(within(limit, asked)).await? else {
            return Err(Hitch::Failed(
                "it has too many tables to find those in memory in time".to_owned(),
            ));
        };
        let rare = (!memory_tables.is_empty()).then(|| {
            Box::new(Rare {
                memory_tables,
                ..Rare::default()
            })
        });
        self.database.change(|v| {
            v.rare = rare;
            v.tables_known = true;
        });
        Ok(())
    }

    /// A sleep that was on its way is not to be: back to active, if there is a server.
    pub(super) async fn stay_awake(&mut self, to: State, hitch: Hitch, began: Instant) -> Done {
        let (cause, reason) = match hitch {
            Hitch::Wanted => (Cause::Demand, "a statement arrived".to_owned()),
            Hitch::Failed(reason) => (Cause::Failed, reason),
        };
        if cause == Cause::Failed {
            self.look().await;
            self.deny(to);
        }
        if self.run == Run::Running {
            self.open(&reason);
            self.grow();
        } else if self.run == Run::Stopped {
            self.show(State::Active, "its server died");
        }
        self.record_refusal(to, cause, &reason, began).await;
        Done::Refused(vec![reason])
    }

    /// Remembers that it is not to be tried again soon.
    pub(super) fn deny(&mut self, to: State) {
        let sessions = self.sessions();
        let slot = match to {
            State::Suspended => &mut self.suspend_denied,
            _ => &mut self.park_denied,
        };
        *slot = Some(Denied::again(*slot, sessions, now()));
    }
}
