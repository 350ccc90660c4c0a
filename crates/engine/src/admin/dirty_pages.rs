//! Writing changed pages to the disk before a server stops, so that its stop is short.

use std::time::{Duration, Instant};

use super::{Admin, AdminError, TIMEOUT};

/// Writes them as fast as the disk does.
const EAGER: &str = "SET GLOBAL innodb_io_capacity_max = 100000, innodb_io_capacity = 100000, \
    innodb_max_dirty_pages_pct = 0";

/// As a server does without being told.
const USUAL: &str = "SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT, innodb_io_capacity = DEFAULT, \
    innodb_io_capacity_max = DEFAULT";

const COUNT: &str = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";

/// So few take no time.
const FEW: u64 = 100;

/// Pause between two looks. If there are not fewer at [`LOOKS`] of them in turn, statements change as many as are written.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 6;

/// Pages of the buffer pool that were changed and are not on the disk. See [`Admin::dirty_pages`].
#[derive(Debug)]
pub struct DirtyPages<'a>(pub(super) &'a mut Admin);

impl DirtyPages<'_> {
    /// Has the server write them as fast as it can from now on, and waits until there are few, or hardly fewer any more, but
    /// not longer than `limit`.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn write(&mut self, limit: Duration) -> Result<(), AdminError> {
        let until = Instant::now() + limit;
        self.run(EAGER).await?;
        let (mut least, mut looks) = (u64::MAX, 0);
        while looks < LOOKS && Instant::now() < until {
            let rows = self.0.run("counting changed pages", COUNT, TIMEOUT).await?;
            let dirty = rows.text(0, 1).parse().unwrap_or(0);
            if dirty <= FEW {
                break;
            }
            looks = if dirty < least { 0 } else { looks + 1 };
            least = least.min(dirty);
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Lets the server write them as it does without being told.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn as_usual(&mut self) -> Result<(), AdminError> {
        self.run(USUAL).await
    }

    async fn run(&mut self, text: &str) -> Result<(), AdminError> {
        let done = self.0.run("writing changed pages", text, TIMEOUT);
        done.await.map(drop)
    }
}
