//! Anchors: what the clock said while the log had a certain length.

use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::place::{Name, Place};

/// A length that a file had at a time. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The last file of the log.
    pub file: Name,
    /// Its length.
    pub size: u64,
    /// Before the length was read: what stands behind it was written later.
    pub from: i64,
    /// After it was read: what stands before it was written earlier.
    pub until: i64,
}

impl Anchor {
    fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            position: self.size,
        }
    }
}

/// Anchors of one log, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anchors(Vec<Anchor>);

impl Anchors {
    /// Adds one, in its place.
    pub fn add(&mut self, anchor: Anchor) {
        let place = anchor.place();
        let at = self.0.partition_point(|other| other.place() <= place);
        let same = at
            .checked_sub(1)
            .and_then(|before| self.0.get_mut(before))
            .filter(|before| before.place() == place);
        match same {
            // nothing was written between the two
            Some(before) => {
                before.until = before.until.min(anchor.until);
                before.from = before.from.max(anchor.from);
            }
            None => self.0.insert(at, anchor),
        }
    }

    /// Adds those of another list.
    pub fn merge(&mut self, other: Self) {
        for anchor in other.0 {
            self.add(anchor);
        }
    }

    /// Forgets those of files before this one, but for the last of them.
    pub fn forget_before(&mut self, file: &Name) {
        let first = self.0.partition_point(|anchor| anchor.file < *file);
        self.0.drain(..first.saturating_sub(1));
    }

    /// Leaves out every second one of the older half, until there are no more than this.
    pub fn thin(&mut self, most: usize) {
        while self.0.len() > most.max(2) {
            let half = self.0.len() / 2;
            let mut at = 0;
            self.0.retain(|_| {
                at += 1;
                at > half || at % 2 == 1
            });
        }
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<&Anchor> {
        self.0.last()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When a group was committed, in milliseconds: what its timestamp says, within what the anchors around it allow.
    #[must_use]
    pub fn time_of(&self, group: &Group) -> i64 {
        let end = Place {
            file: group.start.file.clone(),
            position: group.end,
        };
        let behind = self.0.partition_point(|anchor| anchor.place() < end);
        let told = i64::from(group.timestamp) * 1000;
        let told = match self.0.get(behind) {
            Some(after) => told.min(after.until),
            None => told,
        };
        match behind.checked_sub(1).and_then(|before| self.0.get(before)) {
            Some(before) => told.max(before.from),
            None => told,
        }
    }
}
