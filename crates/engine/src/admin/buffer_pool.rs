//! InnoDB's buffer pool: resizing it, saving the list of its pages, and loading them again.
//!
//! The *hot list* is the server's file of the pages in its pool (`ib_buffer_pool`).
//! [`BufferPool::note_hot_pages`] writes it, and so does the server when it stops, but only while
//! `innodb_buffer_pool_dump_at_shutdown` is on. It is switched off before the pool shrinks
//! ([`BufferPool::leave_hot_pages`]) and before its pages are loaded, and on when all are loaded, so that a
//! cold pool never overwrites the list. The server keeps the setting through a crash of dormouse and
//! starts with it off.

use std::time::Duration;

use dormouse_types::Bytes;
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, TIMEOUT, in_time};
use crate::buffer_pool::{self, PoolHits};

/// Poll interval for operations that take milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// Resolution of the time in status texts, with a margin. Errors have no time at all, so a repeated
/// error cannot be told from the old one until this has passed.
const STATUS_TICK: Duration = Duration::from_millis(1100);

const DUMP: &str = "Innodb_buffer_pool_dump_status";
const LOAD: &str = "Innodb_buffer_pool_load_status";

/// The buffer pool of a running server.
#[derive(Debug)]
pub struct BufferPool<'a>(pub(super) &'a mut Admin);

impl BufferPool<'_> {
    /// Resizes the buffer pool and waits until that is done; waits first for a resize already in
    /// progress. The server rounds the size.
    ///
    /// # Errors
    /// [`AdminError::Late`] if it takes longer than `limit`; the connection is then unusable, and the
    /// resize may go on. [`AdminError::Sql`] or [`AdminError::Cut`] if the server aborts it, as it may
    /// under load.
    pub async fn resize(mut self, size: Bytes, limit: Duration) -> Result<(), AdminError> {
        let doing = "resizing the buffer pool";
        let sql = format!("SET GLOBAL innodb_buffer_pool_size = {}", size.0);
        let resize = async {
            while let Err(error) = self.0.run(doing, &sql, limit).await {
                match &error {
                    AdminError::Sql { error, .. }
                        if error.message.contains("already in progress") => {}
                    _ => return Err(error),
                }
                sleep(POLL_INTERVAL).await;
            }
            // before 10.11.12, 11.4.6 and 11.8.2 it runs in the background; later servers leave the status empty
            loop {
                let status = self.status("Innodb_buffer_pool_resize_status").await?;
                let is = |words: [&str; 2]| words.iter().any(|word| status.starts_with(word));
                if status.is_empty() || is(["Completed", "Size did not change"]) {
                    return Ok(());
                }
                // the size is unchanged, which callers that lower limits must know
                if is(["Failed", "Resizing buffer pool failed"]) {
                    return Err(AdminError::Cut(doing));
                }
                sleep(POLL_INTERVAL).await;
            }
        };
        in_time(doing, limit, resize).await
    }

    /// Writes the hot list and waits until it is written. Keeps the present list if the pool's pages are
    /// not loaded yet, or if it was written within this second.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn note_hot_pages(mut self) -> Result<(), AdminError> {
        let doing = "saving the hot pages";
        let before = self.status(DUMP).await?;
        if !self.hot_pages_are_there().await? || self.is_this_second(&before).await? {
            return Ok(());
        }
        let sql = "SET GLOBAL innodb_buffer_pool_dump_now = ON";
        self.0.run(doing, sql, TIMEOUT).await?;
        let start = Instant::now();
        let wait = async {
            loop {
                let now = self.status(DUMP).await?;
                let over = now.contains("completed at") || now.contains("annot ");
                if over && (now != before || start.elapsed() > STATUS_TICK) {
                    return Ok(());
                }
                sleep(POLL_INTERVAL).await;
            }
        };
        in_time(doing, TIMEOUT, wait).await
    }

    /// Call before the pool loses pages: the hot list stays unchanged until
    /// [`load_hot_pages`](Self::load_hot_pages) has completed. Aborts a running load.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn leave_hot_pages(self) -> Result<(), AdminError> {
        let sql = "SET GLOBAL innodb_buffer_pool_dump_at_shutdown = OFF, \
                   GLOBAL innodb_buffer_pool_load_abort = ON";
        self.0
            .run("keeping the list of hot pages", sql, TIMEOUT)
            .await
            .map(drop)
    }

    /// Loads the pages of the hot list and waits until they are loaded. Loads in bursts; after each it
    /// pauses at least as long as the burst took, and longer to stay below [`buffer_pool::HYDRATION`]. If
    /// cancelled, a burst may go on, and the old list is kept until another load completes.
    ///
    /// The server's own limit, `innodb_io_capacity`, does not slow a load down: the activity it looks at
    /// (`srv_get_activity_count`) does not include statements.
    ///
    /// # Errors
    /// [`AdminError::Cut`] if another connection aborted a burst; [`AdminError::Late`] after `limit`.
    pub async fn load_hot_pages(mut self, limit: Duration) -> Result<(), AdminError> {
        let doing = "loading the hot pages";
        let load = async {
            self.0.buffer_pool().leave_hot_pages().await?;
            let size = self
                .number("SELECT @@GLOBAL.innodb_buffer_pool_size")
                .await?;
            let burst = buffer_pool::burst(Bytes(size));
            let mut read = 0;
            // the pool is full: more pages would evict those just loaded
            while read < size {
                let start = Instant::now();
                match self.load_some(burst).await? {
                    Some(some) => read += some.0,
                    None => break,
                }
                sleep(buffer_pool::pause(burst, start.elapsed())).await;
            }
            let sql = "SET GLOBAL innodb_buffer_pool_dump_at_shutdown = ON";
            self.0.run(doing, sql, TIMEOUT).await.map(drop)
        };
        in_time(doing, limit, load).await
    }

    /// Loads at least `burst` bytes and returns how many; `None` if nothing is left to load or there is
    /// no readable list.
    async fn load_some(&mut self, burst: Bytes) -> Result<Option<Bytes>, AdminError> {
        let doing = "loading the hot pages";
        let before = loop {
            let status = self.status(LOAD).await?;
            if !is_loading(&status) && !self.is_this_second(&status).await? {
                break status;
            }
            sleep(POLL_INTERVAL).await;
        };
        let first = self.bytes_read().await?;
        let sql = "SET GLOBAL innodb_buffer_pool_load_now = ON";
        self.0.run(doing, sql, TIMEOUT).await?;
        let start = Instant::now();
        let mut seen = false;
        let mut enough = None;
        loop {
            let now = self.status(LOAD).await?;
            seen |= is_loading(&now) || now != before || start.elapsed() > STATUS_TICK;
            if seen && !is_loading(&now) {
                return match enough {
                    _ if !now.contains("aborted") => Ok(None),
                    None => Err(AdminError::Cut(doing)),
                    enough => Ok(enough),
                };
            }
            let read = self.bytes_read().await?.saturating_sub(first);
            if read >= burst.0 && enough.is_none() && is_loading(&now) {
                let sql = "SET GLOBAL innodb_buffer_pool_load_abort = ON";
                self.0.run(doing, sql, TIMEOUT).await?;
                enough = Some(Bytes(read));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Bytes the pool has read from files since the server started.
    async fn bytes_read(&mut self) -> Result<u64, AdminError> {
        let pages = self.status("Innodb_pages_read").await?;
        Ok(pages.parse().unwrap_or(0) * buffer_pool::PAGE.0)
    }

    /// Requests and misses since the server started, and the bytes in the pool.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn hits(self) -> Result<PoolHits, AdminError> {
        let sql = "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                   WHERE VARIABLE_NAME IN ('Innodb_buffer_pool_read_requests', \
                   'Innodb_buffer_pool_reads', 'Innodb_buffer_pool_bytes_data')";
        let rows = self
            .0
            .run("reading the buffer pool's state", sql, TIMEOUT)
            .await?;
        let mut hits = PoolHits::default();
        for [name, value] in rows.texts() {
            let value = value.parse().unwrap_or_default();
            match name.as_str() {
                "innodb_buffer_pool_read_requests" => hits.requests = value,
                "innodb_buffer_pool_reads" => hits.reads = value,
                _ => hits.holds = Bytes(value),
            }
        }
        Ok(hits)
    }

    /// Whether the pool's pages are loaded, so that the hot list may be written.
    async fn hot_pages_are_there(&mut self) -> Result<bool, AdminError> {
        let sql = "SELECT @@GLOBAL.innodb_buffer_pool_dump_at_shutdown";
        Ok(self.number(sql).await? == 1)
    }

    /// Whether a status has the server's current time. The status of another operation that completes
    /// within this second would be identical.
    async fn is_this_second(&mut self, status: &str) -> Result<bool, AdminError> {
        let Some((_, told)) = status.split_once("completed at ") else {
            return Ok(false);
        };
        // as ut_sprintf_timestamp() writes it, in the zone of the server's process
        let sql = "SELECT DATE_FORMAT(SYSDATE(), '%y%m%d'), DATE_FORMAT(SYSDATE(), '%k:%i:%s')";
        let rows = self
            .0
            .run("reading the server's clock", sql, TIMEOUT)
            .await?;
        Ok(told
            .split_whitespace()
            .take(2)
            .eq([rows.text(0, 0), rows.text(0, 1)]))
    }

    async fn number(&mut self, sql: &str) -> Result<u64, AdminError> {
        let rows = self
            .0
            .run("reading the buffer pool's state", sql, TIMEOUT)
            .await?;
        Ok(rows.text(0, 0).parse().unwrap_or(0))
    }

    async fn status(&mut self, name: &str) -> Result<String, AdminError> {
        let sql = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        Ok(self
            .0
            .run("reading the server's status", &sql, TIMEOUT)
            .await?
            .text(0, 1))
    }
}

/// Whether this load status means a load in progress.
fn is_loading(status: &str) -> bool {
    status.starts_with("Loading buffer pool") || status.starts_with("Loaded ")
}
