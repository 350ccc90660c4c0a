//! Statements prepared with SQL's own `PREPARE … FROM`.
//!
//! One whose text stands in the statement as a literal is prepared again on another backend. The
//! server counts `PREPARE`s for each session: more than were seen here means that a procedure has
//! made one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lexer::{Lexer, Token};

/// The most statements, and the most bytes of them, that are kept.
const MOST: usize = 64;
const MOST_BYTES: usize = 64 << 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prepared {
    /// The whole `PREPARE`.
    statement: Box<[u8]>,
    schema: Option<Arc<[u8]>>,
    context: u32,
}

/// A session's statements of this kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TextPrepared {
    by_name: BTreeMap<Vec<u8>, Prepared>,
    /// How many `PREPARE` the server must have counted.
    seen: u64,
    /// Whether there may be one whose text is not known.
    obscure: bool,
}

impl TextPrepared {
    /// Notes a text that has succeeded.
    pub(crate) fn ran(&mut self, text: &[u8], schema: Option<&Arc<[u8]>>, context: u32) {
        let mut tokens = Lexer::new(text);
        match tokens.next() {
            Some(first) if first.is("PREPARE") => self.prepared(text, schema, context),
            Some(first) if first.is("DEALLOCATE") || first.is("DROP") => {
                if tokens.next().is_some_and(|token| token.is("PREPARE"))
                    && let Some(name) = tokens.next().and_then(|token| name(&token))
                {
                    self.by_name.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn prepared(&mut self, text: &[u8], schema: Option<&Arc<[u8]>>, context: u32) {
        self.seen += 1;
        let mut tokens = Lexer::new(text).skip(1);
        let found = tokens.next().and_then(|token| name(&token));
        let from = tokens.next().is_some_and(|token| token.is("FROM"));
        let literal = matches!(tokens.next(), Some(Token::Text));
        let last = tokens.all(|token| token == Token::Semicolon);
        let Some(found) = found else {
            self.obscure = true;
            return;
        };
        self.by_name.remove(&found);
        let bytes: usize = self.by_name.values().map(|one| one.statement.len()).sum();
        let fits = self.by_name.len() < MOST && bytes + text.len() <= MOST_BYTES;
        if from && literal && last && fits {
            let one = Prepared {
                statement: text.into(),
                schema: schema.cloned(),
                context,
            };
            self.by_name.insert(found, one);
        } else {
            self.obscure = true;
        }
    }

    /// What the server has counted.
    pub(crate) fn counted(&mut self, prepared: u64) {
        self.obscure |= prepared > self.seen;
    }

    /// Whether there may be one that cannot be prepared again in this schema and context.
    pub(crate) fn is_stuck(&self, schema: Option<&Arc<[u8]>>, context: u32) -> bool {
        let elsewhere = |one: &Prepared| one.schema.as_ref() != schema || one.context != context;
        self.obscure || self.by_name.values().any(elsewhere)
    }

    /// The `PREPARE` of this name (in lower case), if it is known and was read as texts are read now.
    pub(crate) fn find(&self, name: &[u8], context: u32) -> Option<&[u8]> {
        let one = self.by_name.get(name).filter(|_| !self.obscure)?;
        (one.context == context).then_some(&one.statement)
    }

    /// The statements that prepare them again. A new backend will have counted as many.
    pub(crate) fn restore(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.by_name.values().map(|one| one.statement.to_vec())
    }

    /// The backend is a new one, on which they have been prepared again.
    pub(crate) fn moved(&mut self) {
        self.seen = self.by_name.len() as u64;
        self.obscure = false;
    }
}

fn name(token: &Token<'_>) -> Option<Vec<u8>> {
    match token {
        Token::Word(name) | Token::Quoted(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> TextPrepared {
        let mut all = TextPrepared::default();
        for text in texts {
            all.ran(text.as_bytes(), None, 0);
        }
        all
    }

    #[test]
    fn literal_texts_are_prepared_again() {
        let all = after(&[
            "PREPARE a FROM 'SELECT 1'",
            "prepare `B` from \"SELECT 2\";",
            "PREPARE A FROM 'SELECT 3'",
            "PREPARE c FROM 'SELECT 4'",
            "DEALLOCATE PREPARE c",
        ]);
        assert!(!all.is_stuck(None, 0));
        assert!(all.is_stuck(None, 1), "it was prepared in another context");
        let restored: Vec<_> = all.restore().collect();
        assert_eq!(
            restored,
            [
                &b"PREPARE A FROM 'SELECT 3'"[..],
                b"prepare `B` from \"SELECT 2\";"
            ]
        );
    }

    #[test]
    fn others_are_stuck() {
        assert!(after(&["PREPARE a FROM @text"]).is_stuck(None, 0));
        assert!(after(&["PREPARE a FROM CONCAT('SELECT ', 1)"]).is_stuck(None, 0));
        let mut all = after(&["PREPARE a FROM 'SELECT 1'"]);
        all.counted(1);
        assert!(!all.is_stuck(None, 0));
        all.counted(2);
        assert!(all.is_stuck(None, 0), "a procedure has prepared one");
    }
}
