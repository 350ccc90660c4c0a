//! `wait_timeout`, which Dormouse enforces in place of the server.
//!
//! On a backend the variable has its highest value, so that the server never closes a pooled connection. For
//! a statement that reads or sets the variable the backend gets the session's value, and the highest one
//! again afterwards.

use crate::lexer::{Lexer, Mode, Token};

/// The variable's highest value, in seconds: a year.
pub const HIGHEST: u32 = 31_536_000;

/// How a statement uses the variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// It may read it.
    Asks,
    /// It sets it; the new value must be read from the server.
    Sets,
    /// It sets it to `DEFAULT`.
    SetsDefault,
}

impl Timeout {
    /// Judges a statement by its text. Not recognised: a query of `information_schema`, and a statement after
    /// another one in the same text.
    #[must_use]
    pub fn of(text: &[u8], mode: Mode) -> Option<Self> {
        let mut tokens = Lexer::new(text, mode);
        let first = tokens.next()?;
        if first.is("SELECT") {
            memchr::memchr(b'@', text)?;
            return tokens.any(|token| is_name(&token)).then_some(Self::Asks);
        }
        if first.is("SHOW") {
            let asks = tokens.any(|token| token.is("VARIABLES"));
            return asks.then_some(Self::Asks);
        }
        if !first.is("SET") {
            return None;
        }
        tokens.find(is_name)?;
        let value = tokens.find(|token| !matches!(token, Token::Other(b':' | b'=')));
        let default = value.is_some_and(|value| value.is("DEFAULT"));
        Some(if default {
            Self::SetsDefault
        } else {
            Self::Sets
        })
    }
}

/// Whether a statement of [`restore`](crate::SessionState::restore) names the variable.
#[must_use]
pub fn is_named(text: &[u8]) -> bool {
    Lexer::new(text, Mode::default()).any(|token| is_name(&token))
}

fn is_name(token: &Token<'_>) -> bool {
    token.names("WAIT_TIMEOUT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_judged_by_its_text() {
        for (text, expected) in [
            ("SELECT @@wait_timeout", Some(Timeout::Asks)),
            ("select 1, @@session.Wait_Timeout + 1", Some(Timeout::Asks)),
            (
                "/* a */SELECT @@a AS a, @@wait_timeout AS b",
                Some(Timeout::Asks),
            ),
            ("SHOW VARIABLES LIKE 'wait%'", Some(Timeout::Asks)),
            ("SHOW TABLES", None),
            ("SELECT wait_timeout FROM t", None),
            ("SELECT '@@wait_timeout'", None),
            ("SET wait_timeout = 5", Some(Timeout::Sets)),
            (
                "SET NAMES utf8, @@SESSION.`wait_timeout` := 1+1",
                Some(Timeout::Sets),
            ),
            (
                "SET SESSION wait_timeout=DEFAULT, a=1",
                Some(Timeout::SetsDefault),
            ),
            ("SET interactive_timeout = 5", None),
            ("INSERT INTO t VALUES ('@@wait_timeout')", None),
            ("", None),
        ] {
            assert_eq!(
                Timeout::of(text.as_bytes(), Mode::default()),
                expected,
                "{text}"
            );
        }
        assert!(is_named(b"SET SESSION WAIT_TIMEOUT = 5") && !is_named(b"SET a = 'wait_timeout'"));
    }
}
