//! Checks the pages of a copy's InnoDB files.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::doublewrite::Doublewrite;
use crate::file::{BLOCK, THREADS, fill};
use crate::pages::{Format, HEAD, LARGEST, identity};

/// Size of the parts of a file that threads check at the same time; a multiple of all sizes of pages.
const PART: u64 = 64 * BLOCK as u64;

/// Most damaged pages of a part that are noted.
const NOTED: usize = 100;

/// Pages of one file whose checksums are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, below the directory that was copied.
    pub file: PathBuf,
    /// The first of the pages, counted from 0.
    pub page: u64,
    /// How many there are, at least.
    pub pages: u64,
}

/// Whether a file has pages of InnoDB's, by its name. Later files of a system tablespace do not tell their format.
pub(crate) fn has_pages(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let number = name.strip_prefix("undo").unwrap_or_default();
    name == "ibdata1"
        || name.ends_with(".ibd")
        || number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why a check could not be done.
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The damage in these files of a directory to which nobody writes, by their names. A page of which the doublewrite buffer has what
/// recovery will put in its place is not damaged.
pub(crate) fn damage(dir: &Path, mut files: Vec<&Path>) -> Result<Vec<Damage>, Unread> {
    files.sort_unstable();
    let parts = parts(dir, &files)?;
    let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found = Mutex::new(Ok(Vec::new()));
    let worker = || {
        let mut buffer = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let bad = part.bad_pages(&mut buffer);
            let Ok(mut found) = found.lock() else { return };
            match (&mut *found, bad) {
                (Ok(all), Ok(bad)) => all.extend(bad.into_iter().map(|page| (part, page))),
                (found, Err(error)) => {
                    *found = Err(part.unread(error));
                    ended.store(true, Ordering::Relaxed);
                }
                (Err(_), Ok(_)) => {}
            }
        }
    };
    let available = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..available.min(THREADS) {
            scope.spawn(worker);
        }
        worker();
    });
    let mut found = found.into_inner().unwrap_or_else(|e| e.into_inner())?;
    found.sort_unstable_by_key(|(part, page)| (part.name, *page));
    unrecoverable(dir, found)
}

/// What of these pages a recovery cannot repair, by file.
fn unrecoverable(dir: &Path, found: Vec<(&Part<'_>, u64)>) -> Result<Vec<Damage>, Unread> {
    let mut damage: Vec<Damage> = Vec::new();
    if found.is_empty() {
        return Ok(damage);
    }
    let doublewrite = Doublewrite::read(dir);
    for (part, page) in found {
        let repaired = part.format.is_some_and(|format| {
            let space = part.space().unwrap_or(None);
            space.is_some_and(|space| doublewrite.repairs(space, page, format))
        });
        match damage.last_mut() {
            _ if repaired => {}
            Some(last) if last.file == part.name => last.pages += 1,
            _ => damage.push(Damage {
                file: part.name.to_owned(),
                page,
                pages: 1,
            }),
        }
    }
    Ok(damage)
}

/// A part of a file.
struct Part<'a> {
    name: &'a Path,
    path: PathBuf,
    /// `None`: its first page says nothing that can be.
    format: Option<Format>,
    bytes: Range<u64>,
    /// Pages that belong to the doublewrite buffer.
    skipped: Range<u64>,
}

/// What there is to check.
fn parts<'a>(dir: &Path, files: &[&'a Path]) -> Result<Vec<Part<'a>>, Unread> {
    let mut parts = Vec::new();
    for name in files {
        let path = dir.join(name);
        let unread = |source| Unread {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(unread)?;
        let len = file.metadata().map_err(unread)?.len();
        let mut head = Vec::new();
        let read = fill(&file, &mut head, 0, HEAD).map_err(unread)?;
        let head = head.get(..read).unwrap_or_default();
        if read < HEAD || head.iter().all(|byte| *byte == 0) {
            // a file that was just made: recovery writes its first page
            continue;
        }
        let format = Format::of(head);
        let size = format.map_or(LARGEST, Format::page) as u64;
        let skipped = match name.file_name().is_some_and(|name| name == "ibdata1") {
            true => Doublewrite::pages(&file, format),
            false => 0..0,
        };
        // a page in part at the end is one that was being added
        let len = len - len % size;
        let mut from = 0;
        while from < len || from == 0 {
            parts.push(Part {
                name,
                path: path.clone(),
                format,
                bytes: from..len.min(from + PART),
                skipped: skipped.clone(),
            });
            from += PART;
        }
    }
    Ok(parts)
}

impl Part<'_> {
    fn bad_pages(&self, buffer: &mut Vec<u8>) -> io::Result<Vec<u64>> {
        let mut bad = Vec::new();
        let Some(format) = self.format else {
            return Ok(Vec::from_iter((self.bytes.start == 0).then_some(0)));
        };
        let file = File::open(&self.path)?;
        let mut at = self.bytes.start;
        while at < self.bytes.end && bad.len() < NOTED {
            let want = usize::try_from(self.bytes.end - at).unwrap_or(BLOCK);
            let read = fill(&file, buffer, at, want.min(BLOCK))?;
            let pages = buffer.get(..read).unwrap_or_default();
            for (page, number) in pages.chunks(format.page()).zip(at / format.page() as u64..) {
                if !self.skipped.contains(&number) && !is_right(page, number, format) {
                    bad.push(number);
                }
            }
            if read < format.page() {
                break;
            }
            at += read as u64;
        }
        Ok(bad)
    }

    /// The number of the tablespace; `None` if the file has no first page.
    fn space(&self) -> io::Result<Option<u32>> {
        let mut head = Vec::new();
        let read = fill(&File::open(&self.path)?, &mut head, 0, HEAD)?;
        Ok(identity(head.get(..read).unwrap_or_default()).map(|(space, _)| space))
    }

    fn unread(&self, source: io::Error) -> Unread {
        Unread {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether a page is sound and stands where it belongs.
fn is_right(page: &[u8], number: u64, format: Format) -> bool {
    // a page that was never filled has no number
    let here = |(space, own)| u64::from(own) == number || (space, own) == (0, 0);
    format.is_sound(page) && identity(page).is_some_and(here)
}

#[cfg(test)]
mod tests;
