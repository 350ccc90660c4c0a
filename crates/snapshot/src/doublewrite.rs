//! The doublewrite buffer: where InnoDB writes pages before it writes them to their place.
//!
//! After a crash it replaces a page of which only a part was written by what stands here, if that is not older than the
//! last checkpoint of the log.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::file::fill;
use crate::pages::{Format, HEAD, crc, identity, lsn, u32_at, u64_at};

/// The page of the system tablespace that tells where the buffer is, and where in it, from its end.
const SYSTEM_PAGE: u64 = 5;
const HEADER: usize = 200;

/// Marks a header, at this offset in it; the first pages of the two blocks follow.
const MAGIC: u32 = 536_853_855;
const MAGIC_AT: usize = 10;

/// Where the log has its two checkpoints, each of so many bytes with a checksum behind them.
const CHECKPOINTS: [u64; 2] = [4096, 8192];
const CHECKPOINT: usize = 60;

/// The pages of a doublewrite buffer that a recovery would use.
#[derive(Debug, Default)]
pub(crate) struct Doublewrite {
    pages: Vec<Vec<u8>>,
}

impl Doublewrite {
    /// That of a data directory below `dir`; nothing if it cannot be read.
    pub(crate) fn read(dir: &Path) -> Self {
        let found = ["", "data"].map(|below| dir.join(below));
        let read = |dir: &Path| Self::of(dir).ok().flatten();
        found.iter().find_map(|dir| read(dir)).unwrap_or_default()
    }

    fn of(data: &Path) -> io::Result<Option<Self>> {
        let file = File::open(data.join("ibdata1"))?;
        let mut buffer = Vec::new();
        let read = fill(&file, &mut buffer, 0, HEAD)?;
        let format = Format::of(buffer.get(..read).unwrap_or_default());
        let checkpoint = checkpoint(&data.join("ib_logfile0"))?;
        let (Some(format), Some(checkpoint)) = (format, checkpoint) else {
            return Ok(None);
        };
        let size = format.page();
        let mut pages = Vec::new();
        for number in Self::pages(&file, Some(format)) {
            let read = fill(&file, &mut buffer, number * size as u64, size)?;
            let page = buffer.get(..read).unwrap_or_default();
            if lsn(page).is_some_and(|lsn| lsn >= checkpoint) {
                pages.push(page.to_vec());
            }
        }
        Ok(Some(Self { pages }))
    }

    /// Which pages of the system tablespace are the buffer: two blocks, one behind the other.
    pub(crate) fn pages(system: &File, format: Option<Format>) -> Range<u64> {
        located(system, format).unwrap_or(0..0)
    }

    /// Whether the buffer has a sound copy of a page.
    pub(crate) fn repairs(&self, space: u32, number: u64, format: Format) -> bool {
        self.pages.iter().any(|page| {
            let same = identity(page).is_some_and(|(s, n)| s == space && u64::from(n) == number);
            same && page
                .get(..format.page())
                .is_some_and(|page| format.is_sound(page))
        })
    }
}

fn located(system: &File, format: Option<Format>) -> Option<Range<u64>> {
    let format = format?;
    let size = format.page();
    let mut buffer = Vec::new();
    let read = fill(system, &mut buffer, SYSTEM_PAGE * size as u64, size).ok()?;
    let page = buffer.get(..read)?;
    if !format.is_sound(page) {
        return None;
    }
    let header = page.get(size.checked_sub(HEADER)?..)?;
    if u32_at(header, MAGIC_AT)? != MAGIC {
        return None;
    }
    let first = u64::from(u32_at(header, MAGIC_AT + 4)?);
    let second = u64::from(u32_at(header, MAGIC_AT + 8)?);
    // an extent: 1 MiB, but 64 pages at least
    let block = ((1 << 20) / size as u64).max(64);
    (second == first + block).then_some(first..second + block)
}

/// The last checkpoint of a log of 10.8 and later.
fn checkpoint(log: &Path) -> io::Result<Option<u64>> {
    let file = File::open(log)?;
    let mut newest = None;
    for at in CHECKPOINTS {
        let mut buffer = Vec::new();
        let read = fill(&file, &mut buffer, at, CHECKPOINT + 4)?;
        let block = buffer.get(..read).unwrap_or_default();
        let sound = block.get(..CHECKPOINT).map(crc) == u32_at(block, CHECKPOINT);
        if read == CHECKPOINT + 4 && sound {
            newest = newest.max(u64_at(block, 0));
        }
    }
    Ok(newest)
}
