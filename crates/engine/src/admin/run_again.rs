//! What keeps interrupted statements from being run again.

use dormouse_types::RunAgain;

use super::{AdminError, Settings, TIMEOUT};

/// Reads definition files only, as does the question for MEMORY tables.
const ASK: &str = "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES \
    WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' \
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')), \
    EXISTS (SELECT 1 FROM information_schema.ROUTINES \
    WHERE ROUTINE_TYPE <> 'PROCEDURE' AND ROUTINE_SCHEMA NOT IN ('mysql', 'sys'))";

impl Settings<'_> {
    /// What keeps interrupted statements from being run again.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn run_again(self) -> Result<RunAgain, AdminError> {
        let rows = self.0.run("looking for plain tables", ASK, TIMEOUT).await?;
        let row = rows.texts::<2>().next();
        let has = |column: usize| row.as_ref().is_none_or(|row| row[column] != "0");
        Ok(RunAgain {
            plain_tables: has(0),
            functions: has(1),
            starved: false,
        })
    }
}
