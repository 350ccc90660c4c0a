//! Cache of a server's global variables, with which its sessions begin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dormouse_types::{Target, Variables};

/// A span of time in which no statement is known to have changed a server's global variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Era {
    generation: u64,
    count: u64,
}

/// The global variables of one database's server.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    /// Counts the statements that may have set some.
    count: AtomicU64,
    /// Their values when they were last asked for.
    present: Mutex<Option<(Era, Variables)>>,
}

impl Globals {
    /// How many statements that may have set global variables have ended.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The present era.
    pub(crate) fn era(&self, target: &Target) -> Era {
        Era {
            generation: target.generation,
            count: self.count(),
        }
    }

    /// The server's global variables, if they have been asked for in this era.
    pub(crate) fn known_in(&self, era: Era) -> Option<Variables> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let same = present.as_ref().filter(|(asked, _)| *asked == era);
        same.map(|(_, variables)| variables.clone())
    }

    /// Stores their values; the server was asked in this era.
    pub(crate) fn are(&self, era: Era, variables: Variables) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some((era, variables));
    }

    /// Notes that a statement has ended that may have set global variables.
    pub(crate) fn note_set(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }
}
