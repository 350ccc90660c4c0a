//! Reads `SET` of a session's own variables.

use super::parser::Parser;
use super::script::Assigned;
use super::variables::settable;
use super::words::{is_charset, is_value};
use crate::lexer::Token;

/// The variables of `SET NAMES`.
const NAMES: [&str; 4] = [
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
];

/// What stands behind `SET`. `SET CHARACTER SET` does not qualify: it takes the connection's character set from the
/// schema (`sql/set_var.cc`, `set_var_collation_client`), and an understudy has none.
pub(super) fn assigned(parser: &mut Parser<'_, '_>) -> Option<Assigned> {
    let mut assigned = Assigned::default();
    let mut user_variables = 0;
    loop {
        user_variables += usize::from(parser.peek(0) == Some(Token::UserVariable));
        assignment(parser, &mut assigned)?;
        if !parser.takes_sign(b',') {
            break;
        }
    }
    // else one could make the other longer and longer
    (user_variables < 2 || parser.read() == 0).then_some(assigned)
}

fn assignment(parser: &mut Parser<'_, '_>, assigned: &mut Assigned) -> Option<()> {
    match parser.next()? {
        Token::UserVariable => {
            equals(parser)?;
            assigned.user_variables = true;
            return parser.expression();
        }
        word if word.is("NAMES") => return names(parser, assigned),
        Token::SystemVariable => {
            let scope = parser.takes_any(&["SESSION", "LOCAL"]);
            if scope {
                parser.sign(b'.')?;
            }
            let name = parser.next()?;
            assigned.variables.push(settable(name)?);
        }
        word if word.is_any(&["SESSION", "LOCAL"]) => {
            let name = parser.next()?;
            assigned.variables.push(settable(name)?);
        }
        name => assigned.variables.push(settable(name)?),
    }
    equals(parser)?;
    if parser.takes("DEFAULT") {
        assigned.defaults = true;
        return Some(());
    }
    // the server takes a column's name for a string
    if parser.peek(0).is_some_and(is_value) {
        parser.skip();
        return Some(());
    }
    parser.expression()
}

fn equals(parser: &mut Parser<'_, '_>) -> Option<()> {
    (parser.takes_sign(b'=') || parser.takes_signs(b":=")).then_some(())
}

fn names(parser: &mut Parser<'_, '_>, assigned: &mut Assigned) -> Option<()> {
    assigned.variables.extend(NAMES);
    if parser.takes("DEFAULT") {
        assigned.defaults = true;
        return Some(());
    }
    let (Token::Word(charset) | Token::Text(charset, _)) = parser.next()? else {
        return None;
    };
    if !is_charset(charset) {
        return None;
    }
    if parser.takes("COLLATE") {
        parser.collation()?;
    }
    Some(())
}
