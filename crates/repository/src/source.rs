//! What is stored: a directory and documents, as `rustic_core` reads them.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::{Metadata as NodeMetadata, Node, NodeType};
use rustic_core::{
    ErrorKind, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
};

use crate::error::Failure;
use crate::guard::Notes;
use crate::restore::{DOCUMENTS, FILES};

/// A small text or other bytes that stand in a backup beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name, without `/`.
    pub name: String,
    /// Its contents.
    pub bytes: Bytes,
}

/// What is stored, listed before the first byte of it is read.
pub(crate) struct Source {
    found: Vec<Found>,
    size: u64,
    notes: Arc<Notes>,
}

#[derive(Clone)]
struct Found {
    path: PathBuf,
    node: Node,
    what: Option<What>,
}

#[derive(Clone)]
enum What {
    File(PathBuf),
    Bytes(Bytes),
}

/// How long before `taken_at` a file must have been written for its time to prove that it is unchanged. A file that was
/// written in the tick of the clock in which the copy was made may be written once more in it.
const DOUBT: SignedDuration = SignedDuration::from_secs(2);

/// How far a time is moved that is to equal no file's.
const CENTURY: SignedDuration = SignedDuration::from_hours(100 * 365 * 24);

/// Bits of Go's `os.FileMode`, in which restic keeps modes.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;

impl Source {
    /// Lists a directory (which becomes `/files`) and documents (which become `/documents`).
    pub(crate) fn list(
        dir: Option<&Path>,
        documents: &[Document],
        taken_at: Timestamp,
        notes: &Arc<Notes>,
    ) -> Result<Self, Failure> {
        let mut source = Self {
            found: Vec::new(),
            size: 0,
            notes: Arc::clone(notes),
        };
        // `rustic_core` wants the entries of every directory sorted by name; so documents come first.
        let mut documents: Vec<_> = documents.iter().collect();
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        for document in documents {
            let meta = NodeMetadata {
                mode: Some(0o600),
                mtime: Some(taken_at),
                // Differs between two backups, so the contents are compared and not this time alone.
                ctime: Some(taken_at),
                size: document.bytes.len() as u64,
                ..NodeMetadata::default()
            };
            let node = Node::new_node(document.name.as_ref(), NodeType::File, meta);
            source.size += document.bytes.len() as u64;
            source.found.push(Found {
                path: Path::new(DOCUMENTS).join(&document.name),
                node,
                what: Some(What::Bytes(document.bytes.clone())),
            });
        }
        if let Some(dir) = dir {
            let seen = fs::metadata(dir).and_then(|meta| fs::read_dir(dir).map(|_| meta));
            let meta = seen.map_err(|cause| Failure::Source {
                path: dir.to_owned(),
                cause,
            })?;
            let node = Node::new_node("files".as_ref(), NodeType::Dir, metadata(&meta, taken_at));
            source.found.push(Found {
                path: FILES.into(),
                node,
                what: None,
            });
            source.walk(dir, Path::new(FILES), taken_at)?;
        }
        Ok(source)
    }

    fn walk(&mut self, dir: &Path, as_path: &Path, taken_at: Timestamp) -> Result<(), Failure> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| Failure::Source { path, cause }
        };
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(unreadable(dir))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let as_path = as_path.join(entry.file_name());
            let meta = entry.metadata().map_err(unreadable(&path))?;
            let kind = meta.file_type();
            let node_type = if kind.is_dir() {
                NodeType::Dir
            } else if kind.is_symlink() {
                NodeType::from_link(&fs::read_link(&path).map_err(unreadable(&path))?)
            } else if kind.is_file() {
                NodeType::File
            } else {
                // A socket or a pipe has no contents, and whoever needs it makes it.
                continue;
            };
            let node = Node::new_node(&entry.file_name(), node_type, metadata(&meta, taken_at));
            let what = kind.is_file().then(|| What::File(path.clone()));
            if kind.is_file() {
                self.size += meta.len();
            }
            self.found.push(Found {
                path: as_path.clone(),
                node,
                what,
            });
            if kind.is_dir() {
                self.walk(&path, &as_path, taken_at)?;
            }
        }
        Ok(())
    }
}

/// What restic keeps of a file. The inode stays out: a copy has another one. The change time is that of the
/// contents, unless these may have changed without it: then it is one that no file has and no other backup gives, so that
/// the next backup reads the file again.
fn metadata(meta: &Metadata, taken_at: Timestamp) -> NodeMetadata {
    let mtime = meta
        .modified()
        .ok()
        .and_then(|time| Timestamp::try_from(time).ok());
    let certain = mtime.is_some_and(|mtime| taken_at.duration_since(mtime) > DOUBT);
    let doubtful = taken_at.checked_sub(CENTURY).ok();
    let kind = meta.file_type();
    let mode = meta.mode() & 0o777;
    let mode = match (kind.is_dir(), kind.is_symlink()) {
        (true, _) => mode | GO_DIR,
        (_, true) => mode | GO_SYMLINK,
        _ => mode,
    };
    NodeMetadata {
        mode: Some(mode),
        mtime,
        atime: mtime,
        ctime: if certain { mtime } else { doubtful },
        uid: Some(meta.uid()),
        gid: Some(meta.gid()),
        size: if kind.is_file() { meta.len() } else { 0 },
        ..NodeMetadata::default()
    }
}

impl ReadSource for Source {
    type Open = Opening;
    type Iter = Box<dyn Iterator<Item = RusticResult<ReadSourceEntry<Opening>>> + Send>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(Some(self.size))
    }

    fn entries(&self) -> Self::Iter {
        let notes = Arc::clone(&self.notes);
        let found = self.found.clone().into_iter();
        Box::new(found.map(move |found| {
            notes.go_on()?;
            let Found { path, node, what } = found;
            let size = node.meta.size;
            let notes = Arc::clone(&notes);
            let open = what.map(|what| Opening { what, size, notes });
            Ok(ReadSourceEntry { path, node, open })
        }))
    }
}

/// A file or document that is about to be read.
pub(crate) struct Opening {
    what: What,
    size: u64,
    notes: Arc<Notes>,
}

impl ReadSourceOpen for Opening {
    type Reader = Box<dyn Read + Send>;

    fn open(self) -> RusticResult<Self::Reader> {
        let Self { what, size, notes } = self;
        match what {
            What::Bytes(bytes) => Ok(Box::new(bytes.reader())),
            What::File(path) => match File::open(&path) {
                Ok(file) => {
                    notes.opened();
                    Ok(Box::new(Whole {
                        file,
                        path,
                        left: size,
                        notes,
                    }))
                }
                Err(cause) => {
                    let told = RusticError::new(ErrorKind::InputOutput, cause.to_string());
                    notes.keep(Failure::Source { path, cause });
                    Err(told)
                }
            },
        }
    }
}

/// A file that has to have exactly the length it was listed with.
struct Whole {
    file: File,
    path: PathBuf,
    left: u64,
    notes: Arc<Notes>,
}

impl Whole {
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.notes.go_on().is_err() {
            return Err(Failure::Cancelled);
        }
        let path = || self.path.clone();
        let read = match self.file.read(buffer) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {
                return self.read_some(buffer);
            }
            read => read.map_err(|cause| Failure::Source {
                path: path(),
                cause,
            })?,
        };
        let early = read == 0 && !buffer.is_empty() && self.left > 0;
        match self.left.checked_sub(read as u64) {
            Some(left) if !early => self.left = left,
            _ => return Err(Failure::Changed { path: path() }),
        }
        Ok(read)
    }
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|failure| {
            let told = io::Error::other(format!("'{}' was not read whole", self.path.display()));
            self.notes.keep(failure);
            told
        })
    }
}
