//! Tokens of the API.

use std::time::Duration;

use dormouse_types::DatabaseName;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{bad, parsed, word};
use super::record::TokenChange;
use crate::token::{Role, Stored, TOKENS_MOST, Token, TokenId};

const COLUMNS: &str =
    "id, name, role, database, hash, former, former_until, created, lifetime, expires, used";

/// Why a change of a token is refused; nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotChanged {
    /// There is no such token.
    NoToken,
    /// There is no database for it.
    NoDatabase,
    /// There are too many.
    TooMany,
}

/// Why this change cannot be made, if so.
pub(super) fn refusal(
    connection: &Connection,
    change: &TokenChange,
) -> rusqlite::Result<Option<NotChanged>> {
    let is = |sql: &str, key: &str| connection.prepare_cached(sql)?.exists([key]);
    Ok(match change {
        TokenChange::Add(token) => {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
            let named = match &token.about.database {
                Some(name) => is("SELECT 1 FROM databases WHERE name = ?1", name.as_str())?,
                None => true,
            };
            if count.cast_unsigned() >= TOKENS_MOST {
                Some(NotChanged::TooMany)
            } else {
                (!named).then_some(NotChanged::NoDatabase)
            }
        }
        TokenChange::Rotate { id, .. } | TokenChange::Remove(id) | TokenChange::Used(id, _) => {
            let found = is("SELECT 1 FROM tokens WHERE id = ?1", id.as_str())?;
            (!found).then_some(NotChanged::NoToken)
        }
    })
}

/// Applies a change.
pub(super) fn apply(connection: &Connection, change: &TokenChange) -> rusqlite::Result<()> {
    match change {
        TokenChange::Add(Stored {
            about,
            hash,
            former,
            lifetime,
        }) => connection
            .prepare_cached(&format!(
                "INSERT INTO tokens ({COLUMNS}) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
            ))?
            .execute(params![
                about.id.as_str(),
                about.name.as_str(),
                about.role.as_str(),
                about.database.as_ref().map(DatabaseName::as_str),
                hash,
                former,
                about.former_until.map(Timestamp::as_millisecond),
                about.created.as_millisecond(),
                lifetime.map(millis),
                about.expires.map(Timestamp::as_millisecond),
                about.used.map(Timestamp::as_millisecond)
            ])?,
        TokenChange::Rotate {
            id,
            hash,
            former_until,
            expires,
            lifetime,
        } => connection
            .prepare_cached(
                "UPDATE tokens SET former = iif(?3 IS NULL, NULL, hash), former_until = ?3, \
                 hash = ?2, expires = ?4, lifetime = ?5 WHERE id = ?1",
            )?
            .execute(params![
                id.as_str(),
                hash,
                former_until.map(Timestamp::as_millisecond),
                expires.map(Timestamp::as_millisecond),
                lifetime.map(millis)
            ])?,
        TokenChange::Remove(id) => connection
            .prepare_cached("DELETE FROM tokens WHERE id = ?1")?
            .execute([id.as_str()])?,
        TokenChange::Used(id, at) => connection
            .prepare_cached("UPDATE tokens SET used = ?2 WHERE id = ?1")?
            .execute(params![id.as_str(), at.as_millisecond()])?,
    };
    Ok(())
}

/// Removes the tokens of a database.
pub(super) fn remove_of(connection: &Connection, name: &DatabaseName) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM tokens WHERE database = ?1")?
        .execute([name.as_str()])?;
    Ok(())
}

/// A token.
pub(super) fn find(connection: &Connection, id: &TokenId) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE id = ?1"))?
        .query_row([id.as_str()], stored)
        .optional()
}

/// Every token, by time of creation.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Stored>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tokens ORDER BY created, id"
        ))?
        .query_map([], stored)?
        .collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let database: Option<String> = row.get(3)?;
    let lifetime: Option<i64> = row.get(8)?;
    let role = word(row, 2, Role::ALL, Role::as_str)?;
    let database = database.map(|_| parsed(row, 3)).transpose()?;
    // without its database, an owner's token would be one of no restriction
    if (role == Role::Owner) != database.is_some() {
        return Err(bad(3, "only an owner's token is for one database".into()));
    }
    Ok(Stored {
        about: Token {
            id: text(row, 0)?,
            name: text(row, 1)?,
            role,
            database,
            created: moment(row, 7)?.unwrap_or(Timestamp::MIN),
            expires: moment(row, 9)?,
            former_until: moment(row, 6)?,
            used: moment(row, 10)?,
        },
        hash: row.get(4)?,
        former: row.get(5)?,
        lifetime: lifetime.map(|ms| Duration::from_millis(ms.cast_unsigned())),
    })
}

fn text<T: TryFrom<String, Error: ToString>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    T::try_from(text).map_err(|e| {
        let reason = e.to_string();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, reason.into())
    })
}

fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let ms: Option<i64> = row.get(column)?;
    let at = ms.map(Timestamp::from_millisecond).transpose();
    at.map_err(|e| bad(column, e.into()))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
