//! Usage of databases, and the marks up to which it is counted.

use std::collections::BTreeMap;
use std::ops::Range;

use dormouse_types::{Carried, DatabaseName, InstanceId, Units, Usage};
use rusqlite::{Connection, Row, params};

use super::columns::{incarnation, json, parsed, text};
use crate::meter::{Mark, Metered, Rates, Taken};

/// Resolution of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// One sum over the whole time.
    Sum,
    Days,
    /// By minute, while awake.
    Minutes,
}

/// Selection of usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Only of databases of this name.
    pub(crate) database: Option<DatabaseName>,
    /// Of these days since 1970.
    pub(crate) days: Range<i64>,
    pub(crate) detail: Detail,
}

/// Usage of one database over a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) database: DatabaseName,
    pub(crate) instance: InstanceId,
    /// When it was dropped, in milliseconds since 1970.
    pub(crate) ended: Option<i64>,
    /// The day or minute since 1970; 0 for a sum.
    pub(crate) at: i64,
    pub(crate) metered: Metered,
}

/// The columns of usage, in order.
const COLUMNS: [&str; 12] = [
    "cpu_us",
    "memory",
    "storage",
    "active_ms",
    "statements",
    "bytes_in",
    "bytes_out",
    "free_cpu_us",
    "free_memory",
    "free_statements",
    "free_bytes_in",
    "free_bytes_out",
];

/// The sum of each column.
fn sums() -> String {
    COLUMNS
        .map(|column| format!("coalesce(sum(u.{column}), 0)"))
        .join(", ")
}

/// Writes a meter's counts and its mark.
pub(super) fn write(connection: &Connection, taken: &Taken) -> rusqlite::Result<()> {
    let instance = taken.instance;
    for (table, rows) in [
        ("usage_minutes", &taken.minutes),
        ("usage_days", &taken.days),
    ] {
        for (at, metered) in rows {
            add(connection, table, instance, *at, metered)?;
        }
    }
    let Mark {
        at,
        incarnation,
        cpu_us,
        rates,
        rung,
        ended,
    } = taken.mark;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO meters (instance, database, at, incarnation, cpu_us, active, \
             units, memory_mib, storage_mib, rung, ended) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            instance.0,
            taken.database.as_str(),
            at,
            incarnation.map(|incarnation| incarnation.to_string()),
            cpu_us.cast_signed(),
            rates.active,
            rates.units.0,
            rates.memory_mib.cast_signed(),
            rates.storage_mib.cast_signed(),
            text(&rung)?,
            ended
        ])?;
    Ok(())
}

fn add(
    connection: &Connection,
    table: &str,
    instance: InstanceId,
    at: i64,
    metered: &Metered,
) -> rusqlite::Result<()> {
    let added = COLUMNS.map(|column| format!("{column} = {column} + excluded.{column}"));
    let Metered { used, charged } = metered;
    let free = |of: fn(&Usage) -> u64| of(used).saturating_sub(of(charged)).cast_signed();
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
             ON CONFLICT (instance, at) DO UPDATE SET {}",
            added.join(", ")
        ))?
        .execute(params![
            instance.0,
            at,
            used.cpu_us.cast_signed(),
            used.memory_mib_ms.cast_signed(),
            used.storage_mib_ms.cast_signed(),
            used.active_ms.cast_signed(),
            used.carried.statements.cast_signed(),
            used.carried.bytes_in.cast_signed(),
            used.carried.bytes_out.cast_signed(),
            free(|u| u.cpu_us),
            free(|u| u.memory_mib_ms),
            free(|u| u.carried.statements),
            free(|u| u.carried.bytes_in),
            free(|u| u.carried.bytes_out)
        ])?;
    Ok(())
}

/// The mark of every existing database, with its usage since a day.
pub(super) fn load(
    connection: &Connection,
    since: i64,
) -> rusqlite::Result<BTreeMap<InstanceId, (Mark, Metered)>> {
    connection
        .prepare(&format!(
            "SELECT m.instance, m.at, m.incarnation, m.cpu_us, m.active, m.units, \
             m.memory_mib, m.storage_mib, m.rung, {} FROM meters m \
             LEFT JOIN usage_days u ON u.instance = m.instance AND u.at >= ?1 \
             WHERE NOT m.ended GROUP BY m.instance",
            sums()
        ))?
        .query_map([since], |row| {
            let mark = Mark {
                at: row.get(1)?,
                incarnation: incarnation(row, 2)?,
                cpu_us: count(row, 3)?,
                rates: Rates {
                    active: row.get(4)?,
                    units: Units(row.get(5)?),
                    memory_mib: count(row, 6)?,
                    storage_mib: count(row, 7)?,
                },
                rung: json(row, 8)?,
                ended: false,
            };
            Ok((InstanceId(row.get(0)?), (mark, metered(row, 9)?)))
        })?
        .collect()
}

/// Reads usage, by database and time. A database without any usage is included while it exists.
pub(super) fn read(connection: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<Account>> {
    let (table, join, at, scale) = match wanted.detail {
        Detail::Sum => ("usage_days", "LEFT JOIN", "0", 1),
        Detail::Days => ("usage_days", "JOIN", "u.at", 1),
        Detail::Minutes => ("usage_minutes", "JOIN", "u.at", 24 * 60),
    };
    let of = if wanted.database.is_some() {
        "m.database = ?1"
    } else {
        "?1 IS NULL"
    };
    let sums = sums();
    connection
        .prepare_cached(&format!(
            "SELECT m.database, m.instance, m.ended, m.at, {at} AS time, {sums} FROM meters m \
             {join} {table} u ON u.instance = m.instance AND u.at >= ?2 AND u.at < ?3 \
             WHERE {of} AND (u.at IS NOT NULL OR NOT m.ended) \
             GROUP BY m.database, m.instance, time ORDER BY m.database, m.instance, time"
        ))?
        .query_map(
            params![
                wanted.database.as_ref().map(DatabaseName::as_str),
                wanted.days.start * scale,
                wanted.days.end * scale
            ],
            |row| {
                let ended: bool = row.get(2)?;
                Ok(Account {
                    database: parsed(row, 0)?,
                    instance: InstanceId(row.get(1)?),
                    ended: if ended { Some(row.get(3)?) } else { None },
                    at: row.get(4)?,
                    metered: metered(row, 5)?,
                })
            },
        )?
        .collect()
}

/// Removes usage older than these, and dropped databases without any usage left.
pub(super) fn prune(connection: &Connection, minute: i64, day: i64) -> rusqlite::Result<()> {
    let of_each = "instance IN (SELECT instance FROM meters)";
    connection.execute(
        &format!("DELETE FROM usage_minutes WHERE {of_each} AND at < ?1"),
        [minute],
    )?;
    connection.execute(
        &format!("DELETE FROM usage_days WHERE {of_each} AND at < ?1"),
        [day],
    )?;
    connection.execute(
        "DELETE FROM meters WHERE ended AND at < ?1 * 86400000 AND NOT EXISTS \
         (SELECT 1 FROM usage_days u WHERE u.instance = meters.instance)",
        [day],
    )?;
    Ok(())
}

/// The values of [`COLUMNS`], from column `first` on.
fn metered(row: &Row<'_>, first: usize) -> rusqlite::Result<Metered> {
    let at = |offset| count(row, first + offset);
    let used = Usage {
        cpu_us: at(0)?,
        memory_mib_ms: at(1)?,
        storage_mib_ms: at(2)?,
        active_ms: at(3)?,
        carried: Carried {
            statements: at(4)?,
            bytes_in: at(5)?,
            bytes_out: at(6)?,
        },
    };
    let free = Carried {
        statements: at(9)?,
        bytes_in: at(10)?,
        bytes_out: at(11)?,
    };
    let charged = Usage {
        cpu_us: used.cpu_us.saturating_sub(at(7)?),
        memory_mib_ms: used.memory_mib_ms.saturating_sub(at(8)?),
        carried: used.carried - free,
        ..used
    };
    Ok(Metered { used, charged })
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

#[cfg(test)]
mod tests;
