//! Rows of a text result, as a probe reads them.

/// Rows of columns; a column that is NULL is `None`.
pub type Rows = Vec<Vec<Option<Vec<u8>>>>;

/// The bytes that a column holds in hexadecimal.
pub(crate) fn unhex(column: Option<&Option<Vec<u8>>>) -> Option<Vec<u8>> {
    let hex = column?.as_ref()?;
    let pairs = hex.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}
