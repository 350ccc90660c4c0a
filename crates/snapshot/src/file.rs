//! One file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Instant;

/// Bytes that are compared and written at once.
pub(crate) const BLOCK: usize = 1 << 20;

/// Most threads that work on the files of a copy.
pub(crate) const THREADS: usize = 4;

/// Bytes that are written before they are made durable, if that goes on beside a server: its commits wait for the disk's
/// queue, too.
const QUEUED: u64 = 4 << 20;

/// How fast files are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as the machine can.
    Full,
    /// Two thirds of the time; the rest, and most of the disk's queue, is for others.
    Gentle,
}

/// Whether files of two directories can share blocks with each other: tried with two small ones.
#[must_use]
pub fn shares_blocks(from: &Path, to: &Path) -> bool {
    let (source, target) = (from.join(".source.shares"), to.join(".target.shares"));
    let tried = || -> io::Result<()> {
        let target = create(&target)?;
        fs::write(&source, [0; 4096])?;
        Ok(rustix::fs::ioctl_ficlone(&target, File::open(&source)?)?)
    };
    let shares = tried().is_ok();
    for path in [source, target] {
        // also if it was never made
        let _ = fs::remove_file(path);
    }
    shares
}

/// Creates a private file, or opens the one that an earlier pass has made.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .open(path)
}

/// Makes the target share the source's blocks; `false` if the file system cannot.
pub(crate) fn share(source: &File, target: &File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

/// Makes a part of a file equal; returns how many bytes were written. Blocks of zeros in a new file stay holes.
pub(crate) fn update(
    source: &File,
    target: &File,
    from: u64,
    to: u64,
    (buffers, pace): (&mut [Vec<u8>; 2], Pace),
) -> io::Result<u64> {
    let (mut written, mut queued) = (0, 0);
    let mut at = from;
    while at < to {
        let began = Instant::now();
        let want = usize::try_from(to - at).unwrap_or(BLOCK).min(BLOCK);
        let [new, old] = buffers;
        let read = fill(source, new, at, want)?;
        if read == 0 {
            break;
        }
        let present = fill(target, old, at, read)?;
        let same = present == read && new[..read] == old[..read];
        let hole = present == 0 && is_zero(&new[..read]);
        if !same && !hole {
            target.write_all_at(&new[..read], at)?;
            written += read as u64;
            queued += read as u64;
        }
        at += read as u64;
        if pace == Pace::Gentle {
            if queued >= QUEUED {
                target.sync_data()?;
                queued = 0;
            }
            thread::sleep(began.elapsed() / 2);
        }
    }
    Ok(written)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Reads until the buffer has so many bytes, or the file ends.
pub(crate) fn fill(file: &File, buffer: &mut Vec<u8>, at: u64, want: usize) -> io::Result<usize> {
    buffer.resize(BLOCK, 0);
    let mut have = 0;
    while have < want {
        match file.read_at(&mut buffer[have..want], at + have as u64) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
