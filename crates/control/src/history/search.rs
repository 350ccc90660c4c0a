//! What a history has: its times, and transactions by their text.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use dormouse_binlog::{Group, Search};
use dormouse_types::{Bytes, DatabaseName};
use jiff::Timestamp;

use super::files::{keys, read};
use super::line::Line;
use super::recover::{read_back, timelines};
use super::state::Scope;
use crate::backups::vault::blocking;
use crate::create::Creator;
use crate::error::Error;

/// Most transactions that a search returns: the newest.
const FOUND_MOST: usize = 1000;

/// Most bytes of a text that are returned.
const TEXT_MOST: usize = 1000;

/// Times to which a database can be restored, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The oldest.
    pub from: Timestamp,
    /// The newest.
    pub until: Timestamp,
    /// Bytes of the archives.
    pub size: Bytes,
    /// Whether it goes on: the database's log is part of it.
    pub is_live: bool,
}

/// What a history has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whether the database keeps its history; `None`: there is no such database any more.
    pub is_on: Option<bool>,
    /// The times there are.
    pub ranges: Vec<Range>,
    /// The transactions that were searched for, oldest first.
    pub found: Vec<Found>,
    /// Whether there are more, older ones.
    pub is_cut: bool,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When it was committed, as far as its client tells the truth.
    pub at: Timestamp,
    /// Its id.
    pub gtid: String,
    /// The tables whose rows it changes.
    pub tables: Vec<String>,
    /// The texts of its statements, as far as they are short.
    pub text: String,
}

/// What the history of a database has, and the transactions in it that a regular expression finds in their texts or
/// in the names of their tables.
pub(crate) async fn history(
    creator: &Creator,
    name: &DatabaseName,
    expression: Option<&str>,
    scope: Scope,
) -> Result<Reading, Error> {
    let search = expression.map(Search::new).transpose();
    let search = search.map_err(Error::Invalid)?;
    let database = creator.context.registry.find(name);
    let mut reading = Reading {
        is_on: database.map(|database| database.spec().history),
        ranges: Vec::new(),
        found: Vec::new(),
        is_cut: false,
    };
    let timelines = timelines(creator, name, scope).await?;
    if timelines.is_empty() && reading.is_on.is_none() {
        return Err(Error::NotFound(name.clone()));
    }
    for line in Line::all(&timelines) {
        if let Some((from, until)) = line.range() {
            let archives = line.0.iter().flat_map(|timeline| &timeline.archives);
            reading.ranges.push(Range {
                from,
                until,
                size: Bytes(archives.map(|archive| archive.size).sum()),
                is_live: line.is_live(),
            });
        }
    }
    let mut seen = BTreeSet::new();
    for timeline in timelines {
        let Some(search) = search.clone() else {
            break;
        };
        let fetched = read_back(creator, &timeline.archives, None).await?;
        let found = blocking(move || {
            let keys = keys(fetched.ring.as_ref());
            let mut found = Vec::new();
            for (file, path) in &fetched.files {
                read(file, path, &keys, |group| {
                    if search.finds(&group) {
                        found.push(shown(&group, fetched.anchors.time_of(&group)));
                    }
                    ControlFlow::Continue(())
                })?;
            }
            Ok(found)
        });
        // timelines that go on from one another have some in common
        let new = found.await?.into_iter();
        let new = new.filter(|found| seen.insert(found.gtid.clone()));
        reading.found.extend(new);
    }
    let over = reading.found.len().saturating_sub(FOUND_MOST);
    reading.is_cut = over > 0;
    reading.found.drain(..over);
    Ok(reading)
}

fn shown(group: &Group, time: i64) -> Found {
    let mut text = group.texts.join("; ");
    if let Some((at, _)) = text.char_indices().nth(TEXT_MOST) {
        text.truncate(at);
        text.push('…');
    }
    Found {
        at: Timestamp::from_millisecond(time).unwrap_or(Timestamp::UNIX_EPOCH),
        gtid: group.gtid.to_string(),
        tables: group.tables.iter().map(ToString::to_string).collect(),
        text,
    }
}
