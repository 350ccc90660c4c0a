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
mod script;
mod set;
mod show;
mod variables;
mod words;

use crate::lexer::{Mode, Token};
use parser::{Parser, cut};

pub use script::{Assigned, LONGEST, Script, Shown};
pub use variables::may_show;

/// Whether this is a function of the server's own, of those that depend on nothing but their arguments, the clock and
/// what is restored of a session's state. A stored one of the same name is not called, if the parenthesis stands right
/// behind the name and no schema's name before it.
pub(crate) fn is_built_in(name: Token<'_>) -> bool {
    functions::function(name).is_some()
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
