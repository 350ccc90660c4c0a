//! What a backup is called, and how that stands in a snapshot of restic's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use dormouse_types::{DatabaseName, InstanceId};
use jiff::Timestamp;
use rustic_core::repofile::SnapshotFile;

/// The id of one backup: 64 hexadecimal digits, restic's id of the snapshot. Its first 8 are shown.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupId(String);

impl BackupId {
    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits, as restic shows them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

/// Why a text is no backup's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a backup's id: it has 64 hexadecimal digits")]
pub struct InvalidBackupId(String);

impl FromStr for BackupId {
    type Err = InvalidBackupId;

    fn from_str(text: &str) -> Result<Self, InvalidBackupId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBackupId(text.to_owned()))
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupId({})", self.short())
    }
}

/// What the caller says of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The database, if it is one's; it becomes the snapshot's host. None for documents about the installation.
    pub database: Option<DatabaseName>,
    /// The instance whose files these are.
    pub instance: Option<InstanceId>,
    /// The server's version.
    pub version: Option<String>,
    /// The moment whose state the files have: when the server was frozen or had stopped.
    pub taken_at: Timestamp,
    /// Why it was made: `schedule`, `manual`, ….
    pub reason: Option<String>,
    /// Anything else.
    pub more: BTreeMap<String, String>,
}

impl Labels {
    /// Labels with a database and a time, and nothing else.
    #[must_use]
    pub fn new(database: DatabaseName, taken_at: Timestamp) -> Self {
        Self {
            database: Some(database),
            ..Self::of_installation(taken_at)
        }
    }

    /// Labels of a backup that belongs to no database.
    #[must_use]
    pub fn of_installation(taken_at: Timestamp) -> Self {
        Self {
            database: None,
            instance: None,
            version: None,
            taken_at,
            reason: None,
            more: BTreeMap::new(),
        }
    }

    /// The snapshot's host: what restic groups by.
    pub(crate) fn host(&self) -> &str {
        self.database
            .as_ref()
            .map_or(INSTALLATION, DatabaseName::as_str)
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        let mut tags = vec![tag(MARK, "1")];
        let own = [
            ("database", self.database.as_ref().map(ToString::to_string)),
            ("instance", self.instance.as_ref().map(ToString::to_string)),
            ("version", self.version.clone()),
            ("reason", self.reason.clone()),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some(tag(name, &value?)));
        tags.extend(own);
        tags.extend(
            self.more
                .iter()
                .map(|(name, value)| tag(&format!("{MORE}{name}"), value)),
        );
        tags
    }

    /// Reads the tags of a snapshot; those that others have set are left out.
    fn read(snapshot: &SnapshotFile) -> Self {
        let mut labels = Self::of_installation(snapshot.time.timestamp());
        for (name, value) in snapshot.tags.iter().filter_map(|tag| split(tag)) {
            match name.as_str() {
                "database" => labels.database = value.parse().ok(),
                "instance" => labels.instance = value.parse().ok().map(InstanceId),
                "version" => labels.version = Some(value),
                "reason" => labels.reason = Some(value),
                _ => {
                    if let Some(name) = name.strip_prefix(MORE) {
                        labels.more.insert(name.to_owned(), value);
                    }
                }
            }
        }
        labels
    }
}

/// The tag that tells a snapshot of Dormouse's from others; its value is the version of the layout.
const MARK: &str = "dormouse";

/// Stands before the names of free labels, so none can be taken for another tag.
const MORE: &str = "x-";

/// The host of snapshots that belong to no database; no database's name, since it has a dot.
const INSTALLATION: &str = "dormouse.installation";

/// restic separates tags by commas, so these and `%`, and `=` in names, are written as `%` and two digits.
fn tag(name: &str, value: &str) -> String {
    let escape = |text: &str, also: char| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c == ',' || c == '%' || c == also || c.is_ascii_control() {
                out.push_str(&format!("%{:02x}", u32::from(c)));
            } else {
                out.push(c);
            }
        }
        out
    };
    format!("{}={}", escape(name, '='), escape(value, ','))
}

fn split(tag: &str) -> Option<(String, String)> {
    let read = |text: &str| {
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let code = part
                .get(..2)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())?;
            out.push(char::from(code));
            out.push_str(&part[2..]);
        }
        Some(out)
    };
    let (name, value) = tag.split_once('=')?;
    Some((read(name)?, read(value)?))
}

/// One backup as it stands in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// What was said of it.
    pub labels: Labels,
    /// Bytes of its files and documents.
    pub size: u64,
    /// Files and documents.
    pub files: u64,
    /// Bytes that were added to the repository for it, compressed and encrypted.
    pub new_bytes: u64,
    /// Whether this program wrote it. Snapshots of `restic` have no such trees as ours, and no sizes before restic 0.17.
    pub own: bool,
}

impl Backup {
    pub(crate) fn read(snapshot: &SnapshotFile) -> Self {
        let labels = Labels::read(snapshot);
        let (size, files, new_bytes) = snapshot.summary.as_ref().map_or((0, 0, 0), |summary| {
            (
                summary.total_bytes_processed,
                summary.total_files_processed,
                summary.data_added_packed,
            )
        });
        let own = snapshot
            .tags
            .iter()
            .any(|tag| split(tag).is_some_and(|(name, _)| name == MARK));
        Self {
            id: BackupId(snapshot.id.into_inner().to_hex().as_str().to_owned()),
            labels,
            size,
            files,
            new_bytes,
            own,
        }
    }
}

/// Which backups are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// All, also those of other programs.
    #[default]
    All,
    /// Those of one database.
    Database(DatabaseName),
    /// Those of the installation.
    Installation,
}

impl Filter {
    pub(crate) fn takes(&self, backup: &Backup) -> bool {
        match self {
            Self::All => true,
            Self::Database(name) => backup.own && backup.labels.database.as_ref() == Some(name),
            Self::Installation => backup.own && backup.labels.database.is_none(),
        }
    }
}

#[cfg(test)]
mod tests;
