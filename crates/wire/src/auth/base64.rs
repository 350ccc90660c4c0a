//! Base64 (RFC 4648 §4) as stored in account tables, with or without padding.

/// Decodes base64; `None` for an invalid character or length.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group.iter().try_fold(0u32, |bits, digit| {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            Some(bits << 6 | u32::from(value))
        })?;
        // a group of n digits has n - 1 bytes, left aligned
        let aligned = bits << (6 * (4 - group.len()) + 8);
        bytes.extend_from_slice(&aligned.to_be_bytes()[..group.len() - 1]);
    }
    Some(bytes)
}
