//! The binary logs of the instances.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use dormouse_driver::{History, Log};
use dormouse_engine::Layout;
use dormouse_engine::config::{LONG_REDO_LOG, REDO_LOG};
use dormouse_engine::history::{self, Wanted};
use dormouse_types::Bytes;
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, open, openat};

use super::roots::disk;

/// What a start does, for the engine.
pub(super) fn wanted(history: History) -> Wanted {
    match history {
        History::Off => Wanted::Off,
        History::On => Wanted::On,
        History::Follow => Wanted::Follow,
        History::Replay => Wanted::Replay,
    }
}

/// Size of a server's redo log from its next start on. A server with a binary log has a long one, if it has one already, or the disk
/// has room for it.
pub(super) fn redo_log(layout: &Layout, keeps_log: bool, reserve: Bytes) -> Bytes {
    let present = fs::metadata(layout.data().join("ib_logfile0"));
    let present = Bytes(present.map_or(0, |file| file.len()));
    let free = disk(layout.root()).map_or(Bytes(0), |disk| disk.free);
    // with as much again for the server's start, and for what it writes
    let room = reserve.0.saturating_add(2 * LONG_REDO_LOG.0);
    match keeps_log && (present >= LONG_REDO_LOG || free.0 >= room) {
        true => LONG_REDO_LOG,
        false => REDO_LOG,
    }
}

/// Brings a directory up to date with the files of an instance's log. They only grow, so what is there is not read
/// again. The server may have been taken over by its tenant: links are not followed.
pub(super) fn copy(layout: &Layout, to: &Path) -> io::Result<Option<Log>> {
    let Some(base) = history::own(layout)? else {
        return Ok(None);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(layout.logs(), flags, Mode::empty())?;
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        if let Some(number) = number(&base, name) {
            names.insert((number, name.to_owned()));
        }
    }
    DirBuilder::new().mode(0o700).recursive(true).create(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let name = entry.file_name();
        let kept = name
            .to_str()
            .and_then(|name| Some((number(&base, name)?, name.to_owned())));
        if !kept.is_some_and(|kept| names.contains(&kept)) {
            fs::remove_file(entry.path())?;
        }
    }
    let mut files = Vec::new();
    for (_, name) in names {
        let Some((file, size)) = plain(&dir, &name)? else {
            continue;
        };
        add(file, size, &to.join(&name))?;
        files.push((name, size));
    }
    Ok(Some(Log { base, files }))
}

/// Copies an instance's log up to a place into the directory of a copy: the copy stands there.
pub(super) fn cut(layout: &Layout, root: &Path, last: &str, position: u64) -> io::Result<()> {
    let Some(base) = history::base(layout.root())? else {
        return Ok(());
    };
    let until = number(&base, last).ok_or_else(|| io::Error::other("a place in another log"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(layout.logs(), flags, Mode::empty())?;
    let to = root.join(history::LOGS);
    DirBuilder::new().mode(0o700).create(&to)?;
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        if let Some(number) = number(&base, name).filter(|number| *number <= until) {
            names.insert((number, name.to_owned()));
        }
    }
    let mut index = String::new();
    let mut whole = false;
    for (number, name) in names {
        let Some((file, size)) = plain(&dir, &name)? else {
            continue;
        };
        whole = number == until && size >= position;
        let size = if number == until { position } else { size };
        add(file, size, &to.join(&name))?;
        index.push_str(&format!("../{}/{name}\n", history::LOGS));
    }
    if !whole {
        return Err(io::Error::other(format!(
            "the binary log no longer has {last} up to {position}"
        )));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(to.join(format!("{base}.index")))?;
    file.write_all(index.as_bytes())
}

/// A plain file with one name, and its size.
fn plain(dir: &OwnedFd, name: &str) -> io::Result<Option<(File, u64)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(dir, name, flags, Mode::empty()) {
        // the server has removed it meanwhile
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Ok(None);
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    Ok(Some((file.into(), size)))
}

/// The number of a log's file; `None` if it is none.
fn number(base: &str, name: &str) -> Option<u64> {
    let number = name.strip_prefix(base)?.strip_prefix('.')?;
    let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits)
}

/// Begin of a file in which the server notes whether it is closed; the rest never changes.
const BEGIN: u64 = 64;

/// Appends to a copy what it lacks.
fn add(mut file: File, size: u64, to: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(to)?;
    let mut there = copy.metadata()?.len();
    if there > size {
        // another file of the same name: the log was begun anew
        copy.set_len(0)?;
        there = 0;
    }
    let begin = begin_of(&mut file)?;
    if begin_of(&mut copy)? != begin {
        copy.seek(SeekFrom::Start(0))?;
        copy.write_all(&begin)?;
        there = there.max(begin.len() as u64);
    }
    file.seek(SeekFrom::Start(there))?;
    copy.seek(SeekFrom::Start(there))?;
    io::copy(&mut file.take(size.saturating_sub(there)), &mut copy)?;
    Ok(())
}

fn begin_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(BEGIN).read_to_end(&mut begin)?;
    Ok(begin)
}
