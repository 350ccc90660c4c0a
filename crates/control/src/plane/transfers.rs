//! Entries of the ledger about imports and exports, which clients of databases do and tell of.

use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_types::{Bytes, DatabaseName, misleads};
use serde::{Deserialize, Serialize};

use crate::catalog::Entry;
use crate::principal::Principal;
use crate::status::{EventKind, Figures};

/// Most characters of a text of a client's.
const MOST: usize = 500;

/// Which way data went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the database.
    Import,
    /// Out of it.
    Export,
}

/// An import or export that has ended, as its client tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Which way data went.
    pub direction: Direction,
    /// From where, or from what and to where.
    pub what: String,
    /// Bytes of the dump.
    pub bytes: Bytes,
    /// Tables, if they were counted.
    pub tables: Option<u64>,
    /// Rows, if they were counted.
    pub rows: Option<u64>,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed.
    pub error: Option<String>,
}

/// The entry about a transfer of a database.
pub(super) fn entry(database: &DatabaseName, transfer: &Transfer, by: Principal) -> Entry {
    Entry {
        database: Some(database.clone()),
        actor: by,
        woken_by: None,
        event: match transfer.direction {
            Direction::Import => EventKind::Imported,
            Direction::Export => EventKind::Exported,
        },
        from: None,
        to: None,
        cause: match transfer.error {
            None => Cause::Operator,
            Some(_) => Cause::Failed,
        },
        reason: reason(transfer),
        duration_ms: Some(u64::try_from(transfer.duration.as_millis()).unwrap_or(u64::MAX)),
        figures: Figures {
            bytes: Some(transfer.bytes),
            tables: transfer.tables,
            rows: transfer.rows,
            ..Figures::default()
        },
    }
}

fn reason(transfer: &Transfer) -> String {
    let mut text = format!("{}: {}", shown(&transfer.what), transfer.bytes);
    for (count, of) in [(transfer.tables, "tables"), (transfer.rows, "rows")] {
        if let Some(count) = count {
            text.push_str(&format!(", {count} {of}"));
        }
    }
    if let Some(error) = &transfer.error {
        text.push_str(&format!("; failed: {}", shown(error)));
    }
    text
}

/// A text of a client's, so that it cannot be taken for something else.
fn shown(text: &str) -> String {
    let plain = |letter| if misleads(letter) { ' ' } else { letter };
    text.chars().take(MOST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_tells_what_went_and_what_failed() {
        let done = Transfer {
            direction: Direction::Import,
            what: "from the dump /tmp/a\nb.sql".to_owned(),
            bytes: Bytes::mib(3),
            tables: Some(5),
            rows: Some(1012),
            duration: Duration::from_secs(1),
            error: None,
        };
        let text = format!(
            "from the dump /tmp/a b.sql: {}, 5 tables, 1012 rows",
            Bytes::mib(3)
        );
        assert_eq!(reason(&done), text);
        let failed = Transfer {
            tables: None,
            rows: None,
            error: Some("\u{1b}[2Jx".repeat(1000)),
            ..done
        };
        let text = reason(&failed);
        assert!(text.contains("; failed:  [2Jx"), "{text}");
        assert!(text.len() < 2 * MOST && !text.contains('\u{1b}'), "{text}");
    }
}
