//! What a statement may change outside its own session: global variables, accounts, other
//! transactions' data.

use super::effect::{Effects, Kind};
use crate::lexer::{Lexer, Mode, Token, contains, is_one_statement};

/// Whether a text with these effects may have set a global variable, also by a text within it. (One
/// that calls a procedure does not tell.)
#[must_use]
pub fn may_set_globals(text: &[u8], effects: Effects) -> bool {
    let unclear = matches!(effects, Effects::Unknown | Effects::HiddenVariable);
    unclear && contains(text, "GLOBAL")
}

/// Whether a text of this kind, with these effects, may have changed what accounts may do. (One that calls
/// a procedure does not tell.)
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

/// Whether a text, run in a transaction, may have ended it: anything but one plain query or change
/// of rows. (Triggers and functions cannot commit; procedures, DDL and `COMMIT` can.)
#[must_use]
pub fn may_commit(text: &[u8], mode: Mode) -> bool {
    const PLAIN: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"];
    let mut tokens = Lexer::new(text, mode);
    let plain = tokens.next().is_some_and(|first| first.is_any(&PLAIN));
    !plain || !is_one_statement(tokens)
}
