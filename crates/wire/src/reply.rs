//! The packets that end a reply, or are the whole reply: OK, ERR and EOF.

use std::fmt;

use crate::caps::Capabilities;
use crate::packet::{HEADER, Header, write_packet};
use crate::reader::{Malformed, Reader, put_lenenc_bytes, put_lenenc_int};
use crate::status::Status;

/// First byte of an OK packet.
pub(crate) const OK: u8 = 0x00;
/// First byte of an EOF packet, and of an OK packet that replaces it.
pub(crate) const EOF: u8 = 0xFE;
/// First byte of an ERR packet.
pub(crate) const ERR: u8 = 0xFF;
/// The code of an ERR packet that is a progress report.
const PROGRESS: u16 = 0xFFFF;

/// OK packet: a statement succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    /// Rows changed, or found with [`Capabilities::FOUND_ROWS`].
    pub affected: u64,
    /// First generated AUTO_INCREMENT value; 0 for none.
    pub last_insert_id: u64,
    /// Status flags after the statement.
    pub status: Status,
    /// Number of warnings.
    pub warnings: u16,
    /// Human-readable text, such as `Records: 2  Duplicates: 0`.
    pub info: Vec<u8>,
    /// Session changes; sent if both sides have [`Capabilities::SESSION_TRACK`] and
    /// the status has [`Status::SESSION_STATE_CHANGED`].
    pub session_changes: Vec<SessionChange>,
}

impl OkPacket {
    /// The payload to send; with `eof_header` it begins with 0xFE instead of 0x00, as at the end of
    /// rows. The status flag for session changes is set from whether any are sent.
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
        // MariaDB and MySQL send a length here, with and without session tracking
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

    /// Reads an OK packet that begins with 0x00 or 0xFE.
    ///
    /// # Errors
    /// It is not an OK packet, or is truncated.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let mut ok = Self::parse_fixed(&mut r)?;
        if r.is_empty() {
            return Ok(ok);
        }
        let tail = r;
        match r.lenenc_bytes() {
            Ok(info) => ok.info = info.to_vec(),
            // the documented layout, which no server uses: text up to the end
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

    /// Reads all fields before the text; text and changes remain in the reader.
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

/// A session change as reported by an OK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChange {
    /// A tracked system variable.
    SystemVariable {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The current schema; empty for none.
    Schema(Vec<u8>),
    /// Whether any session state changed that matters for moving to another connection.
    State(bool),
    /// MySQL's GTIDs, with the leading byte for their encoding, as sent.
    Gtids(Vec<u8>),
    /// Statements that begin a transaction with the same characteristics.
    TransactionCharacteristics(Vec<u8>),
    /// Eight letters that describe the transaction.
    TransactionState(Vec<u8>),
    /// An unknown kind and its content.
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
                // servers omit the documented inner length
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

/// Which session changes a client receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// None: it has not requested [`Capabilities::SESSION_TRACK`].
    Nothing,
    /// All but [`SessionChange::State`], which servers do not report by default.
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

/// Rewrites an OK packet (with header) that has [`Status::SESSION_STATE_CHANGED`] for a client with
/// less tracking: removes the changes that the client does not receive, and the flag if no change
/// remains. `None` if it is not an OK packet: servers leave the flag in EOF packets for every client.
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

/// ERR packet: a statement, a login or a connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket {
    /// The server's error number.
    pub code: u16,
    /// SQLSTATE: five letters or digits.
    pub sqlstate: [u8; 5],
    /// Human-readable text.
    pub message: String,
}

/// The SQLSTATE of errors without a specific one.
const GENERAL: [u8; 5] = *b"HY000";

impl ErrPacket {
    /// A new error; an SQLSTATE that is not five bytes long becomes `HY000`.
    #[must_use]
    pub fn new(code: u16, sqlstate: &str, message: impl Into<String>) -> Self {
        let sqlstate = sqlstate.as_bytes().try_into().unwrap_or(GENERAL);
        Self {
            code,
            sqlstate,
            message: message.into(),
        }
    }

    /// The payload to send. Without [`Capabilities::PROTOCOL_41`] (before the login) it has no
    /// SQLSTATE.
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
    /// It is not an ERR packet, or has no code.
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

/// EOF packet: the end of columns or rows, on connections without [`Capabilities::DEPRECATE_EOF`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EofPacket {
    /// Number of warnings.
    pub warnings: u16,
    /// Status flags.
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
    /// It does not begin with 0xFE, or is not five bytes long.
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

/// Whether a payload is MariaDB's progress report: an ERR packet with code 0xFFFF and without an
/// SQLSTATE, which a real error with that code has. Connections without [`Capabilities::PROGRESS`]
/// have none.
#[must_use]
pub fn is_progress(payload: &[u8]) -> bool {
    let mut r = Reader::new(payload);
    r.u8() == Ok(ERR) && r.u16() == Ok(PROGRESS) && r.peek() != Some(b'#')
}

#[cfg(test)]
pub(crate) mod tests;
