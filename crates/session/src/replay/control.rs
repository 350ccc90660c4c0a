//! What a statement does to the transaction in which it runs.

use crate::effects::{Effects, commits_alone, may_commit};
use crate::lexer::{Lexer, Mode, Token, contains, is_one_statement};

/// What a statement does to the transaction in which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// It is a part of it.
    Part,
    /// It begins it, or ends it and begins another one.
    Begins,
    /// It rolls it back, and does nothing else.
    RollsBack,
    /// Anything else.
    Other,
}

/// What a statement does to the transaction in which it runs, by its text.
#[must_use]
pub fn control(text: &[u8], mode: Mode) -> Control {
    const READS: [&str; 5] = ["SHOW", "EXPLAIN", "DESCRIBE", "DESC", "DO"];
    let mut tokens = Lexer::new(text, mode);
    let Some(first) = tokens.next() else {
        return Control::Other;
    };
    if !may_commit(text, mode) {
        return Control::Part;
    }
    if !is_one_statement(tokens.clone()) {
        return Control::Other;
    }
    if first.is_any(&READS) || first.is("SAVEPOINT") {
        return Control::Part;
    }
    if first.is_any(&["BEGIN", "START"]) && commits_alone(text, mode) {
        return Control::Begins;
    }
    let rest: Vec<Token<'_>> = tokens
        .take(5)
        .filter(|token| *token != Token::Semicolon)
        .collect();
    let rest = match rest.as_slice() {
        [work, rest @ ..] if work.is("WORK") => rest,
        rest => rest,
    };
    match rest {
        [] if first.is("ROLLBACK") => Control::RollsBack,
        [to, ..] if first.is("ROLLBACK") && to.is("TO") => Control::Part,
        [savepoint, _] if first.is("RELEASE") && savepoint.is("SAVEPOINT") => Control::Part,
        _ => Control::Other,
    }
}

/// Whether a text, which has no effects on its session, is one query that changes nothing unless it calls stored code.
#[must_use]
pub fn reads_only(text: &[u8], mode: Mode) -> bool {
    let mut tokens = Lexer::new(text, mode);
    let select = tokens.next().is_some_and(|first| first.is("SELECT"));
    let plain = |token: Token<'_>| !token.is("INTO");
    select
        && tokens.clone().all(plain)
        && is_one_statement(tokens.clone())
        && !tokens.is_versioned()
        && !contains(text, "/*!")
        && !contains(text, "/*M!")
}

/// Whether a text with these effects, outside of a transaction, does nothing but begin one, end none, or change the session, and
/// does the same once more in the former session.
#[must_use]
pub fn only_sets(text: &[u8], effects: Effects, mode: Mode) -> bool {
    let sets = matches!(
        effects,
        Effects::Replay(_) | Effects::NextTransaction | Effects::Timestamp
    );
    sets || commits_alone(text, mode) || control(text, mode) == Control::RollsBack
}

/// Whether a text, which has no effects on its session, is one statement that changes rows and nothing else, and does not
/// care what ran before it: Dormouse may send a statement of its own in front.
#[must_use]
pub fn changes_rows(text: &[u8], mode: Mode) -> bool {
    const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "REPLACE"];
    let mut tokens = Lexer::new(text, mode);
    let changes = tokens.next().is_some_and(|first| first.is_any(&CHANGES));
    changes
        && tokens.clone().all(|token| !token.is("ROW_COUNT"))
        && is_one_statement(tokens.clone())
        && !tokens.is_versioned()
        && !contains(text, "/*!")
        && !contains(text, "/*M!")
}
