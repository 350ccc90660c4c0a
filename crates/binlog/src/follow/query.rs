//! Statements in a log, and the session in which they ran.

use super::packed;
use crate::error::Wrong;
use crate::reader::Reader;

/// A statement, with what of its session it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The default schema; empty for none.
    pub schema: String,
    /// The text, in the client's character set.
    pub text: Vec<u8>,
    /// `sql_mode` as a number.
    pub sql_mode: Option<u64>,
    /// Numbers of the collations of client, connection and server.
    pub collations: Option<[u16; 3]>,
    /// `foreign_key_checks = 0`.
    pub unchecked: bool,
    /// The default collations of character sets: pairs of numbers of collations.
    pub defaults: Vec<(u16, u16)>,
    /// `time_zone`, if the statement depends on it.
    pub time_zone: Option<String>,
    /// Microseconds of the second at which it began.
    pub micros: u32,
    /// The error with which it ended.
    pub error: u16,
}

pub(super) fn read(mut body: Reader<'_>, packed: bool) -> Result<Query, Wrong> {
    let _thread = body.u32()?;
    let _took = body.u32()?;
    let schema = body.u8()?;
    let error = body.u16()?;
    let status = body.u16()?;
    let status = body.take(status.into())?;
    let schema = body.text(schema.into())?;
    body.u8()?;
    let text = match packed {
        true => packed::event(body.0)?,
        false => body.0.to_vec(),
    };
    let mut query = Query {
        schema,
        text,
        error,
        ..Query::default()
    };
    variables(Reader(status), &mut query)?;
    Ok(query)
}

fn variables(mut body: Reader<'_>, query: &mut Query) -> Result<(), Wrong> {
    const NO_FOREIGN_KEY_CHECKS: u32 = 1 << 26;
    while !body.0.is_empty() {
        match body.u8()? {
            0 => query.unchecked = body.u32()? & NO_FOREIGN_KEY_CHECKS != 0,
            1 => query.sql_mode = Some(body.u64()?),
            2 => {
                let length = body.u8()?;
                body.take(usize::from(length) + 1)?;
            }
            3 => {
                body.u32()?;
            }
            4 => query.collations = Some([body.u16()?, body.u16()?, body.u16()?]),
            5 => {
                let length = body.u8()?;
                query.time_zone = Some(body.text(length.into())?);
            }
            6 => {
                let length = body.u8()?;
                body.take(length.into())?;
            }
            7 | 8 => {
                body.u16()?;
            }
            9 | 129 => {
                body.u64()?;
            }
            10 => {
                body.u32()?;
            }
            11 => {
                for _ in 0..2 {
                    let length = body.u8()?;
                    body.take(length.into())?;
                }
            }
            13 | 128 => {
                let [low, middle, high] = [body.u8()?, body.u8()?, body.u8()?];
                query.micros = u32::from_le_bytes([low, middle, high, 0]);
            }
            130 => {
                body.u16()?;
            }
            131 => {
                let count = body.u8()?;
                for _ in 0..count {
                    query.defaults.push((body.u16()?, body.u16()?));
                }
            }
            // the length of what stands behind an unknown one is unknown: so is the session
            _ => return Err(Wrong::Unknown("a statement needs a variable that is new")),
        }
    }
    Ok(())
}
