//! The state of a client's session: how statements change it, and how to restore it on another backend.
//!
//! Sans-IO: statements and replies go in; judgements, pins, probe questions and statements that restore the
//! state come out. A [`SessionState`] outlasts every backend that serves it. Called by `proxy`.
//!
//! Invariants:
//! - the state is known (read by a probe, or changed since only by statements that can be replayed), or
//!   [`SessionState::certainty`] says otherwise, and a probe must read it before its backend is given up;
//! - state that can be neither read nor replayed is a [`Pin`], which has a name;
//! - a text that cannot be read as the server reads it may do anything.
//!
//! The modules are in the order in which a statement uses them. The facts about the server are MariaDB's:
//! `sql/sql_lex.cc`, `sql/sql_class.cc` (`THD::change_user`), `information_schema.SYSTEM_VARIABLES`,
//! `METADATA_LOCK_INFO`.

// its text is cut into tokens
pub mod lexer;
mod literal;

// what is kept of its text
pub mod digest;

// its text is changed
mod edits;

// the whole state, which calls most of the rest
pub mod state;

// the text is judged
pub mod effects;
mod restricted;

// statements that Dormouse answers or changes itself
pub mod connections;
pub mod kill;
pub mod show;
pub mod timeout;
pub mod tls_status;

// answers while the server sleeps
pub mod sleeping;
pub mod understudy;

// statements that other servers of the database may run
pub mod reads;

// answers that the present backend does not have
pub mod diagnostics;
mod sequence_name;
mod sequences;

// prepared statements
pub mod statements;
mod text_prepared;

// what a statement that has run may leave on the backend
pub mod carried;
mod locks;
mod savepoints;
mod temporary;

// before the session leaves its backend: reading the state
pub mod probe;
pub mod rows;
pub mod user_variables;

// a transaction that was interrupted is run again
pub mod replay;

// what happens to a command from its arrival to its reply
pub mod steps;

// the documentation of all state
pub mod table;

pub use dormouse_types::{Pin, pin};

pub use diagnostics::{Diagnostics, Format, Override, ValuePatch};
pub use effects::{Effects, Kind};
pub use probe::{Answer, Captured, Depth, Probe, Question};
pub use show::Show;
pub use sleeping::{AsleepContext, Candidate};
pub use state::{Certainty, Role, SessionState};
pub use statements::{ParsingContext, SpareStatement, Statement, StatementKey, Statements};
