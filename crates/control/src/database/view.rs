//! The observed state of a database.

use std::sync::Arc;
use std::time::Instant;

use dormouse_policy::lifecycle::Notes;
use dormouse_policy::spend::Rung;
use dormouse_policy::storage::Fill;
use dormouse_types::{Bytes, Incarnation, State, Units};
use jiff::Timestamp;

use crate::catalog::Noted;
use crate::instance::serving::Serving;
use crate::status::Figures;

/// The observed state of a database.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) generation: u64,
    /// Its units while it is awake.
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
    /// How much disk its files take; `None` until that was looked at.
    pub(crate) storage: Option<Bytes>,
    /// How much of its quota that is.
    pub(crate) fill: Fill,
    /// Whether its MEMORY tables were read when it went to sleep.
    pub(crate) tables_known: bool,
    /// What few databases have; boxed, because a sleeping database must be small.
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few databases have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    /// While it is [`State::Failed`]: until when it is not started again.
    pub(crate) retry_at: Option<Instant>,
    /// Its MEMORY tables that had rows when it went to sleep, as `schema.table`; nothing has changed
    /// since, while it sleeps.
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

    /// While it is [`State::Failed`]: until when it is not started again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.rare.as_ref()?.retry_at
    }

    /// Its MEMORY tables that have rows; `None` if that is not known without its server.
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

    /// Whether what is noted can be trusted now.
    pub(crate) fn notes(&self) -> Notes {
        if self.noted.fresh {
            Notes::Fresh
        } else {
            Notes::Stale
        }
    }
}
