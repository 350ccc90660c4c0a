//! What is known of histories, shared by those who store and read them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_binlog::{Anchors, Gtid, Name, Place};
use dormouse_engine::Version;
use dormouse_repository::{Backup, BackupId};
use dormouse_types::{InstanceId, Series};
use jiff::Timestamp;

use crate::backups::state::KIND;

/// Label value of an archive.
pub(crate) const HISTORY: &str = "history";
/// Labels of an archive, and of a backup of files that belongs to a timeline: the base of the log's files.
pub(crate) const BASE: &str = "base";
/// Labels of an archive: its first and its last file, and up to when all changes are in it.
pub(crate) const FIRST: &str = "first";
pub(crate) const LAST: &str = "last";
/// Label of an archive: the first transaction in its log.
pub(crate) const BEGINS: &str = "begins";
/// Label of a backup of files that belongs to a timeline: where they stand in the log.
pub(crate) const POSITION: &str = "position";

/// Name of the document with the anchors.
pub(crate) const ANCHORS: &str = "anchors.json";
/// Name of the document that says when each file was begun.
pub(crate) const BEGAN: &str = "began.json";
/// Name of the document with the keys.
pub(crate) const KEYS: &str = "keys.json";

/// Whose history is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// That of every database that has had the name.
    Name,
    /// That of the database that has the name now.
    Present,
}

/// Which point of a history a database is to be restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// A time: what was committed before it. `2026-11-29 14:03:07`, in the time zone of the configuration, or with an
    /// offset (`2026-11-29T14:03:07+01:00`).
    At(String),
    /// Before the transaction with this GTID.
    Before(String),
}

/// The histories of all databases.
pub(crate) struct Histories {
    /// How often the log of a database that is awake is stored.
    pub(crate) every: Duration,
    slots: Mutex<BTreeMap<InstanceId, Slot>>,
}

/// One database's, which is changed by one at a time.
pub(crate) type Slot = Arc<tokio::sync::Mutex<State>>;

/// When each file of a log was begun, in seconds since 1970: `RESET MASTER` uses the same names again.
pub(crate) type Began = BTreeMap<String, u32>;

/// What is known of the archives of an instance.
#[derive(Default)]
pub(crate) struct State {
    /// The timeline that the rest is about.
    pub(crate) base: String,
    /// The newest archive.
    pub(crate) newest: Option<BackupId>,
    /// The files in it, with their lengths.
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) anchors: Anchors,
    /// When each file in it was begun.
    pub(crate) began: Began,
    /// Everything that was written before is in the archives.
    pub(crate) complete: Option<Timestamp>,
    /// The last attempt failed, and it was told.
    pub(crate) failed: bool,
    /// The log was ended by somebody else: it has a gap.
    pub(crate) broken: bool,
}

impl Histories {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            slots: Mutex::default(),
        }
    }

    /// What is known of an instance.
    pub(crate) fn slot(&self, instance: InstanceId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(instance).or_default())
    }

    /// Forgets instances that no database has.
    pub(crate) fn retain(&self, there: impl Fn(InstanceId) -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|id, _| there(*id));
    }
}

/// An archive in the repository.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    pub(crate) id: BackupId,
    pub(crate) instance: InstanceId,
    pub(crate) first: Name,
    pub(crate) last: Name,
    pub(crate) stored_at: Timestamp,
    pub(crate) size: u64,
    /// The first transaction in it.
    pub(crate) begins: Option<Gtid>,
    /// The server that wrote it.
    pub(crate) series: Option<Series>,
}

impl Archive {
    /// Reads a backup's labels; `None` if it is no archive.
    pub(crate) fn read(backup: &Backup) -> Option<Self> {
        let label = |name: &str| backup.labels.more.get(name);
        let kind = label(KIND).filter(|_| backup.own);
        if kind.is_none_or(|kind| kind != HISTORY) {
            return None;
        }
        Some(Self {
            id: backup.id.clone(),
            instance: backup.labels.instance?,
            first: Name::new(label(FIRST)?)?,
            last: Name::new(label(LAST)?)?,
            stored_at: backup.labels.taken_at,
            size: backup.size,
            begins: label(BEGINS).and_then(|gtid| gtid.parse().ok()),
            series: { backup.labels.version.as_deref() }
                .and_then(Version::from_text)
                .map(|version| version.series()),
        })
    }
}

/// Where the files of a backup stand in the log, if they belong to a timeline.
pub(crate) fn position_of(backup: &Backup) -> Option<Place> {
    let (file, position) = backup.labels.more.get(POSITION)?.rsplit_once(':')?;
    Some(Place {
        file: Name::new(file)?,
        position: position.parse().ok()?,
    })
}

/// The timeline to which a backup belongs.
pub(crate) fn base_of(backup: &Backup) -> Option<&str> {
    backup.labels.more.get(BASE).map(String::as_str)
}
