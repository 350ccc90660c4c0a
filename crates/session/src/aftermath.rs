//! What later statements can ask about the last one: `ROW_COUNT()`, `FOUND_ROWS()`, how many
//! warnings there were and which; and `CONNECTION_ID()`, which is no server's to answer either.
//!
//! No server lets one set these. So when something of Dormouse's own has run between two statements
//! of a client, or the session has moved to another backend, what they were is kept here, and a
//! statement that asks for them gets what is kept. (MariaDB Knowledge Base, "Diagnostics Area",
//! "FOUND_ROWS", "ROW_COUNT". A `SELECT` without a table reads them and keeps the warnings.)

use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::rows::Value;

use crate::lexer::{Lexer, Token};

/// What the last statement left for others to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aftermath {
    /// `ROW_COUNT()`: −1 after a result with columns and after an error.
    pub row_count: i64,
    /// `FOUND_ROWS()`.
    pub found_rows: u64,
    /// `@@warning_count`, which counts errors and notes too.
    pub warnings: u64,
    /// `@@error_count`.
    pub errors: u64,
    /// The server's whole reply to `SHOW WARNINGS`, if there were any.
    pub warning_list: Option<Box<[u8]>>,
    /// The server's whole reply to `SHOW ERRORS`, if there were any.
    pub error_list: Option<Box<[u8]>>,
}

/// How a statement reads the aftermath of the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Not at all.
    No,
    /// It is `SHOW WARNINGS` or `SHOW ERRORS`: this is the reply.
    Reply(Box<[u8]>),
    /// It is a `SELECT` of one row; these values of it are replaced.
    Patch(Vec<Value>),
    /// In a way that cannot be answered any more: the name of what it reads.
    Cannot(&'static str),
}

/// One of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    RowCount,
    FoundRows,
    Warnings,
    Errors,
    /// `CONNECTION_ID()`
    Connection,
    /// `@@socket`
    Socket,
    /// Something the server knows.
    Other,
}

/// What Dormouse says of a connection in place of the server.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The id that the client was given.
    pub id: u32,
    /// Dormouse's own Unix socket: who connects to the server's would pass by Dormouse.
    pub socket: &'a str,
}

/// How a text, sent with `COM_QUERY`, reads what the server cannot tell: what the last statement
/// left, if it was kept, the connection's id as the client knows it, and the socket. Within other
/// statements `CONNECTION_ID()` is the backend's, as is what `information_schema.PROCESSLIST` shows.
#[must_use]
pub fn reading(text: &[u8], left: Option<&Aftermath>, connection: Connection<'_>) -> Reading {
    let named = left.and_then(|left| Some((left, mentioned(text)?)));
    if named.is_none() && !asks_for_connection(text) {
        return Reading::No;
    }
    let cannot = named.map_or(Reading::No, |(_, name)| Reading::Cannot(name));
    let mut tokens = Lexer::new(text).filter(|token| *token != Token::Semicolon);
    let first = tokens.next();
    if let Some((left, name)) = named
        && first.is_some_and(|token| token.is("SHOW"))
    {
        return left.show(tokens.collect(), name);
    }
    if !first.is_some_and(|token| token.is("SELECT")) {
        return cannot;
    }
    let tokens: Vec<_> = tokens.collect();
    let items: Option<Vec<Asked>> = tokens
        .split(|token| *token == Token::Other(b','))
        .map(asked)
        .collect();
    let value = |item| match item {
        Asked::Connection => Some(connection.id.to_string().into_bytes()),
        Asked::Socket => Some(connection.socket.into()),
        item => left?.value(item),
    };
    items.map_or(cannot, |items| {
        Reading::Patch(items.into_iter().map(value).collect())
    })
}

/// Whether a text may be about `CONNECTION_ID()` or `@@socket`; most are not, and are not read word
/// by word.
fn asks_for_connection(text: &[u8]) -> bool {
    let is = |range: std::ops::Range<usize>, word: &[u8]| {
        let there = text.get(range);
        there.is_some_and(|there| there.eq_ignore_ascii_case(word))
    };
    memchr::memchr2_iter(b'_', b'@', text)
        .any(|at| is(at.saturating_sub(10)..at + 3, b"CONNECTION_ID") || is(at..at + 7, b"@socket"))
}

impl Aftermath {
    fn show(&self, rest: Vec<Token<'_>>, name: &'static str) -> Reading {
        let count = rest.first().is_some_and(|token| token.is("COUNT"));
        let list = match rest.last() {
            Some(token) if token.is("WARNINGS") && count => {
                return Reading::Patch(vec![self.value(Asked::Warnings)]);
            }
            Some(token) if token.is("ERRORS") && count => {
                return Reading::Patch(vec![self.value(Asked::Errors)]);
            }
            Some(token) if token.is("WARNINGS") && rest.len() == 1 => &self.warning_list,
            Some(token) if token.is("ERRORS") && rest.len() == 1 => &self.error_list,
            _ if self.warnings == 0 => return Reading::No,
            _ => return Reading::Cannot(name),
        };
        match list {
            Some(list) => Reading::Reply(list.clone()),
            // where there are none, the server says so too
            None if self.warnings == 0 => Reading::No,
            None if rest.last().is_some_and(|token| token.is("ERRORS")) && self.errors == 0 => {
                Reading::No
            }
            None => Reading::Cannot(name),
        }
    }

    fn value(&self, asked: Asked) -> Value {
        match asked {
            Asked::RowCount => Some(self.row_count.to_string().into_bytes()),
            Asked::FoundRows => Some(self.found_rows.to_string().into_bytes()),
            Asked::Warnings => Some(self.warnings.to_string().into_bytes()),
            Asked::Errors => Some(self.errors.to_string().into_bytes()),
            Asked::Connection | Asked::Socket | Asked::Other => None,
        }
    }

    /// What is left of it after a statement that the server has run. A `SELECT` or `DO` without a
    /// table keeps the warnings of the statement before, unless it has some itself.
    #[must_use]
    pub fn after(mut self, text: &[u8], end: &ReplyEnd) -> Option<Self> {
        if self.warnings == 0 || end.warnings > 0 || !keeps_warnings(text) {
            return None;
        }
        self.row_count = if end.rows.is_some() { -1 } else { 0 };
        self.found_rows = end.rows.unwrap_or(self.found_rows);
        Some(self)
    }
}

/// Whether a text leaves the warnings of the statement before as they are: one that uses no table
/// does (`sql/sql_parse.cc`, `mysql_execute_command`).
pub(crate) fn keeps_warnings(text: &[u8]) -> bool {
    const WITHOUT_TABLES: [&str; 11] = [
        "SELECT",
        "DO",
        "SET",
        "USE",
        "BEGIN",
        "START",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "DEALLOCATE",
    ];
    let mut tokens = Lexer::new(text);
    let first = tokens.next();
    let is = |word: &str| first.is_some_and(|token| token.is(word));
    let table = |token: Token<'_>| ["FROM", "FOR", "INTO"].iter().any(|word| token.is(word));
    WITHOUT_TABLES.iter().any(|word| is(word)) && !tokens.any(table)
        || is("SHOW") && mentioned(text).is_some()
}

/// The name of the first thing in a text that asks for the aftermath.
#[must_use]
pub fn mentioned(text: &[u8]) -> Option<&'static str> {
    const NAMES: [(&str, &str); 7] = [
        ("FOUND_ROWS", "FOUND_ROWS()"),
        ("ROW_COUNT", "ROW_COUNT()"),
        ("WARNING_COUNT", "@@warning_count"),
        ("ERROR_COUNT", "@@error_count"),
        ("WARNINGS", "SHOW WARNINGS"),
        ("ERRORS", "SHOW ERRORS"),
        ("DIAGNOSTICS", "GET DIAGNOSTICS"),
    ];
    Lexer::new(text).find_map(|token| {
        let found = NAMES.iter().find(|(word, _)| token.is(word));
        found.map(|(_, name)| *name)
    })
}

/// One item of a list of selected values: a known one, with or without a name.
fn asked(item: &[Token<'_>]) -> Option<Asked> {
    let open = Token::Other(b'(');
    let close = Token::Other(b')');
    let (asked, rest) = match item {
        [name, a, b, rest @ ..] if *a == open && *b == close => {
            let table = [
                ("ROW_COUNT", Asked::RowCount),
                ("FOUND_ROWS", Asked::FoundRows),
                ("LAST_INSERT_ID", Asked::Other),
                ("CONNECTION_ID", Asked::Connection),
            ];
            let found = table.iter().find(|(word, _)| name.is(word))?;
            (found.1, rest)
        }
        [Token::SystemVariable, rest @ ..] => {
            let rest = match rest {
                [scope, Token::Other(b'.'), rest @ ..]
                    if scope.is("SESSION") || scope.is("LOCAL") =>
                {
                    rest
                }
                _ => rest,
            };
            let (name, rest) = rest.split_first()?;
            let table = [
                ("WARNING_COUNT", Asked::Warnings),
                ("ERROR_COUNT", Asked::Errors),
                ("SOCKET", Asked::Socket),
            ];
            let found = table.iter().find(|(word, _)| name.is(word));
            (found.map_or(Asked::Other, |found| found.1), rest)
        }
        _ => return None,
    };
    let named = |token: &Token<'_>| {
        matches!(token, Token::Word(word) if !word.first().is_some_and(u8::is_ascii_digit))
            || matches!(token, Token::Quoted(_) | Token::Text)
    };
    match rest {
        [] => Some(asked),
        [name] if named(name) && !name.is("FROM") => Some(asked),
        [word, name] if word.is("AS") && named(name) => Some(asked),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
