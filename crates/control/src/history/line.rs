//! The timelines of a database, and which of them go on from one another.
//!
//! A database that goes over to an instance which followed the one before has a log there that begins before that: with the
//! transactions that it got from the other one, under their own GTIDs. A GTID has the id of the server that wrote it first, and
//! that is different for each timeline, so the first one of a log says from which timeline it goes on.

use dormouse_binlog::Gtid;
use dormouse_engine::history::server_of;
use dormouse_repository::Backup;
use dormouse_types::{InstanceId, Series};
use jiff::Timestamp;

use super::state::Archive;

/// A timeline of a database in the repository.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub(crate) instance: InstanceId,
    pub(crate) base: String,
    pub(crate) archives: Vec<Archive>,
    /// Its backups of files, oldest first.
    pub(crate) backups: Vec<Backup>,
    /// Up to when it is known; `None`: up to its last archive.
    pub(crate) complete: Option<Timestamp>,
}

impl Timeline {
    /// Up to when it is known.
    fn until(&self) -> Option<Timestamp> {
        let stored = self.archives.iter().map(|archive| archive.stored_at);
        let last = stored.max()?;
        Some(self.complete.unwrap_or(last))
    }

    /// The first transaction in its log.
    fn begins(&self) -> Option<Gtid> {
        let first = self.archives.iter().map(|archive| &archive.first).min()?;
        let with_it = self.archives.iter().filter(|one| one.first == *first);
        with_it.filter_map(|archive| archive.begins).min()
    }

    fn series(&self) -> Option<Series> {
        self.archives.iter().find_map(|archive| archive.series)
    }

    /// Whether it goes on from this one, and a server that has that one's files can apply its log.
    fn goes_on_from(&self, before: &Self) -> bool {
        let server = self.begins().map(|gtid| gtid.server);
        self.instance == before.instance
            && self.base != before.base
            && self.series() == before.series()
            && server == Some(server_of(&before.base))
    }
}

/// Timelines that go on from one another, oldest first: a log without a gap.
#[derive(Debug, Clone)]
pub(crate) struct Line(pub(crate) Vec<Timeline>);

impl Line {
    /// The lines of these timelines, oldest first. Each timeline is in one that begins as early as possible; one from which
    /// another goes on is no line of its own.
    pub(crate) fn all(timelines: &[Timeline]) -> Vec<Self> {
        let goes_on =
            |timeline: &&Timeline| timelines.iter().any(|next| next.goes_on_from(timeline));
        let last = timelines.iter().filter(|timeline| !goes_on(timeline));
        let mut lines: Vec<Self> = last.map(|last| Self::up_to(last, timelines)).collect();
        lines.sort_by_key(Self::range);
        lines
    }

    /// The line that ends with this timeline.
    pub(crate) fn up_to(last: &Timeline, timelines: &[Timeline]) -> Self {
        let mut line = vec![last.clone()];
        while let Some(before) = { line.last() }.and_then(|first| {
            let mut all = timelines.iter();
            all.find(|other| {
                first.goes_on_from(other) && line.iter().all(|there| there.base != other.base)
            })
        }) {
            line.push(before.clone());
        }
        line.reverse();
        Self(line)
    }

    /// The times there are.
    pub(crate) fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let backups = self.0.iter().flat_map(|timeline| &timeline.backups);
        let from = backups.map(|backup| backup.labels.taken_at).min()?;
        Some((from, self.0.last()?.until()?))
    }

    /// Whether it goes on: the database's log is part of it.
    pub(crate) fn is_live(&self) -> bool {
        self.0.last().is_some_and(|last| last.complete.is_some())
    }

    /// Its newest backup that is as wanted, and the part of the line that begins with the backup's timeline.
    pub(crate) fn newest(mut self, is_wanted: impl Fn(&Backup) -> bool) -> Option<(Backup, Self)> {
        let (at, backup) = { self.0.iter().enumerate().rev() }.find_map(|(at, timeline)| {
            let backup = timeline.backups.iter().rev().find(|one| is_wanted(one));
            Some((at, backup?.clone()))
        })?;
        Some((backup, Self(self.0.split_off(at))))
    }
}
