//! A bounds-checked cursor over a payload, and the matching writers.

/// The peer sent bytes that are not a packet of the expected kind. The connection must be closed,
/// because the following bytes cannot be interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent a malformed packet: {0}")]
pub struct Malformed(pub &'static str);

/// Reads a payload from front to back; integers are little endian.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Number of unread bytes.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, without reading it.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// All unread bytes.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .rest
            .split_at_checked(n)
            .ok_or(Malformed("it ends too early"))?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self
            .rest
            .split_first_chunk()
            .ok_or(Malformed("it ends too early"))?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Three bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        self.array()
            .map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length-encoded integer: 1, 3, 4 or 9 bytes, depending on its first byte.
    ///
    /// # Errors
    /// It is truncated, or is the marker of NULL (0xFB) or of an error (0xFF).
    pub fn lenenc_int(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=0xFA => Ok(small.into()),
            0xFC => self.u16().map(u64::from),
            0xFD => self.u24().map(u64::from),
            0xFE => self.u64(),
            0xFB | 0xFF => Err(Malformed("a length starts with 0xFB or 0xFF")),
        }
    }

    /// Bytes preceded by their length, a [`lenenc_int`](Self::lenenc_int).
    ///
    /// # Errors
    /// The length is malformed or exceeds the payload.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.lenenc_int()?;
        self.take(usize::try_from(len).map_err(|_| Malformed("a length exceeds the packet"))?)
    }

    /// Bytes up to a NUL, which is read but not returned.
    ///
    /// # Errors
    /// There is no NUL.
    pub fn nul_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let end = memchr::memchr(0, self.rest).ok_or(Malformed("a text lacks its NUL"))?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// Bytes up to a NUL or to the end: some drivers omit the last NUL of a packet.
    pub fn nul_or_rest(&mut self) -> &'a [u8] {
        self.nul_bytes().unwrap_or_else(|_| self.rest())
    }
}

/// Appends an integer in the shortest encoding that [`Reader::lenenc_int`] reads.
pub fn put_lenenc_int(out: &mut Vec<u8>, n: u64) {
    let bytes = n.to_le_bytes();
    match n {
        0..=0xFA => out.push(bytes[0]),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends bytes in the encoding that [`Reader::lenenc_bytes`] reads.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc_int(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes and a NUL; the bytes are cut at a NUL inside, so that they cannot inject a field.
pub fn put_nul_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let text = bytes.split(|&b| b == 0).next().unwrap_or_default();
    out.extend_from_slice(text);
    out.push(0);
}

#[cfg(test)]
mod tests;
