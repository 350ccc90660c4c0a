//! InnoDB's buffer pool: its size, and which pages were in it.

use std::time::Duration;

use dormouse_types::Bytes;
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, PATIENCE, in_time};

/// How often a server is asked whether it is done.
const LOOK: Duration = Duration::from_millis(3);

/// The server's status tells time in seconds: two dumps within one look the same for this long.
const STATUS_TICK: Duration = Duration::from_millis(1100);

impl Admin {
    /// Changes the buffer pool's size and waits until it is done. The server rounds the size to
    /// what it can do.
    ///
    /// # Errors
    /// [`AdminError::Late`] if it takes longer than `patience`; the connection is then spent, the
    /// change may go on.
    pub async fn resize_buffer_pool(
        &mut self,
        size: Bytes,
        patience: Duration,
    ) -> Result<(), AdminError> {
        let doing = "a change of the buffer pool";
        let resize = async {
            let sql = format!("SET GLOBAL innodb_buffer_pool_size = {}", size.0);
            self.run(doing, &sql, patience).await?;
            // servers before the resizable pool go on in the background; others leave it empty
            loop {
                let status = self.status("Innodb_buffer_pool_resize_status").await?;
                let over = [
                    "Completed",
                    "Size did not change",
                    "Failed",
                    "Resizing buffer pool failed",
                ];
                if status.is_empty() || over.iter().any(|word| status.starts_with(word)) {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        in_time(doing, patience, resize).await
    }

    /// Notes which pages are in the buffer pool, in the file from which a start or
    /// [`load_hot_pages`](Self::load_hot_pages) reads them back; waits until it is written.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn dump_hot_pages(&mut self) -> Result<(), AdminError> {
        let doing = "a note of the hot pages";
        let before = self.dump_status().await?;
        self.run(
            doing,
            "SET GLOBAL innodb_buffer_pool_dump_now = ON",
            PATIENCE,
        )
        .await?;
        let start = Instant::now();
        let wait = async {
            loop {
                let now = self.dump_status().await?;
                let over = now.contains("completed at") || now.contains("annot ");
                if over && (now != before || start.elapsed() > STATUS_TICK) {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        in_time(doing, PATIENCE, wait).await
    }

    /// Starts to read the noted pages back, and does not wait.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn load_hot_pages(&mut self) -> Result<(), AdminError> {
        let sql = "SET GLOBAL innodb_buffer_pool_load_now = ON";
        self.run("reading the hot pages", sql, PATIENCE)
            .await
            .map(drop)
    }

    async fn dump_status(&mut self) -> Result<String, AdminError> {
        self.status("Innodb_buffer_pool_dump_status").await
    }

    async fn status(&mut self, name: &str) -> Result<String, AdminError> {
        let sql = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        Ok(self
            .run("a look at the status", &sql, PATIENCE)
            .await?
            .text(0, 1))
    }
}
