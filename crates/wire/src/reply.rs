//! The packets that end a reply, or are all of it: OK, ERR and EOF.

use std::fmt;

use crate::caps::Capabilities;
use crate::packet::{HEADER, Header, write_packet};
use crate::reader::{Malformed, Reader, put_lenenc_bytes, put_lenenc_int};
use crate::status::Status;

/// First byte of an OK packet.
pub(crate) const OK: u8 = 0x00;
/// First byte of an EOF packet, and of an OK packet in its place.
pub(crate) const EOF: u8 = 0xFE;
/// First byte of an ERR packet.
pub(crate) const ERR: u8 = 0xFF;
/// The code of an ERR packet that is a progress report.
const PROGRESS: u16 = 0xFFFF;

/// A statement went well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    /// Rows changed, or found with [`Capabilities::FOUND_ROWS`].
    pub affected: u64,
    /// The first automatic value made; 0 for none.
    pub last_insert_id: u64,
    /// The session's status after the statement.
    pub status: Status,
    /// How many warnings there are.
    pub warnings: u16,
    /// Text for a human, such as `Records: 2  Duplicates: 0`.
    pub info: Vec<u8>,
    /// What changed in the session; sent if both sides have [`Capabilities::SESSION_TRACK`] and
    /// the status has [`Status::SESSION_STATE_CHANGED`].
    pub session_changes: Vec<SessionChange>,
}

impl OkPacket {
    /// The payload to send, led by 0xFE instead of 0x00 with `eof_header`, as at the end of rows.
    /// The status' flag of session changes is set by whether there are any to be sent.
    #[must_use]
    pub fn encode(&self, capabilities: Capabilities, eof_header: bool) -> Vec<u8> {
        let track = capabilities.contains(Capabilities::SESSION_TRACK);
        let changes = if track {
            self.session_changes.as_slice()
        } else {
            &[]
        };
        let status = if changes.is_empty() {
            self.status.without(Status::SESSION_STATE_CHANGED)
        } else {
            self.status.with(Status::SESSION_STATE_CHANGED)
        };
        let mut out = vec![if eof_header { EOF } else { OK }];
        put_lenenc_int(&mut out, self.affected);
        put_lenenc_int(&mut out, self.last_insert_id);
        out.extend_from_slice(&status.0.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        // servers of both families send a length here, with and without session tracking
        if !self.info.is_empty() || !changes.is_empty() {
            put_lenenc_bytes(&mut out, &self.info);
        }
        if !changes.is_empty() {
            let mut block = Vec::new();
            changes.iter().for_each(|change| change.encode(&mut block));
            put_lenenc_bytes(&mut out, &block);
        }
        out
    }

    /// Reads an OK packet, led by 0x00 or by 0xFE.
    ///
    /// # Errors
    /// It is none, or is cut short.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let mut ok = Self::parse_fixed(&mut r)?;
        if r.is_empty() {
            return Ok(ok);
        }
        let tail = r;
        match r.lenenc_bytes() {
            Ok(info) => ok.info = info.to_vec(),
            // the documented layout, which no server follows: text up to the end
            Err(_) => {
                r = tail;
                ok.info = r.rest().to_vec();
            }
        }
        if capabilities.contains(Capabilities::SESSION_TRACK)
            && ok.status.contains(Status::SESSION_STATE_CHANGED)
            && !r.is_empty()
        {
            ok.session_changes = SessionChange::parse_all(r.lenenc_bytes()?)?;
        }
        Ok(ok)
    }

    /// Reads all up to the text; what is left in the reader is text and changes.
    pub(crate) fn parse_fixed(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        if !matches!(r.u8()?, OK | EOF) {
            return Err(Malformed("an OK packet starts with 0x00 or 0xFE"));
        }
        Ok(Self {
            affected: r.lenenc_int()?,
            last_insert_id: r.lenenc_int()?,
            status: Status(r.u16()?),
            warnings: r.u16()?,
            ..Self::default()
        })
    }
}

/// One thing that changed in a session, as an OK packet tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChange {
    /// A system variable that is tracked.
    SystemVariable {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The current schema; empty for none.
    Schema(Vec<u8>),
    /// Whether anything that could be carried over to another connection changed.
    State(bool),
    /// MySQL's GTIDs, with the byte for their encoding in front, as sent.
    Gtids(Vec<u8>),
    /// Statements that would begin an equal transaction.
    TransactionCharacteristics(Vec<u8>),
    /// Eight letters on what the transaction has done.
    TransactionState(Vec<u8>),
    /// A kind unknown here, and its content.
    Other(u8, Vec<u8>),
}

impl SessionChange {
    fn parse_all(block: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut r = Reader::new(block);
        let mut changes = Vec::new();
        while !r.is_empty() {
            let kind = r.u8()?;
            let data = r.lenenc_bytes()?;
            let mut inner = Reader::new(data);
            match kind {
                0 => {
                    while !inner.is_empty() {
                        let name = inner.lenenc_bytes()?.to_vec();
                        let value = inner.lenenc_bytes()?.to_vec();
                        changes.push(Self::SystemVariable { name, value });
                    }
                }
                1 => changes.push(Self::Schema(inner.lenenc_bytes()?.to_vec())),
                // servers leave out the inner length that is documented
                2 => changes.push(Self::State(matches!(data, b"1" | b"\x011"))),
                3 => changes.push(Self::Gtids(data.to_vec())),
                4 => changes.push(Self::TransactionCharacteristics(
                    inner.lenenc_bytes()?.to_vec(),
                )),
                5 => changes.push(Self::TransactionState(inner.lenenc_bytes()?.to_vec())),
                other => changes.push(Self::Other(other, data.to_vec())),
            }
        }
        Ok(changes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let nested = |bytes: &[u8]| {
            let mut data = Vec::with_capacity(bytes.len() + 1);
            put_lenenc_bytes(&mut data, bytes);
            data
        };
        let (kind, data) = match self {
            Self::SystemVariable { name, value } => {
                let mut data = nested(name);
                put_lenenc_bytes(&mut data, value);
                (0, data)
            }
            Self::Schema(name) => (1, nested(name)),
            Self::State(changed) => (2, vec![if *changed { b'1' } else { b'0' }]),
            Self::Gtids(data) => (3, data.clone()),
            Self::TransactionCharacteristics(sql) => (4, nested(sql)),
            Self::TransactionState(letters) => (5, nested(letters)),
            Self::Other(kind, data) => (*kind, data.clone()),
        };
        out.push(kind);
        put_lenenc_bytes(out, &data);
    }
}

/// What a client is told of changes in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// Nothing: it has not asked for [`Capabilities::SESSION_TRACK`].
    Nothing,
    /// All but [`SessionChange::State`], which servers do not tell unless they are asked to.
    AllButState,
    /// All.
    All,
}

impl Tracking {
    fn tells(self, change: &SessionChange) -> bool {
        match self {
            Self::Nothing => false,
            Self::AllButState => !matches!(change, SessionChange::State(_)),
            Self::All => true,
        }
    }
}

/// An OK packet, header and all, with [`Status::SESSION_STATE_CHANGED`], as a client that is told less
/// would get it from its server: without what it is not told, and without the flag if that is all.
/// `None` if it is none: servers leave the flag in EOF packets, whoever the client is.
#[must_use]
pub fn retrack(packet: &[u8], tracking: Tracking) -> Option<Vec<u8>> {
    let (head, payload) = packet.split_first_chunk::<HEADER>()?;
    let mut ok = OkPacket::parse(payload, Capabilities::SESSION_TRACK).ok()?;
    ok.session_changes.retain(|change| tracking.tells(change));
    let payload = ok.encode(Capabilities::SESSION_TRACK, payload.first() == Some(&EOF));
    let mut out = Vec::with_capacity(HEADER + payload.len());
    write_packet(&mut out, Header::parse(*head).seq, &payload);
    Some(out)
}

/// A statement, a login or a connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket {
    /// The server's error number.
    pub code: u16,
    /// Five letters or digits of the SQL standard.
    pub sqlstate: [u8; 5],
    /// Text for a human.
    pub message: String,
}

/// The SQLSTATE for errors that have none of their own.
const GENERAL: [u8; 5] = *b"HY000";

impl ErrPacket {
    /// An error of one's own; an SQLSTATE that has not five bytes becomes `HY000`.
    #[must_use]
    pub fn new(code: u16, sqlstate: &str, message: impl Into<String>) -> Self {
        let sqlstate = sqlstate.as_bytes().try_into().unwrap_or(GENERAL);
        Self {
            code,
            sqlstate,
            message: message.into(),
        }
    }

    /// The payload to send. Without [`Capabilities::PROTOCOL_41`] (nothing agreed upon yet) it has
    /// no SQLSTATE.
    #[must_use]
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.message.len());
        out.push(ERR);
        out.extend_from_slice(&self.code.to_le_bytes());
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            out.push(b'#');
            out.extend_from_slice(&self.sqlstate);
        }
        out.extend_from_slice(self.message.as_bytes());
        out
    }

    /// Reads an ERR packet, with and without SQLSTATE.
    ///
    /// # Errors
    /// It is none, or has no code.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.u8()? != ERR {
            return Err(Malformed("an ERR packet starts with 0xFF"));
        }
        let code = r.u16()?;
        let text = r.rest();
        let (sqlstate, message) = match text.strip_prefix(b"#").and_then(<[u8]>::split_first_chunk)
        {
            Some((sqlstate, message)) => (*sqlstate, message),
            None => (GENERAL, text),
        };
        Ok(Self {
            code,
            sqlstate,
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }

    /// The SQLSTATE as text.
    #[must_use]
    pub fn sqlstate(&self) -> &str {
        std::str::from_utf8(&self.sqlstate).unwrap_or("HY000")
    }
}

impl fmt::Display for ErrPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.sqlstate(), self.message)
    }
}

impl std::error::Error for ErrPacket {}

/// Columns or rows are at their end, on connections without [`Capabilities::DEPRECATE_EOF`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EofPacket {
    /// How many warnings there are.
    pub warnings: u16,
    /// The session's status.
    pub status: Status,
}

impl EofPacket {
    /// The payload to send.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let [a, b] = self.warnings.to_le_bytes();
        let [c, d] = self.status.0.to_le_bytes();
        vec![EOF, a, b, c, d]
    }

    /// Reads an EOF packet.
    ///
    /// # Errors
    /// It is none: not led by 0xFE, or not of five bytes.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let [EOF, a, b, c, d] = *payload else {
            return Err(Malformed("an EOF packet is 0xFE and four bytes"));
        };
        let status = Status(u16::from_le_bytes([c, d]));
        Ok(Self {
            warnings: u16::from_le_bytes([a, b]),
            status,
        })
    }
}

/// Whether a payload is MariaDB's progress report: an ERR packet of code 0xFFFF, which a real error
/// may have too, but then with an SQLSTATE. On connections without [`Capabilities::PROGRESS`] there
/// are none.
#[must_use]
pub fn is_progress(payload: &[u8]) -> bool {
    let mut r = Reader::new(payload);
    r.u8() == Ok(ERR) && r.u16() == Ok(PROGRESS) && r.peek() != Some(b'#')
}

#[cfg(test)]
pub(crate) mod tests;
