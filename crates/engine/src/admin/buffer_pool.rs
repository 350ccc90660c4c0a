//! InnoDB's buffer pool: its size, which pages are in it, and how they come back.
//!
//! The *hot list* is a file of the server's that names the pages of its pool. It is written by
//! [`Admin::note_hot_pages`], and by the server itself when it stops, but only while the pool is
//! worth noting: while `innodb_buffer_pool_dump_at_shutdown` is on. It is switched off before a
//! pool is emptied ([`Admin::leave_hot_pages`]) and before its pages are read back, and on when
//! they are all there. So a list is never overwritten with what a cold pool holds; the server
//! remembers that through a crash of dormouse, and starts with it off.

use std::time::Duration;

use dormouse_types::Bytes;
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, PATIENCE, in_time};
use crate::buffer_pool::{self, PoolHits};

/// How often a server is asked whether it is done with something short.
const LOOK: Duration = Duration::from_millis(3);

/// The server's status tells time in seconds, and errors without time: the same error twice looks
/// the same for this long.
const STATUS_TICK: Duration = Duration::from_millis(1100);

const DUMP: &str = "Innodb_buffer_pool_dump_status";
const LOAD: &str = "Innodb_buffer_pool_load_status";

/// The buffer pool of a running server.
#[derive(Debug)]
pub struct BufferPool<'a>(pub(super) &'a mut Admin);

impl BufferPool<'_> {
    /// Changes the buffer pool's size and waits until it is done. The server rounds the size to
    /// what it can do. A change that somebody else began is waited for first.
    ///
    /// # Errors
    /// [`AdminError::Late`] if it takes longer than `patience`; the connection is then spent, the
    /// change may go on. [`AdminError::Sql`] or [`AdminError::Cut`] if the server gives it up, as it
    /// may under load.
    pub async fn resize(mut self, size: Bytes, patience: Duration) -> Result<(), AdminError> {
        let doing = "a change of the buffer pool";
        let sql = format!("SET GLOBAL innodb_buffer_pool_size = {}", size.0);
        let resize = async {
            while let Err(error) = self.0.run(doing, &sql, patience).await {
                match &error {
                    AdminError::Sql { error, .. }
                        if error.message.contains("already in progress") => {}
                    _ => return Err(error),
                }
                sleep(LOOK).await;
            }
            // servers before the resizable pool go on in the background; others leave it empty
            loop {
                let status = self.status("Innodb_buffer_pool_resize_status").await?;
                let is = |words: [&str; 2]| words.iter().any(|word| status.starts_with(word));
                if status.is_empty() || is(["Completed", "Size did not change"]) {
                    return Ok(());
                }
                // it is as large as it was: whoever lowers limits next must know
                if is(["Failed", "Resizing buffer pool failed"]) {
                    return Err(AdminError::Cut(doing));
                }
                sleep(LOOK).await;
            }
        };
        in_time(doing, patience, resize).await
    }

    /// Writes the hot list, and waits until it is written; leaves the one there is if the pool is
    /// not worth noting, or if it was written in this very second.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn note_hot_pages(mut self) -> Result<(), AdminError> {
        let doing = "a note of the hot pages";
        let before = self.status(DUMP).await?;
        if !self.hot_pages_are_there().await? || self.is_this_second(&before).await? {
            return Ok(());
        }
        let sql = "SET GLOBAL innodb_buffer_pool_dump_now = ON";
        self.0.run(doing, sql, PATIENCE).await?;
        let start = Instant::now();
        let wait = async {
            loop {
                let now = self.status(DUMP).await?;
                let over = now.contains("completed at") || now.contains("annot ");
                if over && (now != before || start.elapsed() > STATUS_TICK) {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        in_time(doing, PATIENCE, wait).await
    }

    /// The pool is about to lose its pages: the hot list stays what it is until
    /// [`load_hot_pages`](Self::load_hot_pages) has brought them back. Ends a load that runs.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn leave_hot_pages(self) -> Result<(), AdminError> {
        let sql = "SET GLOBAL innodb_buffer_pool_dump_at_shutdown = OFF, \
                   GLOBAL innodb_buffer_pool_load_abort = ON";
        self.0
            .run("leaving the hot pages", sql, PATIENCE)
            .await
            .map(drop)
    }

    /// Reads the pages of the hot list back and waits until they are there. It reads in bursts and
    /// leaves the disk to others at least as long as each one took, and longer where it would exceed
    /// [`buffer_pool::HYDRATION`]. If it is abandoned a burst may go on, and the old list is kept until
    /// another load is complete.
    ///
    /// The server's own limit, `innodb_io_capacity`, does not hold a load back: what it takes for
    /// activity (`srv_get_activity_count`) are not statements.
    ///
    /// # Errors
    /// [`AdminError::Cut`] if a burst was ended by somebody else; [`AdminError::Late`] after
    /// `patience`.
    pub async fn load_hot_pages(mut self, patience: Duration) -> Result<(), AdminError> {
        let doing = "reading the hot pages";
        let load = async {
            self.0.buffer_pool().leave_hot_pages().await?;
            let size = self
                .number("SELECT @@GLOBAL.innodb_buffer_pool_size")
                .await?;
            let burst = buffer_pool::burst(Bytes(size));
            let mut read = 0;
            // once as much was read as fits, more would push out what was
            while read < size {
                let start = Instant::now();
                match self.load_some(burst).await? {
                    Some(some) => read += some.0,
                    None => break,
                }
                sleep(buffer_pool::pause(burst, start.elapsed())).await;
            }
            let sql = "SET GLOBAL innodb_buffer_pool_dump_at_shutdown = ON";
            self.0.run(doing, sql, PATIENCE).await.map(drop)
        };
        in_time(doing, patience, load).await
    }

    /// Loads until so much was read, and says how much it was; `None` if nothing is left to load,
    /// or there is no list that can be read.
    async fn load_some(&mut self, burst: Bytes) -> Result<Option<Bytes>, AdminError> {
        let doing = "reading the hot pages";
        let before = loop {
            let status = self.status(LOAD).await?;
            if !is_loading(&status) && !self.is_this_second(&status).await? {
                break status;
            }
            sleep(LOOK).await;
        };
        let first = self.bytes_read().await?;
        let sql = "SET GLOBAL innodb_buffer_pool_load_now = ON";
        self.0.run(doing, sql, PATIENCE).await?;
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
                self.0.run(doing, sql, PATIENCE).await?;
                enough = Some(Bytes(read));
            }
            sleep(LOOK).await;
        }
    }

    /// What the pool has read from files since the server started.
    async fn bytes_read(&mut self) -> Result<u64, AdminError> {
        let pages = self.status("Innodb_pages_read").await?;
        Ok(pages.parse().unwrap_or(0) * buffer_pool::PAGE.0)
    }

    /// How many pages were asked of the pool and how many of them were read from files, since the
    /// server started; and what it holds.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn hits(self) -> Result<PoolHits, AdminError> {
        let sql = "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                   WHERE VARIABLE_NAME IN ('Innodb_buffer_pool_read_requests', \
                   'Innodb_buffer_pool_reads', 'Innodb_buffer_pool_bytes_data')";
        let rows = self.0.run("a look at the pool", sql, PATIENCE).await?;
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

    /// Whether the pool is worth noting.
    async fn hot_pages_are_there(&mut self) -> Result<bool, AdminError> {
        let sql = "SELECT @@GLOBAL.innodb_buffer_pool_dump_at_shutdown";
        Ok(self.number(sql).await? == 1)
    }

    /// Whether a status ends with the time that the server's clock shows now. Another one that
    /// comes to the same end within this second could not be told from it.
    async fn is_this_second(&mut self, status: &str) -> Result<bool, AdminError> {
        let Some((_, told)) = status.split_once("completed at ") else {
            return Ok(false);
        };
        // as ut_sprintf_timestamp() writes it, in the zone of the server's process
        let sql = "SELECT DATE_FORMAT(SYSDATE(), '%y%m%d'), DATE_FORMAT(SYSDATE(), '%k:%i:%s')";
        let rows = self.0.run("a look at the clock", sql, PATIENCE).await?;
        Ok(told
            .split_whitespace()
            .take(2)
            .eq([rows.text(0, 0), rows.text(0, 1)]))
    }

    async fn number(&mut self, sql: &str) -> Result<u64, AdminError> {
        let rows = self.0.run("a look at the pool", sql, PATIENCE).await?;
        Ok(rows.text(0, 0).parse().unwrap_or(0))
    }

    async fn status(&mut self, name: &str) -> Result<String, AdminError> {
        let sql = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        Ok(self
            .0
            .run("a look at the status", &sql, PATIENCE)
            .await?
            .text(0, 1))
    }
}

/// Whether this status of a load is of one that goes on.
fn is_loading(status: &str) -> bool {
    status.starts_with("Loading buffer pool") || status.starts_with("Loaded ")
}
