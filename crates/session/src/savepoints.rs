//! Savepoints outside a transaction that the server reports: while `autocommit` is off a savepoint can be set
//! and rolled back to before the status flags show an open transaction (`sql/transaction.cc`,
//! `trans_savepoint`).
//!
//! Once they show one, the transaction itself pins the session, and nothing is kept here.

use crate::lexer::{Lexer, Mode, Token, begins_with};
use crate::restricted::FindPrepared;

/// The savepoints of a transaction that the status flags do not show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Savepoints {
    /// Names in the order in which they were set, in lower case.
    names: Vec<Vec<u8>>,
    /// Whether there may be others, set by a procedure, a block or a batch.
    obscure: bool,
}

impl Savepoints {
    /// Whether there may be any.
    pub(crate) fn any(&self) -> bool {
        self.obscure || !self.names.is_empty()
    }

    /// Forgets all: no transaction is open, or the status flags show the one that is.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes a text that has run with `autocommit` off and no transaction open. `prepared` finds the text
    /// that was prepared under a name, in lower case.
    pub(crate) fn ran(
        &mut self,
        text: &[u8],
        mode: Mode,
        failed: bool,
        prepared: FindPrepared<'_>,
    ) {
        let tokens: Vec<_> = Lexer::new(text, mode).collect();
        let mut one = tokens.as_slice();
        while let [rest @ .., Token::Semicolon] = one {
            one = rest;
        }
        let is_one = !one.contains(&Token::Semicolon);
        match one {
            _ if !is_one => self.obscure |= may_set(&tokens),
            [] => {}
            [first, Token::Word(name) | Token::Quoted(name, _), ..]
                if first.is("EXECUTE") && !one.get(1).is_some_and(|t| t.is("IMMEDIATE")) =>
            {
                match prepared(&name.to_ascii_lowercase()) {
                    Some(text) if !begins_with(&text, &["EXECUTE"]) => {
                        self.ran(&text, mode, failed, &|_| None);
                    }
                    _ => self.obscure = true,
                }
            }
            [first, ..] if first.is("EXECUTE") || first.is("CALL") => self.obscure = true,
            [first, ..] if first.is("BEGIN") || first.is("SET") || first.is("IF") => {
                self.obscure |= may_set(&tokens);
                let password = one.get(1).is_some_and(|token| token.is("PASSWORD"));
                if first.is("SET") && password && !failed {
                    self.clear();
                }
            }
            _ if failed => {}
            [first, name] if first.is("SAVEPOINT") => {
                let name = key(name);
                self.names.retain(|former| *former != name);
                self.names.push(name);
            }
            [first, _, name] if first.is("RELEASE") => {
                if let Some(at) = self.names.iter().position(|former| *former == key(name)) {
                    self.names.truncate(at);
                }
            }
            [first, rest @ .., name] if first.is("ROLLBACK") && goes_back(rest) => {
                if let Some(at) = self.names.iter().position(|former| *former == key(name)) {
                    self.names.truncate(at + 1);
                }
            }
            _ if commits(one) => self.clear(),
            _ => {}
        }
    }
}

fn key(token: &Token<'_>) -> Vec<u8> {
    token.name().unwrap_or_default().to_ascii_lowercase()
}

/// Whether a block or a batch may set a savepoint.
fn may_set(tokens: &[Token<'_>]) -> bool {
    let words = ["SAVEPOINT", "CALL", "EXECUTE"];
    let stores = tokens.first().is_some_and(|first| first.is("CREATE"));
    !stores && tokens.iter().any(|token| words.iter().any(|w| token.is(w)))
}

/// Whether these tokens, between `ROLLBACK` and a name, make it a rollback to a savepoint.
fn goes_back(tokens: &[Token<'_>]) -> bool {
    tokens.iter().any(|token| token.is("TO"))
}

/// Whether a statement ends the transaction before it does anything else.
fn commits(tokens: &[Token<'_>]) -> bool {
    const WORDS: [&str; 11] = [
        "COMMIT", "ROLLBACK", "CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE",
        "FLUSH", "LOCK",
    ];
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    let temporary = (1..4).any(|at| word(at, "TEMPORARY"));
    let prepared = word(0, "DROP") && word(1, "PREPARE");
    let analyzes = word(0, "ANALYZE") && (word(1, "TABLE") || word(1, "TABLES"));
    analyzes || WORDS.iter().any(|first| word(0, first)) && !temporary && !prepared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> bool {
        let mut savepoints = Savepoints::default();
        for text in texts {
            savepoints.ran(
                text.as_bytes(),
                Mode::default(),
                false,
                &|name| match name {
                    b"sets" => Some(b"SAVEPOINT s".as_slice().into()),
                    b"harmless" => Some(b"SELECT 1".as_slice().into()),
                    _ => None,
                },
            );
        }
        savepoints.any()
    }

    #[test]
    fn what_may_set_a_savepoint_is_known_by_its_words() {
        for text in [
            "SAVEPOINT s",
            "savepoint `s`;",
            "CALL p()",
            "EXECUTE sets",
            "EXECUTE unheard_of",
            "EXECUTE IMMEDIATE 'SAVEPOINT s'",
            "BEGIN NOT ATOMIC SAVEPOINT s; END",
            "IF 1 THEN SAVEPOINT s; END IF",
            "DO 1; SAVEPOINT s",
            "SELECT 1; CALL p()",
            "SET STATEMENT max_statement_time = 1 FOR CALL p()",
        ] {
            assert!(after(&[text]), "{text}");
        }
        for text in [
            "EXECUTE harmless",
            "SELECT 1",
            "SET @a = 1",
            "ROLLBACK TO s",
            "RELEASE SAVEPOINT s",
            "SELECT 1; SELECT 2",
            "CREATE PROCEDURE p() BEGIN SAVEPOINT s; END",
        ] {
            assert!(!after(&[text]), "{text}");
        }
    }

    #[test]
    fn one_lasts_until_it_is_released_or_the_transaction_ends() {
        for text in [
            "RELEASE SAVEPOINT S",
            "COMMIT",
            "rollback work;",
            "CREATE TABLE t (i INT)",
            "DROP TABLE t",
            "ANALYZE TABLE t",
            "SET PASSWORD = ''",
            "LOCK TABLES t READ",
        ] {
            assert!(!after(&["SAVEPOINT s", text]), "{text}");
        }
        for text in [
            "ROLLBACK TO s",
            "ROLLBACK WORK TO SAVEPOINT s",
            "SELECT 1",
            "CREATE TEMPORARY TABLE t (i INT)",
            "CREATE OR REPLACE TEMPORARY TABLE t (i INT)",
            "DROP TEMPORARY TABLE t",
            "DROP PREPARE p",
            "UNLOCK TABLES",
            "ANALYZE SELECT 1",
            "RELEASE SAVEPOINT other",
        ] {
            assert!(after(&["SAVEPOINT s", text]), "{text}");
        }
        assert!(after(&[
            "SAVEPOINT a",
            "SAVEPOINT b",
            "RELEASE SAVEPOINT b"
        ]));
        assert!(!after(&[
            "SAVEPOINT a",
            "SAVEPOINT b",
            "RELEASE SAVEPOINT a"
        ]));
        assert!(!after(&["CALL p()", "COMMIT"]));
    }
}
