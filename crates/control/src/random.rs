//! Random texts: passwords and secrets.

use crate::error::Error;

/// A random text of letters and digits; each carries 5.95 bits. `what` names it in an error.
pub(crate) fn letters(length: usize, what: &str) -> Result<String, Error> {
    draw(
        length,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        what,
    )
}

/// A random text of lower-case letters and digits; each carries 5.17 bits.
pub(crate) fn lower(length: usize, what: &str) -> Result<String, Error> {
    draw(length, b"abcdefghijklmnopqrstuvwxyz0123456789", what)
}

fn draw(length: usize, alphabet: &[u8], what: &str) -> Result<String, Error> {
    // bytes from here on are rejected, so that all letters are equally likely
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut random = [0; 64];
        getrandom::fill(&mut random).map_err(|e| Error::Machine {
            doing: format!("drawing {what}"),
            reason: e.to_string(),
        })?;
        let drawn = random
            .iter()
            .filter(|byte| usize::from(**byte) < fair)
            .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]));
        text.extend(drawn.take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length_and_alphabet_and_differ() {
        let (a, b) = (
            letters(43, "a secret").unwrap(),
            letters(43, "a secret").unwrap(),
        );
        assert_eq!((a.len(), b.len()), (43, 43));
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(a, b);
        let id = lower(200, "an id").unwrap();
        assert!(
            id.bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        );
    }
}
