//! Reads on replicas: which statements may run there, where a session wants them to run, and which state of the data
//! it may have seen.
//!
//! Invariants:
//! - the judgement is an allowlist: a text with a word in front of a parenthesis that is neither a keyword nor a function
//!   of the server's own, or with a word that makes a read more than that, runs on the primary;
//! - what runs on a replica leaves nothing but what the reply and a probe of the last statement tell;
//! - a session never sees an older state of the data than it may have seen before ([`Causality`]).
//!
//! The judgement does not tell whether a view calls stored code, and whether the *session* has something that only its
//! backend has: `proxy`, which calls this, asks [`SessionState`](crate::SessionState) and the server for that.

mod causality;
mod functions;
mod position;
mod wish;

use crate::lexer::{Gap, Lexer, Mode, Spanned, Token};
use functions::{is_function, may_precede};

pub use causality::{Causality, Newest, ServerRun};
pub use position::Position;
pub use wish::{SetReads, wants_primary};

/// Words that make a statement more than a read, or that ask for what only the session's own backend has.
const NEVER: [&str; 29] = [
    "INTO",
    "LOCK",
    "PROCEDURE",
    "NEXTVAL",
    "LASTVAL",
    "CURRVAL",
    "PREVIOUS",
    "SETVAL",
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "IS_FREE_LOCK",
    "IS_USED_LOCK",
    "SLEEP",
    "BENCHMARK",
    "LOAD_FILE",
    "LAST_INSERT_ID",
    "FOUND_ROWS",
    "ROW_COUNT",
    "CALL",
    "HANDLER",
    "UPDATE",
    "DELETE",
    "RETURNING",
    "UUID_SHORT",
    "INFORMATION_SCHEMA",
    "PERFORMANCE_SCHEMA",
    "MYSQL",
    "SYS",
];

/// Schemas that are a server's own: they differ between two servers.
const OF_SERVER: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// Whether a statement may run on a replica, by its text alone: it reads a table and does nothing else. A text that has
/// characters which the caller may read in another way than the server must not be asked about.
#[must_use]
pub fn may_run_on_replica(text: &[u8], mode: Mode) -> bool {
    let mut lexer = Lexer::new(text, mode);
    let first = lexer.next_spanned();
    if !first.is_some_and(|first| first.token.is_any(&["SELECT", "WITH"]) && is_plain(&first)) {
        return false;
    }
    let with = first.is_some_and(|first| first.token.is("WITH"));
    let mut selects = !with;
    let mut reads = false;
    let mut before = first;
    let mut qualified = false;
    let mut ended = false;
    while let Some(spanned) = lexer.next_spanned() {
        let token = spanned.token;
        if token == Token::Semicolon {
            ended = true;
            continue;
        }
        if ended || !is_plain(&spanned) || !spanned.is_closed() || is_more(token) {
            return false;
        }
        let last = before.map(|before| before.token);
        let calls = token == Token::Other(b'(');
        if !follows(before, &spanned) || qualified && calls {
            return false;
        }
        // the next token is a name behind another one
        qualified = last == Some(Token::Other(b'.'));
        selects |= token.is("SELECT");
        reads |= last.is_some_and(|last| last.is("FROM")) && !token.is("DUAL");
        before = Some(spanned);
    }
    // a comment behind a semicolon would be a statement of its own
    let rest = lexer.gap() == Gap::Blank || !ended;
    selects && reads && rest && lexer.gap() != Gap::Special && !lexer.is_versioned()
}

/// Whether statements of a session in this schema may run on replicas.
#[must_use]
pub fn may_read_in(schema: Option<&[u8]>) -> bool {
    let own = |schema: &[u8]| {
        let is = |name: &&str| name.as_bytes().eq_ignore_ascii_case(schema);
        OF_SERVER.iter().any(is)
    };
    !schema.is_some_and(own)
}

/// Whether there is no executable comment, nor one that a server may read in another way, in front of a token.
fn is_plain(spanned: &Spanned<'_>) -> bool {
    spanned.gap != Gap::Special
}

/// Whether a token makes a statement more than a read.
fn is_more(token: Token<'_>) -> bool {
    match token {
        // a part of `:=`
        Token::Other(b':') => true,
        Token::Word(_) => token.is_any(&NEVER),
        Token::Quoted(..) => OF_SERVER.iter().any(|name| token.names(name)),
        _ => false,
    }
}

/// Whether a token may stand behind the one before it.
fn follows(before: Option<Spanned<'_>>, spanned: &Spanned<'_>) -> bool {
    let token = spanned.token;
    match (before.map(|before| before.token), token) {
        // the variables that decide nothing but how a session works are the same there; others are not asked for
        (Some(Token::SystemVariable), _) => is_variable(token),
        // locks, and `NEXT VALUE FOR`; the rest is of indexes, of `SUBSTRING` and of tables with versions
        (Some(last), _) if last.is("FOR") => {
            token.is_any(&["JOIN", "ORDER", "GROUP", "SYSTEM_TIME"])
                || matches!(token, Token::Number(_) | Token::UserVariable)
        }
        (Some(Token::Quoted(..)), Token::Other(b'(')) => false,
        (Some(name @ Token::Word(_)), Token::Other(b'(')) => {
            let touches = before.is_some_and(|before| before.end == spanned.start);
            may_precede(name) || is_function(name) && touches
        }
        _ => true,
    }
}

fn is_variable(name: Token<'_>) -> bool {
    let Token::Word(name) = name else {
        return false;
    };
    std::str::from_utf8(name).is_ok_and(crate::understudy::may_show)
}

#[cfg(test)]
mod tests;
