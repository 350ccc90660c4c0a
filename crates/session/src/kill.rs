//! Parses `KILL`: its connection id is the one that Dormouse gave the client, not the server's.

use crate::lexer::{Lexer, Mode, Token};

/// A `KILL` statement as parsed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Whether it ends only the running statement (`QUERY`).
    pub query_only: bool,
    /// The connection id, as given by Dormouse.
    pub connection: u32,
}

impl Kill {
    /// Parses `KILL [HARD | SOFT] [CONNECTION | QUERY] id`; anything else (`KILL USER`, `KILL QUERY
    /// ID`, an expression) is `None` and goes to the server unchanged.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut tokens =
            Lexer::new(text, Mode::default()).filter(|token| *token != Token::Semicolon);
        if !tokens.next()?.is("KILL") {
            return None;
        }
        let mut token = tokens.next()?;
        if token.is("HARD") || token.is("SOFT") {
            token = tokens.next()?;
        }
        let query_only = token.is("QUERY");
        if query_only || token.is("CONNECTION") {
            token = tokens.next()?;
        }
        let Token::Number(digits) = token else {
            return None;
        };
        let connection = std::str::from_utf8(digits).ok()?.parse().ok()?;
        tokens.next().is_none().then_some(Self {
            query_only,
            connection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_by_id_is_recognised() {
        let kill = |query_only, connection| {
            Some(Kill {
                query_only,
                connection,
            })
        };
        for (text, expected) in [
            ("KILL 7", kill(false, 7)),
            ("kill connection 7;", kill(false, 7)),
            ("/* ^C */ KILL QUERY 12", kill(true, 12)),
            ("KILL SOFT QUERY 3", kill(true, 3)),
            ("KILL QUERY ID 3", None),
            ("KILL USER joe", None),
            ("KILL 7; SELECT 1", None),
            ("KILL CONNECTION_ID()", None),
            ("SELECT 7", None),
        ] {
            assert_eq!(Kill::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
