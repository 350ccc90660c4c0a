//! The layouts of COM_STMT_EXECUTE and COM_STMT_BULK_EXECUTE, as far as a proxy needs them.
//!
//! Drivers send a statement's parameter types with the first execution only. For a server that did
//! not receive that execution, a proxy must insert them. Payloads here start with their command byte.

use crate::command::Command;
use crate::reader::{Malformed, Reader};

/// The flag of a bulk execution with parameter types.
pub const BULK_SEND_TYPES: u16 = 128;

/// The parts of a COM_STMT_EXECUTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecuteView<'a> {
    /// Statement id.
    pub statement: u32,
    /// Requested cursor type; 0 for none.
    pub flags: u8,
    /// Number of executions: 1.
    pub iterations: u32,
    /// Bitmap of NULL parameters; empty without parameters.
    pub nulls: &'a [u8],
    /// Parameter types, two bytes each, if sent.
    pub types: Option<&'a [u8]>,
    /// Values, encoded by their types.
    pub values: &'a [u8],
}

impl<'a> ExecuteView<'a> {
    /// Reads an execution of a statement with `params` parameters.
    ///
    /// # Errors
    /// It is another command, or is truncated before the values.
    pub fn parse(payload: &'a [u8], params: u16) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.u8()? != Command::StmtExecute as u8 {
            return Err(Malformed("no COM_STMT_EXECUTE"));
        }
        let (statement, flags, iterations) = (r.u32()?, r.u8()?, r.u32()?);
        if params == 0 {
            let values = r.rest();
            return Ok(Self {
                statement,
                flags,
                iterations,
                nulls: &[],
                types: None,
                values,
            });
        }
        let nulls = r.take(usize::from(params).div_ceil(8))?;
        let types = match r.u8()? {
            0 => None,
            _ => Some(r.take(usize::from(params) * 2)?),
        };
        Ok(Self {
            statement,
            flags,
            iterations,
            nulls,
            types,
            values: r.rest(),
        })
    }

    /// The execution with these types inserted, two bytes for each parameter. Returned unchanged
    /// if it has types already, has no parameters, or is malformed (the server refuses it then).
    #[must_use]
    pub fn with_types(payload: &[u8], params: u16, types: &[u8]) -> Vec<u8> {
        let Ok(view) = ExecuteView::parse(payload, params) else {
            return payload.to_vec();
        };
        if params == 0 || view.types.is_some() || types.len() != usize::from(params) * 2 {
            return payload.to_vec();
        }
        let head = payload.len() - view.values.len() - 1;
        [&payload[..head], &[1], types, view.values].concat()
    }
}

/// The value of an execution's first parameter as a whole number: an integer, or a string that is one. `types` are those
/// of the parameters, two bytes each. `None` for NULL and other values.
#[must_use]
pub fn first_number(view: &ExecuteView<'_>, types: &[u8]) -> Option<u64> {
    if view.nulls.first()? & 1 != 0 {
        return None;
    }
    let mut r = Reader::new(view.values);
    // enum_field_types
    match *types.first()? {
        1 => r.u8().ok().map(u64::from),
        2 | 13 => r.u16().ok().map(u64::from),
        3 | 9 => r.u32().ok().map(u64::from),
        8 => r.u64().ok(),
        0 | 15 | 246 | 249..=254 => {
            let text = r.lenenc_bytes().ok()?;
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// The parts of a COM_STMT_BULK_EXECUTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkView<'a> {
    /// Statement id.
    pub statement: u32,
    /// Flags, among them whether types are sent.
    pub flags: u16,
    /// Parameter types, two bytes each, if sent.
    pub types: Option<&'a [u8]>,
    /// Encoded rows.
    pub values: &'a [u8],
}

impl<'a> BulkView<'a> {
    /// Reads a bulk execution of a statement with `params` parameters.
    ///
    /// # Errors
    /// It is another command, or is truncated before the values.
    pub fn parse(payload: &'a [u8], params: u16) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.u8()? != Command::StmtBulkExecute as u8 {
            return Err(Malformed("no COM_STMT_BULK_EXECUTE"));
        }
        let (statement, flags) = (r.u32()?, r.u16()?);
        let types = match flags & BULK_SEND_TYPES {
            0 => None,
            _ => Some(r.take(usize::from(params) * 2)?),
        };
        Ok(Self {
            statement,
            flags,
            types,
            values: r.rest(),
        })
    }

    /// The bulk execution with these types inserted; unchanged under the conditions of
    /// [`ExecuteView::with_types`].
    #[must_use]
    pub fn with_types(payload: &[u8], params: u16, types: &[u8]) -> Vec<u8> {
        let Ok(view) = BulkView::parse(payload, params) else {
            return payload.to_vec();
        };
        if params == 0 || view.types.is_some() || types.len() != usize::from(params) * 2 {
            return payload.to_vec();
        }
        let head = payload.len() - view.values.len() - 2;
        let flags = (view.flags | BULK_SEND_TYPES).to_le_bytes();
        [&payload[..head], &flags, types, view.values].concat()
    }
}

/// The statement id of a command on a prepared statement; `None` for other commands.
#[must_use]
pub fn statement_of(payload: &[u8]) -> Option<u32> {
    let mut r = Reader::new(payload);
    r.u8().ok().filter(|&byte| names_statement(byte))?;
    r.u32().ok()
}

/// Replaces the statement id of a command on a prepared statement; other payloads are left
/// unchanged.
pub fn set_statement(payload: &mut [u8], id: u32) {
    if let [command, a, b, c, d, ..] = payload
        && names_statement(*command)
    {
        [*a, *b, *c, *d] = id.to_le_bytes();
    }
}

fn names_statement(byte: u8) -> bool {
    matches!(
        Command::from_byte(byte),
        Some(
            Command::StmtExecute
                | Command::StmtSendLongData
                | Command::StmtClose
                | Command::StmtReset
                | Command::StmtFetch
                | Command::StmtBulkExecute
        )
    )
}

#[cfg(test)]
mod tests;
