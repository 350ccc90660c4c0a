//! The reading of one log, which all share who ask it at the same time.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use dormouse_binlog::{Keys, LastGroups, Name, Position, Written};
use dormouse_types::{InstanceId, Marker, Trace};
use tokio::sync::Mutex as AsyncMutex;

use crate::error::Error;
use crate::history::files::{FETCHED, read};

/// What answers about the outcome of commits need.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// The logs that are being asked, each by its instance and the generation of the server that runs now: a reading is no
    /// answer about a server that ends after it.
    slots: Mutex<BTreeMap<(InstanceId, u64), Weak<Slot>>>,
    /// The instances that this Dormouse has copied from others, and since when, after 1970, their own logs have all.
    copies: Mutex<BTreeMap<InstanceId, Duration>>,
}

/// The reading of one log, once it has begun. It is dropped with the last who asks.
pub(crate) type Slot = AsyncMutex<Option<Reading>>;

/// Most seconds from the naming of a log to the begin of its first file, by the server's start.
const START: u32 = 2;

/// For how long the time at which a copy began its log is remembered: that in the log has seconds alone.
const REMEMBERED: Duration = Duration::from_secs(600);

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Outcomes {
    /// What those share who ask the log of an instance since the start of its server of this generation.
    pub(crate) fn slot(&self, instance: InstanceId, generation: u64) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = slots.entry((instance, generation)).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Slot::default());
            *slot = Arc::downgrade(&new);
            new
        })
    }

    /// Notes that a copy has begun a log of its own, which has all that its primary is sent from this time on.
    pub(crate) fn has_begun(&self, copy: InstanceId, at: Duration) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        // of older ones the seconds in their logs tell
        copies.retain(|_, then| at.saturating_sub(*then) < REMEMBERED);
        copies.insert(copy, at);
    }

    /// Since when the log that this copy began has all.
    pub(crate) fn begun(&self, copy: InstanceId) -> Option<Duration> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.get(&copy).copied()
    }
}

/// A copy of a log, of which the newest files have been read.
pub(crate) struct Reading {
    dir: PathBuf,
    /// Files that have not been read, the newest last, and when they were begun, in seconds since 1970.
    unread: Vec<(Name, u32)>,
    keys: Keys,
    /// Since when the log, with its first file, has all. A copy has more than what its own log tells.
    whole_since: Option<Duration>,
    /// The oldest file that was read, and when it was begun.
    oldest: Option<(Name, u32)>,
    found: HashSet<Marker>,
    last: LastGroups,
}

impl Drop for Reading {
    fn drop(&mut self) {
        // the next start removes what is left
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Reading {
    /// A reading of files that are still to be copied. `whole_since`: since when, after 1970, the log has all, if it still has
    /// its first file; `None` if only the seconds in the log tell.
    pub(crate) fn new(data_dir: &Path, whole_since: Option<Duration>) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = data_dir.join("history").join(FETCHED);
        Self {
            dir: dir.join(format!("outcome-{number}")),
            unread: Vec::new(),
            keys: Keys::none(),
            whole_since,
            oldest: None,
            found: HashSet::new(),
            last: LastGroups::default(),
        }
    }

    /// Where the files are to be copied to.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes the files, oldest first.
    pub(crate) fn will_read(&mut self, files: Vec<(Name, u32)>, keys: Keys) {
        self.unread = files;
        self.keys = keys;
    }

    /// Whether the log has this trace of what was sent at this time. Reads backwards, as far as needed. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, the log does not reach back to that time, or does not tell.
    pub(crate) fn finds(&mut self, trace: &Trace, sent: Duration) -> Result<bool, Error> {
        match trace {
            Trace::Marked(marker) => self.finds_marker(*marker, sent),
            Trace::Behind {
                connection,
                position,
            } => {
                let position = position.as_deref().and_then(|text| text.parse().ok());
                self.finds_behind(*connection, position.as_ref(), sent)
            }
        }
    }

    fn finds_marker(&mut self, marker: Marker, sent: Duration) -> Result<bool, Error> {
        loop {
            if self.found.contains(&marker) {
                return Ok(true);
            }
            if self.reaches_back(sent) {
                return Ok(false);
            }
            self.read_another()?;
        }
    }

    fn finds_behind(
        &mut self,
        connection: u32,
        position: Option<&Position>,
        sent: Duration,
    ) -> Result<bool, Error> {
        while !self.reaches_back(sent) {
            self.read_another()?;
        }
        match self.last.written(connection, position) {
            Written::Committed => Ok(true),
            Written::Nothing => Ok(false),
            Written::Unclear => Err(Error::Invalid(
                "the server's binary log does not tell it apart from others".to_owned(),
            )),
        }
    }

    /// Reads the newest file that was not read.
    fn read_another(&mut self) -> Result<(), Error> {
        let Some((name, began)) = self.unread.pop() else {
            let reason = "the server's binary log does not reach back to it".to_owned();
            return Err(Error::Invalid(reason));
        };
        let path = self.dir.join(name.to_string());
        let found = &mut self.found;
        let mut last = LastGroups::default();
        read(&name, &path, &self.keys, |group| {
            last.note(&group);
            let marker = group.savepoint.as_deref().and_then(Marker::of_savepoint);
            found.extend(marker.filter(|_| !group.is_rolled_back));
            ControlFlow::Continue(())
        })?;
        self.last.add_earlier(last);
        self.oldest = Some((name, began));
        Ok(())
    }

    /// Whether what was read has all that was written since this time.
    fn reaches_back(&self, sent: Duration) -> bool {
        let Some((name, began)) = &self.oldest else {
            return false;
        };
        // one that was begun within the same second may have been begun later
        u64::from(*began) < sent.as_secs()
            || (is_first(name, *began) && self.whole_since.is_some_and(|since| since <= sent))
    }
}

/// Whether this is the file with which a log began: nothing was written before it. The log's name says when that was; a
/// log that is begun anew under the same names (`RESET MASTER`) has a later first file.
fn is_first(name: &Name, began: u32) -> bool {
    let log = name.base().rsplit_once('-');
    let log = log.and_then(|(_, second)| second.parse::<u32>().ok());
    name.number() == 1 && log.is_some_and(|log| began.saturating_sub(log) <= START)
}

#[cfg(test)]
mod tests;
