//! One file of a log.

use std::io::{self, Read};
use std::ops::ControlFlow;

use crate::crypt::{Cipher, Keys};
use crate::error::{Fault, Wrong};
use crate::event::{self, Body, Format, HEADER, LENGTH_AT};
use crate::group::{Group, Growing};
use crate::place::Name;

/// The first bytes of every file.
const MAGIC: [u8; 4] = *b"\xfebin";

/// Where a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Position behind its last whole group, and behind what follows that and belongs to none.
    pub whole: u64,
    /// Whether something stands behind that: the begin of a group that was never completed, or is being written.
    pub is_torn: bool,
    /// The next file, if the server went on to one.
    pub next: Option<Name>,
    /// Whether the server has closed it.
    pub is_closed: bool,
    /// Whether the server says that something is missing in it.
    pub has_incident: bool,
}

/// An event with its position.
struct Raw {
    bytes: Vec<u8>,
    start: u64,
    end: u64,
}

/// Passes over the groups of a file. `each` may end that early; then the file's end is where it did.
///
/// # Errors
/// The file is no log, was damaged, or needs a key that is missing.
pub fn read(
    name: &Name,
    reader: impl Read,
    keys: &Keys,
    mut each: impl FnMut(Group) -> ControlFlow<()>,
) -> Result<End, Fault> {
    let mut file = Reading::new(name, reader)?;
    let Some((format, mut at)) = file.format()? else {
        return Ok(file.end);
    };
    let mut cipher = None;
    let mut growing: Option<Growing> = None;
    loop {
        let seen = match file.event(at, cipher.as_ref(), format) {
            Ok(Some(seen)) => seen,
            Ok(None) => break,
            // what a server that was killed left behind its last whole event may be anything
            Err(Wrong::Damaged(_)) if format.in_use => {
                file.end.is_torn = true;
                break;
            }
            Err(wrong) => return Err(file.fault(at, wrong)),
        };
        let (header, body, end) = seen;
        match body {
            Body::Gtid {
                gtid,
                flags,
                connection,
            } => {
                let new = Growing::new(name, at, &header, gtid, flags);
                growing = Some(new.of_connection(connection));
            }
            Body::Encryption { version, nonce } => {
                let new = Cipher::new(keys, version, nonce);
                cipher = Some(new.map_err(|wrong| file.fault(at, wrong))?);
            }
            Body::Rotate { next } if growing.is_none() => {
                // with a path, as the server was configured
                file.end.next = next.rsplit('/').next().and_then(Name::new);
            }
            Body::Incident => file.end.has_incident = true,
            body => {
                if let Some(mut group) = growing.take() {
                    if !group.add(body) {
                        growing = Some(group);
                    } else if each(group.end(end)).is_break() {
                        file.end.whole = end;
                        return Ok(file.end);
                    }
                }
            }
        }
        at = end;
        if growing.is_none() {
            file.end.whole = end;
        }
    }
    file.end.is_torn |= growing.is_some() || file.left_over;
    Ok(file.end)
}

struct Reading<'a, R> {
    name: &'a Name,
    reader: R,
    end: End,
    /// Whether there was less at the end than one event.
    left_over: bool,
}

impl<'a, R: Read> Reading<'a, R> {
    fn new(name: &'a Name, reader: R) -> Result<Self, Fault> {
        let end = End {
            whole: 0,
            is_torn: false,
            next: None,
            is_closed: false,
            has_incident: false,
        };
        Ok(Self {
            name,
            reader,
            end,
            left_over: false,
        })
    }

    /// Reads the begin of the file; `None` if the server had not written it.
    fn format(&mut self) -> Result<Option<(Format, u64)>, Fault> {
        let magic = self
            .some(MAGIC.len())
            .map_err(|wrong| self.fault(0, wrong))?;
        if magic.len() < MAGIC.len() && MAGIC.starts_with(&magic) {
            self.end.is_torn = !magic.is_empty();
            return Ok(None);
        }
        if magic != MAGIC {
            return Err(self.fault(0, Wrong::NoLog));
        }
        let at = MAGIC.len() as u64;
        let raw = match self.raw(at) {
            Ok(Some(raw)) => raw,
            Ok(None) => {
                self.end.is_torn = true;
                return Ok(None);
            }
            Err(wrong) => return Err(self.fault(at, wrong)),
        };
        let (_, format) = event::first(&raw.bytes).map_err(|wrong| self.fault(at, wrong))?;
        self.end.is_closed = !format.in_use;
        self.end.whole = raw.end;
        Ok(Some((format, raw.end)))
    }

    /// The next event; `None` at the end of the file.
    fn event(
        &mut self,
        at: u64,
        cipher: Option<&Cipher>,
        format: Format,
    ) -> Result<Option<(event::Header, Body, u64)>, Wrong> {
        let Some(mut raw) = self.raw(at)? else {
            return Ok(None);
        };
        if let Some(cipher) = cipher {
            cipher.decrypt(&mut raw.bytes, raw.start)?;
        }
        let (header, body) = event::other(&raw.bytes, format.checksums)?;
        Ok(Some((header, body, raw.end)))
    }

    /// The bytes of the next event; `None` if there are fewer than it has.
    fn raw(&mut self, start: u64) -> Result<Option<Raw>, Wrong> {
        let mut bytes = self.some(HEADER)?;
        self.left_over = !bytes.is_empty();
        let Some(length) = bytes
            .get(LENGTH_AT..)
            .and_then(|rest| rest.first_chunk::<4>())
            .filter(|_| bytes.len() == HEADER)
        else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length);
        let Some(rest) = (length as usize).checked_sub(HEADER) else {
            return Err(Wrong::Damaged("an event is shorter than its header"));
        };
        let body = self.some(rest)?;
        if body.len() < rest {
            return Ok(None);
        }
        self.left_over = false;
        bytes.extend_from_slice(&body);
        let end = start.saturating_add(length.into());
        Ok(Some(Raw { bytes, start, end }))
    }

    /// Reads this many bytes, or as many as there are.
    fn some(&mut self, n: usize) -> Result<Vec<u8>, Wrong> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(n as u64).read_to_end(&mut bytes);
        read.map_err(|error: io::Error| Wrong::Io(error.to_string()))?;
        Ok(bytes)
    }

    fn fault(&self, position: u64, wrong: Wrong) -> Fault {
        Fault {
            file: self.name.to_string(),
            position,
            wrong,
        }
    }
}
