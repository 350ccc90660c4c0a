//! `SHOW DORMOUSE …`: what Dormouse itself answers about its clients and backends.

use crate::lexer::{Lexer, Mode, Token};

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// This session: what it holds and what keeps its backend.
    Session,
    /// The sessions of the database.
    Sessions,
    /// The backends of the database and who has them.
    Pool,
    /// Counts.
    Status,
    /// `SHOW PROCESSLIST`: the server's own, in which clients are known by the ids they were given.
    Processes,
    /// Something else: the statement begins like ours and is none.
    Unknown,
}

impl Show {
    /// Parses `SHOW DORMOUSE SESSION | SESSIONS | POOL | STATUS` and `SHOW [FULL] PROCESSLIST`;
    /// `None` if the text is neither.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut tokens =
            Lexer::new(text, Mode::default()).filter(|token| *token != Token::Semicolon);
        if !tokens.next()?.is("SHOW") {
            return None;
        }
        let mut second = tokens.next()?;
        if second.is("FULL") {
            second = tokens.next()?;
        }
        if second.is("PROCESSLIST") && tokens.next().is_none() {
            return Some(Self::Processes);
        }
        if !second.is("DORMOUSE") {
            return None;
        }
        let what = tokens.next();
        let table = [
            ("SESSION", Self::Session),
            ("SESSIONS", Self::Sessions),
            ("POOL", Self::Pool),
            ("STATUS", Self::Status),
        ];
        let known = what.and_then(|what| table.iter().find(|(word, _)| what.is(word)));
        Some(match known {
            Some((_, show)) if tokens.next().is_none() => *show,
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_dormouse_is_recognised() {
        for (text, expected) in [
            ("SHOW DORMOUSE SESSION", Some(Show::Session)),
            ("show dormouse sessions;", Some(Show::Sessions)),
            ("/* a */ SHOW /* b */ DORMOUSE POOL", Some(Show::Pool)),
            ("SHOW DORMOUSE STATUS", Some(Show::Status)),
            ("SHOW DORMOUSE", Some(Show::Unknown)),
            ("SHOW DORMOUSE STATUS LIKE 'a'", Some(Show::Unknown)),
            ("SHOW PROCESSLIST", Some(Show::Processes)),
            ("show full processlist;", Some(Show::Processes)),
            ("SHOW FULL TABLES", None),
            ("SHOW STATUS", None),
            ("SELECT 'SHOW DORMOUSE POOL'", None),
        ] {
            assert_eq!(Show::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
