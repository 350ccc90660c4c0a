//! How far a database has followed: a row in a schema of its own, changed in the transactions that change the rows.

use dormouse_binlog::follow::Begin;
use serde::{Deserialize, Serialize};

use super::halt::Halt;
use super::target::Target;
use crate::import::text::literal;

/// The schema, removed at the cut-over.
pub(crate) const SCHEMA: &str = "dormouse_import";

/// A place in the log of the other server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) position: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

impl Place {
    /// Whether it is at or behind another one. Names of files end in a number that grows.
    pub(crate) fn has_reached(&self, other: &Self) -> bool {
        let number = |file: &str| {
            let digits = file.rsplit('.').next().unwrap_or_default();
            digits.parse::<u64>().unwrap_or(0)
        };
        (number(&self.file), self.position) >= (number(&other.file), other.position)
    }
}

/// How far the import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The copy is not complete.
    Copying,
    /// The copy is complete.
    Following,
    /// The other server is made read-only, or was.
    Cutting,
    /// The database takes statements; only leftovers are to be removed.
    Done,
}

/// A definition that is about to run, and what the tables looked like before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The end of its group.
    pub(crate) end: Place,
    /// The definitions of the tables that it names, before.
    pub(crate) before: String,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) phase: Phase,
    /// The other server, without the password.
    pub(crate) source: String,
    /// Its `server_id`.
    pub(crate) server_id: String,
    /// Its schemas; all of them if `all`.
    pub(crate) schemas: Vec<String>,
    pub(crate) all: bool,
    /// What is to be set back at the other server if the cut-over fails.
    pub(crate) undo: Vec<String>,
}

/// The row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    /// The GTID of the last group in front of it; empty right after the copy.
    pub(crate) gtid: String,
    /// When the file of the place was begun, in seconds since 1970; 0 if that is not known yet.
    pub(crate) began: u32,
    pub(crate) intent: Option<Intent>,
    pub(crate) kept: Kept,
}

/// Reads the row; `None` if the database follows nothing.
///
/// # Errors
/// The database does not answer.
pub(crate) fn read(target: &mut Target) -> Result<Option<Row>, Halt> {
    let there = target.ask(&format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{SCHEMA}' AND TABLE_NAME = 'position'"
    ))?;
    if there.is_empty() {
        return Ok(None);
    }
    let rows = target.ask(&format!(
        "SELECT file, position, gtid, began, intent, kept FROM {SCHEMA}.position WHERE id = 1"
    ))?;
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let damaged = |what: &str| {
        Halt::stop(
            format!("the table {SCHEMA}.position is damaged: {what}"),
            "begin anew with --restart",
        )
    };
    let [file, position, gtid, began, intent, kept] =
        <[Option<String>; 6]>::try_from(row).map_err(|_| damaged("columns"))?;
    let position = position.and_then(|text| text.parse().ok());
    let intent = intent.map(|text| serde_json::from_str(&text));
    Ok(Some(Row {
        place: Place {
            file: file.unwrap_or_default(),
            position: position.ok_or_else(|| damaged("position"))?,
        },
        gtid: gtid.unwrap_or_default(),
        began: began.and_then(|text| text.parse().ok()).unwrap_or(0),
        intent: intent.transpose().map_err(|_| damaged("intent"))?,
        kept: serde_json::from_str(&kept.unwrap_or_default()).map_err(|_| damaged("kept"))?,
    }))
}

/// Makes the table, with its row.
///
/// # Errors
/// The database refuses.
pub(crate) fn create(target: &mut Target, kept: &Kept) -> Result<(), Halt> {
    target.ask(&format!(
        "CREATE DATABASE IF NOT EXISTS {SCHEMA} CHARACTER SET utf8mb4"
    ))?;
    target.ask(&format!(
        "CREATE OR REPLACE TABLE {SCHEMA}.position (id INT PRIMARY KEY, file VARCHAR(512) NOT NULL, \
         position BIGINT UNSIGNED NOT NULL, gtid VARCHAR(60) NOT NULL, began INT UNSIGNED NOT NULL, intent LONGTEXT, kept LONGTEXT NOT NULL) \
         ENGINE = InnoDB CHARACTER SET utf8mb4"
    ))?;
    let kept = serde_json::to_string(kept).unwrap_or_default();
    let kept = literal(&kept);
    target.ask(&format!(
        "INSERT INTO {SCHEMA}.position VALUES (1, '', 0, '', 0, NULL, {kept})"
    ))?;
    Ok(())
}

/// The statement that stores a place, in a file that was begun then. It is the last one of its transaction.
pub(crate) fn store(place: &Place, began: u32, begin: Option<&Begin>) -> String {
    let gtid = begin.map_or_else(String::new, |begin| {
        let gtid = &begin.gtid;
        format!(
            ", gtid = '{}-{}-{}'",
            gtid.domain, gtid.server, gtid.sequence
        )
    });
    format!(
        "UPDATE {SCHEMA}.position SET file = {}, position = {}, began = {began}{gtid}, intent = NULL WHERE id = 1",
        literal(&place.file),
        place.position
    )
}

/// Stores what a definition is about to change.
///
/// # Errors
/// The database refuses.
pub(crate) fn intend(target: &mut Target, intent: &Intent) -> Result<(), Halt> {
    let text = serde_json::to_string(intent).unwrap_or_default();
    let text = literal(&text);
    target.ask(&format!(
        "UPDATE {SCHEMA}.position SET intent = {text} WHERE id = 1"
    ))?;
    Ok(())
}

/// Stores the phase and the like.
///
/// # Errors
/// The database refuses.
pub(crate) fn keep(target: &mut Target, kept: &Kept) -> Result<(), Halt> {
    let text = serde_json::to_string(kept).unwrap_or_default();
    let text = literal(&text);
    target.ask(&format!(
        "UPDATE {SCHEMA}.position SET kept = {text} WHERE id = 1"
    ))?;
    Ok(())
}

/// Removes it all.
///
/// # Errors
/// The database refuses.
pub(crate) fn remove(target: &mut Target) -> Result<(), Halt> {
    target.ask(&format!("DROP DATABASE IF EXISTS {SCHEMA}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_file_is_behind_every_position_of_an_earlier_one() {
        let place = |file: &str, position| Place {
            file: file.to_owned(),
            position,
        };
        assert!(place("log.000010", 4).has_reached(&place("log.000009", 900)));
        assert!(place("log.1000000", 4).has_reached(&place("log.999999", 900)));
        assert!(!place("log.000009", 900).has_reached(&place("log.000010", 4)));
        assert!(place("log.000009", 900).has_reached(&place("log.000009", 900)));
    }
}
