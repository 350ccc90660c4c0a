//! The data roots: directories of instances, usually one on each disk.
//!
//! The first is the data directory, which is always there. The instances of a root are in `ROOT/instances/ID`, with what stands
//! beside them. A root has a file that names its installation ([`MARKER`]), which an empty mount point has not: nothing is
//! made there. The first root remembers the other ones ([`KNOWN`]), and of each instance elsewhere where it is
//! (`instances/ID.root`), so that the files of a missing disk are missed by name. Where that disagrees with what is found, what
//! is found holds.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_driver::{Disk, Error, Place, Root as Offered};
use dormouse_engine::Layout;
use dormouse_types::{Bytes, InstanceId};
use tracing::warn;

use super::{SetupError, files, machine};
use crate::owner::Owners;

/// File of a root with the fingerprint of its installation.
const MARKER: &str = ".dormouse-root";

/// Directory of instances in a root.
const INSTANCES: &str = "instances";

/// File in the first root's directory of instances: the other roots that were ever used, a line each.
const KNOWN: &str = "known-roots";

/// Ending of the file, in the same directory, that says in which other root an instance is.
const ELSEWHERE: &str = "root";

/// All roots.
#[derive(Debug)]
pub(super) struct Roots {
    /// Names the installation.
    mark: String,
    owners: Owners,
    /// The first one first.
    all: Vec<Root>,
    /// The root of each instance that was found or made.
    found: Mutex<HashMap<InstanceId, usize>>,
}

#[derive(Debug)]
struct Root {
    dir: PathBuf,
    instances: PathBuf,
    /// Whether its instances were looked at since it was missing last.
    is_open: AtomicBool,
}

impl Roots {
    /// The directory of instances `first`, and the other roots. Makes those that were never used, and removes what a crash
    /// left incomplete.
    ///
    /// # Errors
    /// The first, or one that was never used, cannot be used.
    pub(super) fn open(
        first: &Path,
        others: &[PathBuf],
        mark: String,
        owners: Owners,
    ) -> Result<Self, SetupError> {
        files::make_root(first).map_err(setup("creating the directory", first))?;
        owners.let_through(first)?;
        // checks the longest possible instance path
        Layout::new(first.join(u32::MAX.to_string()))?;
        let root = |dir: PathBuf, instances: PathBuf| Root {
            dir,
            instances,
            is_open: AtomicBool::new(false),
        };
        let parent = first.parent().unwrap_or(first).to_owned();
        let mut all = vec![root(parent, first.to_owned())];
        for dir in others {
            let instances = dir.join(INSTANCES);
            Layout::new(instances.join(u32::MAX.to_string()))?;
            all.push(root(dir.clone(), instances));
        }
        let roots = Self {
            mark,
            owners,
            all,
            found: Mutex::default(),
        };
        roots.make_new(others)?;
        for index in 0..roots.all.len() {
            match roots.usable(index) {
                Ok(_) => {}
                Err(Unusable::Missing(reason)) => {
                    let dir = roots.all.get(index).map(|root| root.dir.display());
                    warn!(dir = ?dir.map(|dir| dir.to_string()), reason, "a data root cannot be used");
                }
                Err(Unusable::Setup(error)) => return Err(error),
            }
        }
        Ok(roots)
    }

    /// Makes the roots that were never used, and remembers them.
    fn make_new(&self, others: &[PathBuf]) -> Result<(), SetupError> {
        let Some(first) = self.all.first() else {
            return Ok(());
        };
        let path = first.instances.join(KNOWN);
        let mut known = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(setup("reading", &path))?,
        };
        let before = known.len();
        for dir in others {
            let text = dir.to_string_lossy();
            if known.lines().any(|line| line == text) {
                continue;
            }
            let marker = dir.join(MARKER);
            if !marker.exists() {
                files::make_root(dir).map_err(setup("making the data root", dir))?;
                let written = write(&marker, &format!("{}\n", self.mark));
                written.map_err(setup("writing in the data root", dir))?;
            }
            known.push_str(&format!("{text}\n"));
        }
        if known.len() != before {
            write(&path, &known).map_err(setup("writing", &path))?;
        }
        Ok(())
    }

    /// A root that can be used now. One that has come back is looked at.
    fn usable(&self, index: usize) -> Result<&Root, Unusable> {
        let Some(root) = self.all.get(index) else {
            return Err(Unusable::Missing("it does not exist".to_owned()));
        };
        if index > 0 {
            let marked = self.marked(root);
            if let Err(reason) = marked {
                root.is_open.store(false, Ordering::SeqCst);
                return Err(Unusable::Missing(reason));
            }
        }
        if root.is_open.load(Ordering::SeqCst) {
            return Ok(root);
        }
        // one looks, and removes what is incomplete, before anybody makes something there
        let mut found = self.found();
        if !root.is_open.load(Ordering::SeqCst) {
            let there = self.look(root)?;
            for id in there {
                let other = found.insert(id, index).filter(|other| *other != index);
                if other.is_some() {
                    warn!(instance = %id, dir = %root.dir.display(), "its files are in two data roots");
                }
            }
            root.is_open.store(true, Ordering::SeqCst);
        }
        Ok(root)
    }

    /// Checks that a root is that of this installation.
    fn marked(&self, root: &Root) -> Result<(), String> {
        match fs::read_to_string(root.dir.join(MARKER)) {
            Ok(text) if text.trim() == self.mark => Ok(()),
            Ok(_) => Err(format!(
                "its file {MARKER} says that it belongs to another installation of Dormouse"
            )),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(format!(
                "it has no file {MARKER}, so its disk is probably not mounted: mount it. If the disk is lost for good, \
                 restore its databases from backups, and use another directory"
            )),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Prepares a root, and lists its instances.
    fn look(&self, root: &Root) -> Result<Vec<InstanceId>, SetupError> {
        let dir = &root.instances;
        files::make_root(dir).map_err(setup("creating the directory", dir))?;
        self.owners.let_through(dir)?;
        files::sweep(dir).map_err(setup("removing incomplete files in", dir))?;
        files::list(dir).map_err(setup("listing", dir))
    }

    /// The layout of an instance, whether it has files or not.
    pub(super) fn layout(&self, id: InstanceId) -> Result<Layout, Error> {
        let known = self.found().get(&id).copied();
        let index = match known {
            Some(index) => index,
            None => self.told(id)?,
        };
        let root = self.usable(index);
        let root = root.map_err(|error| self.away(id, index, error.reason()))?;
        Layout::new(root.instances.join(id.to_string())).map_err(machine)
    }

    /// The root in which an instance should be that was not found.
    fn told(&self, id: InstanceId) -> Result<usize, Error> {
        let Some(dir) = self.elsewhere(id) else {
            return Ok(0);
        };
        let Some(index) = self.index(&dir) else {
            return Err(Error::Away {
                id,
                root: dir,
                reason: "it is none of data_dirs in the configuration: add it".to_owned(),
            });
        };
        // its instances may be looked at only now
        let _ = self.usable(index);
        Ok(self.found().get(&id).copied().unwrap_or(index))
    }

    fn away(&self, id: InstanceId, index: usize, reason: String) -> Error {
        let root = self.all.get(index).map(|root| root.dir.clone());
        Error::Away {
            id,
            root: root.unwrap_or_default(),
            reason,
        }
    }

    /// Gives a new instance its root: the one of the place, or else that of `like`. One that has files keeps its root.
    pub(super) fn assign(
        &self,
        id: InstanceId,
        place: &Place,
        like: Option<InstanceId>,
    ) -> Result<Layout, Error> {
        if self.found().contains_key(&id) {
            return self.layout(id);
        }
        let index = match (&place.root, like) {
            (Some(dir), _) => self.index(dir).ok_or_else(|| Error::Machine {
                doing: format!("making instance {id} in {}", dir.display()),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    "it is none of data_dirs in the configuration",
                ),
            })?,
            (None, Some(like)) => self.found().get(&like).copied().unwrap_or(0),
            (None, None) => 0,
        };
        let root = self.usable(index);
        let root = root.map_err(|error| self.away(id, index, error.reason()))?;
        if index > 0 {
            let told = self.pointer(id).map_or(Ok(()), |path| {
                write(&path, &format!("{}\n", root.dir.display()))
            });
            told.map_err(|source| Error::Machine {
                doing: format!("noting that instance {id} is in {}", root.dir.display()),
                source,
            })?;
        }
        self.found().insert(id, index);
        Layout::new(root.instances.join(id.to_string())).map_err(machine)
    }

    /// Forgets an instance whose files are gone.
    pub(super) fn forget(&self, id: InstanceId) -> io::Result<()> {
        self.found().remove(&id);
        self.pointer(id)
            .map_or(Ok(()), |path| files::if_there(fs::remove_file(path)))
    }

    /// The instances that have files; those on disks that are missing are told.
    pub(super) fn list(&self) -> io::Result<Vec<InstanceId>> {
        let mut all = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for index in 0..self.all.len() {
            match self.usable(index) {
                Ok(root) => all.extend(files::list(&root.instances)?),
                Err(Unusable::Missing(_)) => {
                    missing.extend(self.all.get(index).map(|root| root.dir.clone()));
                }
                Err(Unusable::Setup(error)) => return Err(io::Error::other(error)),
            }
        }
        let first = self.all.first().map(|root| root.instances.as_path());
        for entry in fs::read_dir(first.unwrap_or(Path::new("/")))? {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != ELSEWHERE) {
                continue;
            }
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            let id = number.map(InstanceId);
            let lost = |id: &InstanceId| {
                let dir = self.elsewhere(*id);
                dir.is_some_and(|dir| missing.contains(&dir) || self.index(&dir).is_none())
            };
            all.extend(id.filter(lost));
        }
        Ok(all.into_iter().collect())
    }

    /// The roots for new instances.
    pub(super) fn offer(&self) -> Vec<Offered> {
        let of = |(index, root): (usize, &Root)| Offered {
            dir: root.dir.clone(),
            disk: match self.usable(index) {
                Ok(root) => disk(&root.instances).map_err(|error| error.to_string()),
                Err(error) => Err(error.reason()),
            },
        };
        self.all.iter().enumerate().map(of).collect()
    }

    /// The root of an instance.
    pub(super) fn of(&self, id: InstanceId) -> Option<PathBuf> {
        let found = self.found().get(&id).copied();
        match found {
            Some(index) => self.all.get(index).map(|root| root.dir.clone()),
            None => self.elsewhere(id),
        }
    }

    /// The directories of instances that can be used.
    pub(super) fn directories(&self) -> Vec<&Path> {
        let usable = |index| Some(self.usable(index).ok()?.instances.as_path());
        (0..self.all.len()).filter_map(usable).collect()
    }

    /// Those that cannot be used, and why, for whoever runs Dormouse.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = |offered: Offered| {
            let reason = offered.disk.err()?;
            let dir = offered.dir.display();
            Some(format!(
                "the databases in {dir} cannot be started: {reason}"
            ))
        };
        self.offer().into_iter().filter_map(missing).collect()
    }

    fn index(&self, dir: &Path) -> Option<usize> {
        self.all.iter().position(|root| root.dir == dir)
    }

    fn pointer(&self, id: InstanceId) -> Option<PathBuf> {
        let first = self.all.first()?;
        Some(first.instances.join(format!("{id}.{ELSEWHERE}")))
    }

    /// In which other root an instance is, as the first one remembers.
    fn elsewhere(&self, id: InstanceId) -> Option<PathBuf> {
        let text = fs::read_to_string(self.pointer(id)?).ok()?;
        Some(PathBuf::from(text.strip_suffix('\n').unwrap_or(&text)))
    }

    fn found(&self) -> MutexGuard<'_, HashMap<InstanceId, usize>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a root cannot be used.
enum Unusable {
    /// It is not there.
    Missing(String),
    /// It is there, and the system refuses something.
    Setup(SetupError),
}

impl Unusable {
    fn reason(self) -> String {
        match self {
            Self::Missing(reason) => reason,
            Self::Setup(error) => error.to_string(),
        }
    }
}

impl From<SetupError> for Unusable {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

fn setup(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let doing = format!("{doing} {}", path.display());
    move |source| SetupError::Io { doing, source }
}

pub(super) fn disk(dir: &Path) -> io::Result<Disk> {
    let disk = rustix::fs::statvfs(dir)?;
    // as df(1): what the file system reserves is neither used nor free
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let size = used.saturating_add(disk.f_bavail);
    Ok(Disk {
        free: Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)),
        size: Bytes(size.saturating_mul(disk.f_frsize)),
    })
}

/// Writes a file, durably, as a whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_added_extension("unfinished");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests;
