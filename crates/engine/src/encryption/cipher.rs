//! Keys, and wrapping one key by another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::KeyError;

/// Length of every key, in bytes.
const LENGTH: usize = 32;

/// A key of 256 bits: a master key or a data key. Wiped when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; LENGTH]>);

/// First 64 bits of a hash of a key, as hexadecimal: tells keys apart and tells nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub(super) String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key {
    /// A random key.
    pub(super) fn random() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// Reads a key as a person writes it: 64 hexadecimal digits.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(from_hex(text.trim())?);
        let bytes: [u8; LENGTH] = bytes.as_slice().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// The key's bytes.
    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(b"dormouse key fingerprint\0");
        hash.update(*self.0);
        Fingerprint(to_hex(hash.finalize().get(..8).unwrap_or_default()))
    }

    /// Wraps another key. Only a call with the same `context` unwraps it.
    pub(super) fn wrap(&self, inner: &Self, context: &[u8]) -> Result<String, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = inner.0.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|_| unusable())?;
        Ok(to_hex(&nonce) + &to_hex(&sealed))
    }

    /// Unwraps a key; `None` if it was wrapped by another key, for another context, or was changed.
    pub(super) fn unwrap(&self, wrapped: &str, context: &[u8]) -> Option<Self> {
        let bytes = from_hex(wrapped)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let plain = self
            .cipher()
            .ok()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut sealed,
            )
            .ok()?;
        let plain: [u8; LENGTH] = (&*plain).try_into().ok()?;
        Some(Self(Zeroizing::new(plain)))
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, &*self.0).map_err(|_| unusable())?;
        Ok(LessSafeKey::new(key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

fn unusable() -> KeyError {
    super::doing("encrypting a key")(std::io::Error::other("the cipher refused it"))
}

/// Fills with random bytes of the system.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes)
        .map_err(std::io::Error::other)
        .map_err(super::doing("getting random bytes from the system"))
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| u8::try_from(char::from(*b).to_digit(16)?).ok();
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? * 16 + digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_unwrap_a_key() {
        let (master, other, data) = (
            Key::random().unwrap(),
            Key::random().unwrap(),
            Key::random().unwrap(),
        );
        let wrapped = master.wrap(&data, b"one").unwrap();
        assert_eq!(master.unwrap(&wrapped, b"one"), Some(data.clone()));
        assert_eq!(master.unwrap(&wrapped, b"two"), None);
        assert_eq!(other.unwrap(&wrapped, b"one"), None);
        assert_ne!(wrapped, master.wrap(&data, b"one").unwrap());
    }

    #[test]
    fn a_changed_wrapped_key_is_refused() {
        let (master, data) = (Key::random().unwrap(), Key::random().unwrap());
        let wrapped = master.wrap(&data, b"").unwrap();
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(master.unwrap(&changed, b""), None, "digit {at}");
            assert_eq!(master.unwrap(&wrapped[..at], b""), None, "length {at}");
        }
        assert_eq!(master.unwrap("ä", b""), None);
    }

    #[test]
    fn a_master_key_is_64_hexadecimal_digits() {
        let good = "0f".repeat(32);
        assert!(Key::from_text(&format!(" {good}\n")).is_some());
        for bad in [&good[1..], &format!("{good}00"), &"x".repeat(64), ""] {
            assert!(Key::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let text = "0f".repeat(32);
        let key = Key::from_text(&text).unwrap();
        assert!(!format!("{key:?}").contains("0f0f"));
    }
}
