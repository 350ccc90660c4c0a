//! Statements that wait to be sent to the database together, in one transaction.

use std::sync::Arc;

use dormouse_binlog::follow::{Begin, Change, RowKind};

use super::halt::Halt;
use super::position::{Place, store};
use super::sql;
use super::tables::Table;
use super::target::Target;

/// Bytes of statements that are sent at once, if there are so many.
const SEND: usize = 256 << 10;
/// Rows of one `INSERT`.
const ROWS: u64 = 1000;
/// Characters of a statement that an error shows.
const SHOWN: usize = 300;

/// What a statement must give.
#[derive(Debug)]
struct Expected {
    /// The table, and how many of its rows are hit.
    rows: Option<(Arc<Table>, u64)>,
    /// Whether a warning means that a value was changed.
    exact: bool,
    start: usize,
}

/// Statements to be sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    sql: Vec<u8>,
    expected: Vec<Expected>,
    /// Whether a transaction is open, at the database or in these statements.
    is_open: bool,
    /// Whether the last statement is an `INSERT` that takes more rows.
    inserts: bool,
    /// Rows changed in the open transaction.
    pub(crate) rows: u64,
    /// Whether the session has `foreign_key_checks = 0`.
    unchecked: bool,
}

impl Batch {
    /// Whether a transaction is open.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    fn statement(&mut self, rows: Option<(Arc<Table>, u64)>, exact: bool) {
        if !self.sql.is_empty() {
            self.sql.push(b';');
        }
        self.inserts = false;
        let start = self.sql.len();
        self.expected.push(Expected { rows, exact, start });
    }

    /// Adds a statement without rows.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        self.open();
        self.statement(None, false);
        self.sql.extend_from_slice(text);
    }

    fn open(&mut self) {
        if !self.is_open {
            self.is_open = true;
            self.statement(None, false);
            self.sql.extend_from_slice(b"START TRANSACTION");
        }
    }

    /// The session has its first values again.
    pub(crate) fn prepared(&mut self) {
        self.unchecked = false;
    }

    /// The next changes are made with or without foreign keys.
    pub(crate) fn check(&mut self, unchecked: bool) {
        if self.unchecked != unchecked {
            self.unchecked = unchecked;
            let checks = u8::from(!unchecked);
            self.plain(format!("SET foreign_key_checks = {checks}").as_bytes());
        }
    }

    /// Adds a change of a row.
    ///
    /// # Errors
    /// The log does not have the whole row, or the database is gone.
    pub(crate) fn change(
        &mut self,
        target: &mut Target,
        table: &Arc<Table>,
        kind: RowKind,
        change: &Change,
    ) -> Result<(), Halt> {
        self.open();
        self.rows += 1;
        let whole = match kind {
            RowKind::Insert => self.insert(table, change),
            RowKind::Update => self.update(table, change),
            RowKind::Delete => {
                self.statement(Some((Arc::clone(table), 1)), false);
                self.sql.extend_from_slice(b"DELETE FROM ");
                self.sql.extend_from_slice(table.name.as_bytes());
                sql::find(&mut self.sql, table, &change.before)
            }
        };
        if whole.is_none() {
            return Err(Halt::stop(
                format!("the log has not all columns of a row of {}", table.name),
                "SET GLOBAL binlog_row_image = 'FULL' at the other server, then begin anew with --restart",
            ));
        }
        if self.sql.len() >= SEND {
            self.send(target)?;
        }
        Ok(())
    }

    fn insert(&mut self, table: &Arc<Table>, change: &Change) -> Option<()> {
        use dormouse_binlog::follow::Value::Number;
        let zero = |(column, value): (&super::tables::Column, &Option<_>)| {
            column.is_enum && *value == Some(Number(0))
        };
        let exact = !table.columns.iter().zip(&change.after).any(zero);
        if table.is_sequence {
            // its one row is replaced
            self.statement(None, false);
            sql::insert(&mut self.sql, table);
            return sql::row(&mut self.sql, table, &change.after);
        }
        match self.expected.last_mut() {
            Some(Expected {
                rows: Some((last, count)),
                exact: is_exact,
                ..
            }) if self.inserts && Arc::ptr_eq(last, table) && *count < ROWS => {
                *count += 1;
                *is_exact &= exact;
                self.sql.push(b',');
            }
            _ => {
                self.statement(Some((Arc::clone(table), 1)), exact);
                self.inserts = true;
                sql::insert(&mut self.sql, table);
            }
        }
        sql::row(&mut self.sql, table, &change.after)
    }

    fn update(&mut self, table: &Arc<Table>, change: &Change) -> Option<()> {
        let had = self.sql.len();
        self.statement(Some((Arc::clone(table), 1)), false);
        let changes = sql::update(&mut self.sql, table, &change.before, &change.after)?;
        if !changes {
            self.sql.truncate(had);
            self.expected.pop();
            return Some(());
        }
        sql::find(&mut self.sql, table, &change.before)
    }

    /// Ends the transaction, with the place up to which it goes.
    ///
    /// # Errors
    /// A statement does not give what it must, or the database is gone.
    pub(crate) fn commit(
        &mut self,
        target: &mut Target,
        (place, began): (&Place, u32),
        begin: Option<&Begin>,
    ) -> Result<(), Halt> {
        let position = store(place, began, begin);
        self.statement(None, false);
        self.sql.extend_from_slice(position.as_bytes());
        // what the statements gave is looked at before anything is committed
        self.send(target)?;
        if std::mem::take(&mut self.is_open) {
            target.ask("COMMIT")?;
        }
        self.rows = 0;
        Ok(())
    }

    /// Sends what there is.
    fn send(&mut self, target: &mut Target) -> Result<(), Halt> {
        let mut each = Vec::with_capacity(self.expected.len());
        let sent = target.run_all(&self.sql, &mut each)?;
        if let Err(error) = sent {
            let what = self.shown(each.len());
            let table = self.table(each.len());
            let duplicate = matches!(error.code, 1062 | 1586);
            return Err(match duplicate {
                true => diverged(&format!("{table} has a row already: {error}"), &what),
                false => Halt::stop(
                    format!("the database refused a change of {table}: {error} ({what})"),
                    "remove the cause, then run the command again: it goes on at this transaction",
                ),
            });
        }
        for (at, (expected, (affected, warnings))) in self.expected.iter().zip(&each).enumerate() {
            let Some((table, rows)) = &expected.rows else {
                continue;
            };
            if affected != rows {
                let text = format!(
                    "{} has not the row that the other server changes",
                    table.name
                );
                return Err(diverged(&text, &self.shown(at)));
            }
            if expected.exact && *warnings > 0 {
                let text = format!("a value does not fit into {}", table.name);
                return Err(diverged(&text, &self.shown(at)));
            }
        }
        self.sql.clear();
        self.expected.clear();
        self.inserts = false;
        Ok(())
    }

    fn table(&self, at: usize) -> String {
        let expected = self.expected.get(at);
        let rows = expected.and_then(|expected| expected.rows.as_ref());
        rows.map_or_else(
            || "its position".to_owned(),
            |(table, _)| table.name.clone(),
        )
    }

    /// The statement, shortened: from its `WHERE`, if it has one, since there is the key.
    fn shown(&self, at: usize) -> String {
        let start = self.expected.get(at).map_or(0, |expected| expected.start);
        let end = self
            .expected
            .get(at + 1)
            .map_or(self.sql.len(), |next| next.start.saturating_sub(1));
        let text = self.sql.get(start..end).unwrap_or_default();
        let from = memchr::memmem::rfind(text, b" WHERE ").map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(text.get(from..).unwrap_or_default());
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown.replace(|c: char| c.is_control(), " ")
    }
}

fn diverged(what: &str, statement: &str) -> Halt {
    Halt::stop(
        format!("diverged: {what} ({statement})"),
        "somebody else has changed the database, or the copy is not of this server: begin anew with --restart",
    )
}
