//! One connection to a server: login as the client's user, Dormouse's own queries, restoring a session's
//! state.
//!
//! Invariant: a [`Backend`] is between two commands. Using it turns it into another type
//! ([`states`]), and only complete replies turn that back. In every other case the connection is closed.

mod alive;
mod error;
mod login;
mod question;
mod residue;
mod restore;
mod statement_cache;
mod states;

pub(crate) use alive::is_alive;
pub(crate) use error::BackendError;
pub(crate) use login::Connection;
pub(crate) use residue::{ChangeCounts, Logs};
pub(crate) use restore::{ConnectionId, Schema};
pub(crate) use states::{Backend, Listening, Reply, Speaking};

#[cfg(test)]
pub(crate) mod tests;
