//! The stored hash of `caching_sha2_password`: `$A$005$`, 20 characters of salt and 43 digits.
//!
//! The digits are SHA-crypt with SHA-256 (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512"),
//! except for the longer salt; the number is thousands of rounds, in hexadecimal
//! (MySQL, `sql/auth/sha2_password.cc`).

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const SALT: usize = 20;
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Maximum number of rounds: that of the server (`caching_sha2_password_digest_rounds`).
const MOST_ROUNDS: u32 = 0xFFF * 1000;

/// Whether the text is a stored hash with at most [`MOST_ROUNDS`] rounds.
#[must_use]
pub fn is_stored(text: &str) -> bool {
    parts(text).is_some()
}

/// Whether the password matches the stored hash. Takes some milliseconds; compares in constant
/// time.
#[must_use]
pub fn verify(password: &[u8], stored: &str) -> bool {
    let Some((rounds, salt, digits)) = parts(stored) else {
        return false;
    };
    let found = Zeroizing::new(crypt(password, salt, rounds));
    digits.ct_eq(&found[..]).into()
}

fn parts(stored: &str) -> Option<(u32, &[u8], &[u8])> {
    let (rounds, rest) = stored.strip_prefix("$A$")?.split_once('$')?;
    let rounds = u32::from_str_radix(rounds, 16).ok()?.checked_mul(1000)?;
    let (salt, digits) = rest.as_bytes().split_at_checked(SALT)?;
    (digits.len() == 43 && (1000..=MOST_ROUNDS).contains(&rounds)).then_some((rounds, salt, digits))
}

/// The 43 digits. Names follow Drepper's text: its sums A, B, DP and DS.
fn crypt(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 43] {
    // the sum repeated up to the length of the text
    let stretched = |sum: &[u8], len: usize| -> Zeroizing<Vec<u8>> {
        Zeroizing::new(sum.iter().copied().cycle().take(len).collect())
    };
    let b = Sha256::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut a = Sha256::new().chain_update(password).chain_update(salt);
    a.update(&*stretched(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        a.update(if bits & 1 == 1 { &b[..] } else { password });
        bits >>= 1;
    }
    let mut sum = a.finalize();

    let mut dp = Sha256::new();
    for _ in 0..password.len() {
        dp.update(password);
    }
    let p = stretched(&dp.finalize(), password.len());
    let mut ds = Sha256::new();
    for _ in 0..16 + usize::from(sum[0]) {
        ds.update(salt);
    }
    let s = stretched(&ds.finalize(), salt.len());

    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut c = Sha256::new();
        c.update(if odd { &p } else { &sum[..] });
        if round % 3 != 0 {
            c.update(&*s);
        }
        if round % 7 != 0 {
            c.update(&*p);
        }
        c.update(if odd { &sum[..] } else { &p });
        sum = c.finalize();
    }
    digits(&sum.into())
}

/// Encodes groups of three bytes in SHA-crypt's order, least significant digit first.
fn digits(sum: &[u8; 32]) -> [u8; 43] {
    let group = |i: usize| match i {
        10 => u32::from(sum[31]) << 8 | u32::from(sum[30]),
        _ => {
            let at = |n: usize| u32::from(sum[(i * 21 + 10 * n) % 30]);
            at(0) << 16 | at(1) << 8 | at(2)
        }
    };
    std::array::from_fn(|i| DIGITS[(group(i / 4) >> (6 * (i % 4))) as usize & 63])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_match_those_of_the_c_library() {
        // crypt(3), "$5$rounds=...$salt$...": a salt of at most 16 characters
        for (password, salt, rounds, expected) in [
            ("", "x", 5000, "yHbtfs4Y8t6X1xcJemNX.4JQRfUTafA2qQenWGLBee2"),
            (
                "Hello world!",
                "saltstring",
                5000,
                "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                "Hello world!",
                "saltstringsaltst",
                10000,
                "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            ),
            (
                "a very much longer text to encrypt.  This one even stretches over morethan one line.",
                "anotherlongsalts",
                1400,
                "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
            ),
        ] {
            let digits = crypt(password.as_bytes(), salt.as_bytes(), rounds);
            assert_eq!(String::from_utf8_lossy(&digits), expected, "{password}");
        }
    }

    #[test]
    fn a_password_matches_its_stored_hash() {
        // mysql.user of MySQL 9.7 after CREATE USER ... IDENTIFIED BY 'secret'
        let stored =
            "$A$00A$GOG\x1e6=y\\\x13e\x04,.M(pr^J;i6wjHsSZ89v3R.wNrTncai8lvnX1yrW1kfsilZ19OHC";
        assert!(is_stored(stored));
        assert!(verify(b"secret", stored));
        assert!(!verify(b"Secret", stored));
        assert!(!verify(b"", stored));
        for bad in ["", "$A$", "$A$005$", "$A$000$", &stored[..stored.len() - 1]] {
            assert!(!is_stored(bad) && !verify(b"secret", bad), "{bad}");
        }
    }
}
