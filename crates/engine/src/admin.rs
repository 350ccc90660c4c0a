//! Dormouse's own connection to a running server.
//!
//! Invariants: every wait has a deadline; after any failure but an error packet the connection is
//! unusable ([`AdminError::Spent`]) and [`Admin::connect`] must be called again; statements contain
//! second stages of passwords only; errors never quote a statement.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use dormouse_link::{Link, Origin, proxy_header};
use dormouse_tenant::render::{quoted, text as literal};
use dormouse_types::{Ended, Endpoint, InstanceId, UserChange};
use dormouse_wire::{
    Capabilities, ClientConfig, ClientLogin, Command, ErrPacket, Limits, LoginError, LoginStep,
    PacketBuffer, TextOutcome, TextResultSet, write_packet,
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::{Secret, Version};

mod accounts;
mod buffer_pool;
pub mod check;
pub mod dirty_pages;
pub mod encryption;
mod events;
pub mod follow;
mod harden;
mod manage;
mod memory_tables;
mod on_demand;
mod protect;
pub mod quiesce;
pub mod redo_log;
pub mod relay;
pub mod replay;
mod run_again;
mod settings;
mod stored_code;
pub mod system_tables;
pub mod understudy;
mod users;

pub use accounts::Accounts;
pub use buffer_pool::BufferPool;
pub use encryption::Encryption;
pub use settings::Settings;

/// Deadline of a login and of each statement but changes of the buffer pool.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest packet accepted from the server, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Collation of the connection: `utf8mb4_general_ci`.
const UTF8MB4: u8 = 45;

/// Makes a session independent of the global variables that an owner may set: limits, modes, comparisons.
const OWN_SESSION: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci, SESSION sql_mode = '', \
    SESSION lock_wait_timeout = 5, SESSION sql_select_limit = 18446744073709551615, \
    SESSION max_statement_time = 0, SESSION sql_safe_updates = 0, SESSION autocommit = 1, \
    SESSION completion_type = 0, SESSION low_priority_updates = 0, SESSION sql_notes = 1, \
    SESSION group_concat_max_len = 1048576, SESSION idle_transaction_timeout = 0, \
    SESSION wait_timeout = 31536000, SESSION net_read_timeout = 31536000, SESSION net_write_timeout = 31536000";

/// Why a statement on Dormouse's own connection failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Connecting failed or the connection broke: the server died or was stopped. Retry when it runs.
    #[error("cannot reach the server, which may have stopped: {0}")]
    Gone(#[from] io::Error),
    /// The server refused Dormouse's own account.
    #[error(
        "the server refused the login of dormouse@localhost: {0}; Dormouse needs this account, \
         and a user of the database has probably changed it"
    )]
    Refused(ErrPacket),
    /// The server refused a statement.
    #[error("{doing} failed: the server answered {error}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// The server's answer.
        error: ErrPacket,
    },
    /// The account cannot be changed so: the caller's mistake.
    #[error("{0}")]
    BadUser(String),
    /// A table with accounts or rights is missing.
    #[error(
        "the server's own tables are damaged ({0}); a user of the database has probably dropped or replaced them: \
         restore a backup"
    )]
    Broken(String),
    /// The server did not answer in time.
    #[error("{doing} took longer than {after:?}")]
    Late {
        /// What was being done.
        doing: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// Another connection or the server itself ended the operation.
    #[error("{0} was interrupted")]
    Cut(&'static str),
    /// The server's answer violates the protocol.
    #[error("the server sent an invalid answer: {0}")]
    Protocol(String),
    /// An earlier failure left the connection in the middle of an answer.
    #[error("this connection failed earlier; connect again")]
    Spent,
}

impl AdminError {
    /// Whether the server refuses Dormouse's own account, or the account its rights. Repeating does not help.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        match self {
            // access denied, host not allowed, limits of the account, plugin not loaded, password expired, locked
            Self::Refused(error) => matches!(
                error.code,
                1045 | 1130 | 1226 | 1524 | 1698 | 1820 | 1862 | 4151
            ),
            // of a schema, table or column; a missing global privilege; password expired
            Self::Sql { error, .. } => {
                matches!(error.code, 1044 | 1142 | 1143 | 1227 | 1370 | 1820)
            }
            _ => false,
        }
    }
}

/// A result set; empty for a statement without one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Rows {
    /// A field as text; empty for NULL and for a missing field. Invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self, row: usize, column: usize) -> String {
        let field = self
            .rows
            .get(row)
            .and_then(|row| row.get(column))
            .and_then(Option::as_deref);
        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
    }

    /// The first `N` fields of every row, converted as by [`text`](Self::text).
    pub fn texts<const N: usize>(&self) -> impl Iterator<Item = [String; N]> {
        (0..self.rows.len()).map(|row| std::array::from_fn(|column| self.text(row, column)))
    }
}

/// A connection to a running server as `dormouse`@`localhost`.
#[derive(Debug)]
pub struct Admin {
    line: Line,
    capabilities: Capabilities,
    version: String,
    secret: Secret,
    instance: InstanceId,
    spent: bool,
}

/// `COM_QUIT` as a packet.
const QUIT: [u8; 5] = [1, 0, 0, 0, Command::Quit as u8];

impl Drop for Admin {
    /// Takes its leave, if that does not wait: else the server notes an aborted connection in its error log.
    fn drop(&mut self) {
        if !self.spent {
            let mut now = Context::from_waker(Waker::noop());
            let link = &mut self.line.link;
            if Pin::new(&mut *link).poll_write(&mut now, &QUIT).is_ready() {
                let _ = Pin::new(link).poll_flush(&mut now);
            }
        }
    }
}

/// The link and its read buffer.
#[derive(Debug)]
struct Line {
    link: Link,
    packets: PacketBuffer,
}

impl Admin {
    /// Connects and logs in to an instance's server.
    ///
    /// # Errors
    /// The server cannot be reached, misses the deadline, or refuses the account.
    pub async fn connect(
        endpoint: &Endpoint,
        secret: &Secret,
        instance: InstanceId,
    ) -> Result<Self, AdminError> {
        let capabilities = Capabilities::TRANSACTIONS | Capabilities::DEPRECATE_EOF;
        Self::connect_with(endpoint, secret, instance, capabilities).await
    }

    async fn connect_with(
        endpoint: &Endpoint,
        secret: &Secret,
        instance: InstanceId,
        capabilities: Capabilities,
    ) -> Result<Self, AdminError> {
        let connect = async {
            let mut admin = Self::log_in(endpoint, secret, instance, capabilities).await?;
            // independent of the global settings of the database's owner
            admin.query(OWN_SESSION).await?;
            admin.query("SET SESSION TRANSACTION READ WRITE").await?;
            Ok(admin)
        };
        in_time("login", TIMEOUT, connect).await
    }

    async fn log_in(
        endpoint: &Endpoint,
        secret: &Secret,
        instance: InstanceId,
        capabilities: Capabilities,
    ) -> Result<Self, AdminError> {
        let tls = matches!(endpoint, Endpoint::Tcp { .. });
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: capabilities.set(Capabilities::SSL, tls),
            collation: UTF8MB4,
            max_packet: 1 << 24,
            user: b"dormouse".to_vec(),
            stage1: Some(secret.admin_stage1()),
            schema: None,
            attributes: vec![(b"program_name".to_vec(), b"dormouse".to_vec())],
        });
        let mut line = Line {
            link: Link::connect(endpoint).await?,
            packets: PacketBuffer::new(MAX_ANSWER),
        };
        line.send(&proxy_header(endpoint, &Origin::Local)).await?;
        loop {
            let (seq, payload) = line.payload().await?;
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => line.send(&bytes).await?,
                Ok(LoginStep::Secure(bytes)) => {
                    // otherwise they would count as received over TLS
                    if !line.packets.is_empty() {
                        let what = "unencrypted bytes behind the greeting".to_owned();
                        return Err(AdminError::Protocol(what));
                    }
                    line.send(&bytes).await?;
                    line.link = line.link.secure(endpoint).await?;
                    line.send(&login.secured().map_err(io::Error::other)?)
                        .await?;
                }
                Ok(LoginStep::Done {
                    capabilities,
                    version,
                    ..
                }) => {
                    return Ok(Self {
                        line,
                        capabilities,
                        version,
                        secret: secret.clone(),
                        instance,
                        spent: false,
                    });
                }
                Err(LoginError::Refused(error)) => return Err(AdminError::Refused(error)),
                Err(other) => return Err(AdminError::Protocol(other.to_string())),
            }
        }
    }

    /// The server's version from its greeting; `None` if it cannot be parsed.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        Version::from_text(&self.version)
    }

    /// The server's version string exactly as in its greeting.
    #[must_use]
    pub fn greeting_version(&self) -> &str {
        &self.version
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, AdminError> {
        self.run("a statement", sql, TIMEOUT).await
    }

    /// Sends `COM_PING`.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn ping(&mut self) -> Result<(), AdminError> {
        self.exchange("a ping", &[Command::Ping as u8], TIMEOUT)
            .await
            .map(drop)
    }

    /// The server's accounts.
    pub fn accounts(&mut self) -> Accounts<'_> {
        Accounts(self)
    }

    /// The server's buffer pool.
    pub fn buffer_pool(&mut self) -> BufferPool<'_> {
        BufferPool(self)
    }

    /// The server's encryption.
    pub fn encryption(&mut self) -> Encryption<'_> {
        Encryption(self)
    }

    /// Pages that the server has changed and not written to the disk.
    pub fn dirty_pages(&mut self) -> dirty_pages::DirtyPages<'_> {
        dirty_pages::DirtyPages(self)
    }

    /// The server's redo log.
    pub fn redo_log(&mut self) -> redo_log::RedoLog<'_> {
        redo_log::RedoLog(self)
    }

    /// The server as an understudy.
    pub fn understudy(&mut self) -> understudy::Understudy<'_> {
        understudy::Understudy(self)
    }

    /// The server as one that follows another one.
    pub fn follow(&mut self) -> follow::Follow<'_> {
        follow::Follow(self)
    }

    /// Logs that a server is to apply.
    pub fn replay(&mut self) -> replay::Replay<'_> {
        replay::Replay(self)
    }

    /// The server's schemas, global variables and stored code.
    pub fn settings(&mut self) -> Settings<'_> {
        Settings(self)
    }

    /// Brings the server's accounts and their rights, definers, plugins and system views to this version's; returns
    /// what was taken away.
    ///
    /// # Errors
    /// As [`AdminError`] says; [`AdminError::Broken`] if a privilege table is missing.
    pub async fn harden(&mut self) -> Result<Vec<String>, AdminError> {
        harden::Hardening(self).run().await
    }

    /// Adds, changes or drops an account; `false` if there was nothing to do.
    ///
    /// # Errors
    /// As [`AdminError`] says; [`AdminError::BadUser`] if the account exists already, does not exist, belongs to
    /// Dormouse or the server, or a name is not possible.
    pub async fn change_user(&mut self, change: &UserChange) -> Result<bool, AdminError> {
        users::Users(self).change(change).await
    }

    /// Kills a connection of the server, or its statement; no error if it has already ended.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn kill(&mut self, connection: u32, what: Ended) -> Result<(), AdminError> {
        const NO_SUCH_THREAD: u16 = 1094;
        let kill = match what {
            Ended::Statement => "KILL QUERY",
            Ended::Connection => "KILL CONNECTION",
        };
        let text = format!("{kill} {connection}");
        match self.run(kill, &text, TIMEOUT).await {
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_THREAD => Ok(()),
            other => other.map(drop),
        }
    }

    async fn run(
        &mut self,
        doing: &'static str,
        sql: &str,
        limit: Duration,
    ) -> Result<Rows, AdminError> {
        let mut command = vec![Command::Query as u8];
        command.extend_from_slice(sql.as_bytes());
        self.exchange(doing, &command, limit).await
    }

    /// Sends one command and reads its answer. `spent` is set until the answer is complete, so that
    /// after a cancelled call no stale answer is read.
    async fn outcome(
        &mut self,
        doing: &'static str,
        command: &[u8],
        limit: Duration,
    ) -> Result<TextOutcome, AdminError> {
        if std::mem::replace(&mut self.spent, true) {
            return Err(AdminError::Spent);
        }
        let outcome = in_time(doing, limit, self.send_and_read(command)).await?;
        self.spent = false;
        Ok(outcome)
    }

    /// The same; an error packet is an error.
    async fn exchange(
        &mut self,
        doing: &'static str,
        command: &[u8],
        limit: Duration,
    ) -> Result<Rows, AdminError> {
        match self.outcome(doing, command, limit).await? {
            TextOutcome::Ok(_) => Ok(Rows::default()),
            TextOutcome::Rows { columns, rows } => Ok(Rows { columns, rows }),
            TextOutcome::Err(error) => Err(AdminError::Sql { doing, error }),
        }
    }

    async fn send_and_read(&mut self, command: &[u8]) -> Result<TextOutcome, AdminError> {
        let mut bytes = Vec::with_capacity(command.len() + 4);
        write_packet(&mut bytes, 0, command);
        self.line.send(&bytes).await?;
        let mut result = TextResultSet::new(self.capabilities, Limits::default());
        loop {
            let (_, payload) = self.line.payload().await?;
            let outcome = result
                .on_payload(&payload)
                .map_err(|e| AdminError::Protocol(e.to_string()))?;
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
    }
}

impl Line {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.link.write_all(bytes).await?;
        self.link.flush().await
    }

    /// The next packet's sequence number and payload.
    async fn payload(&mut self) -> Result<(u8, Vec<u8>), AdminError> {
        loop {
            let next = self.packets.next();
            if let Some(packet) = next.map_err(|e| AdminError::Protocol(e.to_string()))? {
                return Ok(packet);
            }
            let read = poll_fn(|cx| {
                // on the stack within one poll only, so that futures stay small
                let mut bytes = [0; 4096];
                let mut room = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut self.link).poll_read(cx, &mut room))?;
                self.packets.push(room.filled());
                Poll::Ready(io::Result::Ok(room.filled().len()))
            });
            if read.await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

async fn in_time<T>(
    doing: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, AdminError> {
    let late = |_| AdminError::Late {
        doing,
        after: limit,
    };
    timeout(limit, work).await.map_err(late)?
}

#[cfg(test)]
mod tests;
