//! What a directory contains.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2};
use rustix::io::Errno;

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) len: u64,
    /// Times of the last change of content and of state, in nanoseconds since 1970.
    pub(crate) modified: i128,
    pub(crate) changed: i128,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        let time = |seconds: i64, nanos: i128| i128::from(seconds) * 1_000_000_000 + nanos;
        Self {
            inode: stat.st_ino,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
            changed: time(stat.st_ctime, i128::from(stat.st_ctime_nsec)),
        }
    }
}

/// A directory whose entries are opened below it alone, without following links.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            fd: open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn entry(&self, relative: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        Ok(openat2(&self.fd, relative, flags, Mode::empty(), within)?)
    }

    /// A plain file, and its stamp before anything of it was read; `None` if it is gone or no plain file.
    pub(crate) fn file(&self, relative: &Path) -> io::Result<Option<(File, Stamp)>> {
        let fd = match self.entry(relative, OFlags::empty()) {
            Ok(fd) => fd,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Ok(None);
        }
        Ok(Some((fd.into(), Stamp::of(&stat))))
    }

    /// The directories, this one first and parents before children, and the plain files, as paths below this directory; without those that `skip`
    /// names.
    pub(crate) fn walk(&self, skip: &dyn Fn(&Path) -> bool) -> io::Result<Tree> {
        let mut tree = Tree::default();
        let mut left = vec![PathBuf::new()];
        while let Some(below) = left.pop() {
            let fd = if below.as_os_str().is_empty() {
                self.fd.as_fd().try_clone_to_owned()?
            } else {
                match self.entry(&below, OFlags::DIRECTORY) {
                    Ok(fd) => fd,
                    Err(error) if is_absent(&error) => continue,
                    Err(error) => return Err(error),
                }
            };
            let stamp = Stamp::of(&fstat(&fd)?);
            tree.directories.push((below.clone(), stamp));
            for entry in Dir::read_from(&fd)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                let path = below.join(name);
                if skip(&path) {
                    continue;
                }
                match entry.file_type() {
                    FileType::Directory => left.push(path),
                    FileType::RegularFile => tree.files.push(path),
                    // links, sockets and pipes are no data
                    _ => {}
                }
            }
        }
        Ok(tree)
    }
}

/// Whether an entry is not there, or no longer what was listed.
fn is_absent(error: &io::Error) -> bool {
    let absent = [
        Errno::NOENT,
        Errno::LOOP,
        Errno::NOTDIR,
        Errno::XDEV,
        Errno::NXIO,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| absent.iter().any(|one| one.raw_os_error() == code))
}

/// Directories and files.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) directories: Vec<(PathBuf, Stamp)>,
    pub(crate) files: Vec<PathBuf>,
}

/// Makes everything below a directory durable.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    let fd = rustix::fs::openat(
        CWD,
        dir,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(rustix::fs::syncfs(fd)?)
}
