//! Stored code that changes its caller's session in ways that no reply reports: the server's session tracking is
//! silent about `GET_LOCK()`, about variables that are set by `INTO` or `:=`, and about sequences.

use super::{AdminError, Settings, TIMEOUT};

/// The body of a function, procedure, package or trigger that may do so. `@@name` alone is a system variable.
const BODY: &str = "(?i)(^|[^@])@[^@]|GET_LOCK|RELEASE_(ALL_)?LOCK|NEXTVAL|SETVAL|NEXT[^A-Z]+VALUE";

/// The same for a view, which has no variables. What a function does to `LAST_INSERT_ID()` ends with it; what a view
/// does stays.
const VIEW: &str = "(?i)GET_LOCK|RELEASE_(ALL_)?LOCK|NEXTVAL|SETVAL|LAST_INSERT_ID";

/// Schemas that no user can write to.
const OWN: &str = "('mysql', 'sys', 'information_schema', 'performance_schema')";

impl Settings<'_> {
    /// Whether the server has stored code or views that may take user locks, set user variables or advance
    /// sequences, of which no reply tells. The routines are one small table; triggers and views are searched by
    /// their files, 15 ms for a thousand tables.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn hides_changes(self) -> Result<bool, AdminError> {
        for sql in [
            format!(
                "SELECT 1 FROM mysql.proc WHERE db NOT IN {OWN} AND body REGEXP '{BODY}' LIMIT 1"
            ),
            format!(
                "SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN {OWN} \
                 AND ACTION_STATEMENT REGEXP '{BODY}' LIMIT 1"
            ),
            format!(
                "SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN {OWN} \
                 AND VIEW_DEFINITION REGEXP '{VIEW}' LIMIT 1"
            ),
        ] {
            let found = self.0.run("reading stored code", &sql, TIMEOUT).await?;
            if !found.rows.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
