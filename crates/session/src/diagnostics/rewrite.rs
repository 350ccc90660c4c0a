//! Rewrites statements that use `ROW_COUNT()` and the like in an expression: a constant of the same type takes
//! the place of the question, and an item of a `SELECT` that would be named by its text gets that text as its
//! alias. So no name and no type of a column changes.

use super::questions::{Item, Question, is_block};
use crate::edits::Edits;
use crate::edits::items::{OPTIONS, ends};
use crate::lexer::{Gap, Spanned, Token};

/// The longest name of a column that a server takes from a text as it is, in bytes.
const LONGEST_NAME: usize = 64;
/// What `IS` and `IS NOT` check.
const CHECKED: [&str; 4] = ["NULL", "TRUE", "FALSE", "UNKNOWN"];
/// Statements in which a value may take the place of a question.
const FIRST: [&str; 10] = [
    "CREATE", "SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "SET", "DO", "CALL",
];

/// The text with values in place of the questions; `None` if the name or the type of a column might change.
pub(super) fn rewritten(
    text: &[u8],
    spans: &[Spanned<'_>],
    asked: &[Question],
    value: impl Fn(Item) -> i64,
) -> Option<Vec<u8>> {
    let first = spans.first()?.token;
    if !first.is_any(&FIRST) && first != Token::Other(b'(') || is_block(spans) {
        return None;
    }
    // what later statements ask for may depend on those before them
    let until = spans
        .iter()
        .find(|span| span.token == Token::Semicolon)
        .map_or(text.len(), |span| span.start);
    let one: Vec<Spanned<'_>> = spans
        .iter()
        .take_while(|span| span.start < until)
        .copied()
        .collect();
    let fits = |question: &Question| !question.place.is_empty() && question.place.end <= until;
    let has = |words: &[&str]| one.iter().any(|span| span.token.is_any(words));
    let adds = first.is_any(&["INSERT", "REPLACE"]);
    if !asked.iter().all(fits)
        || has(&["RETURNING", "STATEMENT", "PROCEDURE"])
        || !adds && has(&["VALUES", "VALUE"])
        || one
            .iter()
            .any(|span| span.gap == Gap::Special && span.start > 0)
        || asked.iter().any(|question| is_badly_placed(&one, question))
    {
        return None;
    }
    let mut edits = Edits::default();
    for question in asked {
        let constant = constant(question.item, value(question.item));
        edits.replace(question.place.clone(), constant);
    }
    for (begin, end) in items(&one) {
        let item = one.get(begin..end)?;
        let (from, to) = (item.first()?.start, item.last()?.end);
        let inside = |question: &Question| from <= question.place.start && question.place.end <= to;
        if asked.iter().any(inside) && !has_alias(item)? {
            let name = text.get(from..to)?;
            let name = std::str::from_utf8(name).ok().filter(|n| n.is_ascii())?;
            (name.len() <= LONGEST_NAME).then_some(())?;
            edits.replace(to..to, format!(" AS `{}`", name.replace('`', "``")));
        }
    }
    edits.applied(text)
}

/// An expression with the value, and with the type that the server gives to the question: `BIGINT(21) NOT NULL`
/// for the functions, `BIGINT(21) UNSIGNED` for the variables. (`sql/item_func.cc`,
/// `Item_func_additive_op::result_precision`: the difference of two numbers of 19 or 20 digits.)
pub(super) fn constant(item: Item, value: i64) -> String {
    match item {
        Item::RowCount | Item::FoundRows if value < 0 => {
            let high = i64::MAX;
            format!("({} - {high})", high.saturating_add(value))
        }
        Item::RowCount | Item::FoundRows => {
            let high = i64::MAX;
            // 19 digits on both sides
            match high
                .checked_sub(value)
                .filter(|low| *low > 999_999_999_999_999_999)
            {
                Some(low) => format!("({high} - {low})"),
                None => format!("({value} - 0)"),
            }
        }
        Item::Warnings | Item::Errors | Item::Conditions => {
            let high = u64::MAX;
            let low = high.saturating_sub(value.unsigned_abs());
            format!("NULLIF({high} - {low}, {high})")
        }
    }
}

/// Whether a constant at the question's place would be read otherwise: the server computes the negative of a
/// constant, and `LIMIT` has no expressions.
fn is_badly_placed(spans: &[Spanned<'_>], question: &Question) -> bool {
    let Some(at) = spans
        .iter()
        .position(|span| span.start == question.place.start)
    else {
        return true;
    };
    let before = |back: usize| {
        at.checked_sub(back)
            .and_then(|at| spans.get(at))
            .map(|span| span.token)
    };
    let operand = |token: Option<Token<'_>>| {
        matches!(
            token,
            Some(Token::Number(_) | Token::Other(b')') | Token::UserVariable | Token::Quoted(..))
        )
    };
    let negated = before(1) == Some(Token::Other(b'-')) && !operand(before(2));
    let limited = spans.iter().take(at).any(|span| span.token.is("LIMIT"));
    negated || limited
}

/// The items of every `SELECT`, as ranges of tokens.
fn items(spans: &[Spanned<'_>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // for each open bracket, where the present item begins
    let mut open: Vec<Option<usize>> = vec![None];
    for (at, span) in spans.iter().enumerate() {
        let Some(item) = open.last_mut() else {
            return found;
        };
        let mut close = |item: &mut Option<usize>, next: Option<usize>| {
            if let Some(begin) = std::mem::replace(item, next)
                && begin < at
            {
                found.push((begin, at));
            }
        };
        match span.token {
            Token::Other(b'(') => open.push(None),
            Token::Other(b')') => {
                close(item, None);
                open.pop();
            }
            Token::Other(b',') if item.is_some() => close(item, Some(at + 1)),
            token if token.is("SELECT") => *item = Some(at + 1),
            token if *item == Some(at) && token.is_any(&OPTIONS) => {
                *item = Some(at + 1);
            }
            _ if item.is_some() && ends(spans, at) => close(item, None),
            _ => {}
        }
    }
    if let Some(Some(begin)) = open.first()
        && *begin < spans.len()
    {
        found.push((*begin, spans.len()));
    }
    found
}

/// Whether an item has an alias; `None` if that cannot be said.
fn has_alias(item: &[Spanned<'_>]) -> Option<bool> {
    let mut depth = 0_usize;
    for span in item {
        match span.token {
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => depth = depth.saturating_sub(1),
            token if depth == 0 && token.is("AS") => return Some(true),
            _ => {}
        }
    }
    let [.., before, last] = item else {
        return Some(false);
    };
    let ends_operand = matches!(
        before.token,
        Token::Other(b')') | Token::Number(_) | Token::Bits(_) | Token::Text(..)
    );
    match last.token {
        Token::Other(_) | Token::Number(_) | Token::Bits(_) | Token::National(_) => Some(false),
        // CASE … END
        token if token.is("END") => Some(false),
        // a IS NOT NULL
        token if token.is_any(&CHECKED) && before.token.is_any(&["IS", "NOT"]) => Some(false),
        Token::Word(_) | Token::Quoted(..) | Token::Text(..) if ends_operand => Some(true),
        Token::Word(_) | Token::Quoted(..) | Token::Text(..) => {
            // an operand follows an operator; behind a word it may be either
            let operator = matches!(before.token, Token::Other(_) | Token::SystemVariable);
            operator.then_some(false)
        }
        Token::UserVariable if matches!(before.token, Token::Other(_)) => Some(false),
        _ => None,
    }
}
