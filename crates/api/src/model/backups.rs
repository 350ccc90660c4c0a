//! Backups.

use dormouse_types::{Bytes, DatabaseName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A backup in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id: 64 hexadecimal digits, those of restic's snapshot.
    pub id: String,
    /// The database.
    pub database: DatabaseName,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// Bytes that were added to the repository for it, compressed.
    pub new: Bytes,
    /// Why it was made: `schedule` or `operator`.
    pub reason: Option<String>,
    /// The server's version.
    pub version: Option<String>,
}

/// Request of `POST /v1/databases/NAME/backups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackUpRequest {
    /// Whether it is made although nothing has changed since the last one.
    pub always: bool,
}

/// Answer of `POST /v1/databases/NAME/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// The database.
    pub database: DatabaseName,
    /// Id of the backup.
    pub id: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// What was made; `None`: the database has slept since this backup.
    pub made: Option<MadeBackup>,
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBackup {
    /// Bytes of its files.
    pub size: Bytes,
    /// Bytes that were sent to the repository for it.
    pub new: Bytes,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How long the server stood still, in milliseconds.
    pub frozen_ms: u64,
}

/// Which backup: of `POST /v1/databases/NAME/restore` and `POST /v1/databases/NAME/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreRequest {
    /// The beginning of its id; `None`: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The new database; `None`: in the place of the one that was backed up. Not for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<DatabaseName>,
    /// A time of its history, instead of a backup: what was committed before it. `2026-11-29 14:03:07`, or with an
    /// offset. Not for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// A transaction of its history, instead of a backup: what was committed before it. Not for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// Query of `GET /v1/databases/NAME/history`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryQuery {
    /// A regular expression for the texts of statements and the names of tables.
    pub grep: Option<String>,
}

/// Answer of `GET /v1/databases/NAME/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Whether the database keeps its history; absent if it was dropped.
    pub is_on: Option<bool>,
    /// The times to which it can be restored.
    pub ranges: Vec<HistoryRange>,
    /// The transactions that were searched for, oldest first.
    pub found: Vec<HistoryEntry>,
    /// Whether there are more, older ones.
    pub is_cut: bool,
}

/// Times to which a database can be restored, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRange {
    /// The oldest.
    pub from: Timestamp,
    /// The newest.
    pub until: Timestamp,
    /// Bytes of its logs in the repository.
    pub size: Bytes,
    /// Whether it goes on.
    pub is_live: bool,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it was committed, as far as its client tells the truth.
    pub at: Timestamp,
    /// Its id.
    pub gtid: String,
    /// The tables whose rows it changes.
    pub tables: Vec<String>,
    /// The texts of its statements.
    pub text: String,
    /// The command that restores what was before it.
    pub restore: String,
}

/// A database that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its name.
    pub name: DatabaseName,
    /// The database that was backed up.
    pub of: DatabaseName,
    /// Id of the backup.
    pub backup: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// The name under which the database is kept in whose place it stands.
    pub kept: Option<DatabaseName>,
}

/// A backup that was restored for a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The database.
    pub database: DatabaseName,
    /// Id of the backup.
    pub backup: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// Tables that are damaged, as `schema.table: reason`; empty if all are good.
    pub damaged: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Request of `POST /v1/backups/check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckRequest {
    /// Share of the data that is read, in percent.
    pub percent: u8,
}

/// What a check of the repository has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Damage: backups that need it cannot be restored whole.
    pub faults: Vec<String>,
    /// What is unusual and harmless.
    pub remarks: Vec<String>,
}

/// Request of `POST /v1/backups/prune`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PruneRequest {
    /// Whether data is removed at once, not a day later; nothing else may store meanwhile.
    pub at_once: bool,
}

/// What a prune has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedBackups {
    /// Backups that no rule keeps.
    pub forgotten: u64,
    /// Bytes that are gone.
    pub removed: Bytes,
    /// Bytes that a later prune removes.
    pub marked: Bytes,
}

/// Request of `POST /v1/backups/keys`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddKeyRequest {
    /// The new key.
    pub key: String,
    /// What it is for.
    pub note: String,
}

/// Without the key.
impl std::fmt::Debug for AddKeyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddKeyRequest")
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

/// A key of the repository, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryKey {
    /// Its id.
    pub id: String,
    /// The host on which it was made.
    pub host: Option<String>,
    /// What it is for.
    pub note: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether Dormouse uses it.
    pub in_use: bool,
}

/// Work on backups that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningBackup {
    /// The database.
    pub database: DatabaseName,
    /// What is done: `backup`, `restore`, `verify`.
    pub doing: String,
    /// Since when.
    pub since: Timestamp,
    /// Bytes done.
    pub done: Bytes,
    /// Bytes in all; 0 while that is not known.
    pub total: Bytes,
    /// What it waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}
