//! The size of InnoDB's redo log while a server runs.

use std::time::Duration;

use dormouse_types::Bytes;

use super::{Admin, AdminError, TIMEOUT};

/// Time for a change: the server first writes the pages that the old log is needed for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The redo log of a running server.
#[derive(Debug)]
pub struct RedoLog<'a>(pub(super) &'a mut Admin);

impl RedoLog<'_> {
    /// Its size.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn size(self) -> Result<Bytes, AdminError> {
        let text = "SELECT @@innodb_log_file_size";
        let rows = self.0.run("reading the log's size", text, TIMEOUT).await?;
        let size = rows.text(0, 0).parse();
        size.map(Bytes)
            .map_err(|_| AdminError::Protocol("the size of the redo log is no number".to_owned()))
    }

    /// Changes its size until the next start; statements run on meanwhile. A smaller log takes
    /// long while the server writes much: it must not need what the new one has no room for.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn resize(self, size: Bytes) -> Result<(), AdminError> {
        let text = format!("SET GLOBAL innodb_log_file_size = {}", size.0);
        let done = self.0.run("changing the log's size", &text, PATIENCE);
        done.await.map(drop)
    }
}
