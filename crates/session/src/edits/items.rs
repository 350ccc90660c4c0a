//! The items of `SELECT`s: where they begin and end, and whether they have aliases.

use std::ops::Range;

use crate::lexer::{Spanned, Token};

/// The longest name of a column, in bytes (`MAX_ALIAS_NAME`).
const LONGEST_NAME: usize = 256;

/// The token that closes the bracket which `open` opens.
pub(crate) fn closing(statement: &[Spanned<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, span) in statement.iter().enumerate().skip(open) {
        match span.token {
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// A name, and where it is to be put.
type Name = (usize, Vec<u8>);

/// The names of the items around these tokens that have no alias, and where each name is to be put. The error: one has a
/// name that cannot be written, because it is too long.
pub(super) fn names(
    text: &[u8],
    statement: &[Spanned<'_>],
    tokens: Range<usize>,
) -> Result<Vec<Name>, Vec<Name>> {
    let mut found = Vec::new();
    let mut all = true;
    let mut level = Level::of(tokens.start);
    let mut depth = 0_usize;
    for at in (0..tokens.start).rev() {
        let Some(token) = statement.get(at).map(|span| span.token) else {
            break;
        };
        match token {
            Token::Other(b')') => depth += 1,
            Token::Other(b'(') if depth > 0 => depth -= 1,
            // around this bracket
            Token::Other(b'(') => level = Level::of(at),
            _ if depth > 0 || level.over => {}
            Token::Other(b',') => {
                level.begin.get_or_insert(at + 1);
            }
            word if word.is("SELECT") => {
                let begin = *level.begin.get_or_insert(behind_options(statement, at + 1));
                match name(text, statement, begin, level.inner) {
                    Some(name) => found.extend(name),
                    None => all = false,
                }
                level.over = true;
            }
            word if word.is_any(&CLAUSES) => level.over = true,
            _ => {}
        }
    }
    if all { Ok(found) } else { Err(found) }
}

/// What is known of one level of brackets.
struct Level {
    /// A token of the item at this level.
    inner: usize,
    /// The item's first token.
    begin: Option<usize>,
    /// Whether it is known whether it is an item.
    over: bool,
}

impl Level {
    fn of(inner: usize) -> Self {
        Self {
            inner,
            begin: None,
            over: false,
        }
    }
}

/// Words that begin something else than the items of a `SELECT`.
const CLAUSES: [&str; 17] = [
    "FROM", "WHERE", "ON", "USING", "GROUP", "ORDER", "BY", "HAVING", "LIMIT", "SET", "VALUES",
    "INTO", "DO", "CALL", "JOIN", "UPDATE", "DELETE",
];

/// Words that end the items.
const ENDS: [&str; 15] = [
    "FROM",
    "INTO",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "PROCEDURE",
    "FOR",
    "LOCK",
    "ON",
    "WINDOW",
];

/// Whether the items end in front of this token. `NEXT VALUE FOR` is no end.
pub(crate) fn ends(statement: &[Spanned<'_>], at: usize) -> bool {
    let token = |at: usize| statement.get(at).map(|span| span.token);
    let before = at.checked_sub(1).and_then(token);
    token(at).is_some_and(|word| {
        word.is_any(&ENDS) && !(word.is("FOR") && before.is_some_and(|word| word.is("VALUE")))
    })
}

/// Words in front of the first item.
pub(crate) const OPTIONS: [&str; 11] = [
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "HIGH_PRIORITY",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_CACHE",
    "SQL_NO_CACHE",
    "SQL_CALC_FOUND_ROWS",
];

fn behind_options(statement: &[Spanned<'_>], mut at: usize) -> usize {
    while statement
        .get(at)
        .is_some_and(|span| span.token.is_any(&OPTIONS))
    {
        at += 1;
    }
    at
}

/// The name of the item that begins at `begin` and has the token `from`, and where it ends; inner `None`: it has an
/// alias; outer `None`: it cannot be written.
fn name(text: &[u8], statement: &[Spanned<'_>], begin: usize, from: usize) -> Option<Option<Name>> {
    let mut depth = 0_usize;
    let mut end = from;
    for span in statement.get(from..)? {
        match span.token {
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => break,
            },
            Token::Other(b',') if depth == 0 => break,
            _ if depth == 0 && end > from && ends(statement, end) => break,
            _ => {}
        }
        end += 1;
    }
    let item = statement.get(begin..end)?;
    let (first, last) = (item.first()?, item.last()?);
    let written = text.get(first.start..last.end)?;
    if has_alias(item) {
        return Some(None);
    }
    (written.len() <= LONGEST_NAME).then(|| Some((last.end, quoted(written))))
}

/// A text as a name in backticks. A name has no characters of four bytes in UTF-8: a server puts a question mark in
/// their place when it names a column by a text.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut name = vec![b'`'];
    match std::str::from_utf8(text) {
        Ok(text) => {
            for char in text.chars() {
                match char {
                    '`' => name.extend_from_slice(b"``"),
                    _ if char.len_utf8() == 4 => name.push(b'?'),
                    _ => name.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        Err(_) => {
            for byte in text {
                name.push(*byte);
                if *byte == b'`' {
                    name.push(b'`');
                }
            }
        }
    }
    name.push(b'`');
    name
}

/// Whether an item ends with an alias.
fn has_alias(item: &[Spanned<'_>]) -> bool {
    const ENDS: [&str; 6] = ["END", "NULL", "TRUE", "FALSE", "UNKNOWN", "MODE"];
    let [.., before, last] = item else {
        return false;
    };
    if before.token.is("AS") {
        return true;
    }
    let named = match last.token {
        word @ Token::Word(_) => !word.is_any(&ENDS),
        Token::Quoted(..) | Token::Text(..) => true,
        _ => false,
    };
    named
        && matches!(
            before.token,
            Token::Other(b')') | Token::Number(_) | Token::Quoted(..) | Token::Text(..)
        )
}
