//! Changed pages that are not on the disk: when a running server writes them.

use std::time::{Duration, Instant};

use super::{Admin, AdminError, TIMEOUT};

/// Writes them as fast as the disk does. With adaptive flushing the page cleaner would write as many as the redo log asks for.
/// It looks once a second, and when this is set.
const EAGER: &str = "SET GLOBAL innodb_adaptive_flushing = OFF, innodb_io_capacity_max = 100000, \
    innodb_io_capacity = 100000, innodb_max_dirty_pages_pct = 0";

/// Writes none before the redo log or the buffer pool is almost full.
const KEPT: &str = "SET GLOBAL innodb_adaptive_flushing = OFF, innodb_adaptive_flushing_lwm = 70, \
    innodb_max_dirty_pages_pct = 99, innodb_io_capacity = 200, innodb_io_capacity_max = 2000";

/// As a server does without being told. `DEFAULT` of the capacity would be no limit, other than at a start.
const USUAL: &str = "SET GLOBAL innodb_adaptive_flushing = DEFAULT, innodb_adaptive_flushing_lwm = DEFAULT, \
    innodb_max_dirty_pages_pct = DEFAULT, innodb_io_capacity = 200, innodb_io_capacity_max = 2000";

const COUNT: &str = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";

/// So few take no time.
const FEW: u64 = 100;

/// Pause between two looks. If there are not fewer at [`LOOKS`] of them in turn, they grow.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 2;

/// Pages of the buffer pool that were changed and are not on the disk. See [`Admin::dirty_pages`].
#[derive(Debug)]
pub struct DirtyPages<'a>(pub(super) &'a mut Admin);

impl DirtyPages<'_> {
    /// Has the server write them as fast as it can from now on, and waits until there are few, or half as many as there were at
    /// most and no longer fewer, but not longer than `limit`; returns whether there are few. While statements fill its redo
    /// log, it writes only what the log asks for.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn write(&mut self, limit: Duration) -> Result<bool, AdminError> {
        let until = Instant::now() + limit;
        let (mut most, mut least, mut looks) = (0, u64::MAX, 0);
        loop {
            self.run(EAGER).await?;
            let rows = self.0.run("counting changed pages", COUNT, TIMEOUT).await?;
            let dirty = rows.text(0, 1).parse().unwrap_or(0);
            looks = if dirty < least { 0 } else { looks + 1 };
            (most, least) = (dirty.max(most), dirty.min(least));
            let halved = least <= most / 2 && looks >= LOOKS;
            if dirty <= FEW || halved || Instant::now() >= until {
                return Ok(dirty <= FEW);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has the server keep them in memory as long as it can: its files change little then.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn keep(&mut self) -> Result<(), AdminError> {
        self.run(KEPT).await
    }

    /// Lets the server write them as it does without being told.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn as_usual(&mut self) -> Result<(), AdminError> {
        self.run(USUAL).await
    }

    async fn run(&mut self, text: &str) -> Result<(), AdminError> {
        let done = self
            .0
            .run("saying when changed pages are written", text, TIMEOUT);
        done.await.map(drop)
    }
}
