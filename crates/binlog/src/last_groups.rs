//! What each connection wrote last.
//!
//! A connection runs one statement after another. So if it was answered for all but the last one, which was sent when the log
//! was written up to a [`Position`], a group of its behind that is the last statement's, and if there is none, the statement
//! has committed nothing.

use std::collections::HashMap;

use crate::group::{Group, Gtid};
use crate::position::Position;

/// The last group of each connection in a part of a log.
#[derive(Debug, Clone, Default)]
pub struct LastGroups {
    of: HashMap<u32, Last>,
    /// The last one of which the log does not tell who wrote it.
    unnamed: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    gtid: Gtid,
    has_xid: bool,
}

/// What a connection has written behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing.
    Nothing,
    /// A transaction of the engine, which has committed.
    Committed,
    /// That does not stand in the log: who wrote a group, or whether what it tells is all that was done.
    Unclear,
}

impl LastGroups {
    /// Notes the next group.
    pub fn note(&mut self, group: &Group) {
        let last = Last {
            gtid: group.gtid,
            has_xid: group.has_xid,
        };
        match group.connection {
            Some(connection) => {
                self.of.insert(connection, last);
            }
            None => self.unnamed = Some(last),
        }
    }

    /// Adds a part of the log that stands before this one.
    pub fn add_earlier(&mut self, earlier: Self) {
        for (connection, last) in earlier.of {
            self.of.entry(connection).or_insert(last);
        }
        self.unnamed = self.unnamed.or(earlier.unnamed);
    }

    /// What a connection has written behind a position. `None`: the position at which its last statement was sent is not
    /// known, but stands in this part of the log.
    #[must_use]
    pub fn written(&self, connection: u32, behind: Option<&Position>) -> Written {
        let is_behind = |last: &&Last| behind.is_none_or(|position| position.is_before(last.gtid));
        if self.unnamed.as_ref().is_some_and(|last| is_behind(&last)) {
            return Written::Unclear;
        }
        match self.of.get(&connection).filter(is_behind) {
            None => Written::Nothing,
            Some(last) if last.has_xid && behind.is_some() => Written::Committed,
            Some(_) => Written::Unclear,
        }
    }
}

#[cfg(test)]
mod tests;
