//! Data that the server packed with zlib.

use std::io::Read as _;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use crate::error::Wrong;
use crate::reader::Reader;

/// Most bytes of one value or event; the server's own limit for a packet.
const MOST: u64 = 1 << 30;

/// Unpacks an event's data: `log_bin_compress`.
pub(super) fn event(bytes: &[u8]) -> Result<Vec<u8>, Wrong> {
    let mut reader = Reader(bytes);
    let head = reader.u8()?;
    if head & 0xF0 != 0x80 {
        return Err(Wrong::Unknown("an event is packed in an unknown way"));
    }
    let length = big_endian(&mut reader, head & 7)?;
    unpacked(ZlibDecoder::new(reader.0), length)
}

/// Unpacks a value of a column with the attribute `COMPRESSED`.
pub(super) fn value(bytes: &[u8]) -> Result<Vec<u8>, Wrong> {
    const RAW: u8 = 8;
    let mut reader = Reader(bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let head = reader.u8()?;
    match head >> 4 {
        0 => Ok(reader.0.to_vec()),
        8 => {
            let length = big_endian(&mut reader, head & 7)?;
            match head & RAW {
                0 => unpacked(ZlibDecoder::new(reader.0), length),
                _ => unpacked(DeflateDecoder::new(reader.0), length),
            }
        }
        _ => Err(Wrong::Unknown("a column is packed in an unknown way")),
    }
}

fn big_endian(reader: &mut Reader<'_>, bytes: u8) -> Result<u64, Wrong> {
    let bytes = reader.take(bytes.into())?;
    Ok(bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn unpacked(decoder: impl std::io::Read, length: u64) -> Result<Vec<u8>, Wrong> {
    const BAD: Wrong = Wrong::Damaged("packed data cannot be unpacked");
    if length > MOST {
        return Err(BAD);
    }
    let mut out = Vec::new();
    let read = decoder.take(length + 1).read_to_end(&mut out);
    match read {
        Ok(read) if read as u64 == length => Ok(out),
        _ => Err(BAD),
    }
}
