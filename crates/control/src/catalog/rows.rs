//! Databases and instances as rows.

use dormouse_types::{Bytes, InstanceId, Units};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::alike::Models;
use super::record::{Change, Contents, DatabaseRow, InstanceRow, Noted, Phase};

impl Phase {
    const ALL: [Self; 5] = [
        Self::Preparing,
        Self::Warm,
        Self::Claimed,
        Self::Removing,
        Self::Foreign,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Warm => "warm",
            Self::Claimed => "claimed",
            Self::Removing => "removing",
            Self::Foreign => "foreign",
        }
    }
}

/// Reads all there is.
pub(super) fn load(connection: &Connection, models: &Models) -> rusqlite::Result<Contents> {
    let databases = connection
        .prepare(
            "SELECT name, instance, spec, state, since, generation, reason, accounts, schemas, \
             globals, fresh, variables, units, storage, full, events FROM databases ORDER BY name",
        )?
        .query_map([], |row| database(row, models))?
        .collect::<Result<_, _>>()?;
    let instances = connection
        .prepare("SELECT id, phase, version FROM instances ORDER BY id")?
        .query_map([], instance)?
        .collect::<Result<_, _>>()?;
    let last_instance = connection
        .prepare("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'instances'")?
        .query_row([], |row| row.get(0))?;
    Ok(Contents {
        databases,
        instances,
        last_instance,
    })
}

fn database(row: &Row<'_>, models: &Models) -> rusqlite::Result<DatabaseRow> {
    let generation: i64 = row.get(5)?;
    let schemas: Option<String> = row.get(8)?;
    let variables: Option<String> = row.get(11)?;
    let storage: Option<i64> = row.get(13)?;
    Ok(DatabaseRow {
        name: parsed(row, 0)?,
        instance: InstanceId(row.get(1)?),
        spec: json(row, 2)?,
        state: parsed(row, 3)?,
        since: Timestamp::from_millisecond(row.get(4)?).map_err(|e| bad(4, e.into()))?,
        generation: generation.cast_unsigned(),
        units: Units(row.get(12)?),
        reason: row.get(6)?,
        noted: models.condense(Noted {
            accounts: json(row, 7)?,
            schemas: schemas.map(|_| json(row, 8)).transpose()?,
            globals: json(row, 9)?,
            fresh: row.get(10)?,
            variables: variables.map(|_| json(row, 11)).transpose()?,
            events: json(row, 15)?,
        }),
        storage: storage.map(|bytes| Bytes(bytes.cast_unsigned())),
        full: row.get(14)?,
    })
}

fn instance(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    let phase: String = row.get(1)?;
    let known = Phase::ALL.into_iter().find(|p| p.as_str() == phase);
    Ok(InstanceRow {
        id: InstanceId(row.get(0)?),
        phase: known
            .ok_or_else(|| bad(1, format!("'{phase}' is no phase of an instance").into()))?,
        version: row.get(2)?,
    })
}

/// Adds an instance with an id of its own.
pub(super) fn new_instance(connection: &Connection, version: &str) -> rusqlite::Result<InstanceId> {
    connection
        .prepare_cached("INSERT INTO instances (phase, version) VALUES (?1, ?2) RETURNING id")?
        .query_row(params![Phase::Preparing.as_str(), version], |row| {
            row.get(0)
        })
        .map(InstanceId)
}

/// Makes a change but of the ledger.
pub(super) fn apply(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Instance { id, phase, version } => {
            connection
                .prepare_cached(
                    "INSERT INTO instances (id, phase, version) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (id) DO UPDATE SET phase = excluded.phase",
                )?
                .execute(params![id.0, phase.as_str(), version])?;
        }
        Change::InstanceGone(id) => {
            connection
                .prepare_cached("DELETE FROM instances WHERE id = ?1")?
                .execute([id.0])?;
        }
        Change::Claim(row) => claim(connection, row)?,
        Change::State {
            name,
            state,
            since,
            generation,
            units,
            reason,
        } => {
            connection
                .prepare_cached(
                    "UPDATE databases SET state = ?2, since = ?3, generation = ?4, reason = ?5, \
                     units = ?6 WHERE name = ?1",
                )?
                .execute(params![
                    name.as_str(),
                    state.as_str(),
                    since.as_millisecond(),
                    generation.cast_signed(),
                    reason,
                    units.0
                ])?;
        }
        Change::Spec { name, spec } => {
            connection
                .prepare_cached("UPDATE databases SET spec = ?2 WHERE name = ?1")?
                .execute(params![name.as_str(), text(spec)?])?;
        }
        Change::Note { name, noted } => {
            connection
                .prepare_cached(
                    "UPDATE databases SET accounts = ?2, schemas = ?3, globals = ?4, fresh = ?5, \
                     variables = ?6, events = ?7 \
                     WHERE name = ?1",
                )?
                .execute(params![
                    name.as_str(),
                    text(&noted.accounts)?,
                    noted.schemas.as_ref().map(text).transpose()?,
                    text(&noted.globals)?,
                    noted.fresh,
                    noted.variables.as_ref().map(text).transpose()?,
                    text(&noted.events)?
                ])?;
        }
        Change::Stale(name) => {
            connection
                .prepare_cached("UPDATE databases SET fresh = 0 WHERE name = ?1 AND fresh")?
                .execute([name.as_str()])?;
        }
        Change::Storage { name, used, full } => {
            connection
                .prepare_cached("UPDATE databases SET storage = ?2, full = ?3 WHERE name = ?1")?
                .execute(params![name.as_str(), used.0.cast_signed(), full])?;
        }
        Change::Gone { name, instance } => {
            connection
                .prepare_cached("DELETE FROM databases WHERE name = ?1")?
                .execute([name.as_str()])?;
            connection
                .prepare_cached("DELETE FROM instances WHERE id = ?1")?
                .execute([instance.0])?;
        }
        Change::Ledger(_) | Change::Meter(_) => {}
    }
    Ok(())
}

fn claim(connection: &Connection, row: &DatabaseRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE instances SET phase = ?2 WHERE id = ?1")?
        .execute(params![row.instance.0, Phase::Claimed.as_str()])?;
    connection
        .prepare_cached(
            "INSERT INTO databases (name, instance, spec, state, since, generation, reason, \
             accounts, schemas, globals, fresh, variables, units, storage, full, events) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            row.name.as_str(),
            row.instance.0,
            text(&row.spec)?,
            row.state.as_str(),
            row.since.as_millisecond(),
            row.generation.cast_signed(),
            row.reason,
            text(&row.noted.accounts)?,
            row.noted.schemas.as_ref().map(text).transpose()?,
            text(&row.noted.globals)?,
            row.noted.fresh,
            row.noted.variables.as_ref().map(text).transpose()?,
            row.units.0,
            row.storage.map(|bytes| bytes.0.cast_signed()),
            row.full,
            text(&row.noted.events)?
        ])?;
    Ok(())
}

/// A value as JSON.
pub(super) fn text<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// A column of JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| bad(column, e.into()))
}

/// A column that is a word of ours.
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
