//! Answers `SELECT` of known values, with the column definitions that a server sends.
//!
//! Types, lengths and flags are those of MariaDB 10.11 and 11.8: `sql/item.cc` (`Item_int`,
//! `Item_string`), `sql/item_func.cc` (`Item_func_get_system_var::fix_length_and_dec`).

use dormouse_types::{VariableKind, Variables};
use dormouse_wire::rows::{Column, Value};

use super::charset::Collation;
use super::expression::{Reference, is_text};
use super::plain::{Plain, split};
use super::variables::{SessionVariables, variable};
use crate::lexer::Token;

/// The collation of numbers.
const BINARY: u16 = 63;
/// `MYSQL_TYPE_LONG`, `…_DOUBLE`, `…_LONGLONG`, `…_VAR_STRING`
const LONG: u8 = 3;
const DOUBLE: u8 = 5;
const LONGLONG: u8 = 8;
const VAR_STRING: u8 = 253;
/// Column flags: `NOT NULL`, `UNSIGNED`, and `BINARY`.
const NOT_NULL: u16 = 1;
const UNSIGNED: u16 = 32;
const BYTES: u16 = 128;
/// The longest column name that a server does not truncate, in characters.
const LONGEST_NAME: usize = 64;
/// The longest name of a schema, in characters.
const SCHEMA: u32 = 64;

/// What a `SELECT` may ask for besides variables.
pub(crate) struct SelectContext<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) connection_id: u32,
    /// The current schema; outer `None`: not certain.
    pub(crate) schema: Option<Option<&'a [u8]>>,
    /// `LAST_INSERT_ID()`; `None`: not certain.
    pub(crate) insert_id: Option<u64>,
}

/// A row and its columns.
pub(crate) type Row = (Vec<Column>, Vec<Value>);

/// The row that answers a `SELECT`; the tokens are those after that word. Without `known` there is an answer
/// only if it does not depend on variables.
pub(crate) fn row(
    tokens: &[Plain<'_>],
    known: Option<&SessionVariables<'_>>,
    context: &SelectContext<'_>,
) -> Option<Row> {
    let mut row = (Vec::new(), Vec::new());
    for item in items(tokens)? {
        let (column, value) = item_of(item, known, context)?;
        row.0.push(column);
        row.1.push(value);
    }
    Some(row)
}

/// Whether all that a `SELECT` asks for has the form of what may be answered; the tokens are those after that word.
pub(super) fn has_form(tokens: &[Plain<'_>], text: &[u8]) -> bool {
    let has_form = |item| Asked::of(value_and_alias(item).0, text).is_some();
    items(tokens).is_some_and(|items| items.into_iter().all(has_form))
}

/// The items of a `SELECT`, without a `LIMIT` that leaves it its row.
fn items<'t, 'a>(tokens: &'t [Plain<'a>]) -> Option<Vec<&'t [Plain<'a>]>> {
    let tokens = match tokens {
        [items @ .., limit, number] if limit.is("LIMIT") && number.is_integer() => {
            (number.text.parse::<u32>().ok()? > 0).then_some(items)?
        }
        items => items,
    };
    Some(split(tokens))
}

fn value_and_alias<'t, 'a>(item: &'t [Plain<'a>]) -> (&'t [Plain<'a>], Option<&'t Plain<'a>>) {
    match item {
        [value @ .., word, name] if word.is("AS") => (value, Some(name)),
        value => (value, None),
    }
}

fn item_of(
    tokens: &[Plain<'_>],
    known: Option<&SessionVariables<'_>>,
    context: &SelectContext<'_>,
) -> Option<(Column, Value)> {
    let (tokens, alias) = value_and_alias(tokens);
    let (mut column, value) = value_of(tokens, known, context)?;
    if let Some(name) = alias {
        column.name = alias_of(name, known)?;
    }
    let length = column.name.len();
    (length <= LONGEST_NAME).then_some((column, value))
}

/// An alias of a column. An unquoted word is accepted only if it is certainly not reserved: the name of a
/// variable, or a single letter.
fn alias_of(token: &Plain<'_>, known: Option<&SessionVariables<'_>>) -> Option<Vec<u8>> {
    let fits = match token.token {
        Token::Quoted(..) => true,
        Token::Text(_, quote) => known.is_some_and(|known| is_text(quote, known)),
        Token::Word(_) => token.text.len() == 1 || token.is("ok") || variable(token.text).is_some(),
        _ => false,
    };
    let edged = token.text.trim() != token.text || token.text.is_empty();
    (fits && !edged).then(|| token.text.as_bytes().to_vec())
}

/// What an item asks for.
enum Asked<'t, 'a> {
    Integer(&'a str),
    Text(&'t Plain<'a>),
    Variable(Reference<'a>),
    Version,
    Schema,
    ConnectionId,
    /// `LAST_INSERT_ID()`.
    InsertId,
    /// `@@identity`, `@@last_insert_id`.
    Identity,
    /// Whether time zones are loaded.
    Zones,
}

impl<'t, 'a> Asked<'t, 'a> {
    fn of(tokens: &'t [Plain<'a>], text: &[u8]) -> Option<Self> {
        // a server leaves it out of the column's name
        if { tokens.iter().skip(1) }.any(|token| token.is_behind_comment) {
            return None;
        }
        Some(match tokens {
            [number] if number.is_integer() => Self::Integer(number.text),
            [literal] if matches!(literal.token, Token::Text(..)) => Self::Text(literal),
            [at, rest @ ..] if at.token == Token::SystemVariable => {
                let touching = at.end == rest.first()?.start;
                let reference = touching.then(|| Reference::parse(rest))??;
                match reference.is_of_session(&["identity", "last_insert_id"]) {
                    true => Self::Identity,
                    false => Self::Variable(reference),
                }
            }
            [word, open, close]
                if open.is_sign(b'(') && close.is_sign(b')') && word.end == open.start =>
            {
                let is = |name| word.is(name);
                match () {
                    () if is("VERSION") => Self::Version,
                    () if is("DATABASE") || is("SCHEMA") => Self::Schema,
                    () if is("CONNECTION_ID") => Self::ConnectionId,
                    () if is("LAST_INSERT_ID") => Self::InsertId,
                    () => return None,
                }
            }
            _ if name_of(tokens, text)? == DJANGO.as_bytes() => Self::Zones,
            _ => return None,
        })
    }
}

/// The text of an item, which is its column's name.
fn name_of<'s>(tokens: &[Plain<'_>], text: &'s [u8]) -> Option<&'s [u8]> {
    text.get(tokens.first()?.start..tokens.last()?.end)
}

fn value_of(
    tokens: &[Plain<'_>],
    known: Option<&SessionVariables<'_>>,
    context: &SelectContext<'_>,
) -> Option<(Column, Value)> {
    let name = name_of(tokens, context.text)?.to_vec();
    let asked = Asked::of(tokens, context.text)?;
    match asked {
        Asked::Integer(digits) => integer(name, digits),
        Asked::Text(text) => literal(text, known?),
        Asked::Variable(reference) => of_variable(name, &reference, known?),
        Asked::Version => {
            let known = known?;
            let version = known.globals.get("version")?;
            let length = characters(version)?;
            let column = textual(name, known.system_text()?, length, NOT_NULL);
            Some((column, Some(version.as_bytes().to_vec())))
        }
        Asked::Schema => {
            let column = textual(name, known?.system_text()?, SCHEMA, 0);
            let schema = context.schema?;
            let ascii = schema.is_none_or(<[u8]>::is_ascii);
            ascii.then(|| (column, schema.map(<[u8]>::to_vec)))
        }
        Asked::ConnectionId => {
            let _known = known?;
            let flags = NOT_NULL | UNSIGNED | BYTES;
            let column = numeric(name, LONG, 10, flags);
            let id = context.connection_id.to_string().into_bytes();
            Some((column, Some(id)))
        }
        Asked::InsertId | Asked::Identity => {
            let _known = known?;
            let flags = match asked {
                Asked::InsertId => NOT_NULL | UNSIGNED | BYTES,
                _ => UNSIGNED | BYTES,
            };
            let column = numeric(name, LONGLONG, 21, flags);
            let id = context.insert_id?.to_string().into_bytes();
            Some((column, Some(id)))
        }
        Asked::Zones => {
            let known = known?;
            let zones = known.globals.get(Variables::TIME_ZONES)?;
            let column = numeric(name, LONG, 1, NOT_NULL | BYTES);
            // the SQL mode must be known to read the literals
            known.status()?;
            Some((column, Some(zones.as_bytes().to_vec())))
        }
    }
}

/// Django's query for whether time zones are loaded.
const DJANGO: &str = "CONVERT_TZ('2001-01-01 01:00:00','UTC','UTC') IS NOT NULL";

fn numeric(name: Vec<u8>, kind: u8, length: u32, flags: u16) -> Column {
    Column {
        name,
        collation: BINARY,
        length,
        kind,
        flags,
        decimals: if kind == DOUBLE { 6 } else { 0 },
    }
}

fn textual(name: Vec<u8>, collation: Collation, characters: u32, flags: u16) -> Column {
    Column {
        name,
        collation: collation.number,
        length: characters * collation.width,
        kind: VAR_STRING,
        flags,
        decimals: 39,
    }
}

fn characters(text: &str) -> Option<u32> {
    u32::try_from(text.chars().count()).ok()
}

fn integer(name: Vec<u8>, digits: &str) -> Option<(Column, Value)> {
    let plain = digits.len() <= 9 && (digits == "0" || !digits.starts_with('0'));
    let length = characters(digits)?;
    let column = numeric(name, LONG, length, NOT_NULL | BYTES);
    plain.then(|| (column, Some(digits.as_bytes().to_vec())))
}

fn literal(token: &Plain<'_>, known: &SessionVariables<'_>) -> Option<(Column, Value)> {
    let Token::Text(_, quote) = token.token else {
        return None;
    };
    let text = token.text;
    // a server trims the column's name
    if !is_text(quote, known) || text.trim() != text {
        return None;
    }
    let bytes = text.as_bytes().to_vec();
    // the flag depends on the connection's collation, not on that of results
    let binary = known.text("collation_connection")?.ends_with("_bin");
    let flags = if binary { NOT_NULL | BYTES } else { NOT_NULL };
    let column = textual(bytes.clone(), known.literal()?, characters(text)?, flags);
    Some((column, Some(bytes)))
}

fn of_variable(
    name: Vec<u8>,
    reference: &Reference<'_>,
    known: &SessionVariables<'_>,
) -> Option<(Column, Value)> {
    let (kind, value) = reference.value(known)?;
    let column = match kind {
        VariableKind::Flag => numeric(name, LONGLONG, 1, BYTES),
        VariableKind::Number => numeric(name, LONGLONG, 21, UNSIGNED | BYTES),
        VariableKind::Fraction => numeric(name, DOUBLE, 21, BYTES),
        VariableKind::Text => {
            let length = characters(value.unwrap_or_default())?;
            textual(name, known.system_text()?, length, 0)
        }
    };
    let ascii = value.is_none_or(str::is_ascii);
    ascii.then(|| (column, value.map(|value| value.as_bytes().to_vec())))
}
