//! `ed25519` (MariaDB's `plugin/auth_ed25519`): the server keeps a public key; the client signs 32
//! random bytes. The signature is the usual one, the secret key is not: a password of any length
//! stands where RFC 8032 has 32 bytes of seed.

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// The plugin's name in the server's account table.
pub const PLUGIN: &str = "ed25519";
/// The client's half of it, as a server asks for it.
pub const CLIENT: &str = "client_ed25519";
/// How many random bytes are signed.
pub const NONCE: usize = 32;

fn secret(password: &[u8]) -> ExpandedSecretKey {
    let mut bytes = Zeroizing::new([0; 64]);
    bytes.copy_from_slice(&Sha512::digest(password));
    ExpandedSecretKey::from_bytes(&bytes)
}

/// The public key of a password, which is what the server keeps.
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

/// Reads a key as the account table has it: 43 digits of base64, without the padding.
#[must_use]
pub fn from_text(text: &str) -> Option<[u8; 32]> {
    super::base64::decode(text)?.try_into().ok()
}
