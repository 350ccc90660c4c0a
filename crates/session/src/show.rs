//! Parses `SHOW DORMOUSE …`, which Dormouse answers itself, and `SHOW PROCESSLIST`.

use crate::lexer::{Lexer, Mode, Token};

/// What a statement asks to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// This session: its state and its pins.
    Session,
    /// The sessions of the database.
    Sessions,
    /// The backends of the database and the sessions that use them.
    Pool,
    /// Counters.
    Status,
    /// `SHOW PROCESSLIST`: the server's list, with the connection ids that Dormouse gave its clients.
    Processes,
    /// `SHOW ENGINE INNODB STATUS`, whose text names connections.
    EngineStatus,
    /// A statement that begins with `SHOW DORMOUSE` and is not valid.
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
        if second.is("ENGINE") {
            let innodb = tokens.next()?.names("INNODB") && tokens.next()?.is("STATUS");
            return (innodb && tokens.next().is_none()).then_some(Self::EngineStatus);
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
            ("SHOW ENGINE InnoDB STATUS;", Some(Show::EngineStatus)),
            ("SHOW ENGINE Aria STATUS", None),
            ("SHOW FULL TABLES", None),
            ("SHOW STATUS", None),
            ("SELECT 'SHOW DORMOUSE POOL'", None),
        ] {
            assert_eq!(Show::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
