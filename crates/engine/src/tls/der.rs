//! The parts of a certificate in DER (X.690, RFC 5280) that are the same in all, and how to write the others.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const EXTENSIONS: u8 = 0xa3;
/// `keyIdentifier` of an `AuthorityKeyIdentifier`.
pub(super) const KEY_ID: u8 = 0x80;

/// `[0] { INTEGER 2 }`.
pub(super) const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];

/// `ecdsa-with-SHA256`.
pub(super) const ECDSA_WITH_SHA256: [u8; 10] =
    [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// From 2020 to 9999-12-31, which means no end (RFC 5280, 4.1.2.5).
pub(super) const ALWAYS_VALID: [u8; 34] = *b"\x30\x20\x17\x0d200101000000Z\x18\x0f99991231235959Z";

pub(super) const SUBJECT_KEY_ID: [u8; 5] = [0x06, 3, 0x55, 0x1d, 14];
pub(super) const AUTHORITY_KEY_ID: [u8; 5] = [0x06, 3, 0x55, 0x1d, 35];

/// Basic constraints: an authority; key usage: `keyCertSign`. Both critical.
pub(super) const FOR_AUTHORITIES: [u8; 33] = [
    0x30, 15, 0x06, 3, 0x55, 0x1d, 19, 0x01, 1, 0xff, 0x04, 5, 0x30, 3, 0x01, 1, 0xff, //
    0x30, 14, 0x06, 3, 0x55, 0x1d, 15, 0x01, 1, 0xff, 0x04, 4, 0x03, 2, 2, 0x04,
];

/// Key usage: `digitalSignature`, critical; extended key usage: `clientAuth`.
pub(super) const FOR_CLIENTS: [u8; 37] = [
    0x30, 14, 0x06, 3, 0x55, 0x1d, 15, 0x01, 1, 0xff, 0x04, 4, 0x03, 2, 7, 0x80, //
    0x30, 19, 0x06, 3, 0x55, 0x1d, 37, 0x04, 12, 0x30, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2,
];

/// An element with these bytes as its value.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match significant[..] {
        [] => bytes.push(0),
        [short @ 0..0x80] => bytes.push(short),
        // at most eight bytes
        _ => {
            bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            bytes.extend(significant);
        }
    }
    bytes.extend(value);
    bytes
}

/// An extension that is not critical.
pub(super) fn extension(name: &[u8], value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[name, &element(OCTET_STRING, &[value])])
}
