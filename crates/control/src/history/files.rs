//! Reading logs back from the repository.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dormouse_binlog::{Anchors, End, Group, Gtid, Keys, Name, Place};
use dormouse_engine::PlainRing;
use dormouse_repository::{Error as RepositoryError, FILES, Owner, Repository, Watch};

use super::state::{ANCHORS, Archive, BASE, KEYS, POSITION};
use crate::error::Error;

/// A log in files of this machine, which are removed with it.
pub(crate) struct Fetched {
    dir: PathBuf,
    /// Its files without a gap.
    pub(crate) files: BTreeMap<Name, PathBuf>,
    pub(crate) anchors: Anchors,
    /// The keys of its files, if they are encrypted.
    pub(crate) ring: Option<PlainRing>,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // the next start removes what is left
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Name of the directory for logs that were read back, in the one for logs.
pub(crate) const FETCHED: &str = "fetched";

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Reads the files of a timeline from this one on, or all, from its archives. Blocks.
pub(crate) fn fetch(
    repository: &Repository,
    data_dir: &Path,
    archives: &[Archive],
    from: Option<&Name>,
) -> Result<Fetched, Error> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = data_dir
        .join("history")
        .join(FETCHED)
        .join(number.to_string());
    let machine = |doing: &str| {
        let doing = format!("{doing} {}", dir.display());
        move |error: std::io::Error| Error::Machine {
            doing,
            reason: error.to_string(),
        }
    };
    let clean = || match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    clean().map_err(machine("removing"))?;
    let made = DirBuilder::new().mode(0o700).recursive(true).create(&dir);
    made.map_err(machine("making"))?;
    let mut fetched = Fetched {
        dir: dir.clone(),
        files: BTreeMap::new(),
        anchors: Anchors::default(),
        ring: None,
    };
    let mut archives: Vec<&Archive> = archives.iter().collect();
    // of a file that several have, the newest has the most
    archives.sort_by_key(|archive| std::cmp::Reverse(archive.stored_at));
    for archive in archives {
        let wanted = |name: &Name| from.is_none_or(|from| name >= from);
        let lowest = fetched.files.keys().next();
        if !wanted(&archive.last) || lowest.is_some_and(|lowest| *lowest <= archive.first) {
            continue;
        }
        let into = dir.join(archive.id.short());
        repository.restore(&archive.id, FILES, &into, Owner::Own, &Watch::default())?;
        for entry in fs::read_dir(&into).map_err(machine("reading"))? {
            let entry = entry.map_err(machine("reading"))?;
            let name = entry.file_name().to_str().and_then(Name::new);
            if let Some(name) = name.filter(wanted) {
                fetched.files.entry(name).or_insert_with(|| entry.path());
            }
        }
        let document = |name: &str| repository.read_document(&archive.id, name);
        let anchors: Anchors = parse(ANCHORS, &document(ANCHORS)?)?;
        fetched.anchors.merge(anchors);
        match document(KEYS) {
            Ok(text) => {
                let ring: PlainRing = parse(KEYS, &text)?;
                fetched.ring = Some(match fetched.ring.take() {
                    Some(newer) => newer.with_older(&ring),
                    None => ring,
                });
            }
            Err(RepositoryError::NoBackup { .. }) => {}
            // an archive of a database that is not encrypted has no such document
            Err(_) if !has(repository, archive, KEYS)? => {}
            Err(error) => return Err(error.into()),
        }
    }
    check(&fetched.files)?;
    Ok(fetched)
}

fn has(repository: &Repository, archive: &Archive, name: &str) -> Result<bool, Error> {
    let all = repository.documents(&archive.id)?;
    Ok(all.iter().any(|document| document == name))
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error::Machine {
        doing: format!("reading the document {name} of an archive"),
        reason: error.to_string(),
    })
}

/// No file may be missing in between.
fn check(files: &BTreeMap<Name, PathBuf>) -> Result<(), Error> {
    let gap = files
        .keys()
        .zip(files.keys().skip(1))
        .find(|(name, next)| !name.is_followed_by(next));
    match gap {
        None => Ok(()),
        Some((name, next)) => Err(Error::Invalid(format!(
            "the history has a gap between {name} and {next}: restore to a time before, or from a later backup"
        ))),
    }
}

/// The keys for reading a log.
pub(crate) fn keys(ring: Option<&PlainRing>) -> Keys {
    let mut keys = Keys::none();
    for (version, key) in ring.into_iter().flat_map(PlainRing::keys) {
        keys.add(version, key);
    }
    keys
}

/// Passes over the groups of one file. Blocks.
pub(crate) fn read(
    name: &Name,
    path: &Path,
    keys: &Keys,
    each: impl FnMut(Group) -> ControlFlow<()>,
) -> Result<End, Error> {
    let file = File::open(path).map_err(|error| Error::Machine {
        doing: format!("reading {}", path.display()),
        reason: error.to_string(),
    })?;
    dormouse_binlog::read(name, BufReader::new(file), keys, each).map_err(|fault| Error::Machine {
        doing: "reading the history".to_owned(),
        reason: fault.to_string(),
    })
}

/// Where files of a server stand in its log: at the end of the last whole group. Blocks.
pub(crate) fn stands_at(logs: &Path, keys: &Keys) -> Result<Place, Error> {
    // the last one may have been made and not begun
    for (name, path) in files_in(logs)?.into_iter().rev() {
        let end = read(&name, &path, keys, |_| ControlFlow::Continue(()))?;
        if end.whole > 0 {
            return Ok(Place {
                file: name,
                position: end.whole,
            });
        }
    }
    Err(Error::Invalid("the backup has no log".to_owned()))
}

/// The last transaction in the log of a server's files. Blocks.
pub(crate) fn last_in(logs: &Path, keys: &Keys) -> Result<Option<Gtid>, Error> {
    for (name, path) in files_in(logs)?.into_iter().rev() {
        let mut last = None;
        read(&name, &path, keys, |group| {
            last = Some(group.gtid);
            ControlFlow::Continue(())
        })?;
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// The first transaction in the log of a server's files. Blocks.
pub(crate) fn first_in(logs: &Path, keys: &Keys) -> Result<Option<Gtid>, Error> {
    for (name, path) in files_in(logs)? {
        let mut first = None;
        read(&name, &path, keys, |group| {
            first = Some(group.gtid);
            ControlFlow::Break(())
        })?;
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}

/// The files of a log.
fn files_in(logs: &Path) -> Result<BTreeMap<Name, PathBuf>, Error> {
    let list = || -> io::Result<BTreeMap<Name, PathBuf>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(logs)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(Name::new);
            files.extend(name.map(|name| (name, entry.path())));
        }
        Ok(files)
    };
    list().map_err(|error| Error::Machine {
        doing: format!("reading {}", logs.display()),
        reason: error.to_string(),
    })
}

/// Labels of a backup of these files that belong to a timeline: its base, and where they stand in its log; none if the
/// server keeps no history. Blocks.
pub(crate) fn labels_of(
    root: &Path,
    ring: Option<&PlainRing>,
) -> Result<Vec<(&'static str, String)>, Error> {
    let base = dormouse_engine::history::base(root).map_err(|error| Error::Machine {
        doing: format!("reading the binary log in {}", root.display()),
        reason: error.to_string(),
    })?;
    let Some(base) = base else {
        return Ok(Vec::new());
    };
    let logs = root.join(dormouse_engine::history::LOGS);
    let at = stands_at(&logs, &keys(ring))?;
    Ok(vec![(BASE, base), (POSITION, at.to_string())])
}
