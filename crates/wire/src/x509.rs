//! Names in X.509 certificates (RFC 5280), as servers compare them for `REQUIRE SUBJECT` and `ISSUER`.
//!
//! Servers compare the text that OpenSSL's `X509_NAME_oneline` makes of a name. Only names are read here;
//! whoever calls this has verified the certificate.

use crate::reader::Malformed;

mod oid;

/// Tags of DER (X.690).
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const GENERAL_STRING: u8 = 0x1b;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version of a certificate, which the oldest ones lack.
const VERSION: u8 = 0xa0;

/// The names of a certificate, each as the bytes of its DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    /// Who has signed it.
    pub issuer: &'a [u8],
    /// Whose it is.
    pub subject: &'a [u8],
}

/// Reads the names of a certificate in DER.
///
/// # Errors
/// The bytes are not a certificate.
pub fn names(certificate: &[u8]) -> Result<Names<'_>, Malformed> {
    let mut outer = Der(certificate);
    let mut signed = Der(Der(outer.value(SEQUENCE)?).value(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.value(VERSION)?;
    }
    signed.value(INTEGER)?;
    // the signature's algorithm
    signed.value(SEQUENCE)?;
    let issuer = signed.whole(SEQUENCE)?;
    // the dates
    signed.value(SEQUENCE)?;
    let subject = signed.whole(SEQUENCE)?;
    Ok(Names { issuer, subject })
}

/// The text of a name, as `X509_NAME_oneline` of OpenSSL 3 makes it: `/C=DE/O=Example/CN=bo`. Parts of one
/// set have `+` between them; `/` and `+` in a value have a backslash, other bytes than printable ASCII are
/// written as `\xC3`.
///
/// # Errors
/// The bytes are not a name.
pub fn oneline(name: &[u8]) -> Result<String, Malformed> {
    let mut text = String::new();
    let mut sets = Der(Der(name).value(SEQUENCE)?);
    while !sets.0.is_empty() {
        let mut parts = Der(sets.value(SET)?);
        let mut before = '/';
        while !parts.0.is_empty() {
            let mut part = Der(parts.value(SEQUENCE)?);
            text.push(before);
            before = '+';
            oid::push(&mut text, part.value(OID)?)?;
            text.push('=');
            let (tag, value, _) = part.next()?;
            push_value(&mut text, tag, value);
        }
    }
    Ok(text)
}

/// A string of four bytes a character (in practice, one that OpenSSL takes for such) is shortened to its
/// last bytes, if the others are 0.
fn push_value(text: &mut String, tag: u8, value: &[u8]) {
    let (groups, rest) = value.as_chunks::<4>();
    let wide = tag == GENERAL_STRING
        && rest.is_empty()
        && groups.iter().all(|[a, b, c, _]| (*a, *b, *c) == (0, 0, 0));
    let step = if wide { 4 } else { 1 };
    for byte in value.iter().skip(step - 1).step_by(step) {
        match byte {
            b'/' | b'+' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                text.push_str("\\x");
                text.extend([byte >> 4, byte & 15].map(|n| {
                    char::from_digit(n.into(), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase()
                }));
            }
        }
    }
}

/// Elements of DER from front to back.
#[derive(Debug, Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag, its value, and all its bytes.
    fn next(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), Malformed> {
        const SHORT: Malformed = Malformed("a certificate ends too early");
        let all = self.0;
        let [tag, length, rest @ ..] = all else {
            return Err(SHORT);
        };
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest
                    .split_at_checked(usize::from(length & 0x7f))
                    .ok_or(SHORT)?;
                let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
                (length, rest)
            }
            _ => return Err(Malformed("a length in a certificate")),
        };
        let (value, after) = rest.split_at_checked(length).ok_or(SHORT)?;
        let (whole, _) = all.split_at(all.len() - after.len());
        self.0 = after;
        Ok((*tag, value, whole))
    }

    fn of(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        match self.next()? {
            (found, value, whole) if found == tag => Ok((value, whole)),
            _ => Err(Malformed("an unexpected element in a certificate")),
        }
    }

    /// The value of the next element, which must have this tag.
    fn value(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        Ok(self.of(tag)?.0)
    }

    /// All bytes of the next element, which must have this tag.
    fn whole(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        Ok(self.of(tag)?.1)
    }
}

#[cfg(test)]
mod tests;
