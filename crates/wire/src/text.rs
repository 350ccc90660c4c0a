//! Decodes results of COM_QUERY, for Dormouse's own small queries.

use crate::caps::Capabilities;
use crate::packet::MAX_PAYLOAD;
use crate::reader::{Malformed, Reader};
use crate::reply::{EofPacket, ErrPacket, OkPacket, is_progress};
use crate::status::Status;

/// Limits on one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of rows.
    pub rows: usize,
    /// Payload bytes, including columns.
    pub bytes: usize,
}

impl Default for Limits {
    /// 100,000 rows, 16 MiB.
    fn default() -> Self {
        Self {
            rows: 100_000,
            bytes: 16 << 20,
        }
    }
}

/// One result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOutcome {
    /// A statement without rows succeeded.
    Ok(OkPacket),
    /// Rows of a statement; `None` is NULL.
    Rows {
        /// Column names.
        columns: Vec<String>,
        /// Rows, each with as many values as `columns`.
        rows: Vec<Vec<Option<Vec<u8>>>>,
    },
    /// The statement failed.
    Err(ErrPacket),
}

/// Why a result cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The server did not send a result.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The result exceeds the limits.
    #[error("the result has more than {} rows or {} bytes: ask for less", .0.rows, .0.bytes)]
    TooLarge(Limits),
    /// The query requests a file from the client.
    #[error("the server requests a local file, which this client does not send")]
    LocalInfile,
}

/// Assembles a result from payloads.
#[derive(Debug)]
pub struct TextResultSet {
    caps: Capabilities,
    limits: Limits,
    bytes: usize,
    phase: Phase,
    more: bool,
}

#[derive(Debug)]
enum Phase {
    Start,
    Columns {
        left: u64,
        names: Vec<String>,
    },
    ColumnsEnd {
        names: Vec<String>,
    },
    Rows {
        names: Vec<String>,
        rows: Vec<Vec<Option<Vec<u8>>>>,
    },
}

impl TextResultSet {
    /// A decoder before the first payload of a reply on a connection with these capabilities.
    #[must_use]
    pub fn new(caps: Capabilities, limits: Limits) -> Self {
        Self {
            caps,
            limits,
            bytes: 0,
            phase: Phase::Start,
            more: false,
        }
    }

    /// Processes the next payload; `None` until a result is complete. If
    /// [`expects_more`](Self::expects_more) then, another result follows.
    ///
    /// # Errors
    /// The result cannot be decoded; the connection must be closed.
    pub fn on_payload(&mut self, payload: &[u8]) -> Result<Option<TextOutcome>, TextError> {
        self.bytes = self.bytes.saturating_add(payload.len());
        if self.bytes > self.limits.bytes {
            return Err(TextError::TooLarge(self.limits));
        }
        let first = payload
            .first()
            .copied()
            .ok_or(Malformed("an empty packet in a result"))?;
        if first == 0xFF {
            if self.caps.contains(Capabilities::PROGRESS) && is_progress(payload) {
                return Ok(None);
            }
            self.more = false;
            return Ok(Some(TextOutcome::Err(ErrPacket::parse(payload)?)));
        }
        match std::mem::replace(&mut self.phase, Phase::Start) {
            Phase::Start => self.start(first, payload),
            Phase::Columns { left, mut names } => {
                names.push(column_name(payload)?);
                self.phase = self.columns(left - 1, names);
                Ok(None)
            }
            Phase::ColumnsEnd { names } => {
                EofPacket::parse(payload)?;
                self.phase = Phase::Rows {
                    names,
                    rows: Vec::new(),
                };
                Ok(None)
            }
            Phase::Rows { names, rows } => self.row(first, payload, names, rows),
        }
    }

    /// Whether another result follows the one that was returned last.
    #[must_use]
    pub fn expects_more(&self) -> bool {
        self.more
    }

    fn start(&mut self, first: u8, payload: &[u8]) -> Result<Option<TextOutcome>, TextError> {
        match first {
            0x00 => {
                let ok = OkPacket::parse(payload, self.caps)?;
                self.more = ok.status.contains(Status::MORE_RESULTS);
                Ok(Some(TextOutcome::Ok(ok)))
            }
            0xFB => Err(TextError::LocalInfile),
            _ => {
                let left = Reader::new(payload).lenenc_int()?;
                if left > 0xFFFF {
                    return Err(Malformed("a result has too many columns").into());
                }
                self.phase = self.columns(left, Vec::new());
                Ok(None)
            }
        }
    }

    fn columns(&self, left: u64, names: Vec<String>) -> Phase {
        match left {
            0 if self.caps.contains(Capabilities::DEPRECATE_EOF) => Phase::Rows {
                names,
                rows: Vec::new(),
            },
            0 => Phase::ColumnsEnd { names },
            _ => Phase::Columns { left, names },
        }
    }

    fn row(
        &mut self,
        first: u8,
        payload: &[u8],
        names: Vec<String>,
        mut rows: Vec<Vec<Option<Vec<u8>>>>,
    ) -> Result<Option<TextOutcome>, TextError> {
        let deprecated = self.caps.contains(Capabilities::DEPRECATE_EOF);
        if first == 0xFE && payload.len() < if deprecated { MAX_PAYLOAD } else { 9 } {
            let status = if deprecated {
                OkPacket::parse(payload, self.caps)?.status
            } else {
                EofPacket::parse(payload)?.status
            };
            self.more = status.contains(Status::MORE_RESULTS);
            return Ok(Some(TextOutcome::Rows {
                columns: names,
                rows,
            }));
        }
        if rows.len() >= self.limits.rows {
            return Err(TextError::TooLarge(self.limits));
        }
        let mut r = Reader::new(payload);
        let mut row = Vec::with_capacity(names.len());
        for _ in 0..names.len() {
            row.push(value(&mut r)?);
        }
        if !r.is_empty() {
            return Err(Malformed("a row has more values than columns").into());
        }
        rows.push(row);
        self.phase = Phase::Rows { names, rows };
        Ok(None)
    }
}

fn value(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    if r.peek() == Some(0xFB) {
        r.u8()?;
        return Ok(None);
    }
    Ok(Some(r.lenenc_bytes()?.to_vec()))
}

fn column_name(definition: &[u8]) -> Result<String, Malformed> {
    let mut r = Reader::new(definition);
    // catalog, schema, table, and the table's own name
    for _ in 0..4 {
        r.lenenc_bytes()?;
    }
    Ok(String::from_utf8_lossy(r.lenenc_bytes()?).into_owned())
}

#[cfg(test)]
mod tests;
