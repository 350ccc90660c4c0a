//! A server that follows another one by GTID, and the end of that: it is promoted.
//!
//! Where it is stands in its own tables, in the transactions that it applies, so a crash at any point loses and doubles
//! nothing (MariaDB's manual, "Global Transaction ID"). What Dormouse changes in it does not stand in its log: a
//! transaction of its own would part it from the server that it follows.

use std::net::SocketAddr;
use std::time::Duration;

use super::replay::Events;
use super::{Admin, AdminError, Rows, TIMEOUT, literal};

/// How long the server waits before it connects again, in seconds.
const RETRY: u32 = 1;

/// How far a server has followed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whether it is connected to the server that it follows.
    pub connected: bool,
    /// Whether it applies what it receives.
    pub applies: bool,
    /// The last transaction that it has received, and that it has applied, as GTIDs of each domain.
    pub received: String,
    /// See `received`.
    pub applied: String,
    /// Age of the transaction that it applies, in seconds; `None` if it does not follow.
    pub behind: Option<u64>,
    /// The file of the other server's log up to which it has applied all.
    pub source_file: String,
    /// Why it cannot go on.
    pub error: Option<String>,
}

/// What a server that takes changes no longer leaves to the one that does from then on.
#[derive(Debug, Clone)]
pub struct Fenced {
    /// The last transaction in its log, as GTIDs of each domain.
    pub position: String,
    /// Its events, with their states.
    pub events: Events,
}

/// A server that follows another one. See [`Admin::follow`].
#[derive(Debug)]
pub struct Follow<'a>(pub(super) &'a mut Admin);

impl Follow<'_> {
    /// The last transaction in the log of the server, as GTIDs of each domain.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn logged(&mut self) -> Result<String, AdminError> {
        let rows = self.run("SELECT @@GLOBAL.gtid_binlog_pos").await?;
        Ok(rows.text(0, 0))
    }

    /// The events of the server, with their states.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn events(&mut self) -> Result<Events, AdminError> {
        self.0.replay().events().await
    }

    /// Notes that the files of the server have all up to these transactions.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn begin_at(&mut self, position: &str) -> Result<(), AdminError> {
        let position = literal(position);
        self.run("SET SESSION sql_log_bin = 0").await?;
        self.run("STOP SLAVE").await?;
        self.run(&format!("SET GLOBAL gtid_slave_pos = {position}"))
            .await
            .map(drop)
    }

    /// Follows the server that is reached at this address with this password, from where it is. `acknowledges`: commits there
    /// may wait for this one.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn start(
        &mut self,
        source: SocketAddr,
        password: &str,
        acknowledges: bool,
    ) -> Result<(), AdminError> {
        self.run("STOP SLAVE").await?;
        // it may have been promoted, by a Dormouse that has ended in the middle of that
        self.close().await?;
        self.run("SET GLOBAL gtid_strict_mode = ON").await?;
        self.run(&format!(
            "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = 'dormouse', MASTER_PASSWORD = {}, \
             MASTER_SSL = 0, MASTER_CONNECT_RETRY = {RETRY}, MASTER_USE_GTID = slave_pos",
            literal(&source.ip().to_string()),
            source.port(),
            literal(password)
        ))
        .await?;
        let on = u8::from(acknowledges);
        self.run(&format!("SET GLOBAL rpl_semi_sync_slave_enabled = {on}"))
            .await?;
        self.run("START SLAVE").await.map(drop)
    }

    /// How far it is.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn progress(&mut self) -> Result<Progress, AdminError> {
        let rows = self.run("SHOW SLAVE STATUS").await?;
        let column = |name: &str| {
            let at = rows.columns.iter().position(|column| column == name);
            at.map(|at| rows.text(0, at)).unwrap_or_default()
        };
        let failed = |what: &str| {
            let code = column(&format!("Last_{what}_Errno"));
            let text = column(&format!("Last_{what}_Error"));
            (!matches!(code.as_str(), "" | "0")).then(|| format!("error {code}: {text}"))
        };
        let connected = column("Slave_IO_Running") == "Yes";
        let applies = column("Slave_SQL_Running") == "Yes";
        // a connection that breaks is made again, and is an error only until then
        let io = failed("IO").filter(|_| column("Slave_IO_Running") == "No");
        let error = failed("SQL").or(io);
        let (received, behind) = (
            column("Gtid_IO_Pos"),
            column("Seconds_Behind_Master").parse().ok(),
        );
        let source_file = column("Relay_Master_Log_File");
        let applied = self.run("SELECT @@GLOBAL.gtid_slave_pos").await?;
        Ok(Progress {
            connected,
            applies,
            received,
            applied: applied.text(0, 0),
            behind,
            source_file,
            error,
        })
    }

    /// Waits until the server has applied these transactions; `false` if that takes longer than the limit.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn reaches(&mut self, position: &str, limit: Duration) -> Result<bool, AdminError> {
        let sql = format!(
            "SELECT MASTER_GTID_WAIT({}, {})",
            literal(position),
            limit.as_secs_f64()
        );
        let doing = "waiting for a follower";
        let waited = self.0.run(doing, &sql, limit + TIMEOUT).await?;
        Ok(waited.text(0, 0) == "0")
    }

    /// Lets a follower acknowledge what it has received, and commits of a server that is followed wait for that
    /// (semi-synchronous replication), or not.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn wait_for_follower(&mut self, waits: bool) -> Result<(), AdminError> {
        let rows = self
            .run("SELECT @@GLOBAL.rpl_semi_sync_master_enabled")
            .await?;
        if (rows.text(0, 0) == "1") == waits {
            return Ok(());
        }
        if waits {
            // as long as it takes; the commit is visible to others only when it is acknowledged
            self.run("SET GLOBAL rpl_semi_sync_master_timeout = 4294967295")
                .await?;
            self.run("SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
                .await?;
        }
        let on = u8::from(waits);
        self.run(&format!("SET GLOBAL rpl_semi_sync_master_enabled = {on}"))
            .await
            .map(drop)
    }

    /// Lets commits go on that wait for a follower which has them already: from its copy, or because it lost its connection
    /// before it could say so. It gets them no more, and acknowledges them with whatever comes next: this is a statement
    /// in the log that does nothing.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn remind_follower(&mut self) -> Result<(), AdminError> {
        self.run("FLUSH HOSTS").await.map(drop)
    }

    /// The same where that statement cannot be written, because commits that wait hold the server's log: they are let go if all
    /// who follow, but for so many `others`, were sent all of it; returns whether they were. A commit that comes within this
    /// moment is told at once.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn release_commits(&mut self, others: usize) -> Result<bool, AdminError> {
        let sent = format!(
            "SELECT COALESCE(SUM(STATE LIKE '%has sent all binlog to slave%') >= GREATEST(1, COUNT(*) - {others}), 0) \
             FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump'"
        );
        if self.run(&sent).await?.text(0, 0) != "1" {
            return Ok(false);
        }
        self.run("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
            .await?;
        self.run("SET GLOBAL rpl_semi_sync_master_enabled = ON")
            .await?;
        Ok(true)
    }

    /// Removes the files of the server's own log but the last two.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn purge_own_log(&mut self) -> Result<(), AdminError> {
        let rows = self.run("SHOW BINARY LOGS").await?;
        let Some(before_last) = rows.rows.len().checked_sub(2) else {
            return Ok(());
        };
        let to = literal(&rows.text(before_last, 0));
        self.run(&format!("PURGE BINARY LOGS TO {to}"))
            .await
            .map(drop)
    }

    /// Keeps all of the server's log, or removes what is older than a minute whenever it begins another file.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn keep_log(&mut self, keeps: bool) -> Result<(), AdminError> {
        let seconds = if keeps { 0 } else { 60 };
        // from 11.4 on nothing is removed while nobody follows
        self.run(&format!(
            "SET GLOBAL binlog_expire_logs_seconds = {seconds} /*M!110401 , GLOBAL slave_connections_needed_for_purge = 0 */"
        ))
        .await
        .map(drop)
    }

    /// Ends a server's part: it takes no changes but Dormouse's from now on, and its events rest. Returns, when what has begun
    /// is done, what another server needs to take its place.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn fence(&mut self) -> Result<Fenced, AdminError> {
        self.close().await?;
        Ok(Fenced {
            position: self.logged().await?,
            events: self.events().await?,
        })
    }

    async fn close(&mut self) -> Result<(), AdminError> {
        self.run("SET GLOBAL event_scheduler = OFF").await?;
        self.run("SET GLOBAL read_only = ON").await.map(drop)
    }

    /// Takes a fence away, if there is one.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn unfence(&mut self) -> Result<(), AdminError> {
        let rows = self.run("SELECT @@GLOBAL.read_only").await?;
        match rows.text(0, 0).as_str() {
            "0" => Ok(()),
            _ => self.open().await,
        }
    }

    async fn open(&mut self) -> Result<(), AdminError> {
        self.run("SET GLOBAL read_only = OFF").await?;
        self.run("SET GLOBAL event_scheduler = ON").await.map(drop)
    }

    /// Makes a follower a server that takes changes; its events get these states. `waits`: its commits wait for a follower.
    ///
    /// # Errors
    /// As [`AdminError`] says. Repeat it.
    pub async fn promote(&mut self, events: &Events, waits: bool) -> Result<(), AdminError> {
        self.run("STOP SLAVE").await?;
        self.run("RESET SLAVE ALL").await?;
        self.run("SET SESSION sql_log_bin = 0").await?;
        for sql in events.repairs() {
            self.run(&sql).await?;
        }
        self.run("SET GLOBAL gtid_strict_mode = OFF").await?;
        self.run("SET GLOBAL slave_parallel_threads = 0").await?;
        // from now on a commit is told when it is on the disk, and so is what was applied before
        self.run("SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1")
            .await?;
        self.run("FLUSH LOCAL ENGINE LOGS, BINARY LOGS").await?;
        self.wait_for_follower(waits).await?;
        self.open().await
    }

    async fn run(&mut self, sql: &str) -> Result<Rows, AdminError> {
        self.0.run("following another server", sql, TIMEOUT).await
    }
}
