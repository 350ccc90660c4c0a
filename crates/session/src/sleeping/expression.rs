//! Evaluates literals, variables and the few expressions of them that drivers send.

use dormouse_types::VariableKind;
use dormouse_wire::status::Status;

use super::plain::{Plain, is_session, split};
use super::variables::{SessionVariables, variable};
use crate::lexer::Token;

/// Whether these quotes enclose a string.
pub(crate) fn is_text(quote: u8, known: &SessionVariables<'_>) -> bool {
    let quotes = |status: Status| status.contains(Status::ANSI_QUOTES);
    quote != b'"' || known.status().is_some_and(|status| !quotes(status))
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Word(String),
    Number(String),
    Text(String),
}

/// Evaluates a literal, a variable, `CONCAT`, parentheses or a `SELECT` of one of these; `None` for anything
/// else.
pub(crate) fn evaluate(tokens: &[Plain<'_>], known: &SessionVariables<'_>) -> Option<Value> {
    match tokens {
        [] => None,
        [open, inside @ .., close] if open.is_sign(b'(') && close.is_sign(b')') => {
            match inside.split_first() {
                Some((first, rest)) if first.is("SELECT") => evaluate(rest, known),
                _ => evaluate(inside, known),
            }
        }
        [one] => match one.token {
            Token::Word(_) => Some(Value::Word(one.text.to_owned())),
            Token::Number(_) => Some(Value::Number(one.text.to_owned())),
            Token::Text(_, quote) => {
                is_text(quote, known).then(|| Value::Text(one.text.to_owned()))
            }
            _ => None,
        },
        [word, open, arguments @ .., close]
            if word.is("CONCAT")
                && open.is_sign(b'(')
                && word.end == open.start
                && close.is_sign(b')') =>
        {
            let mut all = String::new();
            for argument in split(arguments) {
                match evaluate(argument, known)? {
                    Value::Text(text) => all.push_str(&text),
                    Value::Word(_) | Value::Number(_) => return None,
                }
            }
            Some(Value::Text(all))
        }
        [at, rest @ ..] if at.token == Token::SystemVariable => {
            let reference = Reference::parse(rest)?;
            let (kind, value) = reference.value(known)?;
            // a NULL may be an error here
            let value = value?.to_owned();
            Some(match kind {
                VariableKind::Text => Value::Text(value),
                VariableKind::Flag | VariableKind::Number => Value::Number(value),
                VariableKind::Fraction => return None,
            })
        }
        _ => None,
    }
}

/// `@@name`, `@@session.name`, `@@global.name`, without the `@@`.
pub(crate) struct Reference<'a> {
    name: &'a str,
    global: bool,
    scoped: bool,
}

impl<'a> Reference<'a> {
    /// Parses all of the tokens, between which there may be no white space.
    pub(crate) fn parse(tokens: &[Plain<'a>]) -> Option<Self> {
        if tokens.windows(2).any(|pair| pair[0].end != pair[1].start) {
            return None;
        }
        let (name, global, scoped) = match tokens {
            [name] => (name, false, false),
            [scope, dot, name] if dot.is_sign(b'.') => {
                let global = scope.is("GLOBAL");
                (global || is_session(scope)).then_some((name, global, true))?
            }
            _ => return None,
        };
        let name = matches!(name.token, Token::Word(_)).then_some(name.text)?;
        Some(Self {
            name,
            global,
            scoped,
        })
    }

    /// Whether it is the session's value of one of these variables.
    pub(crate) fn is_of_session(&self, names: &[&str]) -> bool {
        !self.global && { names.iter() }.any(|name| self.name.eq_ignore_ascii_case(name))
    }

    /// Its value; the inner `None` is NULL.
    pub(crate) fn value<'k>(
        &self,
        known: &'k SessionVariables<'_>,
    ) -> Option<(VariableKind, Option<&'k str>)> {
        let variable = variable(self.name)?;
        // the server may lack it, or have it only globally
        let global = known.globals.get(variable.name)?;
        if self.scoped && !self.global && !variable.session {
            return None;
        }
        let value = if self.global {
            Some(global)
        } else {
            known.value(variable.name)?
        };
        Some((variable.kind, value))
    }
}
