//! The machinery's own connection to a running server.
//!
//! Invariants: every wait has a deadline; after a failure that is not the server's own answer the
//! connection is spent, and [`Admin::connect`] must be called anew; no statement holds a password
//! or a first stage, only second stages; errors never quote a statement.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use dormouse_link::{Link, Origin, proxy_header};
use dormouse_types::{Endpoint, InstanceId};
use dormouse_wire::{
    Capabilities, ClientConfig, ClientLogin, Command, ErrPacket, Limits, LoginError, LoginStep,
    PacketBuffer, TextOutcome, TextResultSet, write_packet,
};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::{Secret, Version};

mod accounts;
mod buffer_pool;
mod events;
mod memory_tables;
mod settings;

pub use accounts::Accounts;
pub use buffer_pool::BufferPool;
pub use settings::Settings;

/// How long a server may take to answer anything that is not a change of the buffer pool.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer that is taken, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// `utf8mb4_general_ci`, the connection's collation.
const UTF8MB4: u8 = 45;

/// Why the machinery got no answer from a server.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The connection could not be made, or broke: the server died or was stopped. Try again when
    /// it runs.
    #[error("the server does not answer: {0}")]
    Gone(#[from] io::Error),
    /// The server refused the machinery's own account.
    #[error(
        "the server refused dormouse@localhost ({0}); a user of the database must have changed \
         this account, which its machinery needs"
    )]
    Refused(ErrPacket),
    /// The server refused a statement.
    #[error("the server refused {doing}: {error}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// The server's answer.
        error: ErrPacket,
    },
    /// The server did not answer in time.
    #[error("the server took longer than {after:?} over {doing}")]
    Late {
        /// What was being done.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// What was waited for was ended by somebody else.
    #[error("{0} was cut off")]
    Cut(&'static str),
    /// The server's answer cannot be understood.
    #[error("the server's answer cannot be understood: {0}")]
    Protocol(String),
    /// An earlier failure left the connection in the middle of an answer: connect again.
    #[error("this connection failed earlier; connect again")]
    Spent,
}

/// Rows of an answer; none for a statement that has no result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Rows {
    /// A field as text, empty for NULL and for a field that is not there; bytes that are no UTF-8
    /// are replaced.
    #[must_use]
    pub fn text(&self, row: usize, column: usize) -> String {
        let field = self
            .rows
            .get(row)
            .and_then(|row| row.get(column))
            .and_then(Option::as_deref);
        String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
    }

    /// Every row's fields as text, as [`text`](Self::text) gives them.
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

/// The link and what has been read of the packets on it.
#[derive(Debug)]
struct Line {
    link: Link,
    packets: PacketBuffer,
}

impl Admin {
    /// Connects to the server of an instance.
    ///
    /// # Errors
    /// If the server is not there, is late, or refuses the account.
    pub async fn connect(
        endpoint: &Endpoint,
        secret: &Secret,
        instance: InstanceId,
    ) -> Result<Self, AdminError> {
        let connect = async {
            let mut admin = Self::log_in(endpoint, secret, instance).await?;
            // whatever the database's owner has set globally, our own statements mean the same
            admin
                .query("SET NAMES utf8mb4, SESSION sql_mode='', SESSION lock_wait_timeout=5")
                .await?;
            admin.query("SET SESSION TRANSACTION READ WRITE").await?;
            Ok(admin)
        };
        in_time("a login", PATIENCE, connect).await
    }

    async fn log_in(
        endpoint: &Endpoint,
        secret: &Secret,
        instance: InstanceId,
    ) -> Result<Self, AdminError> {
        let tls = matches!(endpoint, Endpoint::Tcp { .. });
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: (Capabilities::TRANSACTIONS | Capabilities::DEPRECATE_EOF)
                .set(Capabilities::SSL, tls),
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

    /// The server's version, from its greeting; `None` if it is none this crate can read.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        Version::from_text(&self.version)
    }

    /// The server's version word for word as its greeting has it.
    #[must_use]
    pub fn greeting_version(&self) -> &str {
        &self.version
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, AdminError> {
        self.run("a statement", sql, PATIENCE).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn ping(&mut self) -> Result<(), AdminError> {
        self.exchange("a ping", &[Command::Ping as u8], PATIENCE)
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

    /// The server's schemas and global variables.
    pub fn settings(&mut self) -> Settings<'_> {
        Settings(self)
    }

    /// Ends a connection of the server's; it may already have ended.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn kill(&mut self, connection: u32) -> Result<(), AdminError> {
        const NO_SUCH_THREAD: u16 = 1094;
        match self
            .run("a kill", &format!("KILL CONNECTION {connection}"), PATIENCE)
            .await
        {
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_THREAD => Ok(()),
            other => other.map(drop),
        }
    }

    async fn run(
        &mut self,
        doing: &'static str,
        sql: &str,
        patience: Duration,
    ) -> Result<Rows, AdminError> {
        let mut command = vec![Command::Query as u8];
        command.extend_from_slice(sql.as_bytes());
        self.exchange(doing, &command, patience).await
    }

    /// One command and its answer. The connection is spent from the first byte sent until the
    /// answer is complete, so a caller who gives up in between cannot read a stale one later.
    async fn exchange(
        &mut self,
        doing: &'static str,
        command: &[u8],
        patience: Duration,
    ) -> Result<Rows, AdminError> {
        if std::mem::replace(&mut self.spent, true) {
            return Err(AdminError::Spent);
        }
        let outcome = in_time(doing, patience, self.send_and_read(command)).await?;
        self.spent = false;
        match outcome {
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

    /// The next packet, with its number.
    async fn payload(&mut self) -> Result<(u8, Vec<u8>), AdminError> {
        loop {
            let next = self.packets.next();
            if let Some(packet) = next.map_err(|e| AdminError::Protocol(e.to_string()))? {
                return Ok(packet);
            }
            let read = poll_fn(|cx| {
                // on the stack only between two waits, so that futures stay small
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
    patience: Duration,
    work: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, AdminError> {
    let late = |_| AdminError::Late {
        doing,
        after: patience,
    };
    timeout(patience, work).await.map_err(late)?
}

/// A text as an SQL literal, for a session whose `sql_mode` is empty.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests;
