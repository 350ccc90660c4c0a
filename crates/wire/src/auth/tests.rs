use proptest::prelude::*;

use super::*;

const SALT: [u8; 20] = *b"abcdefghijklmnopqrst";

#[test]
fn stage_2_is_what_password_says() {
    // SELECT PASSWORD('secret') on MariaDB 10.11
    let stage2 = native::stage2(&native::stage1(b"secret"));
    assert_eq!(
        native::to_text(&stage2),
        "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"
    );
    assert_eq!(
        native::from_text("*14e65567abdb5135d0cfd9a70b3032c179a49ee7"),
        Some(stage2)
    );
    for bad in [
        "",
        "*",
        "14E65567ABDB5135D0CFD9A70B3032C179A49EE7",
        "*14E6",
        &format!("*{}", "ä".repeat(20)),
    ] {
        assert_eq!(native::from_text(bad), None, "{bad}");
    }
}

#[test]
fn a_proof_holds_for_its_password_and_salt_alone() {
    let stage1 = native::stage1(b"secret");
    let stage2 = native::stage2(&stage1);
    let proof = native::reply(&stage1, &SALT);
    assert!(native::verify(&proof, &SALT, &stage2));
    assert!(!native::verify(&proof, b"abcdefghijklmnopqrsX", &stage2));
    assert!(!native::verify(&proof[..19], &SALT, &stage2));
    assert!(!native::verify(&[], &SALT, &stage2));
    let other = native::stage2(&native::stage1(b"Secret"));
    assert!(!native::verify(&proof, &SALT, &other));
}

#[test]
fn a_fast_proof_shows_stage_1_to_who_has_stage_2() {
    use sha2::{Digest, Sha256};
    let stage1 = Sha256::digest(b"secret");
    let stage2 = Sha256::digest(stage1);
    let mask = Sha256::digest([stage2.as_slice(), &SALT].concat());
    let proof = caching_sha2::reply(b"secret", &SALT);
    let shown: Vec<u8> = proof.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    assert_eq!(shown, stage1.to_vec());
}

#[test]
fn a_clear_password_ends_with_a_nul() {
    assert_eq!(caching_sha2::password(b"pw\0"), Some(&b"pw"[..]));
    assert_eq!(caching_sha2::password(b"\0"), Some(&b""[..]));
    assert_eq!(caching_sha2::password(b"pw"), None);
    assert_eq!(caching_sha2::password(b""), None);
}

proptest! {
    #[test]
    fn every_password_proves_itself(password: Vec<u8>, salt: [u8; 20], noise in 0usize..20, bit in 0u8..8) {
        let stage1 = native::stage1(&password);
        let stage2 = native::stage2(&stage1);
        let mut proof = native::reply(&stage1, &salt);
        prop_assert!(native::verify(&proof, &salt, &stage2));
        proof[noise] ^= 1 << bit;
        prop_assert!(!native::verify(&proof, &salt, &stage2));
        prop_assert_eq!(native::from_text(&native::to_text(&stage2)), Some(stage2));
    }
}
