//! Puts what the last statement left on another backend, for statements that ask for it where no value can take the
//! question's place: blocks, and batches in which a later statement asks.
//!
//! `SIGNAL` makes a condition, and each `RESIGNAL` in a handler around it one more, so a chain of handlers makes a list. Its
//! conditions have the level that their SQLSTATE says, and the last of several may be no error, since the server adds a note
//! to one that leaves a block. A `SELECT` with `SQL_CALC_FOUND_ROWS` makes a number of found rows, and clears the list; the
//! other statements here use no table, and change neither. (Measured on 10.11 and 11.8.)

use super::questions::{Item, Question};

/// A statement that is run before the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// Its text.
    pub text: String,
    /// What it must end with, else the session has not got what it asks for.
    pub ends: Ends,
}

/// How a statement must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Successfully.
    Well,
    /// Successfully, with so many warnings.
    Warned(u16),
    /// With this error.
    Failed(u16),
}

/// What the last statement left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) row_count: i64,
    pub(super) found_rows: u64,
    pub(super) warnings: u64,
    pub(super) errors: u64,
    /// The reply to `SHOW WARNINGS`.
    pub(super) list: Option<&'a [u8]>,
    /// See [`conditions`](super::conditions).
    pub(super) told: Option<&'a str>,
}

/// The most conditions that a chain makes: the server keeps one less than `max_error_count`.
const MOST_CONDITIONS: usize = 63;
/// The most found rows.
const MOST_ROWS: u64 = 10_000;

/// The statements after which a server can answer these questions; `None` if none can.
pub(super) fn put_back(left: Left<'_>, asked: &[Question]) -> Option<Vec<PutBack>> {
    let asks = |items: &[Item]| asked.iter().any(|question| items.contains(&question.item));
    let conditions = asks(&[Item::Warnings, Item::Errors, Item::Conditions]);
    let (rows, found) = (asks(&[Item::RowCount]), asks(&[Item::FoundRows]));
    let mut out = Vec::new();
    let well = |text: &str| PutBack {
        text: text.to_owned(),
        ends: Ends::Well,
    };
    if conditions && left.warnings == 0 {
        out.push(well(&rows_of(1)));
    }
    if found {
        out.push(well(&found_rows(left.found_rows)?));
    }
    if conditions && left.warnings > 0 {
        out.push(list(left)?);
    }
    let row_count = match out.last().map(|last| last.ends) {
        None => None,
        Some(Ends::Warned(_)) => Some(0),
        Some(Ends::Well | Ends::Failed(_)) => Some(-1),
    };
    if rows && row_count != Some(left.row_count) {
        out.push(match left.row_count {
            -1 => well("SHOW WARNINGS LIMIT 0"),
            0 => well("DO 0"),
            // FOUND_ROWS() becomes 0
            1 if !found => well("BEGIN NOT ATOMIC DECLARE x INT; SELECT 1 INTO x; END"),
            _ => return None,
        });
    }
    Some(out)
}

/// The statement that makes `FOUND_ROWS()` this number; `None` if there is none.
pub(crate) fn found_rows(number: u64) -> Option<String> {
    match number {
        0 => Some("SELECT 1 FROM DUAL WHERE FALSE".to_owned()),
        1 => Some("SELECT 1".to_owned()),
        number => (number <= MOST_ROWS).then(|| rows_of(number)),
    }
}

/// A `SELECT` that finds so many rows.
fn rows_of(number: u64) -> String {
    format!(
        "SELECT SQL_CALC_FOUND_ROWS 1 FROM JSON_TABLE(CONCAT('[0', REPEAT(',0', {number} - 1), ']'), \
         '$[*]' COLUMNS(o FOR ORDINALITY)) t LIMIT 1"
    )
}

/// The statement that makes the list of conditions.
fn list(left: Left<'_>) -> Option<PutBack> {
    let list = left.list?;
    // no SIGNAL makes a note; a text that looks like one only costs the answer
    if memchr::memmem::find(list, b"\x04Note").is_some() {
        return None;
    }
    let told = left.told?;
    let told: Vec<&str> = told.split_terminator(',').collect();
    if told.len() as u64 != left.warnings || told.len() > MOST_CONDITIONS {
        return None;
    }
    let mut errors = 0;
    let mut last_code = None;
    let mut text = String::new();
    for (at, condition) in told.iter().enumerate() {
        let mut fields = condition.split(' ');
        let (state, code, row, message) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next().filter(|message| !message.ends_with('!'))?,
        );
        let raises = if at == 0 { "SIGNAL" } else { "RESIGNAL" };
        let row = match row {
            "0" => String::new(),
            row => format!(", ROW_NUMBER = {row}"),
        };
        let raise = format!(
            "{raises} SQLSTATE '{state}' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = _utf8mb3 X'{message}'{row}"
        );
        let handles = match told.get(at.checked_sub(1).unwrap_or(at))?.get(..2)? {
            "01" => "SQLWARNING",
            "02" => "NOT FOUND",
            _ => "SQLEXCEPTION",
        };
        text = match at {
            0 => raise,
            _ => {
                let atomic = if at + 1 == told.len() {
                    " NOT ATOMIC"
                } else {
                    ""
                };
                format!("BEGIN{atomic} DECLARE EXIT HANDLER FOR {handles} {raise}; {text}; END")
            }
        };
        let is_error = !state.starts_with("01");
        errors += u64::from(is_error);
        last_code = is_error.then_some(code);
    }
    let ends = match last_code {
        Some(code) if told.len() == 1 => Ends::Failed(code.parse().ok()?),
        Some(_) => return None,
        None => Ends::Warned(u16::try_from(told.len()).ok()?),
    };
    (errors == left.errors).then_some(PutBack { text, ends })
}
