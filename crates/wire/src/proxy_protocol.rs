//! The header of the PROXY protocol (haproxy.org, "The PROXY protocol"), versions 1 and 2: a balancer
//! sends it before all other bytes to tell the client's address.
//!
//! The header is read strictly: whoever sends something else at this place is refused. No byte after it is
//! asked for.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reader::{Malformed, Reader};

/// The longest header of version 2 that is taken, in bytes: two IPv6 addresses and 484 bytes of extensions,
/// which are skipped.
pub const LONGEST: usize = 536;

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// The shortest line of version 1: `PROXY UNKNOWN` and its end.
const SHORTEST_LINE: usize = 15;

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of what precedes the addresses in version 2.
const FIXED: usize = 16;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The client's address, and the address it connected to.
    Addresses {
        /// The client's.
        from: SocketAddr,
        /// The balancer's.
        to: SocketAddr,
    },
    /// Nothing: the connection is the balancer's own (a health check), or of another kind than TCP.
    Nothing,
}

/// A header, or how much of it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// This many more bytes belong to the header at least.
    Needs(usize),
    /// The header is complete; it is as long as the bytes.
    Complete(Told),
}

/// Reads a header from the first bytes of a connection.
///
/// # Errors
/// The bytes are not the beginning of a header, or something stands behind it.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    let begins = |mark: &[u8]| bytes.iter().zip(mark).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        line(bytes)
    } else if begins(SIGNATURE) {
        binary(bytes)
    } else {
        Err(Malformed("not a header of the PROXY protocol"))
    }
}

fn line(bytes: &[u8]) -> Result<Header, Malformed> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() >= LONGEST_LINE {
            return Err(Malformed("the PROXY line has no end"));
        }
        // after CR only one byte is missing
        let needs = SHORTEST_LINE.saturating_sub(bytes.len()).max(1);
        return Ok(Header::Needs(needs));
    };
    if end + 2 != bytes.len() {
        return Err(Malformed("bytes behind the PROXY line"));
    }
    let text = bytes
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    let text = text.ok_or(Malformed("the PROXY line is not text"))?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // whatever follows is to be ignored
        return Ok(Header::Complete(Told::Nothing));
    }
    let malformed = Malformed("the PROXY line names no addresses");
    let mut word = || {
        words
            .next()
            .ok_or(Malformed("the PROXY line names no addresses"))
    };
    let (from, to) = (word()?, word()?);
    let (from_port, to_port) = (word()?, word()?);
    let address = |text: &str| match family {
        Some("TCP4") => text.parse().ok().map(IpAddr::V4),
        Some("TCP6") => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    let port = |text: &str| {
        let plain =
            text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain)
    };
    let found = (
        address(from),
        address(to),
        port(from_port),
        port(to_port),
        words.next(),
    );
    match found {
        (Some(from), Some(to), Some(from_port), Some(to_port), None) => {
            Ok(Header::Complete(Told::Addresses {
                from: SocketAddr::new(from, from_port),
                to: SocketAddr::new(to, to_port),
            }))
        }
        _ => Err(malformed),
    }
}

fn binary(bytes: &[u8]) -> Result<Header, Malformed> {
    let Some(fixed) = bytes.get(..FIXED) else {
        return Ok(Header::Needs(FIXED - bytes.len()));
    };
    let mut fixed = Reader::new(fixed.get(SIGNATURE.len()..).unwrap_or_default());
    let (command, family) = (fixed.u8()?, fixed.u8()?);
    let len = usize::from(u16::from_be_bytes(fixed.array()?));
    if FIXED + len > LONGEST {
        return Err(Malformed("the PROXY header is too long"));
    }
    if bytes.len() > FIXED + len {
        return Err(Malformed("bytes behind the PROXY header"));
    }
    if bytes.len() < FIXED + len {
        return Ok(Header::Needs(FIXED + len - bytes.len()));
    }
    let mut rest = Reader::new(bytes.get(FIXED..).unwrap_or_default());
    let told = match (command, family) {
        (0x20, _) | (0x21, 0x00 | 0x31) => Told::Nothing,
        (0x21, 0x11) => {
            let (from, to) = (v4(&mut rest)?, v4(&mut rest)?);
            ports(&mut rest, from, to)?
        }
        (0x21, 0x21) => {
            let (from, to) = (v6(&mut rest)?, v6(&mut rest)?);
            ports(&mut rest, from, to)?
        }
        _ => {
            return Err(Malformed(
                "the PROXY header has an unknown command or family",
            ));
        }
    };
    Ok(Header::Complete(told))
}

fn v4(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    Ok(Ipv4Addr::from(reader.array::<4>()?).into())
}

fn v6(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    Ok(Ipv6Addr::from(reader.array::<16>()?).into())
}

fn ports(reader: &mut Reader<'_>, from: IpAddr, to: IpAddr) -> Result<Told, Malformed> {
    let mut port = || Ok(u16::from_be_bytes(reader.array()?));
    Ok(Told::Addresses {
        from: SocketAddr::new(from, port()?),
        to: SocketAddr::new(to, port()?),
    })
}

#[cfg(test)]
mod tests;
