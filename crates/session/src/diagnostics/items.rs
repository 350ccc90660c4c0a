//! The items of a `SELECT` without a table, whose values can be patched in the answer.

use super::questions::Item;
use crate::lexer::{Spanned, Token};
use crate::sequence_name::Name;

/// What an item asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A value that the last statement left.
    Value(Item),
    /// `@@socket`
    Socket,
    /// The last value of a sequence.
    Sequence(Name),
    /// Anything else: the server's answer is right.
    Other,
}

/// The items, if the text is only a `SELECT` of known ones, with or without aliases and `FROM DUAL`.
pub(crate) fn of(spans: &[Spanned<'_>]) -> Option<Vec<Asked>> {
    let tokens: Vec<Token<'_>> = spans.iter().map(|span| span.token).collect();
    let (first, mut items) = tokens.split_first()?;
    if !first.is("SELECT") {
        return None;
    }
    while let [rest @ .., Token::Semicolon] = items {
        items = rest;
    }
    if let [rest @ .., from, dual] = items
        && from.is("FROM")
        && dual.is("DUAL")
    {
        items = rest;
    }
    items
        .split(|token| *token == Token::Other(b','))
        .map(item)
        .collect()
}

/// One item, with or without an alias.
fn item(item: &[Token<'_>]) -> Option<Asked> {
    let (asked, rest) = match item {
        [name, Token::Other(b'('), Token::Other(b')'), rest @ ..] => {
            let table = [
                ("ROW_COUNT", Asked::Value(Item::RowCount)),
                ("FOUND_ROWS", Asked::Value(Item::FoundRows)),
                ("LAST_INSERT_ID", Asked::Other),
                ("CONNECTION_ID", Asked::Other),
            ];
            let found = table.into_iter().find(|(word, _)| name.is(word))?;
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
                ("WARNING_COUNT", Asked::Value(Item::Warnings)),
                ("ERROR_COUNT", Asked::Value(Item::Errors)),
                ("SOCKET", Asked::Socket),
            ];
            let found = table.into_iter().find(|(word, _)| name.is(word));
            (found.map_or(Asked::Other, |found| found.1), rest)
        }
        [Token::Number(digits), rest @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            (Asked::Other, rest)
        }
        _ => {
            let (name, length) = Name::asked(item)?;
            (Asked::Sequence(name), item.get(length..)?)
        }
    };
    let named = |token: &Token<'_>| {
        matches!(token, Token::Word(word) if !word.first().is_some_and(u8::is_ascii_digit))
            || matches!(token, Token::Quoted(..) | Token::Text(..))
    };
    match rest {
        [] => Some(asked),
        [name] if named(name) && !name.is("FROM") => Some(asked),
        [word, name] if word.is("AS") && named(name) => Some(asked),
        _ => None,
    }
}
