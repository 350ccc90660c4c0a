//! `parsec` (MariaDB 11.6, `plugin/auth_parsec`): the password, stretched by PBKDF2, is the seed of
//! an Ed25519 key. The server first sends 32 random bytes; the client answers with an empty packet,
//! which requests the salt, and then signs the server's random bytes and 32 of its own.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::Sha512;
use zeroize::Zeroizing;

/// The plugin's name, on both sides.
pub const PLUGIN: &str = "parsec";
/// Number of random bytes of each side.
pub const NONCE: usize = 32;
/// Length of a salt in bytes.
pub const SALT: usize = 18;
/// Maximum of [`Stretch::doublings`]: 2^20 rounds, about a second.
const MOST: u8 = 10;
/// Length of a proof in bytes: the client's random bytes and the signature.
pub const REPLY: usize = NONCE + 64;

/// Parameters of the key derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The number of rounds is 1024 times 2 to this power.
    pub doublings: u8,
    /// The account's salt.
    pub salt: [u8; SALT],
}

impl Stretch {
    /// The encoding that the server sends to the client in an [`auth_more`](crate::auth_more) packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&[b'P', self.doublings][..], &self.salt].concat()
    }

    /// Reads what [`encode`](Self::encode) writes; `None` also for too many rounds.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[b'P', doublings], salt) = bytes.split_first_chunk()? else {
            return None;
        };
        let salt = salt.try_into().ok()?;
        (doublings <= MOST).then_some(Self { doublings, salt })
    }

    fn secret(&self, password: &[u8]) -> SigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        let rounds = 1024 << self.doublings.min(MOST);
        pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, rounds, &mut *seed);
        SigningKey::from_bytes(&seed)
    }

    /// The public key of a password, which the server stores. Takes about a millisecond.
    #[must_use]
    pub fn key(&self, password: &[u8]) -> [u8; 32] {
        self.secret(password).verifying_key().to_bytes()
    }

    /// The proof for the server's nonce with one of the client's own.
    #[must_use]
    pub fn reply(&self, password: &[u8], nonce: &[u8; NONCE], own: &[u8; NONCE]) -> Vec<u8> {
        let signature = self.secret(password).sign(&[&nonce[..], own].concat());
        [&own[..], &signature.to_bytes()].concat()
    }
}

/// Whether the proof was made for the server's nonce with the password of this key.
#[must_use]
pub fn verify(reply: &[u8], nonce: &[u8; NONCE], key: &[u8; 32]) -> bool {
    if reply.len() != REPLY {
        return false;
    }
    let (own, signature) = reply.split_at(NONCE);
    let (Ok(signature), Ok(key)) = (
        Signature::from_slice(signature),
        VerifyingKey::from_bytes(key),
    ) else {
        return false;
    };
    key.verify_strict(&[&nonce[..], own].concat(), &signature)
        .is_ok()
}

/// Reads the format of the account table, `P0:salt:key` with salt and key in base64 and the digit for
/// the doublings; `None` also for too many rounds.
#[must_use]
pub fn from_text(text: &str) -> Option<(Stretch, [u8; 32])> {
    let (head, rest) = text.split_once(':')?;
    let (salt, key) = rest.split_once(':')?;
    let &[b'P', digit] = head.as_bytes() else {
        return None;
    };
    let stretch = Stretch {
        doublings: digit.checked_sub(b'0').filter(|n| *n <= MOST)?,
        salt: super::base64::decode(salt)?.try_into().ok()?,
    };
    let key = super::base64::decode(key)?.try_into().ok()?;
    Some((stretch, key))
}
