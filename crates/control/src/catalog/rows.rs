//! Databases and instances as rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use dormouse_engine::rights;
use dormouse_types::{Bytes, DatabaseName, InstanceId, Units};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::alike::{Models, Specs};
use super::columns::{bad, incarnation, json, parsed, text, word};
use super::endpoint;
use super::record::{Change, Contents, DatabaseRow, InstanceRow, Moved, Noted, Phase, Role};
use super::tokens;
use crate::instance::serving::Serving;

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

impl Role {
    const ALL: [Self; 3] = [Self::Primary, Self::Replica, Self::Former];

    fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Former => "former",
        }
    }
}

/// Reads everything but the ledger.
pub(super) fn load(connection: &Connection, models: &Models) -> rusqlite::Result<Contents> {
    let mut specs = Specs::default();
    let databases = connection
        .prepare(
            "SELECT d.name, i.id, d.spec, d.state, d.since, i.generation, d.reason, d.accounts, \
             d.schemas, d.globals, d.fresh, d.variables, i.units, d.storage, d.full, d.events, i.rights, d.branch, \
             coalesce(d.origin, i.id) \
             FROM databases d LEFT JOIN instances i ON i.database = d.name AND i.role = 'primary' \
             ORDER BY d.name",
        )?
        .query_map([], |row| database(row, models, &mut specs))?
        .collect::<Result<_, _>>()?;
    let instances = connection
        .prepare(
            "SELECT id, phase, version, database, role, host, endpoint, incarnation, rights, kept_until \
             FROM instances ORDER BY id",
        )?
        .query_map([], instance)?
        .collect::<Result<_, _>>()?;
    let last_instance = connection
        .prepare("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'instances'")?
        .query_row([], |row| row.get(0))?;
    let backups = connection
        .prepare("SELECT instance, known FROM backups")?
        .query_map([], |row| Ok((InstanceId(row.get(0)?), json(row, 1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Contents {
        databases,
        instances,
        backups,
        last_instance,
        installation: 0,
        manifests: Vec::new(),
        unclaimed: Vec::new(),
    })
}

fn database(row: &Row<'_>, models: &Models, specs: &mut Specs) -> rusqlite::Result<DatabaseRow> {
    let generation: i64 = row.get(5)?;
    let schemas: Option<String> = row.get(8)?;
    let variables: Option<String> = row.get(11)?;
    let storage: Option<i64> = row.get(13)?;
    let branch: Option<String> = row.get(17)?;
    Ok(DatabaseRow {
        name: parsed(row, 0)?,
        instance: InstanceId(row.get(1)?),
        origin: InstanceId(row.get(18)?),
        spec: specs.read(row.get(2)?).map_err(|e| bad(2, e.into()))?,
        state: parsed(row, 3)?,
        since: Timestamp::from_millisecond(row.get(4)?).map_err(|e| bad(4, e.into()))?,
        generation: generation.cast_unsigned(),
        rights: row.get(16)?,
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
        branch: branch.map(|_| json(row, 17)).transpose()?,
    })
}

fn instance(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    let database: Option<String> = row.get(3)?;
    let serves = database.map(|_| {
        Ok::<_, rusqlite::Error>((parsed(row, 3)?, word(row, 4, Role::ALL, Role::as_str)?))
    });
    let endpoint = endpoint::read(row, 6)?;
    let serving = incarnation(row, 7)?.zip(endpoint);
    let kept_until: Option<i64> = row.get(9)?;
    let kept_until = kept_until.map(Timestamp::from_millisecond).transpose();
    Ok(InstanceRow {
        id: InstanceId(row.get(0)?),
        phase: word(row, 1, Phase::ALL, Phase::as_str)?,
        version: row.get(2)?,
        serves: serves.transpose()?,
        kept_until: kept_until.map_err(|e| bad(9, e.into()))?,
        host: row.get(5)?,
        rights: row.get(8)?,
        serving: serving.map(|(incarnation, endpoint)| {
            Arc::new(Serving {
                incarnation,
                endpoint,
            })
        }),
    })
}

/// The instances from which a database, or any, has moved, and which are kept no longer than this.
pub(super) fn former(
    connection: &Connection,
    name: Option<&DatabaseName>,
    until: Timestamp,
) -> rusqlite::Result<Vec<InstanceId>> {
    let role = Role::Former.as_str();
    connection
        .prepare_cached(
            "SELECT id FROM instances WHERE role = ?1 AND kept_until <= ?2 AND (?3 IS NULL OR database = ?3)",
        )?
        .query_map(
            params![role, until.as_millisecond(), name.map(DatabaseName::as_str)],
            |row| row.get(0).map(InstanceId),
        )?
        .collect()
}

/// The instances from which databases have moved, and which are kept longer than this, with the databases; the first to be left
/// comes first.
pub(super) fn kept(
    connection: &Connection,
    until: Timestamp,
) -> rusqlite::Result<Vec<(InstanceId, DatabaseName)>> {
    connection
        .prepare_cached(
            "SELECT id, database FROM instances WHERE role = ?1 AND kept_until > ?2 AND database IS NOT NULL \
             ORDER BY kept_until, id",
        )?
        .query_map(
            params![Role::Former.as_str(), until.as_millisecond()],
            |row| Ok((row.get(0).map(InstanceId)?, parsed(row, 1)?)),
        )?
        .collect()
}

/// The databases that have moved to another instance since then.
pub(super) fn moved_since(
    connection: &Connection,
    since: Timestamp,
) -> rusqlite::Result<BTreeSet<DatabaseName>> {
    connection
        .prepare_cached("SELECT database FROM instances WHERE role = ?1 AND moved > ?2")?
        .query_map(
            params![Role::Primary.as_str(), since.as_millisecond()],
            |row| parsed(row, 0),
        )?
        .collect()
}

/// Adds an instance with a new id.
pub(super) fn new_instance(connection: &Connection, version: &str) -> rusqlite::Result<InstanceId> {
    connection
        .prepare_cached(
            "INSERT INTO instances (phase, version, rights) VALUES (?1, ?2, ?3) RETURNING id",
        )?
        .query_row(
            params![Phase::Preparing.as_str(), version, rights::CURRENT],
            |row| row.get(0),
        )
        .map(InstanceId)
}

/// Applies a change other than a ledger entry.
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
            for sql in [
                "DELETE FROM instances WHERE id = ?1",
                // those of a database that has moved are under the instance that it began with
                "DELETE FROM backups WHERE instance = ?1 AND NOT EXISTS \
                 (SELECT 1 FROM databases WHERE origin = ?1)",
            ] {
                connection.prepare_cached(sql)?.execute([id.0])?;
            }
        }
        Change::Claim(row) => claim(connection, row)?,
        Change::State {
            name,
            instance,
            state,
            since,
            generation,
            units,
            serving,
            reason,
        } => {
            connection
                .prepare_cached(
                    "UPDATE databases SET state = ?2, since = ?3, reason = ?4 WHERE name = ?1",
                )?
                .execute(params![
                    name.as_str(),
                    state.as_str(),
                    since.as_millisecond(),
                    reason
                ])?;
            let serving = serving.as_deref();
            connection
                .prepare_cached(
                    "UPDATE instances SET generation = ?2, units = ?3, endpoint = ?4, \
                     incarnation = ?5 WHERE id = ?1",
                )?
                .execute(params![
                    instance.0,
                    generation.cast_signed(),
                    units.0,
                    serving.map(|serving| endpoint::text(&serving.endpoint)),
                    serving.map(|serving| serving.incarnation.to_string())
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
        Change::Rights { instance, rights } => {
            connection
                .prepare_cached("UPDATE instances SET rights = ?2 WHERE id = ?1")?
                .execute(params![instance.0, rights])?;
        }
        Change::Storage { name, used, full } => {
            connection
                .prepare_cached("UPDATE databases SET storage = ?2, full = ?3 WHERE name = ?1")?
                .execute(params![name.as_str(), used.0.cast_signed(), full])?;
        }
        Change::Replica {
            name,
            instance,
            rights,
        } => {
            connection
                .prepare_cached(
                    "UPDATE instances SET phase = ?2, database = ?3, role = ?4, rights = ?5 WHERE id = ?1",
                )?
                .execute(params![
                    instance.0,
                    Phase::Claimed.as_str(),
                    name.as_str(),
                    Role::Replica.as_str(),
                    rights
                ])?;
        }
        Change::Moved(moved) => moves(connection, moved)?,
        Change::Gone {
            name,
            instance,
            origin,
        } => {
            connection
                .prepare_cached("DELETE FROM instances WHERE id = ?1")?
                .execute([instance.0])?;
            // its replicas, which are removed after it
            connection
                .prepare_cached(
                    "UPDATE instances SET phase = ?2, database = NULL, role = NULL WHERE database = ?1",
                )?
                .execute(params![name.as_str(), Phase::Removing.as_str()])?;
            connection
                .prepare_cached("DELETE FROM databases WHERE name = ?1")?
                .execute([name.as_str()])?;
            connection
                .prepare_cached("DELETE FROM backups WHERE instance = ?1")?
                .execute([origin.0])?;
            // they would be valid for a later database of this name
            tokens::remove_of(connection, name)?;
        }
        Change::Rename { from, to } => {
            let (from, to) = (from.as_str(), to.as_str());
            for sql in [
                "INSERT INTO databases (name, spec, state, since, reason, accounts, schemas, globals, variables, \
                 events, fresh, storage, full, branch, origin) SELECT ?2, spec, 'parked', since, reason, accounts, schemas, \
                 globals, variables, events, fresh, storage, full, branch, origin FROM databases WHERE name = ?1",
                "UPDATE instances SET database = ?2 WHERE database = ?1",
            ] {
                connection.prepare_cached(sql)?.execute([from, to])?;
            }
            connection
                .prepare_cached("DELETE FROM databases WHERE name = ?1")?
                .execute([from])?;
        }
        Change::Vacate { name, instance } => {
            connection
                .prepare_cached(
                    "UPDATE instances SET phase = ?2, database = NULL, role = NULL \
                     WHERE id = ?1 OR database = ?3",
                )?
                .execute(params![instance.0, Phase::Removing.as_str(), name.as_str()])?;
            connection
                .prepare_cached("DELETE FROM databases WHERE name = ?1")?
                .execute([name.as_str()])?;
        }
        Change::BackedUp { instance, known } => {
            connection
                .prepare_cached("INSERT OR REPLACE INTO backups (instance, known) VALUES (?1, ?2)")?
                .execute(params![instance.0, text(known)?])?;
        }
        Change::Token(change) => tokens::apply(connection, change)?,
        Change::Ledger(_) | Change::Meter(_) => {}
    }
    Ok(())
}

/// Makes another instance the primary of a database; what the row of an instance says of the files, and of the generation of
/// servers, goes with it.
fn moves(connection: &Connection, moved: &Moved) -> rusqlite::Result<()> {
    let Moved {
        name,
        origin,
        from,
        to,
        kept_until,
    } = moved;
    connection
        .prepare_cached("UPDATE instances SET role = ?2, kept_until = ?3 WHERE id = ?1")?
        .execute(params![
            from.0,
            Role::Former.as_str(),
            kept_until.as_millisecond()
        ])?;
    let promoted = connection
        .prepare_cached(
            "UPDATE instances SET phase = ?3, database = ?4, role = ?5, generation = f.generation, units = f.units, \
             rights = f.rights, moved = ?6 FROM (SELECT generation, units, rights FROM instances WHERE id = ?2) f WHERE id = ?1",
        )?
        .execute(params![
            to.0,
            from.0,
            Phase::Claimed.as_str(),
            name.as_str(),
            Role::Primary.as_str(),
            Timestamp::now().as_millisecond()
        ])?;
    if promoted != 1 {
        return Err(rusqlite::Error::StatementChangedRows(promoted));
    }
    connection
        .prepare_cached("UPDATE databases SET origin = ?2 WHERE name = ?1")?
        .execute(params![name.as_str(), origin.0])
        .map(drop)
}

fn claim(connection: &Connection, row: &DatabaseRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO databases (name, spec, state, since, reason, accounts, schemas, globals, \
             fresh, variables, storage, full, events, branch, origin) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            row.name.as_str(),
            text(&*row.spec)?,
            row.state.as_str(),
            row.since.as_millisecond(),
            row.reason,
            text(&row.noted.accounts)?,
            row.noted.schemas.as_ref().map(text).transpose()?,
            text(&row.noted.globals)?,
            row.noted.fresh,
            row.noted.variables.as_ref().map(text).transpose()?,
            row.storage.map(|bytes| bytes.0.cast_signed()),
            row.full,
            text(&row.noted.events)?,
            row.branch.as_ref().map(text).transpose()?,
            (row.origin != row.instance).then_some(row.origin.0)
        ])?;
    let claimed = connection
        .prepare_cached(
            "UPDATE instances SET phase = ?2, database = ?3, role = ?4, generation = ?5, units = ?6 \
             WHERE id = ?1",
        )?
        .execute(params![
            row.instance.0,
            Phase::Claimed.as_str(),
            row.name.as_str(),
            Role::Primary.as_str(),
            row.generation.cast_signed(),
            row.units.0
        ])?;
    // the instance must have a row
    match claimed {
        1 => Ok(()),
        other => Err(rusqlite::Error::StatementChangedRows(other)),
    }
}
