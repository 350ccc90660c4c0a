//! Cache of a server's global variables, with which its sessions begin.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dormouse_types::{Target, Variables};

/// A span of time in which no statement is known to have changed a server's global variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Era {
    generation: u64,
    count: u64,
}

/// Most former values that are kept for one database.
const MOST_FORMER: usize = 128;

/// The value that a global variable had before it was set.
#[derive(Debug)]
struct Former {
    /// The count after it was set.
    count: u64,
    name: String,
    /// The statement that gives a session this value.
    statement: String,
}

/// The global variables of one database's server.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    /// Counts the statements that may have set some.
    count: AtomicU64,
    /// Their values when they were last asked for.
    present: Mutex<Option<(Era, Variables)>>,
    /// The former values, oldest first.
    former: Mutex<VecDeque<Former>>,
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
        self.note_set_from(Vec::new());
    }

    /// The same for one that has set these: their names, and the statements that give a session their former values.
    pub(crate) fn note_set_from(&self, former: Vec<(String, String)>) {
        let mut all = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.fetch_add(1, Ordering::AcqRel) + 1;
        all.extend(former.into_iter().map(|(name, statement)| Former {
            count,
            name,
            statement,
        }));
        let excess = all.len().saturating_sub(MOST_FORMER);
        all.drain(..excess);
    }

    /// The statements that give a session the global values of the time when this many had been set.
    pub(crate) fn former(&self, count: u64) -> Vec<Vec<u8>> {
        if self.count() == count {
            return Vec::new();
        }
        let all = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let mut since = BTreeMap::new();
        for former in all.iter().filter(|former| former.count > count) {
            since.entry(&former.name).or_insert(&former.statement);
        }
        since
            .into_values()
            .map(|text| text.clone().into_bytes())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_gets_the_values_with_which_it_began() {
        let globals = Globals::default();
        let set = |name: &str, old: u32| {
            let former = vec![(name.to_owned(), format!("SET {name} = {old}"))];
            globals.note_set_from(former);
        };
        let began = globals.count();
        assert!(globals.former(began).is_empty());
        set("a", 1);
        let later = globals.count();
        set("a", 2);
        set("b", 5);
        globals.note_set();
        assert_eq!(globals.former(began), [&b"SET a = 1"[..], b"SET b = 5"]);
        assert_eq!(globals.former(later), [&b"SET a = 2"[..], b"SET b = 5"]);
        assert!(globals.former(globals.count()).is_empty());
        for old in 0..1000 {
            set("c", old);
        }
        assert_eq!(globals.former.lock().unwrap().len(), MOST_FORMER);
    }
}
