//! Judges by its text what a statement may change outside its session: global variables, privileges, the
//! database's data.

use super::effect::{Effects, Kind};
use crate::lexer::{Lexer, Mode, Token, contains, is_one_statement};

/// Whether a text with these effects may have set a global variable, also through a text that it
/// contains. A call of a procedure is not recognised.
#[must_use]
pub fn may_set_globals(text: &[u8], effects: Effects) -> bool {
    let unclear = matches!(effects, Effects::Unknown | Effects::HiddenVariable);
    unclear && contains(text, "GLOBAL")
}

/// Whether a text of this kind, with these effects, may have changed the privileges of accounts. A call
/// of a procedure is not recognised.
#[must_use]
pub fn may_change_rights(text: &[u8], mode: Mode, kind: Kind, effects: Effects) -> bool {
    const WORDS: [&str; 7] = [
        "GRANT",
        "REVOKE",
        "ROLE",
        "USER",
        "PRIVILEGES",
        "PASSWORD",
        "MYSQL",
    ];
    let is = |token: Token<'_>| WORDS.iter().any(|known| token.names(known));
    let mut tokens = Lexer::new(text, mode);
    let set = tokens.clone().next().is_some_and(|first| first.is("SET"));
    match kind {
        Kind::Other => tokens.any(is),
        _ if set || effects == Effects::Unknown => tokens.any(is),
        // INSERT INTO mysql.…
        Kind::Change => tokens.take(6).any(is),
        Kind::Select => false,
    }
}

/// Whether a text has a `FLUSH PRIVILEGES`, also among other things.
#[must_use]
pub fn flushes_privileges(text: &[u8], mode: Mode) -> bool {
    let mut flushes = false;
    contains(text, "PRIVILEGES")
        && Lexer::new(text, mode).any(|token| {
            flushes = token.is("FLUSH") || flushes && token != Token::Semicolon;
            flushes && token.is("PRIVILEGES")
        })
}

/// Whether a text, run in a transaction, may have ended it. Only one plain query or change of rows cannot:
/// triggers and functions may not commit, but procedures, DDL and `COMMIT` do.
#[must_use]
pub fn may_commit(text: &[u8], mode: Mode) -> bool {
    const PLAIN: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"];
    let mut tokens = Lexer::new(text, mode);
    let plain = tokens.next().is_some_and(|first| first.is_any(&PLAIN));
    !plain || !is_one_statement(tokens)
}
