//! One client session's state, independent of the backend that serves it.
//!
//! [`SessionState`] is the whole; its parts have files of their own. Its methods are in four files:
//! `session_state` (what it is now), `ran` (what a statement has changed), `asleep` (answers without a
//! server) and `moving` (leaving one backend and coming to another).

mod asleep;
mod certainty;
mod deferred;
mod last_statement;
mod moving;
mod next_transaction;
mod on_backend;
mod ran;
mod replay_log;
mod role;
mod session_state;

pub use asleep::AsleepAnswer;
pub use certainty::Certainty;
pub use role::Role;
pub use session_state::SessionState;

#[cfg(test)]
mod tests;
