//! The database that follows, as a client of Dormouse with an owner's rights.

use std::path::PathBuf;

use dormouse_api::ErrorBody;
use dormouse_types::DatabaseName;
use dormouse_wire::{Capabilities, ErrPacket};

use super::halt::Halt;
use crate::Outcome;
use crate::credentials::Password;
use crate::import::connection::{Connection, Each, Failure};

/// What every statement of the import runs under: no check is judged again, no value is replaced. Foreign keys act, since
/// the log has no rows that they delete or change.
const SESSION: &str = "SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
     time_zone = '+00:00', foreign_key_checks = 1, check_constraint_checks = 0, \
     innodb_lock_wait_timeout = 3600, lock_wait_timeout = 3600, timestamp = DEFAULT";

/// The server's codes after which a new connection may succeed: it stops, starts, or has ended this one.
const PASSING: [u16; 8] = [1040, 1053, 1205, 1213, 1203, 1927, 2006, 2013];

/// How a database is reached.
#[derive(Debug)]
pub(crate) struct Access {
    /// Dormouse's Unix socket for clients.
    pub(crate) socket: PathBuf,
    pub(crate) name: DatabaseName,
    pub(crate) user: String,
    pub(crate) password: Password,
    /// What lets its sessions in while the database is reserved.
    pub(crate) key: String,
}

impl Access {
    fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let name = dormouse_types::reserved::KEY_ATTRIBUTE;
        vec![(name.as_bytes().to_vec(), self.key.clone().into_bytes())]
    }

    /// A connection as the importer of dumps uses it.
    ///
    /// # Errors
    /// Dormouse does not answer.
    pub(crate) fn plain(&self) -> Outcome<Connection> {
        let (user, password) = (&self.user, &self.password);
        let none = Capabilities::default();
        let attributes = self.attributes();
        Connection::open_with(&self.socket, &self.name, user, password, none, attributes)
    }

    /// A connection that follows.
    ///
    /// # Errors
    /// Dormouse or the database does not answer.
    pub(crate) fn connect(&self) -> Result<Target, Halt> {
        let more =
            Capabilities::FOUND_ROWS | Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
        let connection = Connection::open_with(
            &self.socket,
            &self.name,
            &self.user,
            &self.password,
            more,
            self.attributes(),
        );
        let connection = connection.map_err(|error| Halt::Target(error.message))?;
        let mut target = Target { connection };
        target.prepare()?;
        Ok(target)
    }
}

/// A connection to the database.
#[derive(Debug)]
pub(crate) struct Target {
    connection: Connection,
}

impl Target {
    /// Sets the session's variables, which a definition may have changed.
    ///
    /// # Errors
    /// The database is gone.
    pub(crate) fn prepare(&mut self) -> Result<(), Halt> {
        self.ask(SESSION).map(drop)
    }

    /// Runs a statement of the import's own.
    ///
    /// # Errors
    /// It is refused, or the database is gone.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Halt> {
        match self.connection.run(sql.as_bytes()) {
            Ok(answer) => Ok(answer.rows),
            Err(Failure::Gone(error)) => Err(gone(&error)),
            Err(Failure::Refused(error)) => Err(refused(&error, sql)),
        }
    }

    /// Runs a statement of the other server's; the inner error is a refusal.
    ///
    /// # Errors
    /// The database is gone.
    pub(crate) fn run(&mut self, sql: &[u8]) -> Result<Result<(), ErrPacket>, Halt> {
        match self.connection.run(sql) {
            Ok(_) => Ok(Ok(())),
            Err(Failure::Gone(error)) => Err(gone(&error)),
            Err(Failure::Refused(error)) if is_passing(&error) => {
                Err(Halt::Target(error.to_string()))
            }
            Err(Failure::Refused(error)) => Ok(Err(error)),
        }
    }

    /// Runs several statements that are sent together.
    ///
    /// # Errors
    /// The database is gone.
    pub(crate) fn run_all(
        &mut self,
        sql: &[u8],
        each: &mut Vec<Each>,
    ) -> Result<Result<(), ErrPacket>, Halt> {
        match self.connection.run_all(sql, each) {
            Ok(()) => Ok(Ok(())),
            Err(Failure::Gone(error)) => Err(gone(&error)),
            Err(Failure::Refused(error)) if is_passing(&error) => {
                Err(Halt::Target(error.to_string()))
            }
            Err(Failure::Refused(error)) => Ok(Err(error)),
        }
    }
}

fn is_passing(error: &ErrPacket) -> bool {
    PASSING.contains(&error.code)
}

fn gone(error: &str) -> Halt {
    Halt::Target(format!("the connection to dormouse broke: {error}"))
}

fn refused(error: &ErrPacket, sql: &str) -> Halt {
    if is_passing(error) {
        return Halt::Target(error.to_string());
    }
    let sql: String = sql.chars().take(200).collect();
    let message = format!("the database refused a statement of the import ({sql}): {error}");
    Halt::Stop(ErrorBody::new("refused", message))
}
