//! The client's side of a session: its stream, reading its commands, and the answers of Dormouse
//! itself.
//!
//! Used by the session, and by the relay, which forwards servers' replies.

mod incoming;
mod side;
mod taking;

pub(crate) use incoming::Incoming;
pub(crate) use side::{Client, Over};
pub(crate) use taking::LONGEST_GATHERED;
