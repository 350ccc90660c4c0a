//! Restoring a backup's files and reading its documents.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustic_core::LsOptions;
use rustic_core::repofile::{Node, NodeType, SnapshotFile};

use crate::access::{Open, Stop};
use crate::contents;
use crate::error::{self, Error};
use crate::labels::BackupId;
use crate::repository::Repository;
use crate::turns::Usage;
use crate::watch::Watch;

/// The path of the stored directory in a backup.
pub const FILES: &str = "/files";

/// The path of the documents in a backup.
pub const DOCUMENTS: &str = "/documents";

/// Who owns what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The user and group by number that owned it; needs root, unless they are one's own.
    Kept,
    /// One user and group.
    Given {
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
    /// Whoever restores.
    Own,
}

/// What a restore has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl Repository {
    /// Restores a part of a backup, [`FILES`] as a rule, into a directory that is empty or does not exist. When it
    /// returns, every file has its length, mode, owner and time, and is on the disk. Contents are verified by their
    /// hashes.
    ///
    /// # Errors
    ///
    /// If the backup is damaged or missing, or a file cannot be written; then the directory is incomplete.
    pub fn restore(
        &self,
        id: &BackupId,
        part: &str,
        into: &Path,
        owner: Owner,
        watch: &Watch,
    ) -> Result<Restored, Error> {
        let started = Instant::now();
        let lock = self.locks.take(&self.location, Usage::Read, watch)?;
        make_empty(into)?;
        let restored = self.with(watch, |repository, notes| {
            let snapshot = self.snapshot(&repository, id)?;
            let repository = repository.to_indexed()?;
            let node = repository.node_from_snapshot_and_path(&snapshot, part);
            let node = node.map_err(|error| no_part(id, part, &self.location, &error))?;
            let mut target = Target {
                dirs: vec![(into.to_owned(), node.clone())],
                ..Target::default()
            };
            for entry in repository.ls(&node, &LsOptions::default())? {
                let (path, node) = entry?;
                target.make(into.join(path), node)?;
            }
            contents::write(&repository, &target.files, notes, watch)?;
            target.finish(owner)?;
            let bytes = target.files.iter().map(|(_, node)| node.meta.size).sum();
            Ok(Restored {
                files: target.files.len() as u64,
                bytes,
                took: started.elapsed(),
            })
        });
        lock.release();
        restored
    }

    /// Reads one document of a backup.
    ///
    /// # Errors
    ///
    /// If there is no such backup or document, or it is damaged.
    pub fn read_document(&self, id: &BackupId, name: &str) -> Result<Vec<u8>, Error> {
        self.with(&Watch::default(), |repository, _notes| {
            let snapshot = self.snapshot(&repository, id)?;
            let repository = repository.to_indexed()?;
            let path = format!("{DOCUMENTS}/{name}");
            let node = repository.node_from_snapshot_and_path(&snapshot, &path);
            let node = node.map_err(|error| no_part(id, &path, &self.location, &error))?;
            let mut bytes = Vec::new();
            repository.dump(&node, &mut bytes)?;
            Ok(bytes)
        })
    }

    /// The names of a backup's documents.
    ///
    /// # Errors
    ///
    /// If there is no such backup, or it is damaged.
    pub fn documents(&self, id: &BackupId) -> Result<Vec<String>, Error> {
        self.with(&Watch::default(), |repository, _notes| {
            let snapshot = self.snapshot(&repository, id)?;
            let repository = repository.to_indexed()?;
            let top = repository.get_tree(&snapshot.tree)?;
            let Some(tree) = top
                .nodes
                .iter()
                .find(|node| node.name == "documents")
                .and_then(|node| node.subtree)
            else {
                return Ok(Vec::new());
            };
            let nodes = repository.get_tree(&tree)?.nodes;
            Ok(nodes
                .iter()
                .map(|node| node.name().to_string_lossy().into_owned())
                .collect())
        })
    }

    fn snapshot(&self, repository: &Open, id: &BackupId) -> Result<SnapshotFile, Stop> {
        // `rustic_core` has one error for all; so see first whether it is there.
        let wanted: rustic_core::Id = id.as_str().parse()?;
        let there = repository.list::<rustic_core::repofile::SnapshotId>()?;
        if !there.into_iter().any(|found| *found == wanted) {
            return Err(Error::NoBackup {
                location: self.location.clone(),
                id: id.as_str().to_owned(),
            }
            .into());
        }
        Ok(repository.get_snapshot_from_str(id.as_str(), |_| true)?)
    }
}

fn no_part(id: &BackupId, path: &str, location: &str, error: &rustic_core::RusticError) -> Error {
    match error::of_rustic(location, error) {
        Error::Tool { .. } => Error::NoPart {
            id: id.short().to_owned(),
            path: path.to_owned(),
        },
        other => other,
    }
}

pub(crate) fn written(path: &Path, cause: io::Error) -> Error {
    Error::Target {
        path: path.to_owned(),
        cause,
    }
}

fn make_empty(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|cause| written(dir, cause))?;
    let mut entries = fs::read_dir(dir).map_err(|cause| written(dir, cause))?;
    match entries.next() {
        Some(_) => Err(Error::TargetNotEmpty {
            path: dir.to_owned(),
        }),
        None => Ok(()),
    }
}

/// What is being restored.
#[derive(Default)]
struct Target {
    /// Outer before inner.
    dirs: Vec<(PathBuf, Node)>,
    files: Vec<(PathBuf, Node)>,
    links: Vec<(PathBuf, Node)>,
}

impl Target {
    /// Makes a directory or a symlink, and notes a file.
    fn make(&mut self, path: PathBuf, node: Node) -> Result<(), Error> {
        match &node.node_type {
            NodeType::Dir => {
                fs::create_dir(&path).map_err(|cause| written(&path, cause))?;
                self.dirs.push((path, node));
            }
            NodeType::File => self.files.push((path, node)),
            NodeType::Symlink { .. } => {
                symlink(node.node_type.to_link(), &path).map_err(|cause| written(&path, cause))?;
                self.links.push((path, node));
            }
            // Sockets, pipes and devices are made by who needs them.
            _ => {}
        }
        Ok(())
    }

    /// Gives everything its owner, mode and time, and brings it to the disk.
    fn finish(&self, owner: Owner) -> Result<(), Error> {
        // The deepest directories first, and after what is in them: what is done in a directory changes its time.
        let all = self
            .links
            .iter()
            .chain(&self.files)
            .chain(self.dirs.iter().rev());
        for (path, node) in all {
            finish(path, node, owner).map_err(|cause| written(path, cause))?;
        }
        Ok(())
    }
}

fn finish(path: &Path, node: &Node, owner: Owner) -> io::Result<()> {
    let given = match owner {
        Owner::Kept => node.meta.uid.zip(node.meta.gid),
        Owner::Given { uid, gid } => Some((uid, gid)),
        Owner::Own => None,
    };
    if let Some((uid, gid)) = given {
        lchown(path, Some(uid), Some(gid))?;
    }
    if node.is_symlink() {
        return Ok(());
    }
    let file = File::open(path)?;
    if let Some(mode) = node.meta.mode {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
    }
    if let Some(time) = node.meta.mtime {
        file.set_modified(SystemTime::from(time))?;
    }
    file.sync_all()
}
