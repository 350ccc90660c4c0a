//! One connection to a server: login as the client's user, questions of our own, taking on a
//! session's state.
//!
//! Invariant: a [`Backend`] is between two commands. Whoever uses it turns it into another type
//! ([`mod@line`]), and only complete replies turn that back; whatever else happens to it, it is closed.

mod assume;
mod identity;
mod line;
mod login;
mod question;
mod shelf;

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::SpareStatement;
use dormouse_types::Target;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::ErrPacket;

use crate::pool::Place;

pub(crate) use assume::{Before, Residue, Schema};
pub(crate) use identity::Identity;
pub(crate) use line::{Listening, Speaking};
pub(crate) use login::Connection;
pub(crate) use shelf::{Shelf, Shelved};

use line::Line;

/// The longest wait for a server's answer to what Dormouse itself asks.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer to what Dormouse itself asks that is kept, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Why a backend could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The server is gone, or does not answer.
    #[error("the server does not answer: {0}")]
    Gone(#[from] std::io::Error),
    /// It answers what no server would.
    #[error("the server's answer cannot be understood: {0}")]
    Malformed(#[from] Malformed),
    /// Its answer is longer than what is kept.
    #[error("the server's answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    /// It refuses; its own words.
    #[error("{}", .0.message)]
    Refused(ErrPacket),
    /// A statement that restores the session failed.
    #[error("'{}' failed: {}", String::from_utf8_lossy(statement), error.message)]
    Restore {
        /// The statement.
        statement: Vec<u8>,
        /// The server's words.
        error: ErrPacket,
    },
}

/// A connection to a server, with its place in the pool, between two commands: all that was sent has
/// been answered, and every answer has been read to its end.
pub(crate) struct Backend {
    line: Line,
    /// The server process it belongs to.
    pub(crate) target: Arc<Target>,
    /// Whom the server takes it for.
    pub(crate) identity: Arc<Identity>,
    /// The server's connection id.
    pub(crate) thread: u32,
    pub(crate) capabilities: Capabilities,
    pub(crate) place: Place,
    /// The prepared statements it has.
    pub(crate) shelf: Shelf,
    /// What of a former session it still holds.
    pub(crate) residue: Residue,
    /// The event loop its socket is registered with.
    worker: std::thread::ThreadId,
}

impl Backend {
    /// A backend that nobody has used yet.
    pub(crate) fn new(
        connection: Connection,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
        before: Before,
    ) -> Box<Self> {
        Box::new(Self {
            line: Line::new(connection.link),
            target: Arc::clone(target),
            identity: Arc::clone(identity),
            thread: connection.thread,
            capabilities: connection.capabilities,
            place,
            shelf: Shelf::default(),
            residue: Residue::of_login(connection.status, before),
            worker: std::thread::current().id(),
        })
    }

    /// One end of a socket pair as a backend, for tests of what surrounds it.
    #[cfg(test)]
    pub(crate) fn on(
        link: dormouse_link::Link,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
    ) -> Box<Self> {
        let connection = Connection {
            link,
            thread: 1,
            capabilities: identity.capabilities,
            status: dormouse_wire::status::Status::AUTOCOMMIT,
        };
        let before = Before::now(&place);
        Self::new(connection, target, identity, place, before)
    }

    /// Closes it; its place stays taken.
    pub(crate) fn close(self: Box<Self>) -> Place {
        self.place
    }

    /// Keeps a statement that its session does not need here any more.
    pub(crate) fn keep_statement(&mut self, left: SpareStatement) {
        let SpareStatement { id, key, types } = left;
        match key {
            Some((text, schema)) => self.shelf.put(text, schema, Shelved { id, types }),
            None => self.shelf.close(id),
        }
    }

    /// Moves its socket to the event loop of the thread that is running.
    pub(crate) fn move_here(mut self: Box<Self>) -> std::io::Result<Box<Self>> {
        let here = std::thread::current().id();
        if self.worker != here {
            self.line = self.line.move_here()?;
            self.worker = here;
        }
        Ok(self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
