use proptest::prelude::*;

use super::*;

const SALT: [u8; 20] = *b"abcdefghijklmnopqrst";

#[test]
fn stage_2_is_the_result_of_the_password_function() {
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
fn a_proof_is_valid_for_its_password_and_salt_only() {
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
fn a_fast_proof_reveals_stage_1_given_stage_2() {
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

/// Bytes written as hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|b| char::from(b).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn an_ed25519_proof_equals_that_of_a_mariadb_client() {
    // CREATE USER ... IDENTIFIED VIA ed25519 USING PASSWORD('secret') on 10.11 and 11.8, and what
    // libmariadb 3.4.10 then sent to log in
    let key = ed25519::from_text("ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY").unwrap();
    let nonce = hex("610664b1c41c09bc02376cabbc22b2523dfa54c9b9376793675a2da0745505c8");
    let reply = hex(
        "31f9014e145d48db727a5559e242e1dc7a4af42955df4a333323bca3929679302ef9b7f2358433c99d7687aff328c807d93b98c1635a11bf34f4da096e625608",
    );
    assert_eq!(ed25519::key(b"secret"), key);
    assert_eq!(ed25519::reply(b"secret", &nonce).to_vec(), reply);
    assert!(ed25519::verify(&reply, &nonce, &key));
    assert!(!ed25519::verify(&reply[..63], &nonce, &key));
    assert!(!ed25519::verify(&[0; 64], &nonce, &key));
    assert!(!ed25519::verify(&reply, &nonce[1..], &key));
    assert!(!ed25519::verify(&reply, &nonce, &ed25519::key(b"Secret")));
    // 11.8; a password may have any length
    let empty = ed25519::from_text("4LH+dBF+G5W2CKTyId8xR3SyDqZoQjUNUVNxx8aWbG4");
    assert_eq!(Some(ed25519::key(b"")), empty);
}

#[test]
fn a_parsec_proof_equals_that_of_a_mariadb_client() {
    // as above, on 11.8
    let stored = "P0:UynhozmmEdYTz3J5o0lASGAT:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI";
    let (stretch, key) = parsec::from_text(stored).unwrap();
    let nonce: [u8; 32] = hex("ee4b655662a3056617ca72cd15ff5522c869af639254e5c4c04f76de8968b93e")
        .try_into()
        .unwrap();
    let reply = hex(
        "c9f6ce4015011947410093a4c69398fb906622ed8ef83e83977124feb16ad80a\
         d6497c3029ea2f41848da346139bf3f57ad2e6db04a55e0e66c78635bb4c69f3\
         45c751060074cb6cb85b14fc51179b64a6c8e4ce36078792077b29a7bf65c90f",
    );
    assert_eq!(
        stretch.encode(),
        hex("50005329e1a339a611d613cf7279a34940486013")
    );
    assert_eq!(parsec::Stretch::parse(&stretch.encode()), Some(stretch));
    assert_eq!(stretch.key(b"secret"), key);
    let own = reply[..32].try_into().unwrap();
    assert_eq!(stretch.reply(b"secret", &nonce, own), reply);
    assert!(parsec::verify(&reply, &nonce, &key));
    assert!(!parsec::verify(&reply[1..], &nonce, &key));
    assert!(!parsec::verify(&[], &nonce, &key));
    assert!(!parsec::verify(&reply, &[0; 32], &key));
    assert!(!parsec::verify(&reply, &nonce, &stretch.key(b"Secret")));
    for bad in [
        "",
        "P0",
        "P0:UynhozmmEdYTz3J5o0lASGAT",
        "Q0:UynhozmmEdYTz3J5o0lASGAT:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI",
        "P/:UynhozmmEdYTz3J5o0lASGAT:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI",
        "PZ:UynhozmmEdYTz3J5o0lASGAT:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI",
        "P0:UynhozmmEdYTz3J5o0lASGA:gAZxm1ui2N8BIIWw4klNfPX9EVgBvqhPVhOsjtwN4PI",
    ] {
        assert_eq!(parsec::from_text(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_of_an_account_table_is_parsed_or_refused(text in ".{0,90}", password: Vec<u8>) {
        let _ = (ed25519::from_text(&text), parsec::from_text(&text), native::from_text(&text));
        let _ = parsec::Stretch::parse(text.as_bytes());
        prop_assert!(!caching_sha2::verify_stored(&password, &text));
    }

    #[test]
    fn base64_is_read(bytes: Vec<u8>) {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bit = |n: usize| bytes.get(n / 8).is_some_and(|byte| byte >> (7 - n % 8) & 1 == 1);
        let text: String = (0..(bytes.len() * 8).div_ceil(6))
            .map(|i| (0..6).fold(0, |digit, n| digit << 1 | usize::from(bit(i * 6 + n))))
            .map(|digit| char::from(DIGITS[digit]))
            .collect();
        prop_assert_eq!(base64::decode(&text), Some(bytes));
    }

    #[test]
    fn every_password_makes_valid_signatures(password: Vec<u8>, nonce: [u8; 32], own: [u8; 32], noise in 0usize..96, bit in 0u8..8) {
        let key = ed25519::key(&password);
        prop_assert!(ed25519::verify(&ed25519::reply(&password, &nonce), &nonce, &key));
        let stretch = parsec::Stretch { doublings: 0, salt: [7; 18] };
        let mut reply = stretch.reply(&password, &nonce, &own);
        let key = stretch.key(&password);
        prop_assert!(parsec::verify(&reply, &nonce, &key));
        reply[noise] ^= 1 << bit;
        prop_assert!(!parsec::verify(&reply, &nonce, &key));
    }

    #[test]
    fn every_password_makes_valid_proofs(password: Vec<u8>, salt: [u8; 20], noise in 0usize..20, bit in 0u8..8) {
        let stage1 = native::stage1(&password);
        let stage2 = native::stage2(&stage1);
        let mut proof = native::reply(&stage1, &salt);
        prop_assert!(native::verify(&proof, &salt, &stage2));
        proof[noise] ^= 1 << bit;
        prop_assert!(!native::verify(&proof, &salt, &stage2));
        prop_assert_eq!(native::from_text(&native::to_text(&stage2)), Some(stage2));
    }
}
