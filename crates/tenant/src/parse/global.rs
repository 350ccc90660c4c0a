//! `SET GLOBAL`.

use dormouse_session::lexer::{Lexer, Token};

use super::{Problem, list};
use crate::ast::{Assignment, Isolation, Statement, Value};
use crate::cursor::{Cursor, text_of};

/// The longest expression as a value, in bytes.
const LONGEST_EXPRESSION: usize = 16 << 10;

/// Whether a `SET` assigns a global variable. `tokens` is at the beginning of the text.
pub(super) fn sets_global(tokens: Lexer<'_>) -> bool {
    let mut tokens = tokens.skip(1).peekable();
    let mut depth = 0_usize;
    let mut begins = true;
    while let Some(token) = tokens.next() {
        if begins
            && (token.is("GLOBAL")
                || token == Token::SystemVariable
                    && tokens.peek().is_some_and(|next| next.is("GLOBAL")))
        {
            return true;
        }
        match token {
            Token::Semicolon => return false,
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        begins = depth == 0 && token == Token::Other(b',');
    }
    false
}

pub(super) fn set(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("SET")?;
    if c.eats_all(&["GLOBAL", "TRANSACTION"]) {
        return transaction(c);
    }
    let mut first = true;
    let assignments = list(c, |c| {
        let one = assignment(c, first);
        first = false;
        one
    })?;
    Ok(Statement::SetGlobal(assignments))
}

/// One assignment. A variable without `GLOBAL` is global if one with it stands before, as on the server.
fn assignment(c: &mut Cursor<'_>, first: bool) -> Result<Assignment, Problem> {
    let of_session = || {
        Problem::unsupported(
            "global variables must be set by a statement of their own: send SET GLOBAL … and SET SESSION … \
             separately",
        )
    };
    if c.peek() == Some(Token::SystemVariable) {
        c.next();
        if !c.eats("GLOBAL") {
            return Err(of_session());
        }
        c.need_byte(b'.')?;
    } else if c.eats("GLOBAL") {
        if c.is("TRANSACTION") {
            return Err(Problem::unsupported("SET GLOBAL TRANSACTION stands alone"));
        }
    } else if first
        || [
            "SESSION",
            "LOCAL",
            "NAMES",
            "CHARACTER",
            "CHARSET",
            "PASSWORD",
            "ROLE",
        ]
        .iter()
        .any(|word| c.is(word))
        || c.peek() == Some(Token::UserVariable)
    {
        return Err(of_session());
    }
    let variable = c.identifier()?.to_ascii_lowercase();
    if c.peek() == Some(Token::Other(b'.')) {
        return Err(Problem::unsupported(
            "variables with several instances cannot be set",
        ));
    }
    c.eats_byte(b':');
    c.need_byte(b'=')?;
    let value = value(c)?;
    Ok(Assignment { variable, value })
}

fn value(c: &mut Cursor<'_>) -> Result<Value, Problem> {
    let mode = c.mode();
    let (tokens, text) = c.up_to_comma()?;
    let text_value = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Problem::syntax("a value is not valid UTF-8"))
    };
    let minus = |token: Token<'_>| token == Token::Other(b'-');
    match tokens {
        [] => Err(Problem::syntax("a value is missing")),
        [one] => match one.token {
            Token::Number(digits) => text_value(digits).map(Value::Number),
            Token::Text(inside, quote) => text_of(inside, quote, mode).map(Value::Text),
            word if word.is("DEFAULT") => Ok(Value::Default),
            word if word.is("NULL") => Ok(Value::Null),
            Token::Word(word) if word.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') => {
                text_value(word).map(Value::Text)
            }
            _ => expression(text),
        },
        [sign, number] if minus(sign.token) => match number.token {
            Token::Number(digits) => Ok(Value::Number(format!("-{}", text_value(digits)?))),
            _ => expression(text),
        },
        _ => expression(text),
    }
}

fn expression(text: &[u8]) -> Result<Value, Problem> {
    if text.len() > LONGEST_EXPRESSION {
        return Err(Problem::unsupported("an expression is too long"));
    }
    Ok(Value::Expression(text.to_vec()))
}

fn transaction(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    let (mut isolation, mut read_only) = (None, None);
    loop {
        let twice = if c.eats_all(&["ISOLATION", "LEVEL"]) {
            let level = if c.eats("SERIALIZABLE") {
                Isolation::Serializable
            } else if c.eats_all(&["REPEATABLE", "READ"]) {
                Isolation::RepeatableRead
            } else if c.eats_all(&["READ", "COMMITTED"]) {
                Isolation::ReadCommitted
            } else if c.eats_all(&["READ", "UNCOMMITTED"]) {
                Isolation::ReadUncommitted
            } else {
                return Err(c.unexpected("an isolation level"));
            };
            isolation.replace(level).is_some()
        } else if c.eats_all(&["READ", "ONLY"]) {
            read_only.replace(true).is_some()
        } else if c.eats_all(&["READ", "WRITE"]) {
            read_only.replace(false).is_some()
        } else {
            return Err(c.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
        };
        if twice {
            return Err(Problem::syntax("it stands twice"));
        }
        if !c.eats_byte(b',') {
            return Ok(Statement::SetGlobalTransaction {
                isolation,
                read_only,
            });
        }
    }
}
