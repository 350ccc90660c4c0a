//! The moment before the files of a running server are copied.

use super::{Admin, AdminError};

/// Holds commits, statements that write to tables without a log (MyISAM), and changes of definitions, until this
/// connection ends; what was acknowledged before is in the files then. Such a statement, or an `ALTER TABLE`, that does not end
/// within a second is not waited for: its tables are as after a crash.
///
/// `BACKUP STAGE` waits for what has begun; `FLUSH ENGINE LOGS` writes what InnoDB has logged in memory alone, as the row of
/// a sequence (MariaDB's manual, "BACKUP STAGE").
///
/// # Errors
/// As [`AdminError`] says.
pub async fn quiesce(admin: &mut Admin) -> Result<(), AdminError> {
    admin.query("SET lock_wait_timeout = 1").await?;
    admin.query("BACKUP STAGE START").await?;
    match admin.query("BACKUP STAGE BLOCK_COMMIT").await {
        Ok(_) | Err(AdminError::Sql { .. }) => {}
        Err(error) => return Err(error),
    }
    admin.query("FLUSH LOCAL ENGINE LOGS").await?;
    Ok(())
}
