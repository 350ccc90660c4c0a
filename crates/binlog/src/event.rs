//! Events.

use crate::error::Wrong;
use crate::group::{Gtid, Table};
use crate::reader::Reader;

/// Length of every event's header.
pub(crate) const HEADER: usize = 19;
/// Position of the event's length in its header.
pub(crate) const LENGTH_AT: usize = 9;
/// Length of a checksum.
const CHECKSUM: usize = 4;
/// Flag of the first event while the file is written to, and for ever if its server was killed.
const IN_USE: u16 = 1;
/// Position of the flags in the header.
const FLAGS_AT: usize = 17;

/// An event's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) timestamp: u32,
    pub(crate) kind: u8,
    pub(crate) server: u32,
    pub(crate) flags: u16,
}

/// What an event says; only what this crate needs.
#[derive(Debug)]
pub(crate) enum Body {
    Encryption {
        version: u32,
        nonce: [u8; 12],
    },
    Gtid {
        gtid: Gtid,
        flags: u8,
        /// `pseudo_thread_id` of the connection that wrote the group: servers tell it from 11.5 on.
        connection: Option<u32>,
    },
    Query {
        schema: String,
        text: String,
    },
    Xid,
    XaPrepare,
    Rotate {
        next: String,
    },
    Stop,
    Annotate(String),
    Table(Table),
    Incident,
    /// A part of a statement that stands before it.
    Prefix,
    Other,
}

/// The first event of a file: how the others are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) checksums: bool,
    /// Whether the file is not closed.
    pub(crate) in_use: bool,
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, u32), Wrong> {
        let mut reader = Reader(bytes);
        let timestamp = reader.u32()?;
        let kind = reader.u8()?;
        let server = reader.u32()?;
        let length = reader.u32()?;
        let _end = reader.u32()?;
        let flags = reader.u16()?;
        let header = Self {
            timestamp,
            kind,
            server,
            flags,
        };
        Ok((header, length))
    }
}

/// The first event of a file, which has a checksum of its own, whether the others have one or not.
pub(crate) fn first(bytes: &[u8]) -> Result<(Header, Format), Wrong> {
    const KIND: u8 = 15;
    const CRC32: u8 = 1;
    const VERSION: u16 = 4;
    let (header, _) = Header::read(bytes)?;
    if header.kind != KIND {
        return Err(Wrong::NoLog);
    }
    let end = bytes.len().checked_sub(CHECKSUM + 1);
    let (body, tail) = end
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or(Wrong::NoLog)?;
    let mut body = Reader(body.get(HEADER..).unwrap_or_default());
    if body.u16()? != VERSION {
        return Err(Wrong::Unknown(
            "it has another format than MySQL 5.0 and later write",
        ));
    }
    let server = body.text(50)?;
    if !server.contains("MariaDB") {
        return Err(Wrong::Unknown("it was not written by MariaDB"));
    }
    let checksums = match tail.first() {
        Some(0) => false,
        Some(&CRC32) => true,
        _ => {
            return Err(Wrong::Unknown(
                "its checksums are of another kind than CRC32",
            ));
        }
    };
    // the flag is set and cleared without a change of the checksum
    let mut plain = bytes.to_vec();
    if let Some(flags) = plain.get_mut(FLAGS_AT) {
        *flags &= !1;
    }
    if checksums {
        verify(&plain)?;
    }
    let in_use = header.flags & IN_USE != 0;
    Ok((header, Format { checksums, in_use }))
}

pub(crate) fn verify(bytes: &[u8]) -> Result<&[u8], Wrong> {
    let (body, sum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or(Wrong::Damaged("an event ends too early"))?;
    if crc32fast::hash(body) == u32::from_le_bytes(*sum) {
        Ok(body)
    } else {
        Err(Wrong::Damaged("an event's checksum does not fit"))
    }
}

/// An event behind the first one.
pub(crate) fn other(bytes: &[u8], checksums: bool) -> Result<(Header, Body), Wrong> {
    let (header, _) = Header::read(bytes)?;
    let bytes = if checksums { verify(bytes)? } else { bytes };
    let body = Reader(bytes.get(HEADER..).unwrap_or_default());
    Ok((header, body_of(&header, body)?))
}

fn body_of(header: &Header, mut body: Reader<'_>) -> Result<Body, Wrong> {
    Ok(match header.kind {
        2 => query(body, false)?,
        165 => query(body, true)?,
        3 => Body::Stop,
        4 => {
            body.u64()?;
            Body::Rotate { next: body.rest() }
        }
        // INTVAR, RAND, USER_VAR
        5 | 13 | 14 => Body::Prefix,
        16 => Body::Xid,
        19 => table(body)?,
        26 => Body::Incident,
        38 => Body::XaPrepare,
        160 => Body::Annotate(body.rest()),
        162 => {
            let sequence = body.u64()?;
            let domain = body.u32()?;
            let flags = body.u8()?;
            let gtid = Gtid {
                domain,
                server: header.server,
                sequence,
            };
            Body::Gtid {
                gtid,
                flags,
                connection: connection(body, flags)?,
            }
        }
        164 => {
            if body.u8()? != 1 {
                return Err(Wrong::Unknown(
                    "it is encrypted in another way than MariaDB 10.1 to 11.8 do",
                ));
            }
            let version = body.u32()?;
            let nonce = body.array()?;
            Body::Encryption { version, nonce }
        }
        _ => Body::Other,
    })
}

/// What follows the flags of a GTID event (`sql/log_event.cc`, `Gtid_log_event`), of which a part is missing if a flag is; at
/// the end zeros, up to a length of 19.
fn connection(mut body: Reader<'_>, flags: u8) -> Result<Option<u32>, Wrong> {
    const COMMIT_ID: u8 = 2;
    const XA: u8 = 64 | 128;
    const ENGINES: u8 = 1;
    const ALTERED: u8 = 4 | 8;
    const CONNECTION: u8 = 16;
    if flags & COMMIT_ID != 0 {
        body.u64()?;
    }
    if flags & XA != 0 {
        let _format = body.u32()?;
        let (gtrid, bqual) = (body.u8()?, body.u8()?);
        body.take(usize::from(gtrid) + usize::from(bqual))?;
    }
    if body.0.is_empty() {
        return Ok(None);
    }
    let more = body.u8()?;
    if more & ENGINES != 0 {
        body.u8()?;
    }
    if more & ALTERED != 0 {
        body.u64()?;
    }
    (more & CONNECTION != 0).then(|| body.u32()).transpose()
}

fn query(mut body: Reader<'_>, compressed: bool) -> Result<Body, Wrong> {
    let _thread = body.u32()?;
    let _took = body.u32()?;
    let schema = body.u8()?;
    let _error = body.u16()?;
    let status = body.u16()?;
    body.take(status.into())?;
    let schema = body.text(schema.into())?;
    body.u8()?;
    // `log_bin_compress` is off; whoever turns it on finds such texts by their schema alone
    let text = if compressed {
        String::new()
    } else {
        body.rest()
    };
    Ok(Body::Query { schema, text })
}

fn table(mut body: Reader<'_>) -> Result<Body, Wrong> {
    body.take(6 + 2)?;
    let length = body.u8()?;
    let schema = body.text(length.into())?;
    body.u8()?;
    let length = body.u8()?;
    let name = body.text(length.into())?;
    Ok(Body::Table(Table { schema, name }))
}

#[cfg(test)]
mod tests;
