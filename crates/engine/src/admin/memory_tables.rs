//! Tables of the MEMORY engine: their rows are lost when the server stops.

use std::time::Duration;

use super::{Admin, AdminError, Rows, TIMEOUT, literal};

/// Most tables that are listed.
const MAX_LISTED: usize = 20;

/// All MEMORY tables. Reads definition files only (`EXPLAIN` shows `Open_frm_only`): 25 ms for two thousand
/// tables. Selecting `TABLE_ROWS` too would open every table and take twelve times as long. Schemas are
/// excluded by name, before any file is read.
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE ENGINE = 'MEMORY' AND TABLE_TYPE = 'BASE TABLE' \
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')";

impl Admin {
    /// The first twenty tables of the MEMORY engine that have rows, as `schema.table`, without temporary
    /// tables. `None` if one of the queries runs longer than `limit`; the server then aborts it.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn memory_tables(
        &mut self,
        limit: Duration,
    ) -> Result<Option<Vec<String>>, AdminError> {
        let Some(all) = self.ask_within(limit, TABLES).await? else {
            return Ok(None);
        };
        let mut with_rows = Vec::new();
        for [schema, table] in all.texts() {
            let (of_schema, of_table) = (literal(&schema), literal(&table));
            let sql = format!(
                "SELECT TABLE_ROWS FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA = {of_schema} AND TABLE_NAME = {of_table} AND TABLE_ROWS > 0"
            );
            let Some(found) = self.ask_within(limit, &sql).await? else {
                return Ok(None);
            };
            if !found.rows.is_empty() {
                with_rows.push(format!("{schema}.{table}"));
            }
            if with_rows.len() == MAX_LISTED {
                break;
            }
        }
        Ok(Some(with_rows))
    }

    /// Runs a query with `max_statement_time`; `None` if the server aborted it.
    async fn ask_within(&mut self, limit: Duration, sql: &str) -> Result<Option<Rows>, AdminError> {
        const TOOK_TOO_LONG: u16 = 1969;
        // zero would mean no limit
        let seconds = limit.as_secs_f64().max(0.001);
        let sql = format!("SET STATEMENT max_statement_time = {seconds:.3} FOR {sql}");
        match self.run("listing MEMORY tables", &sql, TIMEOUT).await {
            Err(AdminError::Sql { error, .. }) if error.code == TOOK_TOO_LONG => Ok(None),
            answer => answer.map(Some),
        }
    }
}
