//! Which state of the data a session may have seen, so that it never sees an older one.
//!
//! A session remembers the server that it used last, because it may have seen everything that this server had by then.
//! Only when it is to read elsewhere, that server is asked how far it is: so a session that stays where it is asks nothing.
//! The answer is taken after the session's statement has ended, and therefore covers what the statement saw, whoever has
//! written it.

use dormouse_types::InstanceId;

use super::position::Position;

/// One run of a replica's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRun {
    /// Its instance.
    pub instance: InstanceId,
    /// The number of the run: a server that was killed may have lost what it had.
    pub generation: u64,
}

/// The server that has everything that a session may have seen and whose position is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Newest {
    /// None: what the session may have seen is known.
    #[default]
    Nothing,
    /// The primary, which has everything.
    Primary,
    /// This one.
    Replica(ServerRun),
}

/// What a session may have seen.
#[derive(Debug, Default)]
pub struct Causality {
    newest: Newest,
    /// What it may have seen besides.
    floor: Option<Box<Position>>,
}

impl Causality {
    /// A statement is about to run on the primary: it may write, or read what others have written.
    pub fn used_primary(&mut self) {
        self.newest = Newest::Primary;
    }

    /// A statement has read on this server, which had everything that the session may have seen before.
    pub fn has_read_on(&mut self, server: ServerRun) {
        self.newest = Newest::Replica(server);
    }

    /// The server that the session used last.
    #[must_use]
    pub fn newest(&self) -> Newest {
        self.newest
    }

    /// The server that must be asked for its position before the session may read on this one.
    #[must_use]
    pub fn asks_before(&self, server: ServerRun) -> Newest {
        match self.newest {
            Newest::Replica(last) if last == server => Newest::Nothing,
            newest => newest,
        }
    }

    /// The primary has told how far it is. It has everything there is: what the session has seen and the primary does not
    /// have is lost with a former primary.
    pub fn primary_is_at(&mut self, position: Position) {
        self.newest = Newest::Nothing;
        self.floor = Some(Box::new(position)).filter(|at| !at.is_empty());
    }

    /// The replica that the session used last has told how far it is.
    pub fn replica_is_at(&mut self, position: &Position) {
        self.newest = Newest::Nothing;
        if !position.is_empty() {
            self.floor.get_or_insert_default().merge(position);
        }
    }

    /// What a server must have, so that the session may read there; `None`: nothing more. [`asks_before`](Self::asks_before)
    /// has been followed.
    #[must_use]
    pub fn required_on(&self, server: ServerRun) -> Option<&Position> {
        let stays = self.newest == Newest::Replica(server);
        self.floor.as_deref().filter(|_| !stays)
    }
}
