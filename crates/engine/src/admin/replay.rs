//! Applying the binary log of another server: the second half of a recovery to a point in time.
//!
//! The files stand in [`Layout::replay`](crate::Layout::replay) when the server starts, with a list of them. To the
//! server they are relay logs, and its own replication applies them: rows, definitions, accounts and XA transactions, and
//! encrypted files with the server's own keys. Nobody else may use the server meanwhile.
//!
//! What replication does in another way than the origin did is put right: it disables events ([`Events`]).

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Admin, AdminError, Rows, TIMEOUT, literal};

pub use events::Events;

mod events;

/// Pause between two looks at how far it is.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the position may stay the same: one statement of the log may take as long as it did on its origin.
const STALL: Duration = Duration::from_secs(6 * 3600);

/// A place in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Position in it.
    pub position: u64,
}

/// Why a log could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The connection, or a statement of Dormouse's.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The server refused an event.
    #[error(
        "the server could not apply the event at {file}:{position}: error {code}, {message}; recover to a time before it"
    )]
    Event {
        /// The file.
        file: String,
        /// Where in it.
        position: u64,
        /// The server's error.
        code: String,
        /// Its text.
        message: String,
    },
    /// It stopped without an error, elsewhere.
    #[error(
        "the server stopped at {file}:{position}, before the place where it should; its error log may say why"
    )]
    Stopped {
        /// The file.
        file: String,
        /// Where in it.
        position: u64,
    },
    /// It does not get further.
    #[error("the server has been at {file}:{position} for {after:?}; it was given up")]
    Stalled {
        /// The file.
        file: String,
        /// Where in it.
        position: u64,
        /// How long it has been there.
        after: Duration,
    },
}

/// Logs that a server is to apply. See [`Admin::replay`].
#[derive(Debug)]
pub struct Replay<'a>(pub(super) &'a mut Admin);

impl Replay<'_> {
    /// The events of the server, before a log is applied.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn events(&mut self) -> Result<Events, AdminError> {
        let rows = self.run("SELECT db, name, status FROM mysql.event").await?;
        Ok(rows.texts().collect())
    }

    /// Applies the log from one place up to another, in each of these stretches of it, one after the other, and removes every
    /// trace of it but the files. `events`: as they are to be afterwards.
    ///
    /// # Errors
    /// [`ReplayError`]: the server's data is at some place in between; it must not be used.
    pub async fn apply(
        &mut self,
        stretches: &[(Place, Place)],
        events: &Events,
    ) -> Result<(), ReplayError> {
        for (from, to) in stretches.iter().filter(|(from, to)| from != to) {
            self.begin(from, to).await?;
            self.wait(to).await?;
            self.run("STOP SLAVE").await?;
        }
        self.run("RESET SLAVE ALL").await?;
        // what this server has done does not stand in its log
        self.run("SET SESSION sql_log_bin = 0").await?;
        self.run("SET GLOBAL gtid_slave_pos = ''").await?;
        for sql in events.repairs() {
            self.run(&sql).await?;
        }
        Ok(())
    }

    async fn begin(&mut self, from: &Place, to: &Place) -> Result<(), AdminError> {
        let file = literal(&format!("../replay/{}", from.file));
        self.run(&format!(
            "CHANGE MASTER TO MASTER_HOST = 'nowhere', MASTER_USE_GTID = NO, RELAY_LOG_FILE = {file}, \
             RELAY_LOG_POS = {}",
            from.position
        ))
        .await?;
        self.run(&format!(
            "START SLAVE SQL_THREAD UNTIL RELAY_LOG_FILE = {}, RELAY_LOG_POS = {}",
            literal(&to.file),
            to.position
        ))
        .await
        .map(drop)
    }

    /// Waits until replication has stopped at this place.
    async fn wait(&mut self, to: &Place) -> Result<(), ReplayError> {
        let mut last: Option<(Place, Instant)> = None;
        loop {
            let rows = self.run("SHOW SLAVE STATUS").await?;
            let column = |name: &str| {
                let at = rows.columns.iter().position(|column| column == name);
                at.map(|at| rows.text(0, at)).unwrap_or_default()
            };
            let at = Place {
                file: column("Relay_Log_File"),
                position: column("Relay_Log_Pos").parse().unwrap_or_default(),
            };
            let Place { file, position } = at.clone();
            let code = column("Last_SQL_Errno");
            if !matches!(code.as_str(), "" | "0") {
                let message = column("Last_SQL_Error");
                return Err(ReplayError::Event {
                    file,
                    position,
                    code,
                    message,
                });
            }
            if column("Slave_SQL_Running") == "No" {
                return match at == *to {
                    true => Ok(()),
                    false => Err(ReplayError::Stopped { file, position }),
                };
            }
            match &last {
                Some((before, since)) if *before == at => {
                    let after = since.elapsed();
                    if after > STALL {
                        return Err(ReplayError::Stalled {
                            file,
                            position,
                            after,
                        });
                    }
                }
                _ => last = Some((at, Instant::now())),
            }
            sleep(PAUSE).await;
        }
    }

    async fn run(&mut self, sql: &str) -> Result<Rows, AdminError> {
        self.0.run("applying a log", sql, TIMEOUT).await
    }
}
