//! Parses `KILL`: its connection id is the one that Dormouse gave the client, not the server's.

use std::ops::Range;

use crate::lexer::{Lexer, Mode, Spanned, Token};

/// A `KILL` statement as parsed from its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Whether it ends only the running statement (`QUERY`).
    pub query_only: bool,
    /// Which connection.
    pub connection: Named,
}

/// How a `KILL` names its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By its id, as given by Dormouse.
    Id(u32),
    /// By a value that only the server can compute: the expression's place in the text.
    Value(Range<usize>),
    /// By the only parameter of a prepared statement.
    Parameter,
    /// Those of a user, and of this host part of its account.
    User {
        /// The name.
        name: Vec<u8>,
        /// The host part, if it is given.
        host: Option<Vec<u8>>,
    },
    /// Those of the own user.
    CurrentUser,
}

impl Kill {
    /// Parses `KILL [HARD | SOFT] [CONNECTION | QUERY] id`; anything else (`KILL USER`, `KILL QUERY ID`, several
    /// statements) is `None` and goes to the server unchanged.
    #[must_use]
    pub fn parse(text: &[u8], mode: Mode) -> Option<Self> {
        let mut lexer = Lexer::new(text, mode);
        // most statements are not read further
        lexer.next_spanned().filter(|span| span.token.is("KILL"))?;
        let mut spans: Vec<_> = lexer.spanned().collect();
        while spans
            .last()
            .is_some_and(|span| span.token == Token::Semicolon)
        {
            spans.pop();
        }
        let mut rest = spans.as_slice();
        let mut next_is = |words: &[&str]| match rest {
            [first, more @ ..] if !more.is_empty() && first.token.is_any(words) => {
                rest = more;
                true
            }
            _ => false,
        };
        next_is(&["HARD", "SOFT"]);
        let query_only = next_is(&["QUERY"]);
        if !query_only {
            next_is(&["CONNECTION"]);
        }
        let connection = match rest {
            [user, account @ ..] if user.token.is("USER") && !query_only => {
                account_of(text, account)?
            }
            _ => named(rest)?,
        };
        Some(Self {
            query_only,
            connection,
        })
    }
}

fn named(rest: &[Spanned<'_>]) -> Option<Named> {
    match rest {
        [only] => match only.token {
            Token::Number(digits) | Token::Text(digits, _) if !digits.is_empty() => {
                number(digits).map(Named::Id)
            }
            Token::Other(b'?') => Some(Named::Parameter),
            // it would be a column
            Token::UserVariable => Some(Named::Value(only.start..only.end)),
            _ => None,
        },
        [first, .., last] => {
            // KILL USER name, KILL QUERY ID number
            let other = first.token.is("USER") || first.token.is("ID");
            let several = rest.iter().any(|span| span.token == Token::Semicolon);
            (!other && !several).then_some(Named::Value(first.start..last.end))
        }
        [] => None,
    }
}

/// The account in `KILL USER account`.
fn account_of(text: &[u8], account: &[Spanned<'_>]) -> Option<Named> {
    let unquoted = |token: &Token<'_>| match *token {
        Token::Text(name, _) => Some(name.to_vec()),
        ref other => other.name().map(std::borrow::Cow::into_owned),
    };
    match account {
        [word, ..] if word.token.is("CURRENT_USER") => Some(Named::CurrentUser),
        [name] => Some(Named::User {
            name: unquoted(&name.token)?,
            host: None,
        }),
        // the lexer takes @host for a variable
        [name, host] if host.token == Token::UserVariable => {
            let host = text.get(host.start + 1..host.end)?;
            let host = Lexer::new(host, Mode::default()).next()?;
            Some(Named::User {
                name: unquoted(&name.token)?,
                host: Some(unquoted(&host)?),
            })
        }
        _ => None,
    }
}

/// The id that a value is; of a decimal number its whole part.
#[must_use]
pub fn number(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_by_id_is_recognised() {
        let kill = |query_only, connection| {
            Some(Kill {
                query_only,
                connection: Named::Id(connection),
            })
        };
        for (text, expected) in [
            ("KILL 7", kill(false, 7)),
            ("kill connection 7;", kill(false, 7)),
            ("/* ^C */ KILL QUERY 12", kill(true, 12)),
            ("KILL SOFT QUERY 3", kill(true, 3)),
            ("KILL '7'", kill(false, 7)),
            ("KILL QUERY ID 3", None),
            ("KILL QUERY USER joe", None),
            ("KILL 7; SELECT 1", None),
            ("KILL", None),
            ("SELECT 7", None),
        ] {
            assert_eq!(
                Kill::parse(text.as_bytes(), Mode::default()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn kill_by_a_value_is_recognised() {
        for (text, query_only, value) in [
            ("KILL CONNECTION_ID()", false, "CONNECTION_ID()"),
            ("KILL QUERY CONNECTION_ID();", true, "CONNECTION_ID()"),
            ("KILL @a", false, "@a"),
            ("KILL HARD QUERY (SELECT 1) + 2", true, "(SELECT 1) + 2"),
            ("KILL CAST('7' AS UNSIGNED)", false, "CAST('7' AS UNSIGNED)"),
        ] {
            let kill = Kill::parse(text.as_bytes(), Mode::default());
            let Some(Named::Value(range)) = kill.as_ref().map(|kill| kill.connection.clone())
            else {
                panic!("{text}: {kill:?}");
            };
            assert_eq!(text.get(range), Some(value));
            assert!(
                kill.is_some_and(|kill| kill.query_only == query_only),
                "{text}"
            );
        }
        for (text, host) in [
            ("KILL USER 'joe'", None),
            ("kill user joe@'%'", Some(b"%".to_vec())),
        ] {
            let kill = Kill::parse(text.as_bytes(), Mode::default());
            let name = b"joe".to_vec();
            assert_eq!(
                kill.map(|kill| kill.connection),
                Some(Named::User { name, host }),
                "{text}"
            );
        }
        let parameter = Kill::parse(b"KILL QUERY ?", Mode::default());
        assert!(parameter.is_some_and(|kill| kill.connection == Named::Parameter));
    }
}
