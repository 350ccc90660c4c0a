//! Rewrites statements that use `ROW_COUNT()` and the like in an expression: the value takes the place of the
//! question, where that changes no name and no type of a column.

use super::questions::{Item, Question};
use crate::lexer::Spanned;

/// The text with values in place of the questions; `None` if the name or the type of a column might change.
pub(super) fn rewritten(
    text: &[u8],
    spans: &[Spanned<'_>],
    asked: &[Question],
    value: impl Fn(Item) -> i64,
) -> Option<Vec<u8>> {
    let has = |word: &str| spans.iter().any(|span| span.token.is(word));
    // in GROUP BY and ORDER BY a number is that of a column; the others make column names from the text
    if ["GROUP", "ORDER", "RETURNING", "UNION", "WITH", "STATEMENT"]
        .iter()
        .any(|word| has(word))
        || asked.iter().any(|question| question.place.is_empty())
    {
        return None;
    }
    let first = spans.first()?.token;
    let selects = spans.iter().filter(|span| span.token.is("SELECT")).count();
    let changes = ["INSERT", "REPLACE", "UPDATE", "DELETE", "SET", "DO"];
    let plain = changes.iter().any(|word| first.is(word)) && selects == 0;
    let filter = first.is("SELECT") && selects == 1 && {
        let place = spans.iter().find(|span| span.token.is("WHERE"))?.end;
        asked.iter().all(|question| question.place.start > place)
            && !has("HAVING")
            && !has("LIMIT")
            && !has("PROCEDURE")
    };
    if !plain && !filter {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut at = 0;
    for question in asked {
        out.extend_from_slice(text.get(at..question.place.start)?);
        out.extend_from_slice(format!(" ({}) ", value(question.item)).as_bytes());
        at = question.place.end;
    }
    out.extend_from_slice(text.get(at..)?);
    Some(out)
}
