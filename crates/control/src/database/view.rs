//! The observed state of a database.

use std::sync::Arc;
use std::time::Instant;

use dormouse_policy::lifecycle::Notes;
use dormouse_policy::spend::Rung;
use dormouse_policy::storage::Fill;
use dormouse_types::{Bytes, Incarnation, InstanceId, State, Units};
use jiff::Timestamp;

use crate::catalog::Noted;
use crate::instance::serving::Serving;
use crate::status::Figures;

/// The observed state of a database.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The instance that serves it.
    pub(crate) seat: InstanceId,
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) generation: u64,
    /// Its units while awake.
    pub(crate) units: Units,
    pub(crate) reason: Arc<str>,
    /// Its server, while one runs; shared and boxed, because a sleeping database must be small.
    pub(crate) serving: Option<Arc<Serving>>,
    /// Memory its server holds, and CPU time it has used, in milliseconds.
    pub(crate) memory: Option<Bytes>,
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) noted: Arc<Noted>,
    /// The step of its spend limit.
    pub(crate) rung: Rung,
    /// Disk space of its files; `None` until measured.
    pub(crate) storage: Option<Bytes>,
    /// Fill level of its quota.
    pub(crate) fill: Fill,
    /// Whether its MEMORY tables were read before it went to sleep.
    pub(crate) tables_known: bool,
    /// State that few databases have; boxed, because a sleeping database must be small.
    pub(crate) rare: Option<Box<Rare>>,
}

/// State that few databases have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    /// In [`State::Failed`]: no start before this time.
    pub(crate) retry_at: Option<Instant>,
    /// The MEMORY tables that had rows when it went to sleep, as `schema.table`; they cannot change while it
    /// sleeps.
    pub(crate) memory_tables: Vec<String>,
}

impl View {
    /// The run of its server.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.serving.as_ref().map(|serving| serving.incarnation)
    }

    /// Memory and CPU time of its server, for the ledger.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            memory: self.memory,
            cpu_ms: self.cpu_ms,
            ..Figures::default()
        }
    }

    /// In [`State::Failed`]: no start before this time.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.rare.as_ref()?.retry_at
    }

    /// The MEMORY tables that have rows; `None` if only the running server knows.
    pub(crate) fn memory_tables(&self) -> Option<Vec<String>> {
        match self.serving {
            None => Some(Vec::new()),
            Some(_) if self.state == State::Suspended && self.tables_known => {
                let rare = self.rare.as_ref();
                Some(rare.map_or(Vec::new(), |rare| rare.memory_tables.clone()))
            }
            Some(_) => None,
        }
    }

    /// Whether the notes are current.
    pub(crate) fn notes(&self) -> Notes {
        if self.noted.fresh {
            Notes::Fresh
        } else {
            Notes::Stale
        }
    }
}
