//! The ledger: the events of every database, and their reasons.

use dormouse_policy::Cause;
use dormouse_types::{DatabaseName, State, WokenBy};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::columns::{bad, json, parsed, text, word};
use super::record::Entry;
use crate::config::LedgerKeep;
use crate::status::{Event, EventFilter, EventKind};
use crate::wakes::Transition;

/// Number of new entries after which those that are too many or too old are removed.
pub(super) const PRUNE_EVERY: u32 = 1024;
/// Maximum number of entries in one answer.
const MOST: usize = 10_000;

const KINDS: [EventKind; 11] = [
    EventKind::Created,
    EventKind::Changed,
    EventKind::Scaled,
    EventKind::Refused,
    EventKind::Noted,
    EventKind::Dropped,
    EventKind::Set,
    EventKind::BackedUp,
    EventKind::Token,
    EventKind::Imported,
    EventKind::Exported,
];
/// Written in place of a database's name where there is none.
const NO_DATABASE: &str = "";
const CAUSES: [Cause; 12] = [
    Cause::Demand,
    Cause::Idle,
    Cause::Load,
    Cause::Room,
    Cause::Schedule,
    Cause::Limit,
    Cause::Operator,
    Cause::Crash,
    Cause::Veto,
    Cause::StartUp,
    Cause::Failed,
    Cause::Storage,
];

/// Writes an entry, and returns it as an event.
pub(super) fn append(
    connection: &Connection,
    entry: &Entry,
    now: Timestamp,
) -> rusqlite::Result<Event> {
    let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let actor = entry.actor.to_string();
    let id = connection
        .prepare_cached(
            "INSERT INTO ledger (at, database, event, from_state, to_state, cause, reason, \
             duration_ms, figures, actor, statement, account) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             RETURNING id",
        )?
        .query_row(
            params![
                at.as_millisecond(),
                entry
                    .database
                    .as_ref()
                    .map_or(NO_DATABASE, DatabaseName::as_str),
                entry.event.as_str(),
                entry.from.map(dormouse_types::State::as_str),
                entry.to.map(dormouse_types::State::as_str),
                entry.cause.as_str(),
                entry.reason,
                entry.duration_ms.map(u64::cast_signed),
                text(&entry.figures)?,
                actor,
                entry.woken_by.as_ref().map(|by| &by.statement),
                entry.woken_by.as_ref().map(|by| &by.account)
            ],
            |row| row.get(0),
        )?;
    Ok(Event {
        id,
        at,
        database: entry.database.clone(),
        actor: Some(actor),
        woken_by: entry.woken_by.as_deref().cloned(),
        event: entry.event,
        from: entry.from,
        to: entry.to,
        cause: entry.cause,
        reason: entry.reason.clone(),
        duration_ms: entry.duration_ms,
        figures: entry.figures,
    })
}

/// Reads entries, the oldest first.
pub(super) fn read(connection: &Connection, filter: &EventFilter) -> rusqlite::Result<Vec<Event>> {
    let order = if filter.after.is_some() {
        "ASC"
    } else {
        "DESC"
    };
    let of_one = match (&filter.database, filter.present) {
        (Some(_), false) => "database = ?1",
        (Some(_), true) => {
            "database = ?1 AND id >= coalesce((SELECT max(id) FROM ledger \
             WHERE database = ?1 AND event = 'created'), 0)"
        }
        (None, _) => "?1 IS NULL",
    };
    let mut events = connection
        .prepare_cached(&format!(
            "SELECT id, at, database, event, from_state, to_state, cause, reason, duration_ms, \
             figures, actor, statement, account FROM ledger WHERE {of_one} AND id > ?2 ORDER BY id {order} LIMIT ?3"
        ))?
        .query_map(
            params![
                filter.database.as_ref().map(DatabaseName::as_str),
                filter.after.unwrap_or(0),
                i64::try_from(filter.limit.min(MOST)).unwrap_or(i64::MAX)
            ],
            event,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    if filter.after.is_none() {
        events.reverse();
    }
    Ok(events)
}

/// Reads the changes of state of the database that has this name, since a time in milliseconds since 1970, and the last
/// one before.
pub(super) fn transitions(
    connection: &Connection,
    database: &DatabaseName,
    since: i64,
) -> rusqlite::Result<Vec<Transition>> {
    connection
        .prepare_cached(
            "SELECT at, from_state, to_state, cause, reason, duration_ms, actor, statement, account \
             FROM ledger WHERE database = ?1 AND event IN ('created', 'changed') AND to_state IS NOT NULL \
             AND id >= coalesce((SELECT max(id) FROM ledger WHERE database = ?1 AND event = 'created'), 0) \
             AND id >= coalesce((SELECT id FROM ledger WHERE database = ?1 AND at < ?2 \
             AND event IN ('created', 'changed') ORDER BY id DESC LIMIT 1), 0) ORDER BY id",
        )?
        .query_map(params![database.as_str(), since], |row| {
            let duration: Option<i64> = row.get(5)?;
            Ok(Transition {
                at: row.get(0)?,
                from: state(row, 1)?,
                to: parsed(row, 2)?,
                cause: word(row, 3, CAUSES, Cause::as_str)?,
                reason: row.get(4)?,
                duration_ms: duration.map_or(0, i64::cast_unsigned),
                actor: row.get(6)?,
                woken_by: woken_by(row, 7)?,
            })
        })?
        .collect()
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<State>> {
    let word: Option<String> = row.get(column)?;
    word.map(|_| parsed(row, column)).transpose()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let duration: Option<i64> = row.get(8)?;
    let named: String = row.get(2)?;
    let database = (named != NO_DATABASE).then(|| parsed(row, 2));
    Ok(Event {
        id: row.get(0)?,
        at: Timestamp::from_millisecond(row.get(1)?).map_err(|e| bad(1, e.into()))?,
        database: database.transpose()?,
        actor: row.get(10)?,
        woken_by: woken_by(row, 11)?,
        event: word(row, 3, KINDS, EventKind::as_str)?,
        from: state(row, 4)?,
        to: state(row, 5)?,
        cause: word(row, 6, CAUSES, Cause::as_str)?,
        reason: row.get(7)?,
        duration_ms: duration.map(i64::cast_unsigned),
        figures: json(row, 9)?,
    })
}

/// What woke the database, from this column and the next.
fn woken_by(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<WokenBy>> {
    let statement: Option<String> = row.get(column)?;
    let account: Option<String> = row.get(column + 1)?;
    let known = statement.zip(account);
    Ok(known.map(|(statement, account)| WokenBy { statement, account }))
}

/// Removes entries that are too many or too old. Ids and times rise together.
pub(super) fn prune(connection: &Connection, keep: LedgerKeep) -> rusqlite::Result<()> {
    let rows = i64::try_from(keep.rows).unwrap_or(i64::MAX);
    let oldest = Timestamp::now().as_millisecond()
        - i64::try_from(keep.age.as_millis()).unwrap_or(i64::MAX / 2);
    connection.execute(
        "DELETE FROM ledger WHERE id <= (SELECT max(id) FROM ledger) - ?1 OR id < coalesce( \
         (SELECT id FROM ledger WHERE at >= ?2 ORDER BY id LIMIT 1), \
         (SELECT max(id) + 1 FROM ledger))",
        params![rows, oldest],
    )?;
    Ok(())
}
