//! What the other server must be and have before anything is copied.

use dormouse_api::ErrorBody;

use super::ddl::Scope;
use super::feed::Feed;
use super::halt::Halt;
use super::position::Place;
use super::source;
use crate::import::connection::Connection;
use crate::import::live::Address;
use crate::import::text::literal;

/// What is told of the other server.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) server_id: String,
    /// What the user should know.
    pub(crate) remarks: Vec<String>,
}

/// Where the other server's log ends now.
///
/// # Errors
/// The server is gone, or refuses.
pub(crate) fn log_end(connection: &mut Connection) -> Result<Place, Halt> {
    let rows = source::ask(connection, "SHOW MASTER STATUS")?;
    let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
    let (file, position) = (row.next().flatten(), row.next().flatten());
    match (file, position.and_then(|text| text.parse().ok())) {
        (Some(file), Some(position)) => Ok(Place { file, position }),
        _ => Err(no_log()),
    }
}

fn no_log() -> Halt {
    Halt::stop(
        "the other server writes no binary log",
        "set log_bin, binlog_format = ROW and server_id in its configuration, and restart it",
    )
}

/// Checks that the log has still the group that was applied last in front of the place: it was not begun anew.
///
/// # Errors
/// It is another log, or the server is gone.
pub(crate) fn is_same_log(
    connection: &mut Connection,
    place: &Place,
    gtid: &str,
) -> Result<(), Halt> {
    let file = literal(&place.file);
    let sql = format!("SELECT BINLOG_GTID_POS({file}, {})", place.position);
    let there = source::value(connection, &sql)?.unwrap_or_default();
    // what is not there any more is told when the log is read
    let is_same = gtid.is_empty() || there.is_empty() || there.split(',').any(|one| one == gtid);
    match is_same {
        true => Ok(()),
        false => Err(Halt::stop(
            format!(
                "the log of the other server is not the one that was followed: at {place} it has {there}, not {gtid}"
            ),
            "it was begun anew there (RESET MASTER), or this is a copy of the server: begin anew with --restart",
        )),
    }
}

/// Checks the other server.
///
/// # Errors
/// It cannot be followed; the error says what to change.
pub(crate) fn check(
    connection: &mut Connection,
    address: &Address,
    scope: &Scope,
    schemas: &[String],
) -> Result<Found, Halt> {
    let mut found = Found::default();
    let version = source::value(connection, "SELECT VERSION()")?.unwrap_or_default();
    if !version.contains("MariaDB") {
        return Err(Halt::stop(
            format!("the other server is {version}: only MariaDB can be followed"),
            "stop writing there and import without --follow",
        ));
    }
    let mut variable = |name: &str| {
        let sql = format!("SHOW GLOBAL VARIABLES LIKE '{name}'");
        let rows = source::ask(connection, &sql)?;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().nth(1));
        Ok::<_, Halt>(value.flatten().unwrap_or_default())
    };
    if variable("log_bin")? != "ON" {
        return Err(no_log());
    }
    for (name, wanted) in [("binlog_format", "ROW"), ("binlog_row_image", "FULL")] {
        let value = variable(name)?;
        if value != wanted {
            return Err(Halt::stop(
                format!("the other server has {name} = {value}: only {wanted} can be followed"),
                &format!(
                    "SET GLOBAL {name} = '{wanted}' there, let its clients connect again (sessions keep the former value), and set it in its configuration"
                ),
            ));
        }
    }
    if variable("binlog_alter_two_phase")? == "ON" {
        return Err(Halt::stop(
            "the other server logs ALTER TABLE in two halves",
            "SET GLOBAL binlog_alter_two_phase = OFF there",
        ));
    }
    if !matches!(variable("mysql56_temporal_format")?.as_str(), "ON" | "") {
        return Err(Halt::stop(
            "the other server writes times in the format of MariaDB before 10.1",
            "SET GLOBAL mysql56_temporal_format = ON there, and ALTER TABLE … FORCE for tables with times",
        ));
    }
    found.server_id = variable("server_id")?;
    let kept = [
        ("binlog_expire_logs_seconds", 1),
        ("expire_logs_days", 86_400),
    ];
    for (name, unit) in kept {
        let seconds = variable(name)?.parse::<f64>().unwrap_or(0.0) * f64::from(unit);
        if seconds > 0.0 && seconds < 86_400.0 {
            found.remarks.push(format!(
                "the other server removes its log after {seconds:.0} s ({name}): the copy, and any time in which this command does not run, must be shorter"
            ));
            break;
        }
    }
    if variable("max_binlog_total_size")?
        .parse::<u64>()
        .unwrap_or(0)
        > 0
    {
        found.remarks.push(
            "the other server removes its log when it is too large (max_binlog_total_size)"
                .to_owned(),
        );
    }
    tables(connection, scope, schemas, &mut found)?;
    // the only test of the right is to use it
    let end = log_end(connection)?;
    let feed = Feed::open(source::connect(address)?, &end)?;
    feed.next(std::time::Duration::from_secs(10))?;
    Ok(found)
}

fn tables(
    connection: &mut Connection,
    scope: &Scope,
    schemas: &[String],
    found: &mut Found,
) -> Result<(), Halt> {
    let named: Vec<_> = schemas.iter().map(|schema| literal(schema)).collect();
    if named.is_empty() {
        if let Scope::Only(_) = scope {
            return Err(Halt::Stop(ErrorBody::new("invalid", "no schema is named")));
        }
        return Ok(());
    }
    let of = format!("TABLE_SCHEMA IN ({})", named.join(", "));
    let mut list = |sql: &str| {
        let rows = source::ask(connection, sql)?;
        let names = rows
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten());
        Ok::<Vec<String>, Halt>(names.collect())
    };
    let without = list(&format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES \
         WHERE {of} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ENGINE <> 'InnoDB'"
    ))?;
    if !without.is_empty() {
        return Err(Halt::stop(
            format!(
                "these tables have no transactions, so their rows could be written twice after a crash: {}",
                shown(&without)
            ),
            "ALTER TABLE … ENGINE = InnoDB there, or import without --follow",
        ));
    }
    let versioned = list(&format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES \
         WHERE {of} AND TABLE_TYPE = 'SYSTEM VERSIONED'"
    ))?;
    if !versioned.is_empty() {
        return Err(Halt::stop(
            format!(
                "these tables are system-versioned; the times in their history cannot be written from outside: {}",
                shown(&versioned)
            ),
            "ALTER TABLE … DROP SYSTEM VERSIONING there, or import without --follow",
        ));
    }
    let keyless = list(&format!(
        "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME) FROM information_schema.TABLES t WHERE t.{of} \
         AND t.TABLE_TYPE = 'BASE TABLE' AND NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS s \
         WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY')"
    ))?;
    if !keyless.is_empty() {
        found.remarks.push(format!(
            "these tables have no primary key: each change reads the whole table, or an index if one fits: {}",
            shown(&keyless)
        ));
    }
    Ok(())
}

/// A list that an error can show.
fn shown(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut text = names
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        text.push_str(&format!(", and {} more", names.len() - MOST));
    }
    text
}
