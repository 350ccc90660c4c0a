//! Name and settings of each database, also in a file beside the files of its instance: `instances/ID.database`.
//!
//! The catalog alone decides. The files are read when it does not know an instance: it was deleted, emptied, replaced, or
//! is an old copy. They are removed before the catalog forgets a database and written after it has learnt of one, and a
//! start writes what a crash has left out. So a database that was dropped is never found again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dormouse_types::InstanceId;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tracing::warn;

use super::columns::{bad, json, parsed};
use super::record::{Change, Manifest, Phase};

/// The files of one data directory.
#[derive(Debug, Clone)]
pub(super) struct Manifests {
    dir: PathBuf,
    /// Names the installation.
    installation: i32,
}

const ENDING: &str = "database";

const QUERY: &str = "SELECT d.name, i.version, i.rights, d.spec, d.branch, d.origin FROM databases d \
                     JOIN instances i ON i.database = d.name AND i.role = 'primary' WHERE i.id = ?1";

impl Manifests {
    pub(super) fn new(data_dir: &Path, installation: i32) -> Self {
        Self {
            dir: data_dir.join("instances"),
            installation,
        }
    }

    /// Removes the files of databases that these changes remove.
    pub(super) fn before(&self, changes: &[Change]) {
        for change in changes {
            if let Change::Moved(moved) = change {
                self.remove(moved.from);
            }
            let (Change::Gone { instance: id, .. }
            | Change::Vacate { instance: id, .. }
            | Change::InstanceGone(id)
            | Change::Instance {
                id,
                phase: Phase::Removing,
                ..
            }) = change
            else {
                continue;
            };
            self.remove(*id);
        }
    }

    fn remove(&self, id: InstanceId) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(instance = %id, %error, "cannot remove the file with its name and settings");
            }
            _ => {}
        }
    }

    /// Writes the files of databases that these changes, which are committed, have changed.
    pub(super) fn after(
        &self,
        connection: &Connection,
        changes: &[Change],
    ) -> rusqlite::Result<()> {
        let mut touched = BTreeSet::new();
        for change in changes {
            match change {
                Change::Claim(row) => touched.extend([row.instance]),
                Change::Moved(moved) => touched.extend([moved.to]),
                Change::Rights { instance, .. } => touched.extend([*instance]),
                Change::Spec { name, .. } | Change::Rename { to: name, .. } => {
                    let id = connection
                        .prepare_cached(
                            "SELECT id FROM instances WHERE database = ?1 AND role = 'primary'",
                        )?
                        .query_row([name.as_str()], |row| row.get(0))
                        .optional()?;
                    touched.extend(id.map(InstanceId));
                }
                _ => {}
            }
        }
        touched
            .into_iter()
            .try_for_each(|id| self.write(connection, id))
    }

    /// Writes the file of an instance, if it has a database and the file says something else.
    pub(super) fn write(&self, connection: &Connection, id: InstanceId) -> rusqlite::Result<()> {
        let manifest = connection
            .prepare_cached(QUERY)?
            .query_row([id.0], |row| self.read_row(row))
            .optional()?;
        let Some(manifest) = manifest else {
            return Ok(());
        };
        let text = serde_json::to_string(&manifest).map_err(|e| bad(3, e.into()))?;
        let path = self.path(id);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        if let Err(error) = write_file(&path, &text) {
            warn!(instance = %id, %error, "cannot write the file with its name and settings");
        }
        Ok(())
    }

    fn read_row(&self, row: &Row<'_>) -> rusqlite::Result<Manifest> {
        let branch: Option<String> = row.get(4)?;
        Ok(Manifest {
            catalog: self.installation,
            name: parsed(row, 0)?,
            version: row.get(1)?,
            rights: row.get(2)?,
            spec: json(row, 3)?,
            branch: branch.map(|_| json(row, 4)).transpose()?,
            origin: row.get::<_, Option<u32>>(5)?.map(InstanceId),
        })
    }

    fn path(&self, id: InstanceId) -> PathBuf {
        self.dir.join(format!("{id}.{ENDING}"))
    }
}

/// All that can be read in a data directory.
pub(super) fn found(data_dir: &Path) -> Vec<(InstanceId, Manifest)> {
    let Ok(entries) = fs::read_dir(data_dir.join("instances")) else {
        return Vec::new();
    };
    let mut all: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let is_one = path.extension().is_some_and(|ending| ending == ENDING);
            let id = path.file_stem()?.to_str()?.parse().ok().map(InstanceId);
            let id = id.filter(|_| is_one)?;
            let text = fs::read_to_string(&path).ok()?;
            match serde_json::from_str(&text) {
                Ok(manifest) => Some((id, manifest)),
                Err(error) => {
                    warn!(path = %path.display(), %error, "cannot read it");
                    None
                }
            }
        })
        .collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

/// Writes a file beside those of an instance, as a whole or not at all.
pub(super) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    let unfinished = path.with_added_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(unfinished, path)
}
