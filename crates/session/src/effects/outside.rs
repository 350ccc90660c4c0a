//! Judges by its text what a statement may change outside its session: global variables, privileges, the
//! database's data.

use super::effect::{Effects, Kind};
use crate::lexer::{Lexer, Mode, Token, contains, is_one_statement};

/// Tokens of which a statement that [commits alone](commits_alone) has fewer.
const LONGEST_COMMIT: usize = 16;

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

/// Whether a text ends the open transaction by committing it, and does nothing that it would not do once more without
/// one: `COMMIT`, `BEGIN`, `START TRANSACTION` and `SET autocommit = 1`, alone. So it can be run again if it is known to have
/// committed. (`COMMIT AND CHAIN` cannot: the next transaction is like the one before.)
#[must_use]
pub fn commits_alone(text: &[u8], mode: Mode) -> bool {
    const ON: [&str; 2] = ["ON", "TRUE"];
    let mut tokens: Vec<Token<'_>> = Lexer::new(text, mode).take(LONGEST_COMMIT).collect();
    while tokens.pop_if(|last| *last == Token::Semicolon).is_some() {}
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    let ends_at = |at: usize| tokens.len() == at;
    if is(0, "COMMIT") || is(0, "BEGIN") {
        return ends_at(1) || is(1, "WORK") && ends_at(2);
    }
    if is(0, "START") && is(1, "TRANSACTION") {
        let words = ["READ", "ONLY", "WRITE", "WITH", "CONSISTENT", "SNAPSHOT"];
        let known = |token: &Token<'_>| *token == Token::Other(b',') || token.is_any(&words);
        return tokens.len() < LONGEST_COMMIT && tokens.iter().skip(2).all(known);
    }
    let mut rest = tokens.iter();
    if !rest.next().is_some_and(|first| first.is("SET")) {
        return false;
    }
    let mut rest: Vec<&Token<'_>> = rest.collect();
    let is_scope = |token: &Token<'_>| token.is_any(&["SESSION", "LOCAL"]);
    if let [Token::SystemVariable, ..] = rest.as_slice() {
        rest.remove(0);
        if let [scope, Token::Other(b'.'), ..] = rest.as_slice()
            && is_scope(scope)
        {
            rest.drain(..2);
        }
    } else if let [scope, ..] = rest.as_slice()
        && is_scope(scope)
    {
        rest.remove(0);
    }
    matches!(rest.as_slice(), [name, Token::Other(b'='), value]
        if name.names("AUTOCOMMIT") && (**value == Token::Number(b"1") || value.is_any(&ON)))
}
