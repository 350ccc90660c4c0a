//! The meaning of each packet of a reply, by its position in the reply.

use super::{Prepared, ReplyEnd};
use crate::caps::Capabilities;
use crate::command::ReplyKind;
use crate::packet::MAX_PAYLOAD;
use crate::reader::{Malformed, Reader};
use crate::reply::{EOF, ERR, EofPacket, OK, OkPacket, SessionChange, is_progress};
use crate::status::Status;

/// Limit on columns: the maximum of their type; both servers allow 4096.
const MAX_COLUMNS: u64 = 0xFFFF;

/// A packet among rows whose first byte is less than this is a row.
pub(super) const LEAST_SPECIAL: u8 = EOF;

/// Which part of a packet must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Its first byte was enough.
    Nothing,
    /// All of it.
    Payload,
}

/// Result of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    Infile,
    Ends(ReplyEnd),
}

/// Expected next packet of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// One packet that ends the reply.
    Simple,
    /// One packet with any content.
    Text,
    /// The first packet of a result.
    Result,
    /// Column definitions; this many remain.
    Columns(u64),
    /// The EOF packet between columns and rows.
    ColumnsEnd,
    /// Rows, or other packets up to an EOF packet.
    Rows,
    /// The first packet of a reply to a prepare.
    Prepare,
    /// Parameter definitions; this many remain; then columns.
    PrepareParams(u16),
    /// The EOF packet after the parameters.
    PrepareParamsEnd,
    /// Column definitions after a prepare; this many remain.
    PrepareColumns(u16),
    /// The EOF packet after the columns.
    PrepareColumnsEnd,
}

/// State of a reply.
#[derive(Debug)]
pub(super) struct Reply {
    kind: ReplyKind,
    caps: Capabilities,
    phase: Phase,
    prepared: Option<(Prepared, u16)>,
    /// Rows so far.
    rows: u64,
    /// Results so far, including the current one.
    results: u32,
    changed: bool,
    /// Whether the last packet has session changes.
    tracks: bool,
    changes: Vec<SessionChange>,
}

impl Reply {
    pub(super) fn new(kind: ReplyKind, caps: Capabilities) -> Self {
        let phase = match kind {
            ReplyKind::None | ReplyKind::Simple => Phase::Simple,
            ReplyKind::Text => Phase::Text,
            ReplyKind::ResultSet | ReplyKind::Execute => Phase::Result,
            ReplyKind::Prepare => Phase::Prepare,
            ReplyKind::Fetch | ReplyKind::FieldList | ReplyKind::Stream => Phase::Rows,
        };
        Self {
            kind,
            caps,
            phase,
            prepared: None,
            rows: 0,
            results: 0,
            changed: false,
            tracks: false,
            changes: Vec::new(),
        }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.caps
    }

    pub(super) fn resume_after_infile(&mut self) {
        self.phase = Phase::Result;
    }

    pub(super) fn take_changes(&mut self) -> Vec<SessionChange> {
        std::mem::take(&mut self.changes)
    }

    /// Whether the last packet has session changes; resets the flag.
    pub(super) fn take_tracks(&mut self) -> bool {
        std::mem::take(&mut self.tracks)
    }

    fn saw(&mut self, status: Status) {
        if status.contains(Status::SESSION_STATE_CHANGED) {
            self.changed = true;
            self.tracks = true;
        }
    }

    /// Whether the next packet is among rows.
    pub(super) fn in_rows(&self) -> bool {
        self.phase == Phase::Rows
    }

    /// Decides by its first byte and length whether a packet must be read completely.
    pub(super) fn wants(&self, first: u8, len: usize) -> Result<Want, Malformed> {
        if first == ERR {
            return Ok(Want::Payload);
        }
        match self.phase {
            Phase::Rows if first == EOF && self.may_be_eof(len) => Ok(Want::Payload),
            Phase::Rows | Phase::Text => Ok(Want::Nothing),
            Phase::Columns(_) | Phase::PrepareParams(_) | Phase::PrepareColumns(_)
                if first != EOF =>
            {
                Ok(Want::Nothing)
            }
            Phase::Columns(_) | Phase::PrepareParams(_) | Phase::PrepareColumns(_) => {
                Err(Malformed("there are fewer columns than announced"))
            }
            _ => Ok(Want::Payload),
        }
    }

    /// Whether a packet that begins with 0xFE may be EOF; a row may begin with 0xFE too, as the first
    /// byte of the length of a huge value.
    fn may_be_eof(&self, len: usize) -> bool {
        if self.deprecates_eof() {
            len < MAX_PAYLOAD
        } else {
            len < 9
        }
    }

    fn deprecates_eof(&self) -> bool {
        // a binary log always ends with an EOF packet
        self.caps.contains(Capabilities::DEPRECATE_EOF) && self.kind != ReplyKind::Stream
    }

    /// Counts rows that were skipped.
    pub(super) fn passed_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Handles a packet of which only the first byte was read.
    pub(super) fn skipped(&mut self) -> Verdict {
        match self.phase {
            Phase::Columns(left) => self.phase = self.columns(left - 1),
            Phase::PrepareParams(left) => return self.prepare_params(left - 1),
            Phase::PrepareColumns(left) => return self.prepare_columns(left - 1),
            Phase::Text => return Verdict::Ends(ReplyEnd::default()),
            Phase::Rows => self.rows += 1,
            _ => {}
        }
        Verdict::GoesOn
    }

    /// Handles an empty packet.
    pub(super) fn empty_packet(&mut self) -> Result<Verdict, Malformed> {
        match self.phase {
            Phase::Text => Ok(Verdict::Ends(ReplyEnd::default())),
            _ => Err(Malformed("an empty packet in a reply")),
        }
    }

    /// Handles a packet that was read; `payload` is its start if `len` is larger.
    pub(super) fn packet(&mut self, payload: &[u8], len: usize) -> Result<Verdict, Malformed> {
        let first = payload
            .first()
            .copied()
            .ok_or(Malformed("an empty packet in a reply"))?;
        if first == ERR {
            return self.error(payload);
        }
        match self.phase {
            Phase::Simple if first == OK || first == EOF => self.end(payload, len),
            Phase::Result => self.result(first, payload, len),
            Phase::ColumnsEnd => {
                let eof = self.eof(payload)?;
                if self.kind == ReplyKind::Execute && eof.status.contains(Status::CURSOR_EXISTS) {
                    return Ok(self.ends(eof_end(eof)));
                }
                self.phase = Phase::Rows;
                Ok(Verdict::GoesOn)
            }
            Phase::Rows => self.end(payload, len),
            Phase::Prepare if first == OK => self.prepare(payload),
            Phase::PrepareParamsEnd => {
                let eof = self.eof(payload)?;
                match self.prepared {
                    Some((prepared, _)) if prepared.columns > 0 => {
                        self.phase = Phase::PrepareColumns(prepared.columns);
                        Ok(Verdict::GoesOn)
                    }
                    _ => Ok(self.ends_prepare(Some(eof.status))),
                }
            }
            Phase::PrepareColumnsEnd => {
                let eof = self.eof(payload)?;
                Ok(self.ends_prepare(Some(eof.status)))
            }
            _ => Err(Malformed("a packet of another kind in a reply")),
        }
    }

    fn error(&mut self, payload: &[u8]) -> Result<Verdict, Malformed> {
        if self.caps.contains(Capabilities::PROGRESS) && is_progress(payload) {
            return Ok(Verdict::GoesOn);
        }
        let mut r = Reader::new(payload);
        r.u8()?;
        let end = ReplyEnd {
            error: Some(r.u16()?),
            ..ReplyEnd::default()
        };
        Ok(self.ends(end))
    }

    fn result(&mut self, first: u8, payload: &[u8], len: usize) -> Result<Verdict, Malformed> {
        self.results += 1;
        match first {
            OK => self.end(payload, len),
            // a column count never takes eight bytes; some commands end with EOF and have no columns
            EOF => self.end(payload, len),
            0xFB => Ok(Verdict::Infile),
            _ => {
                let columns = Reader::new(payload).lenenc_int()?;
                if columns > MAX_COLUMNS {
                    return Err(Malformed("a result has too many columns"));
                }
                self.phase = self.columns(columns);
                Ok(Verdict::GoesOn)
            }
        }
    }

    fn columns(&self, left: u64) -> Phase {
        match left {
            0 if self.deprecates_eof() => Phase::Rows,
            0 => Phase::ColumnsEnd,
            _ => Phase::Columns(left),
        }
    }

    fn prepare(&mut self, payload: &[u8]) -> Result<Verdict, Malformed> {
        let mut r = Reader::new(payload);
        r.u8()?;
        let prepared = Prepared {
            statement: r.u32()?,
            columns: r.u16()?,
            params: r.u16()?,
        };
        // a filler byte, then the warnings, which old servers omit
        let warnings = if r.remaining() < 3 { 0 } else { r.u24()? >> 8 };
        self.prepared = Some((prepared, u16::try_from(warnings).unwrap_or(u16::MAX)));
        if prepared.params > 0 {
            self.phase = Phase::PrepareParams(prepared.params);
            return Ok(Verdict::GoesOn);
        }
        Ok(self.prepare_goes_to_columns())
    }

    fn prepare_params(&mut self, left: u16) -> Verdict {
        self.phase = Phase::PrepareParams(left);
        match left {
            0 if self.deprecates_eof() => self.prepare_goes_to_columns(),
            0 => {
                self.phase = Phase::PrepareParamsEnd;
                Verdict::GoesOn
            }
            _ => Verdict::GoesOn,
        }
    }

    fn prepare_goes_to_columns(&mut self) -> Verdict {
        let columns = self.prepared.map_or(0, |(prepared, _)| prepared.columns);
        if columns == 0 {
            return self.ends_prepare(None);
        }
        self.phase = Phase::PrepareColumns(columns);
        Verdict::GoesOn
    }

    fn prepare_columns(&mut self, left: u16) -> Verdict {
        self.phase = Phase::PrepareColumns(left);
        if left > 0 {
            return Verdict::GoesOn;
        }
        if self.deprecates_eof() {
            return self.ends_prepare(None);
        }
        self.phase = Phase::PrepareColumnsEnd;
        Verdict::GoesOn
    }

    fn ends_prepare(&mut self, status: Option<Status>) -> Verdict {
        let (prepared, warnings) = self.prepared.unzip();
        let warnings = warnings.unwrap_or(0);
        self.ends(ReplyEnd {
            status,
            warnings,
            prepared,
            ..ReplyEnd::default()
        })
    }

    /// Reads an EOF packet; any other is an error.
    fn eof(&mut self, payload: &[u8]) -> Result<EofPacket, Malformed> {
        let eof = EofPacket::parse(payload)?;
        self.saw(eof.status);
        Ok(eof)
    }

    /// Handles the packet that ends a result: OK, OK with the header of EOF, or EOF.
    fn end(&mut self, payload: &[u8], len: usize) -> Result<Verdict, Malformed> {
        let end = if payload.first() == Some(&EOF) && len < 7 {
            eof_end(EofPacket::parse(payload)?)
        } else {
            self.ok(payload, len)?
        };
        let whole = self.phase == Phase::Rows && self.results == 1;
        let end = ReplyEnd {
            rows: whole.then_some(self.rows),
            ..end
        };
        let status = end.status.unwrap_or_default();
        self.saw(status);
        let several = matches!(self.kind, ReplyKind::ResultSet | ReplyKind::Execute);
        if several && status.contains(Status::MORE_RESULTS) {
            self.phase = Phase::Result;
            return Ok(Verdict::GoesOn);
        }
        Ok(self.ends(end))
    }

    fn ok(&mut self, payload: &[u8], len: usize) -> Result<ReplyEnd, Malformed> {
        let mut r = Reader::new(payload);
        let ok = OkPacket::parse_fixed(&mut r)?;
        // the flag counts even if the changes themselves cannot be read
        if ok.status.contains(Status::SESSION_STATE_CHANGED)
            && len == payload.len()
            && let Ok(ok) = OkPacket::parse(payload, self.caps)
        {
            self.changes.extend(ok.session_changes);
        }
        Ok(ReplyEnd {
            status: Some(ok.status),
            warnings: ok.warnings,
            affected: ok.affected,
            last_insert_id: ok.last_insert_id,
            ..ReplyEnd::default()
        })
    }

    fn ends(&mut self, end: ReplyEnd) -> Verdict {
        Verdict::Ends(ReplyEnd {
            session_changes: self.changed,
            ..end
        })
    }
}

fn eof_end(eof: EofPacket) -> ReplyEnd {
    ReplyEnd {
        status: Some(eof.status),
        warnings: eof.warnings,
        ..ReplyEnd::default()
    }
}
