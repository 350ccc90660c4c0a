//! What a client session's state is, how a statement changes it, and how to restore it.
//!
//! Sans-IO: statements and replies go in; effects, pins, queries to ask and statements to restore
//! come out. A [`SessionState`] outlives every backend that has served it.
//!
//! Invariants:
//! - state is *known* (captured, or changed since only by statements that can be replayed), or the
//!   session says [`Certainty::Unknown`] and must be probed before its backend may go;
//! - what can be neither captured nor replayed is a [`Pin`] with a name.
//!
//! Called by `proxy`. The wire facts behind each choice are MariaDB's: `sql/sql_class.cc`
//! (`THD::change_user`), `information_schema.SYSTEM_VARIABLES`, `METADATA_LOCK_INFO`.

pub mod diagnostics;
pub mod effects;
pub mod kill;
pub mod lexer;
mod literal;
mod locks;
pub mod pin;
pub mod probe;
mod restricted;
pub mod rows;
mod savepoints;
mod sequence_name;
mod sequences;
pub mod session;
pub mod show;
pub mod sleeping;
pub mod statements;
pub mod table;
mod temporary;
mod text_prepared;
pub mod timeout;
pub mod user_variables;

pub use diagnostics::{Diagnostics, Override, ValuePatch};
pub use effects::{Effects, Kind};
pub use pin::Pin;
pub use probe::{Answer, Captured, Depth, Probe, Question};
pub use session::{Certainty, SessionState};
pub use show::Show;
pub use sleeping::AsleepContext;
pub use statements::{SpareStatement, Statement, StatementKey, Statements};
