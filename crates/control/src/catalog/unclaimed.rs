//! A mark beside the files of each instance that no database has: `instances/ID.unclaimed`, which names the installation.
//!
//! It tells the files of a warm server from those of a database if the catalog is lost. It is written when an instance gets
//! its id and when its removal begins, each time after the catalog knows, and removed, durably, before a database claims
//! the instance. So the files of a database have none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dormouse_types::InstanceId;
use tracing::warn;

use super::manifest::write_file;
use super::record::{Change, InstanceRow, Phase};

/// The marks in one data directory.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    dir: PathBuf,
    /// Names the installation.
    installation: i32,
}

const ENDING: &str = "unclaimed";

impl Marks {
    pub(super) fn new(data_dir: &Path, installation: i32) -> Self {
        Self {
            dir: data_dir.join("instances"),
            installation,
        }
    }

    /// The marked instances, and what their marks name.
    pub(super) fn found(data_dir: &Path) -> Vec<(InstanceId, i32)> {
        let Ok(entries) = fs::read_dir(data_dir.join("instances")) else {
            return Vec::new();
        };
        let marked = |path: PathBuf| {
            let id = path.file_stem()?.to_str()?.parse().ok().map(InstanceId);
            let id = id.filter(|_| path.extension().is_some_and(|ending| ending == ENDING))?;
            let text = fs::read_to_string(&path).ok()?;
            Some((id, text.trim().parse().ok()?))
        };
        { entries.flatten() }
            .filter_map(|entry| marked(entry.path()))
            .collect()
    }

    /// Marks instances that a crash, or a former version, has not marked.
    pub(super) fn complete(&self, instances: &[InstanceRow]) {
        for row in instances {
            let unclaimed = matches!(row.phase, Phase::Preparing | Phase::Warm | Phase::Removing);
            if unclaimed && row.serves.is_none() {
                self.mark(row.id);
            }
        }
    }

    /// Marks an instance.
    pub(super) fn mark(&self, id: InstanceId) {
        let path = self.path(id);
        if path.exists() {
            return;
        }
        // without it the files are only left alone if the catalog is lost
        if let Err(error) = write_file(&path, &format!("{}\n", self.installation)) {
            warn!(instance = %id, %error, "cannot mark it as one that no database has");
        }
    }

    /// Removes the marks of instances that databases claim by these changes.
    pub(super) fn before(&self, changes: &[Change]) -> io::Result<()> {
        for change in changes {
            let claimed = match change {
                Change::Claim(row) => row.instance,
                Change::Moved(moved) => moved.to,
                Change::Replica { instance, .. } => *instance,
                _ => continue,
            };
            if self.unmark(claimed)? {
                fs::File::open(&self.dir)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Follows changes that are committed.
    pub(super) fn after(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Instance {
                    id,
                    phase: Phase::Removing,
                    ..
                }
                | Change::Vacate { instance: id, .. } => self.mark(*id),
                Change::InstanceGone(id) | Change::Gone { instance: id, .. } => {
                    if let Err(error) = self.unmark(*id) {
                        warn!(instance = %id, %error, "cannot remove the mark of an instance that is gone");
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns whether there was a mark.
    fn unmark(&self, id: InstanceId) -> io::Result<bool> {
        match fs::remove_file(self.path(id)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, id: InstanceId) -> PathBuf {
        self.dir.join(format!("{id}.{ENDING}"))
    }
}
