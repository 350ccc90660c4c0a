//! The log as a server sends it to those that follow it: events with their rows.
//!
//! A [`Decoder`] reads one event after the other; a [`TableMap`] says how the [`Rows`] behind it are written, and
//! [`Rows::changes`] gives them one at a time. What the log does not say (names of columns, signs, character sets) the
//! caller knows from the table.

mod packed;
mod query;
mod rows;
mod temporal;
mod value;

#[cfg(test)]
mod tests;

pub use query::Query;
pub use rows::{Change, Changes, RowKind, Rows, TableMap};
pub use value::Value;

use crate::error::Wrong;
use crate::event::{HEADER, Header, verify};
use crate::group::Gtid;
use crate::reader::Reader;

/// The flag of an event that is made for this stream and stands in no file.
const ARTIFICIAL: u16 = 0x20;

/// What every event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Seconds since 1970 at which its statement began.
    pub timestamp: u32,
    /// Position behind it in its file, modulo 2^32; 0 if it stands in no file.
    pub end: u32,
    /// Whether it stands in no file.
    pub artificial: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next events are of this file, from this position on.
    Rotate {
        /// The file's name.
        file: String,
        /// The position.
        position: u64,
    },
    /// The description of a file's events: it was begun at this second since 1970.
    File {
        /// The second.
        began: u32,
    },
    /// A group begins.
    Begin(Begin),
    /// A statement, or the end of a group that has no XID.
    Query(Query),
    /// The end of a group.
    Commit,
    /// An XA transaction is prepared.
    XaPrepare,
    /// How the rows of a table are written.
    Table(TableMap),
    /// Changes of rows.
    Rows(Rows),
    /// Something that only statements need which are logged as text: variables, random numbers, files.
    Statement(&'static str),
    /// The server lost events.
    Incident,
    /// Nothing to do.
    Nothing,
}

/// The begin of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Its GTID.
    pub gtid: Gtid,
    /// Whether one statement is the whole group: no commit follows.
    pub alone: bool,
    /// Whether it is one half of an `ALTER TABLE` that is logged in two.
    pub half: bool,
}

/// Decodes the events of a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    checksums: bool,
}

impl Decoder {
    /// Reads an event.
    ///
    /// # Errors
    /// It is damaged, or of a kind that cannot be passed over.
    pub fn event(&mut self, bytes: &[u8]) -> Result<(Head, Event), Wrong> {
        const FORMAT: u8 = 15;
        let (header, _) = Header::read(bytes)?;
        let mut raw = Reader(bytes.get(13..).unwrap_or_default());
        let end = raw.u32()?;
        let head = Head {
            timestamp: header.timestamp,
            end,
            artificial: header.flags & ARTIFICIAL != 0 || end == 0,
        };
        if header.kind == FORMAT {
            let (_, format) = crate::event::first(bytes)?;
            self.checksums = format.checksums;
            let began = header.timestamp;
            return Ok((head, Event::File { began }));
        }
        // the first rotation is sent in front of the description that says whether there are checksums
        let bytes = match self.checksums {
            true => verify(bytes)?,
            false => bytes,
        };
        let body = Reader(bytes.get(HEADER..).unwrap_or_default());
        Ok((head, read(&header, body)?))
    }

    /// Says whether events in front of the first description have checksums.
    pub fn expect_checksums(&mut self, checksums: bool) {
        self.checksums = checksums;
    }
}

fn read(header: &Header, mut body: Reader<'_>) -> Result<Event, Wrong> {
    Ok(match header.kind {
        2 => Event::Query(query::read(body, false)?),
        165 => Event::Query(query::read(body, true)?),
        4 => {
            let position = body.u64()?;
            let file = body.rest();
            Event::Rotate { file, position }
        }
        5 | 13 | 14 => Event::Statement("a variable of a statement"),
        6 | 8..=12 | 17 | 18 => Event::Statement("LOAD DATA"),
        16 => Event::Commit,
        19 => Event::Table(TableMap::read(body)?),
        20..=22 => {
            return Err(Wrong::Unknown(
                "its rows are in a format of MySQL before 5.1.18",
            ));
        }
        23 => Event::Rows(Rows::read(body, RowKind::Insert, 1, false)?),
        24 => Event::Rows(Rows::read(body, RowKind::Update, 1, false)?),
        25 => Event::Rows(Rows::read(body, RowKind::Delete, 1, false)?),
        26 => Event::Incident,
        30 => Event::Rows(Rows::read(body, RowKind::Insert, 2, false)?),
        31 => Event::Rows(Rows::read(body, RowKind::Update, 2, false)?),
        32 => Event::Rows(Rows::read(body, RowKind::Delete, 2, false)?),
        38 => Event::XaPrepare,
        162 => Event::Begin(begin(header, body)?),
        166 => Event::Rows(Rows::read(body, RowKind::Insert, 1, true)?),
        167 => Event::Rows(Rows::read(body, RowKind::Update, 1, true)?),
        168 => Event::Rows(Rows::read(body, RowKind::Delete, 1, true)?),
        169 => Event::Rows(Rows::read(body, RowKind::Insert, 2, true)?),
        170 => Event::Rows(Rows::read(body, RowKind::Update, 2, true)?),
        171 => Event::Rows(Rows::read(body, RowKind::Delete, 2, true)?),
        // STOP, HEARTBEAT, IGNORABLE, ANNOTATE, CHECKPOINT, GTID_LIST, START_ENCRYPTION
        3 | 27 | 28 | 160 | 161 | 163 | 164 => Event::Nothing,
        33..=37 | 39..=42 => {
            return Err(Wrong::Unknown("it has events of MySQL"));
        }
        _ => return Err(Wrong::Unknown("it has events of an unknown kind")),
    })
}

fn begin(header: &Header, mut body: Reader<'_>) -> Result<Begin, Wrong> {
    const ALONE: u8 = 1;
    const COMMIT_ID: u8 = 2;
    const XA: u8 = 64 | 128;
    /// `START ALTER`, `COMMIT ALTER`, `ROLLBACK ALTER`.
    const HALVES: u8 = 2 | 4 | 8;
    let sequence = body.u64()?;
    let domain = body.u32()?;
    let flags = body.u8()?;
    if flags & COMMIT_ID != 0 {
        body.u64()?;
    }
    if flags & XA != 0 {
        body.u32()?;
        let (global, branch) = (body.u8()?, body.u8()?);
        body.take(usize::from(global) + usize::from(branch))?;
    }
    // shorter events are padded with zeros
    let more = body.u8().unwrap_or(0);
    Ok(Begin {
        gtid: Gtid {
            domain,
            server: header.server,
            sequence,
        },
        alone: flags & ALONE != 0,
        half: more & HALVES != 0,
    })
}
