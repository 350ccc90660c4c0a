//! The pages of InnoDB's data files, and what their checksums say.
//!
//! Two formats exist. In *full_crc32* (the default since MariaDB 10.5) one CRC-32C at the end of a page is over all bytes of it as they
//! stand in the file, encrypted and compressed ones too. In the older *crc32* format it leaves out some fields; tables with
//! `ROW_FORMAT=COMPRESSED` still have it. Encrypted pages have a second checksum there, over the encrypted bytes. The older
//! format has none for page-compressed pages: these pass.

/// Size of InnoDB's largest pages.
pub(crate) const LARGEST: usize = 64 << 10;

/// Where the flags of a file stand in its first page.
const FLAGS: usize = 54;

/// Bytes of a page that are enough to read the flags.
pub(crate) const HEAD: usize = FLAGS + 4;

/// Flag of the format full_crc32.
const FULL_CRC32: u32 = 1 << 4;

/// Bit of the type of a page of the format full_crc32 that is compressed; the other bits are its size ÷ 256.
const COMPRESSED: u16 = 1 << 15;

/// Types of compressed pages of the older format, which have no checksum.
const WITHOUT_CHECKSUM: [u16; 2] = [34354, 37401];

/// In place of a checksum: there is none.
const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

/// Fields of a page, by their offset.
const PAGE_NUMBER: usize = 4;
const LSN: usize = 16;
const TYPE: usize = 24;
const KEY_VERSION: usize = 26;
const ENCRYPTED_CHECKSUM: usize = 30;
const SPACE: usize = 34;
const BODY: usize = 38;

/// How the pages of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One checksum over everything.
    Full { page: usize },
    /// The older one.
    Older { page: usize },
    /// The older one, for `ROW_FORMAT=COMPRESSED`.
    Zip { page: usize },
}

impl Format {
    /// The format that the first page of a file tells; `None` if there is no such format.
    pub(crate) fn of(first: &[u8]) -> Option<Self> {
        let flags = u32_at(first, FLAGS)?;
        let size = |shift: u32| 512_usize << shift;
        if flags & FULL_CRC32 != 0 {
            let shift = flags & 0xF;
            return (3..=7)
                .contains(&shift)
                .then(|| Self::Full { page: size(shift) });
        }
        let (zip, plain) = (flags >> 1 & 0xF, flags >> 6 & 0xF);
        match (zip, plain) {
            (0, 0) => Some(Self::Older { page: size(5) }),
            (0, 3..=7) => Some(Self::Older { page: size(plain) }),
            (1..=5, 0 | 3..=7) => Some(Self::Zip { page: size(zip) }),
            _ => None,
        }
    }

    /// Bytes of a page in the file.
    pub(crate) fn page(self) -> usize {
        match self {
            Self::Full { page } | Self::Older { page } | Self::Zip { page } => page,
        }
    }

    /// Whether these bytes are a page with a right checksum, or one that was never written.
    pub(crate) fn is_sound(self, page: &[u8]) -> bool {
        if page.len() != self.page() {
            return false;
        }
        let checked = match self {
            Self::Full { .. } => full(page),
            Self::Older { .. } => older(page),
            Self::Zip { .. } => zip(page),
        };
        checked == Some(true) || page.iter().all(|byte| *byte == 0)
    }
}

/// Which page this says that it is: the number of its file, and its own.
pub(crate) fn identity(page: &[u8]) -> Option<(u32, u32)> {
    Some((u32_at(page, SPACE)?, u32_at(page, PAGE_NUMBER)?))
}

/// The time of a page's last change, in bytes of the log.
pub(crate) fn lsn(page: &[u8]) -> Option<u64> {
    u64_at(page, LSN)
}

fn full(page: &[u8]) -> Option<bool> {
    let kind = u16_at(page, TYPE)?;
    let compressed = kind & COMPRESSED != 0;
    let used = match compressed {
        true => usize::from(kind & !COMPRESSED) << 8,
        false => page.len(),
    };
    if compressed && used >= page.len() {
        return Some(false);
    }
    let at = used.checked_sub(4)?;
    if u32_at(page, at)? != crc(page.get(..at)?) {
        return Some(false);
    }
    let encrypted = u32_at(page, 0)? != 0;
    let same_lsn = page.get(LSN + 4..LSN + 8)? == page.get(used - 8..at)?;
    Some(compressed || encrypted || same_lsn)
}

fn older(page: &[u8]) -> Option<bool> {
    if WITHOUT_CHECKSUM.contains(&u16_at(page, TYPE)?) {
        return Some(true);
    }
    let tail = page.len().checked_sub(8)?;
    let right = crc(page.get(PAGE_NUMBER..KEY_VERSION)?) ^ crc(page.get(BODY..tail)?);
    if u32_at(page, KEY_VERSION)? != 0 && u32_at(page, ENCRYPTED_CHECKSUM)? == right {
        return Some(true);
    }
    let sums = [u32_at(page, 0)?, u32_at(page, tail)?];
    let same_lsn = page.get(LSN + 4..LSN + 8)? == page.get(tail + 4..)?;
    Some(same_lsn && (sums == [right; 2] || sums == [NO_CHECKSUM; 2]))
}

fn zip(page: &[u8]) -> Option<bool> {
    let right = crc(page.get(PAGE_NUMBER..LSN)?)
        ^ crc(page.get(TYPE..KEY_VERSION)?)
        ^ crc(page.get(SPACE..)?);
    let encrypted = u32_at(page, KEY_VERSION)? != 0;
    if encrypted && u32_at(page, ENCRYPTED_CHECKSUM)? == right {
        return Some(true);
    }
    Some([right, NO_CHECKSUM].contains(&u32_at(page, 0)?))
}

/// CRC-32C.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*two))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(*eight))
}

#[cfg(test)]
mod tests;
