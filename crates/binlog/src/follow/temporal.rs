//! Dates and times, as text.

use crate::error::Wrong;
use crate::reader::Reader;

const WRONG: Wrong = Wrong::Damaged("a time is none");

fn big(reader: &mut Reader<'_>, bytes: usize) -> Result<i64, Wrong> {
    let bytes = reader.take(bytes)?;
    Ok(bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | i64::from(*byte)))
}

/// Microseconds of a fraction of this many digits.
fn micros(reader: &mut Reader<'_>, digits: u8) -> Result<i64, Wrong> {
    match digits {
        0 => Ok(0),
        1 | 2 => Ok(big(reader, 1)? * 10_000),
        3 | 4 => Ok(big(reader, 2)? * 100),
        5 | 6 => big(reader, 3),
        _ => Err(WRONG),
    }
}

fn fraction(micros: i64, digits: u8) -> String {
    match digits {
        0 => String::new(),
        _ => {
            let mut text = format!(".{micros:06}");
            text.truncate(1 + usize::from(digits));
            text
        }
    }
}

/// `DATE`: three bytes.
pub(super) fn date(number: u32) -> String {
    let (day, month, year) = (number & 31, number >> 5 & 15, number >> 9);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `DATETIME` of this many digits.
pub(super) fn datetime(reader: &mut Reader<'_>, digits: u8) -> Result<String, Wrong> {
    let whole = big(reader, 5)? - 0x80_0000_0000;
    let micros = micros(reader, digits)?;
    if whole < 0 {
        return Err(WRONG);
    }
    let (date, time) = (whole >> 17, whole & 0x1_FFFF);
    let (months, day) = (date >> 5, date & 31);
    Ok(format!(
        "{:04}-{:02}-{day:02} {:02}:{:02}:{:02}{}",
        months / 13,
        months % 13,
        time >> 12,
        time >> 6 & 63,
        time & 63,
        fraction(micros, digits)
    ))
}

/// `TIME` of this many digits.
pub(super) fn time(reader: &mut Reader<'_>, digits: u8) -> Result<String, Wrong> {
    let of = |whole: i64, part: i64, size: i64, unit: i64| {
        // the fraction of a negative time counts upwards
        match whole < 0 && part != 0 {
            true => ((whole + 1) << 24) + (part - size) * unit,
            false => (whole << 24) + part * unit,
        }
    };
    let packed = match digits {
        0 => (big(reader, 3)? - 0x80_0000) << 24,
        1 | 2 => of(big(reader, 3)? - 0x80_0000, big(reader, 1)?, 0x100, 10_000),
        3 | 4 => of(big(reader, 3)? - 0x80_0000, big(reader, 2)?, 0x1_0000, 100),
        5 | 6 => big(reader, 6)? - 0x8000_0000_0000,
        _ => return Err(WRONG),
    };
    let sign = if packed < 0 { "-" } else { "" };
    let packed = packed.abs();
    let (time, micros) = (packed >> 24, packed & 0xFF_FFFF);
    Ok(format!(
        "{sign}{:02}:{:02}:{:02}{}",
        time >> 12 & 0x3FF,
        time >> 6 & 63,
        time & 63,
        fraction(micros, digits)
    ))
}

/// `TIMESTAMP` of this many digits, in UTC.
pub(super) fn timestamp(reader: &mut Reader<'_>, digits: u8) -> Result<String, Wrong> {
    let seconds = big(reader, 4)?;
    let micros = micros(reader, digits)?;
    Ok(utc(seconds, micros, digits))
}

/// `TIMESTAMP` as servers before 10.1 wrote it.
pub(super) fn old_timestamp(seconds: u32) -> String {
    utc(seconds.into(), 0, 0)
}

fn utc(seconds: i64, micros: i64, digits: u8) -> String {
    let fraction = fraction(micros, digits);
    if seconds == 0 && micros == 0 {
        return format!("0000-00-00 00:00:00{fraction}");
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // days since 1 March of the year 0, in eras of 400 years
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let (month, date) = ((march + 2) % 12 + 1, day - (153 * march + 2) / 5 + 1);
    let year = era * 400 + year + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02}{fraction}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// `DATETIME` as servers before 10.1 wrote it.
pub(super) fn old_datetime(number: u64) -> String {
    let (date, time) = (number / 1_000_000, number % 1_000_000);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date / 10_000,
        date / 100 % 100,
        date % 100,
        time / 10_000,
        time / 100 % 100,
        time % 100
    )
}

/// `TIME` as servers before 10.1 wrote it.
pub(super) fn old_time(number: i32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let number = number.unsigned_abs();
    format!(
        "{sign}{:02}:{:02}:{:02}",
        number / 10_000,
        number / 100 % 100,
        number % 100
    )
}
