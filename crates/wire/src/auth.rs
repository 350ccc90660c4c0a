//! Authentication plugins: how a client computes its proof and how a server verifies it.

/// Plugin name; its proof is 20 bytes of SHA-1.
pub const NATIVE: &str = "mysql_native_password";

/// Plugin name; its proof is 32 bytes of SHA-256, or over TLS the password itself.
pub const CACHING_SHA2: &str = "caching_sha2_password";

mod base64;
pub mod ed25519;
pub mod parsec;
mod sha256_crypt;

/// `mysql_native_password`: the server stores `SHA1(SHA1(password))` ("stage 2"); the client proves
/// that it knows `SHA1(password)` ("stage 1"), which is enough to log in.
pub mod native {
    use sha1::{Digest, Sha1};
    use subtle::ConstantTimeEq;

    /// `SHA1(password)`: equivalent to the password, keep it as secret.
    #[must_use]
    pub fn stage1(password: &[u8]) -> [u8; 20] {
        Sha1::digest(password).into()
    }

    /// `SHA1(SHA1(password))`: what the server stores.
    #[must_use]
    pub fn stage2(stage1: &[u8; 20]) -> [u8; 20] {
        Sha1::digest(stage1).into()
    }

    /// The proof for one salt. The proof of an empty password is empty instead.
    #[must_use]
    pub fn reply(stage1: &[u8; 20], salt: &[u8; 20]) -> [u8; 20] {
        xor(stage1, &mask(salt, &stage2(stage1)))
    }

    /// Whether the proof was made from the password for this salt; compared in constant time.
    #[must_use]
    pub fn verify(reply: &[u8], salt: &[u8; 20], stage2: &[u8; 20]) -> bool {
        let Ok(reply) = <&[u8; 20]>::try_from(reply) else {
            return false;
        };
        let stage1 = xor(reply, &mask(salt, stage2));
        self::stage2(&stage1).ct_eq(stage2).into()
    }

    /// Stage 2 as the server's tables show it: `*` and 40 hexadecimal digits.
    #[must_use]
    pub fn to_text(stage2: &[u8; 20]) -> String {
        use std::fmt::Write as _;
        stage2.iter().fold(String::from("*"), |mut text, byte| {
            // writing to a String cannot fail
            let _ = write!(text, "{byte:02X}");
            text
        })
    }

    /// Reads what [`to_text`] writes, digits in either case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<[u8; 20]> {
        let digits = text.strip_prefix('*')?.as_bytes();
        if digits.len() != 40 {
            return None;
        }
        let digit = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let mut stage2 = [0; 20];
        for (byte, pair) in stage2.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(stage2)
    }

    fn mask(salt: &[u8; 20], stage2: &[u8; 20]) -> [u8; 20] {
        Sha1::new()
            .chain_update(salt)
            .chain_update(stage2)
            .finalize()
            .into()
    }

    fn xor(a: &[u8; 20], b: &[u8; 20]) -> [u8; 20] {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
}

/// `caching_sha2_password`: a proof for servers that have the password in their cache ("fast"), else
/// over TLS the password itself, followed by a NUL ("full").
pub mod caching_sha2 {
    use sha2::{Digest, Sha256};

    pub use super::sha256_crypt::{is_stored, verify as verify_stored};

    /// The plugin's name.
    pub const PLUGIN: &str = super::CACHING_SHA2;
    /// Client to server, in full authentication without TLS: send your public key.
    pub const REQUEST_PUBLIC_KEY: u8 = 2;
    /// Server to client, in an [`auth_more`](crate::login::auth_more) packet: the proof is accepted.
    pub const FAST_OK: u8 = 3;
    /// Server to client, in an [`auth_more`](crate::login::auth_more) packet: send the password.
    pub const PERFORM_FULL: u8 = 4;

    /// The fast proof for one salt. The proof of an empty password is empty instead.
    #[must_use]
    pub fn reply(password: &[u8], salt: &[u8; 20]) -> [u8; 32] {
        let stage1: [u8; 32] = Sha256::digest(password).into();
        let stage2 = Sha256::digest(stage1);
        let mask = Sha256::new()
            .chain_update(stage2)
            .chain_update(salt)
            .finalize();
        std::array::from_fn(|i| stage1[i] ^ mask[i])
    }

    /// The password in a packet of full authentication over TLS, without its terminating NUL.
    /// `None` if there is no NUL.
    #[must_use]
    pub fn password(payload: &[u8]) -> Option<&[u8]> {
        payload
            .split_last()
            .filter(|(last, _)| **last == 0)
            .map(|(_, password)| password)
    }
}

#[cfg(test)]
mod tests;
