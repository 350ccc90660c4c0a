//! Rows that are in the server's process alone.

use std::time::Duration;

use super::{Admin, AdminError, PATIENCE, Rows, literal};

/// The most tables that are named.
const NAMED: usize = 20;

/// Every table of the engine. All it needs of a table is its definition file, which the server reads
/// without opening the table: `EXPLAIN` says `Open_frm_only`. Two thousand tables take 25 ms; to ask for their
/// rows in the same breath would open them all, and take twelve times as long. Schemas are ruled out by name
/// before anything is read.
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE ENGINE = 'MEMORY' AND TABLE_TYPE = 'BASE TABLE' \
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')";

impl Admin {
    /// The tables of the MEMORY engine that have rows, as `schema.table`, which end with the server's
    /// process; the first twenty of them. Temporary tables are their sessions' and not among them. `None`
    /// if the server works longer than `patience` on one of the questions: it gives that one up.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn memory_tables(
        &mut self,
        patience: Duration,
    ) -> Result<Option<Vec<String>>, AdminError> {
        let Some(all) = self.ask_within(patience, TABLES).await? else {
            return Ok(None);
        };
        let mut with_rows = Vec::new();
        for [schema, table] in all.texts() {
            let (of_schema, of_table) = (literal(&schema), literal(&table));
            let sql = format!(
                "SELECT TABLE_ROWS FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA = {of_schema} AND TABLE_NAME = {of_table} AND TABLE_ROWS > 0"
            );
            let Some(found) = self.ask_within(patience, &sql).await? else {
                return Ok(None);
            };
            if !found.rows.is_empty() {
                with_rows.push(format!("{schema}.{table}"));
            }
            if with_rows.len() == NAMED {
                break;
            }
        }
        Ok(Some(with_rows))
    }

    /// The answer, unless the server would work longer than this on it.
    async fn ask_within(
        &mut self,
        patience: Duration,
        sql: &str,
    ) -> Result<Option<Rows>, AdminError> {
        const TOOK_TOO_LONG: u16 = 1969;
        // zero would mean any time
        let seconds = patience.as_secs_f64().max(0.001);
        let sql = format!("SET STATEMENT max_statement_time = {seconds:.3} FOR {sql}");
        match self
            .run("a look at the MEMORY tables", &sql, PATIENCE)
            .await
        {
            Err(AdminError::Sql { error, .. }) if error.code == TOOK_TOO_LONG => Ok(None),
            answer => answer.map(Some),
        }
    }
}
