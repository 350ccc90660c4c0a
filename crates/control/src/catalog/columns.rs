//! Columns that hold JSON, a fixed word, or a run of a server.

use dormouse_types::Incarnation;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as JSON.
pub(super) fn text<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// A column of JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| bad(column, e.into()))
}

/// A column that is parsed from its text.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|e: T::Err| bad(column, e.into()))
}

pub(super) fn bad(
    column: usize,
    error: Box<dyn std::error::Error + Send + Sync>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
}

/// A column that holds one of these words.
pub(super) fn word<T: Copy, const N: usize>(
    row: &Row<'_>,
    column: usize,
    all: [T; N],
    as_str: fn(T) -> &'static str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let found = all.into_iter().find(|known| as_str(*known) == text);
    found.ok_or_else(|| bad(column, format!("'{text}' is not a known word").into()))
}

/// A run of a server, if the column names one.
pub(super) fn incarnation(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Incarnation>> {
    let text: Option<String> = row.get(column)?;
    let parse = |text: String| {
        let number = u128::from_str_radix(&text, 16);
        number
            .map(Incarnation)
            .map_err(|error| bad(column, error.into()))
    };
    text.map(parse).transpose()
}
