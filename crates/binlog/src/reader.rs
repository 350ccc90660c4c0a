//! A bounds-checked cursor over an event.

use crate::error::Wrong;

const EARLY: Wrong = Wrong::Damaged("an event ends too early");

/// Reads from front to back; integers are little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Wrong> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(EARLY)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (head, tail) = self.0.split_first_chunk().ok_or(EARLY)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Wrong> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Wrong> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Wrong> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Wrong> {
        self.array().map(u64::from_le_bytes)
    }

    /// Text of this many bytes; what is no UTF-8 in it is replaced.
    pub(crate) fn text(&mut self, n: usize) -> Result<String, Wrong> {
        self.take(n).map(lossy)
    }

    /// All that is left, as text.
    pub(crate) fn rest(&mut self) -> String {
        lossy(std::mem::take(&mut self.0))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
