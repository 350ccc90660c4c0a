//! Decrypting events.
//!
//! From the START_ENCRYPTION event on every event is encrypted by itself: AES-CBC, with the file's nonce and the event's
//! position as initialisation vector. The event's length stays readable: it stands at its place in the header, and the
//! four bytes of the header's begin, which would have stood there, come first.

use std::collections::BTreeMap;
use std::fmt;

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt as _, BlockEncrypt as _, KeyInit as _};
use aes::{Aes256, Block};
use zeroize::Zeroizing;

use crate::error::Wrong;
use crate::event::LENGTH_AT;

const BLOCK: usize = 16;

/// The keys of an encrypted server, by their versions. Wiped when dropped.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<u32, Zeroizing<[u8; 32]>>);

impl Keys {
    /// No keys, for a server that does not encrypt.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a version of the key.
    pub fn add(&mut self, version: u32, key: [u8; 32]) {
        self.0.insert(version, Zeroizing::new(key));
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Decrypts the events of one file.
pub(crate) struct Cipher {
    aes: Aes256,
    nonce: [u8; 12],
}

impl Cipher {
    pub(crate) fn new(keys: &Keys, version: u32, nonce: [u8; 12]) -> Result<Self, Wrong> {
        let key = keys.0.get(&version).ok_or(Wrong::NoKey(version))?;
        Ok(Self {
            aes: Aes256::new(GenericArray::from_slice(key.as_slice())),
            nonce,
        })
    }

    /// Decrypts the event at this position of the file, in place.
    pub(crate) fn decrypt(&self, event: &mut [u8], position: u64) -> Result<(), Wrong> {
        let damaged = Wrong::Damaged("an encrypted event is too short");
        let Some((first, rest)) = event.split_first_chunk_mut::<4>() else {
            return Err(damaged);
        };
        let Some(length) = rest.get_mut(LENGTH_AT - 4..LENGTH_AT) else {
            return Err(damaged);
        };
        let plain_length: Vec<u8> = length.to_vec();
        length.copy_from_slice(first);
        let mut iv = [0; BLOCK];
        let (nonce, at) = iv.split_at_mut(self.nonce.len());
        nonce.copy_from_slice(&self.nonce);
        // MariaDB, too, takes the lower half of the position
        at.copy_from_slice(&(position as u32).to_le_bytes());
        self.cbc(rest, iv);
        if let Some(length) = rest.get_mut(LENGTH_AT - 4..LENGTH_AT) {
            first.copy_from_slice(length);
            length.copy_from_slice(&plain_length);
        }
        Ok(())
    }

    fn cbc(&self, bytes: &mut [u8], iv: [u8; BLOCK]) {
        let mut blocks = bytes.chunks_exact_mut(BLOCK);
        let mut before = iv;
        for chunk in &mut blocks {
            let mut block = Block::clone_from_slice(chunk);
            self.aes.decrypt_block(&mut block);
            let cipher_text = std::mem::replace(&mut before, [0; BLOCK]);
            before.copy_from_slice(chunk);
            let plain = block.iter().zip(cipher_text).map(|(a, b)| a ^ b);
            for (to, byte) in chunk.iter_mut().zip(plain) {
                *to = byte;
            }
        }
        // what is no whole block is masked by the encrypted vector
        let mut mask = Block::from(iv);
        self.aes.encrypt_block(&mut mask);
        for (byte, mask) in blocks.into_remainder().iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}
