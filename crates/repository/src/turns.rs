//! Who uses a repository at the same time within this process: they wait for each other and are not refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::Error;
use crate::watch::Watch;

/// What a repository is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Reads.
    Read,
    /// Adds, or removes from the list of backups.
    Store,
    /// Marks and removes data: beside all but another one, whose view of the repository would be an old one.
    Prune,
    /// Nobody else may use it.
    Alone,
}

impl Usage {
    const fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Alone, _) | (_, Self::Alone) | (Self::Prune, Self::Prune) => false,
            (Self::Read | Self::Store | Self::Prune, _) => true,
        }
    }

    /// What others wait for.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read | Self::Store => "a backup or a restore",
            Self::Prune | Self::Alone => "a prune",
        }
    }
}

/// The longest that an operation waits for others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

/// The longest between two looks at whether the operation was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// The turns at one repository, by whatever handle.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Usage>,
    active: BTreeMap<u64, (Usage, Timestamp)>,
}

impl State {
    /// The first use that is in the way of one.
    fn in_the_way(&self, number: u64) -> Option<(Usage, Option<Timestamp>)> {
        let usage = *self.waiting.get(&number)?;
        let active = self
            .active
            .values()
            .map(|(other, since)| (*other, Some(*since)));
        let before = self
            .waiting
            .range(..number)
            .map(|(_, other)| (*other, None));
        active
            .chain(before)
            .find(|(other, _)| !usage.goes_with(*other))
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    number: u64,
}

impl Turns {
    /// Those at a location.
    pub(crate) fn at(location: &str) -> Arc<Self> {
        static ALL: Mutex<BTreeMap<String, Arc<Turns>>> = Mutex::new(BTreeMap::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(location.to_owned()).or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those that came before and do not go with this use.
    pub(crate) fn wait(
        self: &Arc<Self>,
        usage: Usage,
        location: &str,
        watch: &Watch,
    ) -> Result<Turn, Error> {
        let began = Instant::now();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, usage);
        let mut told = false;
        let result = loop {
            let Some((other, since)) = state.in_the_way(number) else {
                state.active.insert(number, (usage, Timestamp::now()));
                let turns = Arc::clone(self);
                break Ok(Turn { turns, number });
            };
            if watch.cancel.is_cancelled() {
                break Err(Error::Cancelled);
            }
            if began.elapsed() > PATIENCE {
                break Err(Error::Locked {
                    location: location.to_owned(),
                    holder: format!("{} of this Dormouse", other.as_str()),
                    since: since.unwrap_or_else(Timestamp::now).to_string(),
                });
            }
            if !told {
                watch.waits_for(Some(other.as_str()));
                told = true;
            }
            state = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        state.waiting.remove(&number);
        drop(state);
        if told {
            watch.waits_for(None);
        }
        self.changed.notify_all();
        result
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.state().active.remove(&self.number);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
