//! Statements about what the server knows of the connections that Dormouse has to it, not of those of clients.
//!
//! `CONNECTION_ID()` is the session's on each of its backends. The tables of [`TABLES`] and `IS_USED_LOCK()` tell the
//! server's own ids, which mean nothing to clients, and the cipher of the backend. In a text that asks for them, queries
//! with the ids and the cipher that the client knows take their places. Definitions that are only stored keep their text.

mod queries;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::edits::{Edits, is_stored, items};
use crate::lexer::{Lexer, Mode, Spanned, Token};
use crate::tls_status::TlsStatus;
use queries::Spelling;

/// A session that has a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The server's id of its backend.
    pub thread: u32,
    /// The id that its client was given.
    pub id: u32,
    /// Where its client is.
    pub host: String,
}

/// A session without a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// The id that its client was given.
    pub id: u32,
    /// Its user.
    pub user: String,
    /// Where its client is.
    pub host: String,
    /// Its schema.
    pub schema: Option<String>,
    /// For how many seconds it has been idle.
    pub idle_s: u64,
}

/// The connections that a session may know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    /// The server's id of the session's own backend.
    pub own: u32,
    /// Sessions of any user: the server shows those that the user may see.
    pub present: Vec<Present>,
    /// Sessions that the user may see.
    pub resting: Vec<Resting>,
    /// The server's version, major and minor.
    pub version: (u16, u16),
    /// The client's cipher, if the server would tell another.
    pub tls: Option<TlsStatus>,
}

/// The longest text that is translated, in bytes.
const LONGEST: usize = 1 << 20;

/// A table that tells ids of connections, or the cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Processes,
    Transactions,
    Locks,
    Status(&'static str),
}

/// The tables of `information_schema`.
const TABLES: [(&str, Table); 5] = [
    ("PROCESSLIST", Table::Processes),
    ("INNODB_TRX", Table::Transactions),
    ("METADATA_LOCK_INFO", Table::Locks),
    ("SESSION_STATUS", Table::Status("SESSION_STATUS")),
    ("GLOBAL_STATUS", Table::Status("GLOBAL_STATUS")),
];

const SCHEMA: &str = "INFORMATION_SCHEMA";

const FUNCTION: &str = "IS_USED_LOCK";

/// Whether a text may tell what [`translated`] replaces: a fast check, so that most texts are not read further. `schema` is
/// the session's.
#[must_use]
pub fn may_tell(text: &[u8], schema: Option<&[u8]>) -> bool {
    let there = |at: usize, before: usize, word: &str| {
        let begin = at.checked_sub(before);
        let found = begin.and_then(|begin| text.get(begin..begin + word.len()));
        found.is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    let named =
        memchr::memchr_iter(b'_', text).any(|at| there(at, 11, SCHEMA) || there(at, 2, FUNCTION));
    (named || is_schema(schema)) && text.len() <= LONGEST
}

fn is_schema(schema: Option<&[u8]>) -> bool {
    schema.is_some_and(|schema| schema.eq_ignore_ascii_case(SCHEMA.as_bytes()))
}

/// The text to send to the server in place of a client's; `None` if it tells no ids. With `prepared` the text is one
/// for `COM_STMT_PREPARE`: its reply cannot be edited, so `SHOW PROCESSLIST` is translated too.
#[must_use]
pub fn translated(
    text: &[u8],
    mode: Mode,
    schema: Option<&[u8]>,
    prepared: bool,
    known: &Connections,
) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text, mode);
    let spans: Vec<_> = lexer.spanned().collect();
    if prepared && let Some((_, list)) = listed(&spans, text, known) {
        return Some(list.into_bytes());
    }
    if let Some((place, id)) = explained(&spans) {
        let known = known.present.iter().find(|session| session.id == id)?;
        let mut edits = Edits::default();
        edits.replace(place, known.thread.to_string());
        return edits.applied(text);
    }
    let mut edits = Edits::default();
    let statements = spans.split(|span| span.token == Token::Semicolon);
    let spelling = Spelling::of(&spans);
    for statement in statements {
        if is_stored(statement) {
            break;
        }
        if spans.len() > statement.len() + 1
            && let Some((place, list)) = listed(statement, text, known)
        {
            edits.replace(place, list);
        }
        if let Some(kill) = killed(statement) {
            let value = text.get(kill.value.clone()).unwrap_or_default();
            let rests = |session: &Resting| session.id.to_string().as_bytes() == value;
            if kill.query_only && known.resting.iter().any(rests) {
                // it has no statement that could be ended
                edits.replace(kill.place, "DO 0");
            } else {
                edits.replace(kill.value, queries::victim(value, known));
            }
        }
        if runs(statement) {
            let places = places(statement, is_schema(schema), known.tls.is_some());
            translate(&mut edits, (text, statement), &places, known, &spelling);
        }
    }
    edits.applied(text)
}

/// Whether a text of several statements has a `KILL` or a `SHOW PROCESSLIST` among them.
#[must_use]
pub fn may_tell_within(text: &[u8], mode: Mode) -> bool {
    let of_ids = |token: Token<'_>| token.is_any(&["KILL", "PROCESSLIST"]);
    text.len() <= LONGEST && Lexer::new(text, mode).any(of_ids)
}

/// A `KILL` of a connection within a text.
struct Killed {
    /// The statement, without what ends it.
    place: Range<usize>,
    /// The value that names the connection.
    value: Range<usize>,
    query_only: bool,
}

/// The command with this first word that a statement is, or that stands first in the block which it begins.
fn command<'s, 't>(statement: &'s [Spanned<'t>], word: &str) -> Option<&'s [Spanned<'t>]> {
    let at = statement.iter().position(|span| span.token.is(word))?;
    let before = at.checked_sub(1).and_then(|at| statement.get(at));
    let begins = ["ATOMIC", "BEGIN", "THEN", "ELSE", "DO"];
    if before.is_some_and(|before| !before.token.is_any(&begins)) {
        return None;
    }
    statement.get(at..)
}

/// The `SHOW PROCESSLIST` in a statement of this text, and the list in its place.
fn listed(
    statement: &[Spanned<'_>],
    text: &[u8],
    known: &Connections,
) -> Option<(Range<usize>, String)> {
    let show = command(statement, "SHOW")?;
    let place = show.first()?.start..show.last()?.end;
    let list = queries::shown(show, text.get(place.clone())?, known)?;
    Some((place, list))
}

/// The `KILL` in a statement.
fn killed(statement: &[Spanned<'_>]) -> Option<Killed> {
    let (kill, rest) = command(statement, "KILL")?.split_first()?;
    let options = ["HARD", "SOFT", "CONNECTION", "QUERY"];
    let begin = rest.iter().position(|span| !span.token.is_any(&options))?;
    let (first, last) = (rest.get(begin)?, rest.last()?);
    let other = first.token.is_any(&["USER", "ID"]);
    (!other).then(|| Killed {
        place: kill.start..last.end,
        value: first.start..last.end,
        query_only: rest.iter().take(begin).any(|span| span.token.is("QUERY")),
    })
}

/// The statement that `EXECUTE name USING values` or `EXECUTE IMMEDIATE` runs, whose text is `inner`, with the values in
/// the places of its parameters; `None` if they do not fit.
#[must_use]
pub fn with_values(text: &[u8], inner: &[u8], mode: Mode) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text, mode);
    let mut spans = lexer.spanned().skip_while(|span| !span.token.is("USING"));
    let mut values: Vec<Range<usize>> = Vec::new();
    if spans.next().is_some() {
        let rest: Vec<_> = spans
            .filter(|span| span.token != Token::Semicolon)
            .collect();
        for part in rest.split(|span| span.token == Token::Other(b',')) {
            values.push(part.first()?.start..part.last()?.end);
        }
    }
    let mut out = Vec::new();
    let (mut at, mut values) = (0, values.into_iter());
    for span in Lexer::new(inner, mode).spanned() {
        if span.token == Token::Other(b'?') {
            out.extend_from_slice(inner.get(at..span.start)?);
            out.extend_from_slice(text.get(values.next()?)?);
            at = span.end;
        }
    }
    out.extend_from_slice(inner.get(at..)?);
    values.next().is_none().then_some(out)
}

/// Whether a text is `SHOW EXPLAIN FOR id`, `SHOW ANALYZE FOR id` or `EXPLAIN FOR CONNECTION id`.
#[must_use]
pub fn may_explain(text: &[u8], mode: Mode) -> bool {
    let mut tokens = Lexer::new(text, mode);
    match tokens.next() {
        Some(first) if first.is("SHOW") => tokens
            .next()
            .is_some_and(|t| t.is_any(&["EXPLAIN", "ANALYZE"])),
        Some(first) if first.is("EXPLAIN") => tokens.any(|token| token.is("CONNECTION")),
        _ => false,
    }
}

/// The id of the connection whose statement is explained, and where it stands.
fn explained(spans: &[Spanned<'_>]) -> Option<(Range<usize>, u32)> {
    let first = spans.first()?.token;
    let words: Vec<_> = { spans.iter() }
        .filter(|span| span.token != Token::Semicolon)
        .collect();
    let [.., before, last] = words.as_slice() else {
        return None;
    };
    let Token::Number(digits) = last.token else {
        return None;
    };
    let shows = first.is("SHOW") && before.token.is("FOR");
    let explains = first.is("EXPLAIN") && before.token.is("CONNECTION");
    let id = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (shows || explains).then_some((last.start..last.end, id))
}

/// Whether a statement reads tables and gives their rows.
fn runs(statement: &[Spanned<'_>]) -> bool {
    const WORDS: [&str; 19] = [
        "SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "SET", "DO", "CALL", "CREATE",
        "VALUES", "BEGIN", "IF", "WHILE", "FOR", "RETURN", "ELSE", "EXECUTE", "END",
    ];
    statement
        .first()
        .is_some_and(|first| first.token.is_any(&WORDS) || first.token == Token::Other(b'('))
}

/// What is translated in a statement, by the numbers of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A table, from its schema's name on, and its alias if it has one.
    Table {
        table: Table,
        tokens: Range<usize>,
        aliased: bool,
    },
    /// A schema's name and a dot, in front of the table of a column.
    Qualifier(Range<usize>),
    /// A call of the function.
    Call(Range<usize>),
}

/// `inside`: the session's schema is that of the tables; `tls`: the cipher is another.
fn places(statement: &[Spanned<'_>], inside: bool, tls: bool) -> Vec<Place> {
    let token = |at: usize| statement.get(at).map(|span| span.token);
    let is_dot = |at: usize| token(at) == Some(Token::Other(b'.'));
    let table = |at: usize| {
        let found = TABLES
            .iter()
            .find(|(name, _)| token(at).is_some_and(|t| t.names(name)));
        let found = found.map(|(_, table)| *table);
        found.filter(|table| tls || !matches!(table, Table::Status(_)))
    };
    let mut found = Vec::new();
    for at in 0..statement.len() {
        let after_dot = at > 0 && is_dot(at - 1);
        if after_dot {
            continue;
        }
        let qualified = token(at).is_some_and(|t| t.names(SCHEMA)) && is_dot(at + 1);
        let from = at.checked_sub(1).and_then(token);
        let from = from.is_some_and(|t| t.is_any(&["FROM", "JOIN", "STRAIGHT_JOIN"]));
        let (name, from_schema) = if qualified {
            (at + 2, true)
        } else {
            (at, inside && from)
        };
        if from_schema && let Some(table) = table(name) {
            if is_dot(name + 1) {
                if qualified {
                    found.push(Place::Qualifier(at..name));
                }
                continue;
            }
            found.push(Place::Table {
                table,
                tokens: at..name + 1,
                aliased: is_alias(token(name + 1)),
            });
        }
        let called =
            token(at).is_some_and(|t| t.is(FUNCTION)) && token(at + 1) == Some(Token::Other(b'('));
        if called && let Some(end) = items::closing(statement, at + 1) {
            found.push(Place::Call(at..end + 1));
        }
    }
    found
}

/// Whether the token behind a table is its alias, or begins it.
fn is_alias(token: Option<Token<'_>>) -> bool {
    const OTHERS: [&str; 37] = [
        "WHERE",
        "JOIN",
        "INNER",
        "LEFT",
        "RIGHT",
        "CROSS",
        "NATURAL",
        "STRAIGHT_JOIN",
        "ON",
        "USING",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "MINUS",
        "FOR",
        "LOCK",
        "INTO",
        "PROCEDURE",
        "USE",
        "IGNORE",
        "FORCE",
        "WINDOW",
        "PARTITION",
        "SET",
        "OFFSET",
        "FETCH",
        "RETURNING",
        "OUTER",
        "THEN",
        "DO",
        "LOOP",
        "END",
        "FULL",
    ];
    match token {
        Some(word @ Token::Word(_)) => !word.is_any(&OTHERS),
        Some(Token::Quoted(..)) => true,
        _ => false,
    }
}

/// Puts queries and expressions into the places that a statement of the text has.
fn translate(
    edits: &mut Edits,
    (text, statement): (&[u8], &[Spanned<'_>]),
    places: &[Place],
    known: &Connections,
    spelling: &Spelling<'_>,
) {
    for place in places {
        let (Place::Table { tokens, .. } | Place::Qualifier(tokens) | Place::Call(tokens)) = place;
        let (Some(first), Some(last)) =
            (statement.get(tokens.start), statement.get(tokens.end - 1))
        else {
            continue;
        };
        let bytes = first.start..last.end;
        let written = text.get(bytes.clone()).unwrap_or_default();
        match place {
            Place::Table { table, aliased, .. } => {
                let mut query = queries::of(*table, known, spelling, text).into_bytes();
                if !aliased {
                    let name = text.get(last.start..last.end).unwrap_or_default();
                    query.extend_from_slice(b" AS ");
                    query.extend_from_slice(name);
                }
                edits.replace(bytes, query);
            }
            Place::Qualifier(_) => {
                edits.replace(bytes, "");
                continue;
            }
            Place::Call(_) => edits.replace(bytes, queries::holder(written, known)),
        }
        let _kept = edits.keep_names(text, statement, tokens.clone());
    }
}
