//! A copy in passes.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::check::{Damage, damage, has_pages};
use crate::file::{BLOCK, Pace, THREADS, create, share, update};
use crate::tree::{Root, Stamp, sync};

/// A file that was written so shortly before a pass is copied again by the next one: the clock of file times ticks
/// only some hundred times a second.
const YOUNG: Duration = Duration::from_secs(1);

/// Longest tick of the clock of file times.
const TICK: Duration = Duration::from_millis(20);

/// Size of the parts of a file that threads copy at the same time.
const PART: u64 = 64 * BLOCK as u64;

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pass was ended: its deadline has passed, or it was cancelled.
    #[error("the copy was not complete in time")]
    Late,
    /// Pages of a data file have wrong checksums, and what recovers a crash cannot repair them.
    #[error(
        "page {} of {} has a wrong checksum ({} pages of this file)", .0.page, .0.file.display(), .0.pages
    )]
    Damaged(Damage),
    /// The system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// When a pass ends although it is not complete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stop<'a> {
    /// At this time.
    pub at: Option<Instant>,
    /// When this becomes true.
    pub when: Option<&'a AtomicBool>,
}

impl Stop<'_> {
    fn is_now(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
            || self.when.is_some_and(|when| when.load(Ordering::Relaxed))
    }
}

/// A copy of a directory that is being made.
#[derive(Debug)]
pub struct Copy {
    from: Root,
    to: PathBuf,
    shares: bool,
    /// Files as they were before they were copied last.
    copied: HashMap<PathBuf, Stamp>,
    /// Directories as the last pass has seen them.
    directories: Vec<(PathBuf, Stamp)>,
}

/// What a complete copy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Bytes that the last pass wrote.
    pub written: u64,
    /// Whether the copy shares its blocks with the source.
    pub shared: bool,
}

impl Copy {
    /// A copy of the directory `from` in the new directory `to`, to which nobody else has access. `shares`: the file
    /// system [shares blocks](crate::shares_blocks).
    ///
    /// # Errors
    /// `from` cannot be read, or `to` cannot be made.
    pub fn new(from: &Path, to: &Path, shares: bool) -> Result<Self, Error> {
        let root = Root::open(from).map_err(Error::io(format!("opening {}", from.display())))?;
        private_dir(to)?;
        Ok(Self {
            from: root,
            to: to.to_owned(),
            shares,
            copied: HashMap::new(),
            directories: Vec::new(),
        })
    }

    /// Copies what has changed since the last pass, or everything in the first one; without what `skip` names, which
    /// gets paths below the directory. If nothing is written to the source meanwhile, the copy is then equal to it.
    ///
    /// # Errors
    /// [`Error::Late`] as `stop` says; [`Error::Io`] of the system, such as a full disk.
    pub fn pass(&mut self, skip: &dyn Fn(&Path) -> bool, stop: Stop<'_>) -> Result<Copied, Error> {
        self.pass_at(Pace::Full, skip, stop)
    }

    /// Copies as [`Self::pass`], and leaves a third of the disk's time, and most of its queue, to a server that runs.
    ///
    /// # Errors
    /// [`Error::Io`] of the system, such as a full disk.
    pub fn pass_gently(&mut self, skip: &dyn Fn(&Path) -> bool) -> Result<Copied, Error> {
        self.pass_at(Pace::Gentle, skip, Stop::default())
    }

    fn pass_at(
        &mut self,
        pace: Pace,
        skip: &dyn Fn(&Path) -> bool,
        stop: Stop<'_>,
    ) -> Result<Copied, Error> {
        let began = since_1970(SystemTime::now());
        let listing = format!("listing {}", self.from.path().display());
        let tree = self.from.walk(skip).map_err(Error::io(listing))?;
        for (dir, _) in &tree.directories {
            private_dir(&self.to.join(dir))?;
        }
        let mut jobs = Vec::new();
        let mut present = HashMap::with_capacity(tree.files.len());
        let (mut bytes, mut count) = (0, 0);
        for path in tree.files {
            let reading = || format!("opening {}", self.from.path().join(&path).display());
            let opened = self.from.file(&path).map_err(|e| Error::io(reading())(e))?;
            let Some((source, stamp)) = opened else {
                continue;
            };
            bytes += stamp.len;
            count += 1;
            let young = stamp.modified.max(stamp.changed) + nanos(YOUNG) > began;
            if young || self.copied.get(&path) != Some(&stamp) {
                jobs.push(Job::new(source, stamp, self.to.join(&path))?);
            }
            present.insert(path, stamp);
        }
        self.remove_missing(&present)?;
        let written = run(&jobs, self.shares, (pace, stop))?;
        for job in &jobs {
            set_time(&job.target, &job.path, job.stamp)?;
        }
        outlast(present.values().map(|stamp| stamp.modified).max());
        self.copied = present;
        self.directories = tree.directories;
        Ok(Copied {
            files: count,
            bytes,
            written,
            shared: self.shares,
        })
    }

    /// Removes what an earlier pass has copied and the source no longer has.
    fn remove_missing(&self, present: &HashMap<PathBuf, Stamp>) -> Result<(), Error> {
        for path in self
            .copied
            .keys()
            .filter(|path| !present.contains_key(*path))
        {
            let path = self.to.join(path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("removing {}", path.display()))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks the checksums of the pages of InnoDB's files in the copy. A page may be wrong because a write to it was under way
    /// when the copy was made: the next pass copies its file again.
    ///
    /// # Errors
    /// [`Error::Damaged`] for the first file with damaged pages; [`Error::Io`] if the copy cannot be read.
    pub fn check(&mut self) -> Result<(), Error> {
        let files = self.copied.keys().map(PathBuf::as_path);
        let found = damaged(&self.to, files)?;
        for damage in &found {
            self.copied.remove(&damage.file);
        }
        match found.into_iter().next() {
            Some(damage) => Err(Error::Damaged(damage)),
            None => Ok(()),
        }
    }

    /// Gives the directories their times, and makes the copy durable.
    ///
    /// # Errors
    /// The system could not write it.
    pub fn finish(self) -> Result<(), Error> {
        for (dir, stamp) in &self.directories {
            let path = self.to.join(dir);
            let opened = File::open(&path);
            let opened = opened.map_err(Error::io(format!("opening {}", path.display())))?;
            set_time(&opened, &path, *stamp)?;
        }
        sync(&self.to).map_err(Error::io(format!(
            "writing {} to the disk",
            self.to.display()
        )))
    }
}

/// Checks the checksums of the pages of InnoDB's files below a directory to which nobody writes.
///
/// # Errors
/// [`Error::Damaged`] for the first file with damaged pages; [`Error::Io`] if the directory cannot be read.
pub fn check(dir: &Path) -> Result<(), Error> {
    let listed = Root::open(dir).and_then(|root| root.walk(&|_| false));
    let tree = listed.map_err(Error::io(format!("listing {}", dir.display())))?;
    match damaged(dir, tree.files.iter().map(PathBuf::as_path))?
        .into_iter()
        .next()
    {
        Some(damage) => Err(Error::Damaged(damage)),
        None => Ok(()),
    }
}

fn damaged<'a>(dir: &Path, files: impl Iterator<Item = &'a Path>) -> Result<Vec<Damage>, Error> {
    damage(dir, files.filter(|path| has_pages(path)).collect())
        .map_err(|unread| Error::io(format!("checking {}", unread.path.display()))(unread.source))
}

fn private_dir(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io(format!(
            "making the directory {}",
            path.display()
        ))(error)),
        _ => Ok(()),
    }
}

/// Gives a file of the copy the time of change of its original.
fn set_time(file: &File, path: &Path, stamp: Stamp) -> Result<(), Error> {
    let set = file.set_modified(time_of(stamp.modified));
    set.map_err(Error::io(format!("setting the time of {}", path.display())))
}

/// Waits until a file that is written from now on gets another time of change than `youngest`. So two copies of a file
/// that differ have different times.
fn outlast(youngest: Option<i128>) {
    let until = Instant::now() + TICK;
    while youngest.is_some_and(|youngest| coarse_now() <= youngest) && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The clock of file times.
fn coarse_now() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

fn time_of(nanos: i128) -> SystemTime {
    let distance = u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX);
    let distance = Duration::from_nanos(distance);
    let time = match nanos < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    time.unwrap_or(UNIX_EPOCH)
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn since_1970(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

/// A file to be copied.
struct Job {
    source: File,
    target: File,
    path: PathBuf,
    stamp: Stamp,
    /// The next part that no thread has taken.
    next: AtomicU64,
}

impl Job {
    fn new(source: File, stamp: Stamp, path: PathBuf) -> Result<Self, Error> {
        let making = || format!("making {}", path.display());
        let target = create(&path).map_err(|e| Error::io(making())(e))?;
        Ok(Self {
            source,
            target,
            path,
            stamp,
            next: AtomicU64::new(0),
        })
    }

    /// Copies parts until none is left; returns the bytes written.
    fn work(
        &self,
        shares: bool,
        (pace, stop): (Pace, Stop<'_>),
        buffers: &mut [Vec<u8>; 2],
    ) -> io::Result<Option<u64>> {
        let len = self.stamp.len;
        let mut written = 0;
        loop {
            if stop.is_now() {
                return Ok(None);
            }
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            let from = part.saturating_mul(PART);
            if from >= len && part > 0 {
                return Ok(Some(written));
            }
            if part == 0 {
                if shares && share(&self.source, &self.target) {
                    self.next.store(u64::MAX / PART, Ordering::Relaxed);
                    self.target.set_len(len)?;
                    return Ok(Some(0));
                }
                // it may have been longer, and holes at its end have no block
                self.target.set_len(len)?;
            }
            written += update(
                &self.source,
                &self.target,
                from,
                len.min(from + PART),
                (buffers, pace),
            )?;
        }
    }
}

/// Copies all files with some threads; returns the bytes written.
fn run(jobs: &[Job], shares: bool, how: (Pace, Stop<'_>)) -> Result<u64, Error> {
    let (next, written) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let ended = AtomicBool::new(false);
    let fail = |error| {
        ended.store(true, Ordering::Relaxed);
        if let Ok(mut failure) = failure.lock() {
            failure.get_or_insert(error);
        }
    };
    let worker = || {
        let mut buffers = [Vec::new(), Vec::new()];
        while !ended.load(Ordering::Relaxed) {
            // a thread that finds no file left helps with those that others have begun
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at).or_else(|| jobs.get(at % jobs.len().max(1))) else {
                return;
            };
            if at >= 2 * jobs.len() {
                return;
            }
            match job.work(shares, how, &mut buffers) {
                Ok(Some(bytes)) => {
                    written.fetch_add(bytes, Ordering::Relaxed);
                }
                Ok(None) => fail(Error::Late),
                Err(source) => fail(Error::io(format!("copying to {}", job.path.display()))(
                    source,
                )),
            }
        }
    };
    let threads = match how.0 {
        Pace::Full => thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS),
        Pace::Gentle => 1,
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    match failure.into_inner() {
        Ok(None) => Ok(written.into_inner()),
        Ok(Some(error)) => Err(error),
        Err(_) => Err(Error::Late),
    }
}

#[cfg(test)]
mod tests;
