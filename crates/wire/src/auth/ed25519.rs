//! `ed25519` (MariaDB's `plugin/auth_ed25519`): the server stores a public key; the client signs 32
//! random bytes. The signature is that of RFC 8032, but the secret key is derived from a password of
//! any length instead of a seed of 32 bytes.

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// The plugin's name in the server's account table.
pub const PLUGIN: &str = "ed25519";
/// The name of the client plugin, as the server requests it.
pub const CLIENT: &str = "client_ed25519";
/// Number of random bytes that are signed.
pub const NONCE: usize = 32;

fn secret(password: &[u8]) -> ExpandedSecretKey {
    let mut bytes = Zeroizing::new([0; 64]);
    bytes.copy_from_slice(&Sha512::digest(password));
    ExpandedSecretKey::from_bytes(&bytes)
}

/// The public key of a password, which the server stores.
#[must_use]
pub fn key(password: &[u8]) -> [u8; 32] {
    VerifyingKey::from(&secret(password)).to_bytes()
}

/// The proof for one nonce.
#[must_use]
pub fn reply(password: &[u8], nonce: &[u8]) -> [u8; 64] {
    let secret = secret(password);
    let key = VerifyingKey::from(&secret);
    raw_sign::<Sha512>(&secret, nonce, &key).to_bytes()
}

/// Whether the proof was made for this nonce with the password of this key.
#[must_use]
pub fn verify(reply: &[u8], nonce: &[u8], key: &[u8; 32]) -> bool {
    let (Ok(signature), Ok(key)) = (Signature::from_slice(reply), VerifyingKey::from_bytes(key))
    else {
        return false;
    };
    key.verify_strict(nonce, &signature).is_ok()
}

/// Reads a key in the format of the account table: 43 digits of base64, without padding.
#[must_use]
pub fn from_text(text: &str) -> Option<[u8; 32]> {
    super::base64::decode(text)?.try_into().ok()
}
