//! What a client session's state is, how a statement changes it, and how to restore it.
//!
//! Sans-IO: statements and replies go in; effects, pins, queries to ask and statements to restore
//! come out. A [`Session`] outlives every backend that has served it.
//!
//! Invariants:
//! - state is *known* (captured, or changed since only by statements that can be replayed), or the
//!   session says [`Knowledge::Unknown`] and must be probed before its backend may go;
//! - what can be neither captured nor replayed is a [`Pin`] with a name.
//!
//! Called by `proxy`. The wire facts behind each choice are MariaDB's: `sql/sql_class.cc`
//! (`THD::change_user`), `information_schema.SYSTEM_VARIABLES`, `METADATA_LOCK_INFO`.

pub mod aftermath;
pub mod effects;
pub mod kill;
pub mod lexer;
mod locks;
pub mod probe;
pub mod quoting;
mod restricted;
mod savepoints;
mod sequences;
pub mod session;
pub mod show;
pub mod sleeping;
pub mod statements;
pub mod steps;
pub mod table;
mod temporary;
mod text_prepared;
pub mod timeout;
pub mod user_variables;

pub use aftermath::{Aftermath, Put, Reading};
pub use dormouse_types::{Pin, pin};
pub use effects::{Effects, Kind};
pub use probe::{Answer, Captured, Depth, Probe, Question};
pub use session::{Knowledge, Session};
pub use show::Show;
pub use sleeping::Ground;
pub use statements::{Left, Statement, Statements, Wording};
