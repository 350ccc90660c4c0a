//! Reads `SHOW` of what does not depend on the database.

use super::parser::Parser;
use super::script::Shown;
use crate::lexer::Token;

/// Columns by which variables may be chosen. Not by `Value`: a row whose value differs would be missing.
const VARIABLES: [&str; 1] = ["Variable_name"];

/// Columns by which character sets and collations may be chosen.
const CHARSETS: [&str; 4] = ["Charset", "Description", "Default collation", "Maxlen"];
const COLLATIONS: [&str; 6] = [
    "Collation",
    "Charset",
    "Id",
    "Default",
    "Compiled",
    "Sortlen",
];

/// What stands behind `SHOW`.
pub(super) fn shown(parser: &mut Parser<'_, '_>) -> Option<Shown> {
    if parser.takes_any(&["WARNINGS", "ERRORS"]) {
        if parser.takes("LIMIT") {
            parser.integer()?;
            if parser.takes_sign(b',') || parser.takes("OFFSET") {
                parser.integer()?;
            }
        }
        return Some(Shown::Conditions);
    }
    if parser.is("COUNT") && parser.is_call() {
        parser.skip();
        parser.enclosed(|parser| parser.sign(b'*'))?;
        parser.any(&["WARNINGS", "ERRORS"])?;
        return Some(Shown::Conditions);
    }
    if parser.takes("STORAGE") {
        parser.word("ENGINES")?;
        return Some(Shown::Constants);
    }
    if parser.takes("ENGINES") {
        return Some(Shown::Constants);
    }
    if parser.takes("COLLATION") {
        chosen(parser, &COLLATIONS)?;
        return Some(Shown::Constants);
    }
    if parser.takes("CHARACTER") {
        parser.word("SET")?;
        chosen(parser, &CHARSETS)?;
        return Some(Shown::Constants);
    }
    if parser.takes("CHARSET") {
        chosen(parser, &CHARSETS)?;
        return Some(Shown::Constants);
    }
    parser.takes_any(&["SESSION", "LOCAL"]);
    parser.word("VARIABLES")?;
    chosen(parser, &VARIABLES)?;
    Some(Shown::Variables)
}

/// `LIKE`, `WHERE`, or nothing.
fn chosen(parser: &mut Parser<'_, '_>, columns: &[&str]) -> Option<()> {
    if parser.takes("LIKE") {
        return parser.text();
    }
    if parser.takes("WHERE") {
        return conditions(parser, columns);
    }
    Some(())
}

fn conditions(parser: &mut Parser<'_, '_>, columns: &[&str]) -> Option<()> {
    parser.nested(|parser| {
        loop {
            if parser.is_sign(0, b'(') {
                parser.enclosed(|parser| conditions(parser, columns))?;
            } else {
                condition(parser, columns)?;
            }
            if !parser.takes_any(&["AND", "OR"]) {
                return Some(());
            }
        }
    })
}

/// A column compared with literals.
fn condition(parser: &mut Parser<'_, '_>, columns: &[&str]) -> Option<()> {
    let column = parser.next()?;
    if !columns.iter().any(|one| column.names(one)) {
        return None;
    }
    let literal = |parser: &mut Parser<'_, '_>| {
        matches!(parser.next()?, Token::Text(..) | Token::Number(_)).then_some(())
    };
    if parser.takes("LIKE") || parser.takes_sign(b'=') {
        return literal(parser);
    }
    parser.word("IN")?;
    parser.enclosed(|parser| parser.list(literal))
}
