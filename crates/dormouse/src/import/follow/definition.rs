//! Runs definitions in the session in which they ran at the other server.

use dormouse_binlog::follow::Query;
use dormouse_wire::ErrPacket;

use super::ddl::Name;
use super::halt::Halt;
use super::target::Target;
use crate::import::run::REPEATED;
use crate::import::text::{literal, quoted};

/// Further codes of a definition that has run already: a table that was renamed or dropped is not there.
const GONE: [u16; 4] = [1146, 1305, 4091, 1049];

/// Whether this is the answer to a definition that has run already.
pub(crate) fn is_repeated(error: &ErrPacket) -> bool {
    REPEATED.contains(&error.code) || GONE.contains(&error.code)
}

/// How the tables that a definition names look now.
///
/// # Errors
/// The database is gone.
pub(crate) fn look(target: &mut Target, names: &[Name]) -> Result<String, Halt> {
    let mut all = String::new();
    for (schema, name) in names {
        let Some(name) = name else { continue };
        let sql = format!("SHOW CREATE TABLE {}.{}", quoted(schema), quoted(name));
        let there = format!(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(schema),
            literal(name)
        );
        if target.ask(&there)?.is_empty() {
            all.push_str("none;");
            continue;
        }
        for field in target.ask(&sql)?.into_iter().flatten().flatten() {
            all.push_str(&field);
            all.push(';');
        }
    }
    Ok(all)
}

/// The character set and the name of the collation with this number.
fn collation(target: &mut Target, number: u16) -> Result<(String, String), Halt> {
    let rows = target.ask(&format!(
        "SELECT CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM \
         information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID = {number}"
    ))?;
    let row = rows.into_iter().next().unwrap_or_default();
    let mut names = row.into_iter().flatten();
    match (names.next(), names.next()) {
        (Some(set), Some(name)) => Ok((set, name)),
        _ => Err(Halt::stop(
            format!(
                "the other server has a collation that the database's server does not know, number {number}"
            ),
            "use the collation of an older version there",
        )),
    }
}

/// Whether a session can have default collations of its own.
fn has_defaults(target: &mut Target) -> Result<bool, Halt> {
    let rows = target.ask("SHOW VARIABLES LIKE 'character_set_collations'")?;
    Ok(!rows.is_empty())
}

/// Runs a definition of this second since 1970; the inner error is a refusal. The session is another one afterwards.
///
/// # Errors
/// The database is gone.
pub(crate) fn run(
    target: &mut Target,
    second: u32,
    query: &Query,
    text: &[u8],
    names: &[Name],
) -> Result<Result<(), ErrPacket>, Halt> {
    let mut sets = vec![
        format!("sql_mode = {}", query.sql_mode.unwrap_or(0)),
        format!("foreign_key_checks = {}", u8::from(!query.unchecked)),
    ];
    if second > 0 {
        // what DEFAULT CURRENT_TIMESTAMP gives to the rows that are there
        sets.push(format!("timestamp = {second}.{:06}", query.micros));
    }
    if let Some([client, connection, server]) = query.collations {
        let (set, _) = collation(target, client)?;
        sets.push(format!("character_set_client = {set}"));
        for (variable, number) in [
            ("collation_connection", connection),
            ("collation_server", server),
        ] {
            let (_, name) = collation(target, number)?;
            sets.push(format!("{variable} = {name}"));
        }
    }
    if !query.defaults.is_empty() && has_defaults(target)? {
        let mut pairs = Vec::new();
        for (set, number) in &query.defaults {
            let ((set, _), (_, name)) = (collation(target, *set)?, collation(target, *number)?);
            pairs.push(format!("{set}={name}"));
        }
        sets.push(format!(
            "character_set_collations = {}",
            literal(&pairs.join(","))
        ));
    }
    if let Some(zone) = &query.time_zone {
        sets.push(format!("time_zone = {}", literal(zone)));
    }
    let is_of_schema = names.iter().any(|(_, name)| name.is_none());
    if !query.schema.is_empty() {
        let used = target.run(format!("USE {}", quoted(&query.schema)).as_bytes())?;
        if let Err(error) = used
            && !is_of_schema
        {
            return Ok(Err(error));
        }
    }
    let set = format!("SET {}", sets.join(", "));
    if let Err(error) = target.run(set.as_bytes())? {
        return Ok(Err(error));
    }
    target.run(text)
}
