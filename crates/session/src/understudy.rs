//! Which statements an *understudy* may answer in the place of a database that sleeps.
//!
//! An understudy is a server that belongs to no database and has no data. A statement that reads no table, and
//! asks for nothing else that only its own database has, gets the same reply there, once the session's state has been
//! restored.
//!
//! Invariants:
//! - the grammar is an allowlist: a word is a keyword, a function, a variable or a name of a type, a unit or a
//!   character set, of lists in these modules; else it is an alias, in a place where nothing but an alias can stand. So
//!   no column, table, schema, stored function or sequence can be named;
//! - the server may read a text in no other way: what differs from the grammar is an error there, and an error wakes
//!   the database;
//! - no statement takes more than a moment, whatever its arguments: one understudy serves many sessions;
//! - in doubt a statement does not qualify.
//!
//! The grammar is wider than the server's where this makes it simpler (precedence, numbers of arguments): the server
//! checks those. Facts: `sql/sql_yacc.yy`, `sql/lex.h`, `sql/item_create.cc` (native functions are found before stored
//! ones, unless a schema's name or, for some, white space stands before the parenthesis).
//!
//! `proxy` calls [`stands_in`] for statements that Dormouse does not answer itself.

mod expression;
mod functions;
mod parser;
mod query;
mod set;
mod show;
mod variables;
mod words;

use crate::lexer::Mode;
use parser::{Parser, cut};

pub use variables::may_show;

/// The longest text that is looked at, in bytes.
pub const LONGEST: usize = 4096;

/// What an understudy may run, by what its caller has to do besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// `SELECT`, `VALUES`, `DO`: it changes nothing but what each statement leaves (`FOUND_ROWS()`, warnings).
    /// `LAST_INSERT_ID()`, `ROW_COUNT()` and `FOUND_ROWS()` may be asked for: they must be the session's.
    Rows,
    /// `SET` of the session's own variables: what it has set must be noted.
    Set(Assigned),
    /// `SHOW`.
    Show(Shown),
}

/// What a `SET` assigns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assigned {
    /// The system variables, in lower case, in the order of the text; those of `SET NAMES` too.
    pub variables: Vec<&'static str>,
    /// Whether it assigns user variables.
    pub user_variables: bool,
    /// Whether a variable is set to `DEFAULT`: that is the global value, which is the database's only if the
    /// owner has not set it.
    pub defaults: bool,
}

/// What a `SHOW` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Variables: the reply may only be passed on if [`may_show`] allows each row.
    Variables,
    /// The warnings and errors of the statement before, or how many there are: they must be the session's.
    Conditions,
    /// What is the same in all servers of one version: engines, character sets, collations.
    Constants,
}

/// What an understudy may run for a session whose texts are read in this mode; `None`: only the database itself may
/// answer.
///
/// A [`Mode`] does not tell whether the SQL mode is `ORACLE`, in which other words are keywords: then the caller must
/// not ask. It also checks that the text can be read in the client's character set; texts in double-byte ones qualify
/// only if they are ASCII.
#[must_use]
pub fn stands_in(text: &[u8], mode: Mode) -> Option<Script> {
    let tokens = cut(text, mode)?;
    let mut parser = Parser::new(&tokens);
    let script = if parser.takes("SET") {
        Script::Set(set::assigned(&mut parser)?)
    } else if parser.takes("SHOW") {
        Script::Show(show::shown(&mut parser)?)
    } else if parser.takes("DO") {
        parser.expressions()?;
        Script::Rows
    } else {
        parser.query()?;
        Script::Rows
    };
    (parser.is_at_end() && parser.is_cheap()).then_some(script)
}

#[cfg(test)]
mod tests;
