//! Object identifiers in names, and OpenSSL's short names of those that names have.

use std::fmt::Write as _;

use crate::reader::Malformed;

/// Attributes `2.5.4.N` (X.520).
const X520: &[(u64, &str)] = &[
    (3, "CN"),
    (4, "SN"),
    (5, "serialNumber"),
    (6, "C"),
    (7, "L"),
    (8, "ST"),
    (9, "street"),
    (10, "O"),
    (11, "OU"),
    (12, "title"),
    (13, "description"),
    (14, "searchGuide"),
    (15, "businessCategory"),
    (16, "postalAddress"),
    (17, "postalCode"),
    (18, "postOfficeBox"),
    (19, "physicalDeliveryOfficeName"),
    (20, "telephoneNumber"),
    (23, "facsimileTelephoneNumber"),
    (41, "name"),
    (42, "GN"),
    (43, "initials"),
    (44, "generationQualifier"),
    (45, "x500UniqueIdentifier"),
    (46, "dnQualifier"),
    (51, "houseIdentifier"),
    (54, "dmdName"),
    (65, "pseudonym"),
    (72, "role"),
    (97, "organizationIdentifier"),
];

/// Attributes `0.9.2342.19200300.100.1.N` (RFC 4524).
const COSINE: &[(u64, &str)] = &[
    (1, "UID"),
    (3, "mail"),
    (4, "info"),
    (6, "roomNumber"),
    (8, "userClass"),
    (9, "host"),
    (10, "manager"),
    (20, "homeTelephoneNumber"),
    (25, "DC"),
    (37, "associatedDomain"),
    (38, "associatedName"),
    (40, "personalTitle"),
    (41, "mobileTelephoneNumber"),
    (43, "friendlyCountryName"),
    (44, "uid"),
];

/// Attributes `1.2.840.113549.1.9.N` (PKCS #9).
const PKCS9: &[(u64, &str)] = &[
    (1, "emailAddress"),
    (2, "unstructuredName"),
    (7, "challengePassword"),
    (8, "unstructuredAddress"),
    (20, "friendlyName"),
];

/// Attributes `1.3.6.1.4.1.311.60.2.1.N` of certificates for extended validation.
const JURISDICTION: &[(u64, &str)] = &[
    (1, "jurisdictionL"),
    (2, "jurisdictionST"),
    (3, "jurisdictionC"),
];

/// Appends the short name of an attribute, or its numbers.
pub(super) fn push(text: &mut String, oid: &[u8]) -> Result<(), Malformed> {
    let numbers = numbers(oid)?;
    let (last, arc) = numbers
        .split_last()
        .ok_or(Malformed("an empty attribute"))?;
    let known = match arc {
        [2, 5, 4] => X520,
        [0, 9, 2342, 19_200_300, 100, 1] => COSINE,
        [1, 2, 840, 113_549, 1, 9] => PKCS9,
        [1, 3, 6, 1, 4, 1, 311, 60, 2, 1] => JURISDICTION,
        _ => &[],
    };
    if let Some((_, name)) = known.iter().find(|(number, _)| number == last) {
        text.push_str(name);
        return Ok(());
    }
    for (at, number) in numbers.iter().enumerate() {
        let dot = if at == 0 { "" } else { "." };
        // writing to a String cannot fail
        let _ = write!(text, "{dot}{number}");
    }
    Ok(())
}

/// The numbers of an object identifier: seven bits a byte, the first two numbers in one.
fn numbers(oid: &[u8]) -> Result<Vec<u64>, Malformed> {
    let mut numbers = Vec::new();
    let (mut number, mut open) = (0_u64, false);
    for byte in oid {
        if number >> 56 != 0 {
            return Err(Malformed("an attribute's number is too large"));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        open = byte & 0x80 != 0;
        if open {
            continue;
        }
        if numbers.is_empty() {
            let first = (number / 40).min(2);
            numbers.extend([first, number - 40 * first]);
        } else {
            numbers.push(number);
        }
        number = 0;
    }
    if open {
        return Err(Malformed("an attribute ends too early"));
    }
    Ok(numbers)
}
