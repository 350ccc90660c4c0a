//! One client session's state, independent of the backend that serves it.
//!
//! [`SessionState`] is the whole; its parts have files of their own. Its methods are in four files:
//! `state` (what it is now), `ran` (what a statement has changed), `asleep` (answers without a server)
//! and `backend` (leaving one backend and coming to another).

mod asleep;
mod backend;
mod backend_state;
mod certainty;
mod deferred;
mod last_statement;
mod next_transaction;
mod ran;
mod replay_log;
mod state;

pub use asleep::AsleepAnswer;
pub use certainty::Certainty;
pub use state::SessionState;

#[cfg(test)]
mod tests;
