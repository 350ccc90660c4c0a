//! The client's side of a session: its stream, its commands as they are taken from it, the answers
//! that Dormouse itself gives.
//!
//! Used by the session and by the relay, which passes replies of servers on.

mod incoming;
mod side;
mod taking;

pub(crate) use incoming::Incoming;
pub(crate) use side::{Client, Over};
pub(crate) use taking::LONGEST_GATHERED;
