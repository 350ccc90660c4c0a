//! Variables whose values on a backend are Dormouse's own: `wait_timeout`, `net_read_timeout`,
//! `net_write_timeout`, and `session_track_state_change`.
//!
//! On a backend the timeouts have their highest values, because a thawed server sees its clocks jump, and Dormouse
//! enforces `wait_timeout` in place of the server; and changes of state are tracked. For a statement that may read or
//! set one of them, the backend gets the session's values ([`show`]), and Dormouse's again afterwards ([`hide`]).

use crate::lexer::{Lexer, Mode, Token};

/// The highest value of the timeouts, in seconds: a year.
pub const HIGHEST: u32 = 31_536_000;

/// The variables.
const NAMES: [&str; 4] = [
    "WAIT_TIMEOUT",
    "NET_READ_TIMEOUT",
    "NET_WRITE_TIMEOUT",
    "SESSION_TRACK_STATE_CHANGE",
];
/// The tables of `information_schema` and `performance_schema` that show variables.
const TABLES: [&str; 3] = ["SYSTEM_VARIABLES", "SESSION_VARIABLES", "GLOBAL_VARIABLES"];

/// How a statement uses the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// It may read them.
    Asks,
    /// It may set `wait_timeout` or `session_track_state_change`; the new values must be read from the server.
    Sets,
    /// It sets `wait_timeout` to `DEFAULT`.
    SetsDefault,
}

impl Timeout {
    /// Judges a statement by its text. Not recognised: one that runs stored code which names them.
    #[must_use]
    pub fn of(text: &[u8], mode: Mode) -> Option<Self> {
        let mut tokens = Lexer::new(text, mode);
        let first = tokens.next()?;
        if first.is("SHOW") {
            let asks = tokens.any(|token| token.is("VARIABLES"));
            return asks.then_some(Self::Asks);
        }
        if !may_name(text) {
            return None;
        }
        let shows = |token: &Token<'_>| is_name(token) || is_any(token, &TABLES);
        if !Lexer::new(text, mode).any(|token| shows(&token)) {
            return None;
        }
        // the body runs later
        let table = Lexer::new(text, mode)
            .take(5)
            .any(|token| token.is("TABLE"));
        let stores = first.is_any(&["CREATE", "ALTER"]) && !table;
        let sets = Lexer::new(text, mode).any(|token| token.is("SET"));
        if stores || !sets {
            return (!stores).then_some(Self::Asks);
        }
        if !first.is("SET") || !tokens.any(|token| token.names("WAIT_TIMEOUT")) {
            return Some(Self::Sets);
        }
        let value = tokens.find(|token| !matches!(token, Token::Other(b':' | b'=')));
        let default = value.is_some_and(|value| value.is("DEFAULT"));
        Some(if default {
            Self::SetsDefault
        } else {
            Self::Sets
        })
    }
}

/// A fast check, so that most texts are not read.
fn may_name(text: &[u8]) -> bool {
    let follows = |at: usize, word: &str| {
        let there = text.get(at + 1..at + 1 + word.len());
        there.is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
    };
    let ends = ["TIMEOUT", "VARIABLES", "STATE_CHANGE"];
    memchr::memchr_iter(b'_', text).any(|at| ends.iter().any(|end| follows(at, end)))
}

/// Whether a statement of [`restore`](crate::SessionState::restore) may set `wait_timeout` or
/// `session_track_state_change`: [`hide_again`] follows.
#[must_use]
pub fn is_named(text: &[u8]) -> bool {
    let named =
        |token: Token<'_>| token.names("WAIT_TIMEOUT") || token.names("SESSION_TRACK_STATE_CHANGE");
    Lexer::new(text, Mode::default()).any(named)
}

/// The statement that gives a backend Dormouse's own values of these two.
#[must_use]
pub fn hide_again() -> String {
    format!("SET SESSION wait_timeout = {HIGHEST}, session_track_state_change = ON")
}

fn is_name(token: &Token<'_>) -> bool {
    is_any(token, &NAMES)
}

fn is_any(token: &Token<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| token.names(name))
}

/// The statement that gives a backend the session's values. `tracking`: its own value of
/// `session_track_state_change`, if it has set one.
#[must_use]
pub fn show(seconds: u64, tracking: Option<bool>) -> String {
    let seconds = seconds.clamp(1, HIGHEST.into());
    let net = |name: &str| {
        format!("{name} = IF(@@SESSION.{name} = {HIGHEST}, @@GLOBAL.{name}, @@SESSION.{name})")
    };
    let track = match tracking {
        Some(true) => "ON",
        Some(false) => "OFF",
        None => "@@GLOBAL.session_track_state_change",
    };
    format!(
        "SET SESSION wait_timeout = {seconds}, {}, {}, session_track_state_change = {track}",
        net("net_read_timeout"),
        net("net_write_timeout")
    )
}

/// The statement that gives a backend Dormouse's own values.
#[must_use]
pub fn hide() -> String {
    let net = |name: &str| {
        format!("{name} = IF(@@SESSION.{name} = @@GLOBAL.{name}, {HIGHEST}, @@SESSION.{name})")
    };
    format!(
        "SET SESSION wait_timeout = {HIGHEST}, {}, {}, session_track_state_change = ON",
        net("net_read_timeout"),
        net("net_write_timeout")
    )
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
            ("show /* a */ global variables", Some(Timeout::Asks)),
            ("(SELECT @@net_read_timeout)", Some(Timeout::Asks)),
            ("INSERT INTO t SELECT @@wait_timeout", Some(Timeout::Asks)),
            ("SELECT 1; SELECT @@wait_timeout", Some(Timeout::Asks)),
            (
                "SELECT * FROM information_schema.SESSION_VARIABLES",
                Some(Timeout::Asks),
            ),
            (
                "WITH a AS (SELECT @@session_track_state_change) SELECT * FROM a",
                Some(Timeout::Asks),
            ),
            (
                "BEGIN NOT ATOMIC SET wait_timeout = 5; END",
                Some(Timeout::Sets),
            ),
            ("DO 1; SET wait_timeout = 5", Some(Timeout::Sets)),
            ("SET @a = @@wait_timeout", Some(Timeout::Sets)),
            (
                "CREATE TEMPORARY TABLE t AS SELECT @@wait_timeout",
                Some(Timeout::Asks),
            ),
            ("SHOW TABLES", None),
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
            (
                "CREATE FUNCTION f() RETURNS INT RETURN @@wait_timeout",
                None,
            ),
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
