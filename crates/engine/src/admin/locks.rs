//! What a session holds that only the server knows of.

use super::{Admin, AdminError, PATIENCE};

/// A metadata lock that one of the server's connections holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockInfo {
    /// The connection's id on the server.
    pub connection: u32,
    /// The lock's mode, as `MDL_SHARED_READ`.
    pub mode: String,
    /// What is locked, as `Table metadata lock`, `User lock`, `Global read lock`.
    pub kind: String,
    /// The schema, or a user lock's name.
    pub schema: String,
    /// The table, where it is one.
    pub table: String,
}

impl Admin {
    /// The metadata locks that these connections hold: user locks, table locks, `HANDLER`, backup
    /// and read locks, transactions that touched a table. `None` if the server has no plugin
    /// (`metadata_lock_info`) that tells.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn session_pins(
        &mut self,
        connections: &[u32],
    ) -> Result<Option<Vec<LockInfo>>, AdminError> {
        const UNKNOWN_TABLE: u16 = 1109;
        let ids: Vec<String> = connections.iter().map(u32::to_string).collect();
        let ids = if ids.is_empty() {
            "NULL".to_owned()
        } else {
            ids.join(",")
        };
        let sql = format!(
            "SELECT THREAD_ID, LOCK_MODE, LOCK_TYPE, TABLE_SCHEMA, TABLE_NAME \
             FROM information_schema.METADATA_LOCK_INFO WHERE THREAD_ID IN ({ids})"
        );
        match self.run("a look at the locks", &sql, PATIENCE).await {
            Err(AdminError::Sql { error, .. }) if error.code == UNKNOWN_TABLE => Ok(None),
            Err(other) => Err(other),
            Ok(rows) => Ok(Some(
                rows.texts()
                    .filter_map(|[id, mode, kind, schema, table]| {
                        Some(LockInfo {
                            connection: id.parse().ok()?,
                            mode,
                            kind,
                            schema,
                            table,
                        })
                    })
                    .collect(),
            )),
        }
    }
}
