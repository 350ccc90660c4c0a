//! Writes the contents of restored files, several parts at once.
//!
//! `rustic_core` has a restore too; its threads panic at the first error of the disk or of the repository.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

use rustic_core::repofile::{BlobType, Node};
use rustic_core::{BlobId, DataId, IndexedFull, Repository};
use sha2::{Digest as _, Sha256};

use crate::access::Stop;
use crate::error::Error;
use crate::guard::Notes;
use crate::restore::written;
use crate::watch::{Progress, Watch};

/// How many threads read: reading from another host is mostly waiting.
const THREADS: usize = 8;

/// How many chunks a thread writes before it closes the file.
const CHUNKS: usize = 64;

/// Some chunks of one file in a row.
struct Part<'a> {
    path: &'a Path,
    offset: u64,
    chunks: &'a [DataId],
}

/// Creates the files and writes what is in them.
pub(crate) fn write<S: IndexedFull + Sync>(
    repository: &Repository<S>,
    files: &[(PathBuf, Node)],
    notes: &Notes,
    watch: &Watch,
) -> Result<(), Stop> {
    let mut parts = Vec::new();
    for (path, node) in files {
        let chunks = node.content.as_deref().unwrap_or_default();
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        made.and_then(|file| file.set_len(node.meta.size))
            .map_err(|cause| written(path, cause))?;
        let mut offset = 0;
        for chunks in chunks.chunks(CHUNKS) {
            parts.push(Part {
                path,
                offset,
                chunks,
            });
            for id in chunks {
                offset += u64::from(repository.get_index_entry(id)?.data_length());
            }
        }
        if offset != node.meta.size {
            let cause = format!(
                "'{}' has {offset} bytes instead of {}",
                path.display(),
                node.meta.size
            );
            return Err(Stop::Damaged(cause));
        }
    }
    let writer = Writer {
        repository,
        parts,
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        done: AtomicU64::new(0),
        total: files.iter().map(|(_, node)| node.meta.size).sum(),
        notes,
        watch,
    };
    writer.tell(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(writer.parts.len()))
            .map(|_| scope.spawn(|| writer.run()))
            .collect();
        let mut result = Ok(());
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(ended);
        }
        result
    })
}

struct Writer<'a, S> {
    repository: &'a Repository<S>,
    parts: Vec<Part<'a>>,
    next: AtomicUsize,
    failed: AtomicBool,
    done: AtomicU64,
    total: u64,
    notes: &'a Notes,
    watch: &'a Watch,
}

impl<S: IndexedFull + Sync> Writer<'_, S> {
    fn run(&self) -> Result<(), Stop> {
        while let Some(part) = self
            .parts
            .get(self.next.fetch_add(1, Relaxed))
            .filter(|_| !self.failed.load(Relaxed))
        {
            if let Err(stop) = self.part(part) {
                self.failed.store(true, Relaxed);
                return Err(stop);
            }
        }
        Ok(())
    }

    fn part(&self, part: &Part<'_>) -> Result<(), Stop> {
        let failed = |cause: io::Error| -> Error { written(part.path, cause) };
        let file: File = OpenOptions::new()
            .write(true)
            .open(part.path)
            .map_err(failed)?;
        let mut offset = part.offset;
        for id in part.chunks {
            self.notes.go_on()?;
            let bytes = self
                .repository
                .get_blob_cached(&BlobId::from(**id), BlobType::Data)?;
            if rustic_core::Id::new(Sha256::digest(&bytes).into()) != **id {
                return Err(Stop::Damaged(format!(
                    "chunk {id} of '{}' has other contents",
                    part.path.display()
                )));
            }
            // What is not written is zero: the file has its length already.
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_all_at(&bytes, offset).map_err(failed)?;
            }
            offset += bytes.len() as u64;
            self.tell(bytes.len() as u64);
        }
        Ok(())
    }

    fn tell(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Relaxed) + bytes;
        if let Some(tell) = &self.watch.progress {
            tell(Progress {
                done,
                total: self.total,
            });
        }
    }
}
