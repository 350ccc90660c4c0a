//! Values in rows.

use super::{packed, temporal};
use crate::error::Wrong;
use crate::reader::Reader;

/// A value, as far as the log says what it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `NULL`
    Null,
    /// An integer of this many bytes, read as a signed one: the log does not say whether it is.
    Integer {
        /// The number if it is signed.
        signed: i64,
        /// Its bytes.
        bytes: u8,
    },
    /// `BIT`, `YEAR`, and the numbers of `ENUM` and `SET`.
    Number(u64),
    /// `FLOAT`
    Float(f32),
    /// `DOUBLE`
    Double(f64),
    /// Decimals, dates and times; a `TIMESTAMP` is in UTC.
    Text(String),
    /// Strings in the column's character set, binary strings, geometries, and types with a form of their own
    /// (`UUID`, `INET6`).
    Bytes(Vec<u8>),
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: u8,
    pub(super) meta: u16,
}

impl Form {
    /// Reads the form of a column of this kind.
    pub(super) fn read(kind: u8, meta: &mut Reader<'_>) -> Result<Self, Wrong> {
        let meta = match kind {
            // FLOAT, DOUBLE, TIMESTAMP, DATETIME, TIME, BLOB, BLOB COMPRESSED, GEOMETRY
            4 | 5 | 17 | 18 | 19 | 249..=252 | 140 | 255 => meta.u8()?.into(),
            // VARCHAR, VAR_STRING, VARCHAR COMPRESSED, BIT
            15 | 253 | 141 | 16 => meta.u16()?,
            // NEWDECIMAL, STRING, ENUM, SET: two numbers
            246 | 254 | 247 | 248 => u16::from_be_bytes(meta.array()?),
            0..=3 | 6..=14 => 0,
            245 => return Err(Wrong::Unknown("it has JSON of MySQL")),
            _ => return Err(Wrong::Unknown("it has columns of an unknown type")),
        };
        Ok(Self { kind, meta })
    }

    pub(super) fn value(self, body: &mut Reader<'_>) -> Result<Value, Wrong> {
        let [high, low] = self.meta.to_be_bytes();
        let integer = |signed, bytes| Value::Integer { signed, bytes };
        Ok(match self.kind {
            1 => integer(i8::from_le_bytes(body.array()?).into(), 1),
            2 => integer(i16::from_le_bytes(body.array()?).into(), 2),
            9 => integer(int24(body)?.into(), 3),
            3 => integer(i32::from_le_bytes(body.array()?).into(), 4),
            8 => integer(i64::from_le_bytes(body.array()?), 8),
            4 => Value::Float(f32::from_le_bytes(body.array()?)),
            5 => Value::Double(f64::from_le_bytes(body.array()?)),
            6 => Value::Null,
            13 => Value::Number(match body.u8()? {
                0 => 0,
                year => 1900 + u64::from(year),
            }),
            10 | 14 => {
                let [a, b, c] = body.array()?;
                Value::Text(temporal::date(u32::from_le_bytes([a, b, c, 0])))
            }
            7 => Value::Text(temporal::old_timestamp(body.u32()?)),
            11 => Value::Text(temporal::old_time(int24(body)?)),
            12 => Value::Text(temporal::old_datetime(body.u64()?)),
            17 => Value::Text(temporal::timestamp(body, low)?),
            18 => Value::Text(temporal::datetime(body, low)?),
            19 => Value::Text(temporal::time(body, low)?),
            246 => Value::Text(decimal(body, high, low)?),
            16 => {
                // the low byte counts bits beyond whole bytes, the high one the bytes
                let bits = usize::from(high) * 8 + usize::from(low);
                number(body.take(bits.div_ceil(8))?, true)?
            }
            15 | 253 => {
                let length = long_or_short(body, self.meta)?;
                Value::Bytes(body.take(length)?.to_vec())
            }
            141 => {
                let length = long_or_short(body, self.meta)?;
                Value::Bytes(packed::value(body.take(length)?)?)
            }
            249..=252 | 255 => Value::Bytes(blob(body, low)?.to_vec()),
            140 => Value::Bytes(packed::value(blob(body, low)?)?),
            247 | 248 => number(body.take(low.into())?, false)?,
            254 => match high | 0x30 {
                _ if high == 247 || high == 248 => number(body.take(low.into())?, false)?,
                _ => {
                    // two bits of the length are in the type's byte, inverted
                    let most = u16::from(low) | u16::from(!high & 0x30) << 4;
                    let length = long_or_short(body, most)?;
                    Value::Bytes(body.take(length)?.to_vec())
                }
            },
            _ => return Err(Wrong::Unknown("it has columns of an unknown type")),
        })
    }
}

fn long_or_short(body: &mut Reader<'_>, most: u16) -> Result<usize, Wrong> {
    Ok(match most > 255 {
        true => body.u16()?.into(),
        false => body.u8()?.into(),
    })
}

fn blob<'a>(body: &mut Reader<'a>, width: u8) -> Result<&'a [u8], Wrong> {
    if !(1..=4).contains(&width) {
        return Err(Wrong::Damaged("a BLOB's length has no length"));
    }
    let mut length = [0; 4];
    let from = body.take(width.into())?;
    length
        .iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to = *from);
    body.take(u32::from_le_bytes(length) as usize)
}

fn int24(body: &mut Reader<'_>) -> Result<i32, Wrong> {
    let [a, b, c] = body.array()?;
    Ok(i32::from_le_bytes([0, a, b, c]) >> 8)
}

fn number(bytes: &[u8], big_endian: bool) -> Result<Value, Wrong> {
    if bytes.len() > 8 {
        return Err(Wrong::Damaged("a number has more than 8 bytes"));
    }
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Ok(Value::Number(match big_endian {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    }))
}

/// A `DECIMAL`: groups of nine digits in four bytes, fewer in fewer, the first bit inverted; all of them if negative.
fn decimal(body: &mut Reader<'_>, precision: u8, scale: u8) -> Result<String, Wrong> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let whole = precision
        .checked_sub(scale)
        .ok_or(Wrong::Damaged("a DECIMAL has more decimals than digits"))?;
    let (whole, scale) = (usize::from(whole), usize::from(scale));
    let bytes_of = |digits: usize| digits / 9 * 4 + BYTES.get(digits % 9).copied().unwrap_or(0);
    let mut bytes = body.take(bytes_of(whole) + bytes_of(scale))?.to_vec();
    let first = bytes
        .first_mut()
        .ok_or(Wrong::Damaged("a DECIMAL has no digits"))?;
    let negative = *first & 0x80 == 0;
    *first ^= 0x80;
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut reader = Reader(&bytes);
    let mut digits = String::new();
    let mut group = |count: usize, digits: &mut String| {
        let bytes = reader.take(BYTES.get(count).copied().unwrap_or(4))?;
        let number = bytes
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        if count > 0 {
            digits.push_str(&format!("{number:0count$}"));
        }
        Ok::<(), Wrong>(())
    };
    group(whole % 9, &mut digits)?;
    for _ in 0..whole / 9 {
        group(9, &mut digits)?;
    }
    let mut text = digits.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let mut decimals = String::new();
        for _ in 0..scale / 9 {
            group(9, &mut decimals)?;
        }
        group(scale % 9, &mut decimals)?;
        text = format!("{text}.{decimals}");
    }
    Ok(if negative { format!("-{text}") } else { text })
}
