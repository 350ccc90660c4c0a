//! Stands between `rustic_core` and the place of a repository: remembers the first failure, refuses the snapshot after
//! one, ends cancelled operations, counts and paces bytes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};

use crate::error::Failure;
use crate::files::{self, CONFIG, Fail, Files, Part};
use crate::watch::Cancel;

/// What one operation has seen. `rustic_core` drops some errors of files and of writes; none is lost here.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    first: Mutex<Option<Failure>>,
    cancel: Cancel,
    sent: AtomicU64,
    opened: AtomicU64,
}

impl Notes {
    pub(crate) fn new(cancel: Cancel) -> Self {
        Self {
            cancel,
            ..Self::default()
        }
    }

    /// Keeps a failure if it is the first.
    pub(crate) fn keep(&self, failure: Failure) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
    }

    pub(crate) fn take(&self) -> Option<Failure> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Forgets a failure that stands in the operation's result too.
    pub(crate) fn told(&self) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.take_if(|failure| matches!(failure, Failure::Place { reading: true, .. }));
    }

    pub(crate) fn failed(&self) -> bool {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Bytes written to the repository.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// A file was opened to be read.
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// Files that were read.
    pub(crate) fn files_read(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Fails if the caller wants the end.
    pub(crate) fn go_on(&self) -> RusticResult<()> {
        if self.cancel.is_cancelled() {
            self.keep(Failure::Cancelled);
            return Err(RusticError::new(ErrorKind::Other, "cancelled"));
        }
        Ok(())
    }
}

/// A limit of bytes a second in one direction, shared by all operations of a repository.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Instant>,
}

/// The longest wait between two looks at whether the operation was cancelled.
const LOOK: Duration = Duration::from_millis(100);

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits until these bytes may pass.
    fn wait(&self, bytes: u64, notes: &Notes) -> RusticResult<()> {
        let Some(rate) = self.bytes_per_second else {
            return Ok(());
        };
        let takes = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(Instant::now()) + takes;
            *free_at
        };
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            notes.go_on()?;
            thread::sleep(left.min(LOOK));
        }
        Ok(())
    }
}

/// The limits of both directions.
#[derive(Debug)]
pub(crate) struct Paces {
    pub(crate) up: Pace,
    pub(crate) down: Pace,
}

/// The place of a repository as one operation sees it.
#[derive(Debug)]
pub(crate) struct Guard {
    files: Arc<dyn Files>,
    notes: Arc<Notes>,
    paces: Arc<Paces>,
}

impl Guard {
    pub(crate) const fn new(files: Arc<dyn Files>, notes: Arc<Notes>, paces: Arc<Paces>) -> Self {
        Self {
            files,
            notes,
            paces,
        }
    }

    fn noted<T>(
        &self,
        doing: &str,
        reading: bool,
        kind: FileType,
        result: Result<T, Fail>,
    ) -> RusticResult<T> {
        result.map_err(|fail| {
            let doing = format!("{doing} {}", name(kind));
            let told = RusticError::with_source(ErrorKind::Backend, doing.clone(), fail.clone());
            self.notes.keep(Failure::place(doing, reading, fail));
            told
        })
    }

    fn listed(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fail> {
        let cancel = &self.notes.cancel;
        let short = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        if kind == FileType::Config {
            let length = self.files.length(CONFIG, cancel)?;
            return Ok(length
                .map(|length| (Id::default(), short(length)))
                .into_iter()
                .collect());
        }
        let folder = match kind {
            FileType::Pack => "data",
            kind => kind.dirname(),
        };
        let all = self.files.list(folder, cancel)?.into_iter();
        Ok(all
            .filter(|entry| entry.name.len() == 64)
            .filter_map(|entry| Some((entry.name.parse().ok()?, short(entry.size))))
            .collect())
    }
}

const fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::Config => "its configuration",
        FileType::Index => "its index",
        FileType::Key => "its keys",
        FileType::Snapshot => "the list of backups",
        FileType::Pack => "data",
    }
}

impl ReadBackend for Guard {
    fn location(&self) -> String {
        String::new()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.notes.go_on()?;
        self.noted("listing", false, kind, self.listed(kind))
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.notes.go_on()?;
        let path = files::path(kind, id);
        let read = self.files.read(&path, None, &self.notes.cancel);
        let bytes = self.noted("reading", true, kind, read)?;
        self.paces.down.wait(bytes.len() as u64, &self.notes)?;
        Ok(bytes)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.notes.go_on()?;
        self.paces.down.wait(length.into(), &self.notes)?;
        let part = Part {
            offset: offset.into(),
            length: length.into(),
        };
        let path = files::path(kind, id);
        let read = self.files.read(&path, Some(part), &self.notes.cancel);
        self.noted("reading", true, kind, read)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        files::path(kind, id)
    }
}

impl WriteBackend for Guard {
    fn create(&self) -> RusticResult<()> {
        let created = self.files.create(&self.notes.cancel);
        self.noted("creating", false, FileType::Config, created)
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.notes.go_on()?;
        if kind == FileType::Snapshot && self.notes.failed() {
            return Err(RusticError::new(
                ErrorKind::Other,
                "no snapshot is written after a failure",
            ));
        }
        let bytes = content.size() as u64;
        self.paces.up.wait(bytes, &self.notes)?;
        let path = files::path(kind, id);
        let written = self.files.write(&path, content.slice(), &self.notes.cancel);
        self.noted("writing", false, kind, written)?;
        self.notes.sent.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.notes.go_on()?;
        let removed = self
            .files
            .remove(&files::path(kind, id), &self.notes.cancel);
        self.noted("removing from", false, kind, removed)
    }
}
