//! Statements prepared with SQL's own `PREPARE … FROM`.
//!
//! A statement whose text is given as a literal is prepared again on another backend. The server counts
//! `PREPARE`s per session: a higher count than that of the session's own texts means that a procedure has
//! prepared one, which pins the session.
//!
//! A statement that cannot be prepared now, because its table is gone, is tried again when it is executed. In
//! its place the backend has a substitute of the same name that fails with the same error, so that `EXECUTE`
//! fails as it should, in a batch or a procedure too, and `DEALLOCATE` succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_wire::reply::ErrPacket;

use crate::lexer::{Lexer, Mode, Token};
use crate::literal::{literal, quoted_name};
use crate::statements::ParsingContext;

/// The most statements, and the most bytes of them, that are kept for one session.
const MOST: usize = 64;
const MOST_BYTES: usize = 64 << 10;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prepared {
    /// The whole `PREPARE`.
    statement: Box<[u8]>,
    schema: Option<Arc<[u8]>>,
    context: ParsingContext,
    /// Whether the present backend has a substitute in its place.
    missing: bool,
}

/// A session's statements of this kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TextPrepared {
    by_name: BTreeMap<Vec<u8>, Prepared>,
    /// The number of `PREPARE` that the session's own texts account for.
    seen: u64,
    /// Whether there may be a statement whose text is not known.
    obscure: bool,
}

impl TextPrepared {
    /// Notes a text that has succeeded.
    pub(crate) fn ran(
        &mut self,
        text: &[u8],
        mode: Mode,
        schema: Option<&Arc<[u8]>>,
        context: ParsingContext,
    ) {
        let mut tokens = Lexer::new(text, mode);
        match tokens.next() {
            Some(first) if first.is("PREPARE") => self.prepared(text, mode, schema, context),
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

    fn prepared(
        &mut self,
        text: &[u8],
        mode: Mode,
        schema: Option<&Arc<[u8]>>,
        context: ParsingContext,
    ) {
        self.seen += 1;
        let mut tokens = Lexer::new(text, mode).skip(1);
        let found = tokens.next().and_then(|token| name(&token));
        let from = tokens.next().is_some_and(|token| token.is("FROM"));
        let literal = matches!(tokens.next(), Some(Token::Text(..)));
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
                missing: false,
            };
            self.by_name.insert(found, one);
        } else {
            self.obscure = true;
        }
    }

    /// Notes a text that has failed: if it is a valid `PREPARE`, the server has counted it and forgotten the
    /// former statement of that name.
    pub(crate) fn failed(&mut self, text: &[u8], mode: Mode) {
        let mut tokens = Lexer::new(text, mode);
        let first = tokens.next();
        let found = tokens.next().and_then(|token| name(&token));
        let from = tokens.next().is_some_and(|token| token.is("FROM"));
        if first.is_some_and(|first| first.is("PREPARE"))
            && let Some(found) = found
            && from
            && literal(tokens).is_some()
        {
            self.seen += 1;
            self.by_name.remove(&found);
        }
    }

    /// Takes the server's count.
    pub(crate) fn counted(&mut self, prepared: u64) {
        self.obscure |= prepared > self.seen;
    }

    /// Whether there may be a statement that cannot be prepared again in this schema and context.
    pub(crate) fn is_stuck(&self, schema: Option<&Arc<[u8]>>, context: ParsingContext) -> bool {
        let elsewhere = |one: &Prepared| one.schema.as_ref() != schema || one.context != context;
        self.obscure || self.by_name.values().any(elsewhere)
    }

    /// The `PREPARE` of this name (in lower case), if it is known and was parsed in this context.
    pub(crate) fn find(&self, name: &[u8], context: ParsingContext) -> Option<&[u8]> {
        let one = self.by_name.get(name).filter(|_| !self.obscure)?;
        (one.context == context).then_some(&one.statement)
    }

    /// The names, and the statements that prepare them again.
    pub(crate) fn restore(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let all = self.by_name.iter();
        all.map(|(name, one)| (name.as_slice(), &*one.statement))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names and texts of statements that the present backend lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let missing = self.by_name.iter().filter(|(_, one)| one.missing);
        missing.map(|(name, one)| (name.as_slice(), &*one.statement))
    }

    /// Notes the outcome of another try, and how many `PREPARE`s the server has counted for it.
    pub(crate) fn tried(&mut self, name: &[u8], counted: u64, missing: bool) {
        if let Some(one) = self.by_name.get_mut(name) {
            one.missing = missing;
        }
        self.seen += counted;
    }

    /// Notes that the backend is a new one, on which all are prepared again.
    pub(crate) fn moved(&mut self) {
        self.seen = self.by_name.len() as u64;
        self.obscure = false;
        for one in self.by_name.values_mut() {
            one.missing = false;
        }
    }
}

/// The number of parameters of the statement that a `PREPARE` prepares.
pub(crate) fn parameters(prepare: &[u8], mode: Mode) -> usize {
    let mut tokens = Lexer::new(prepare, mode);
    tokens.by_ref().take(3).for_each(drop);
    let is_parameter = |token: &Token<'_>| *token == Token::Other(b'?');
    let text = literal(tokens).unwrap_or_default();
    Lexer::new(&text, mode).filter(is_parameter).count()
}

/// The `PREPARE` of a substitute with this number of parameters: executing it fails with this error. The parameters
/// stand where any value will do, in a limit that stays none.
pub(crate) fn stand_in(name: &[u8], parameters: usize, error: &ErrPacket) -> Vec<u8> {
    let ErrPacket {
        code,
        sqlstate,
        message,
    } = error;
    let state = String::from_utf8_lossy(sqlstate);
    // in every SQL mode: no backslash, and quotes doubled for each level
    let message = message.replace('\\', "?").replace('\'', "''''");
    let takes = match parameters {
        0 => String::new(),
        some => format!(
            "SET STATEMENT max_statement_time = 0 * COALESCE({}0) FOR ",
            "? IS NULL, ".repeat(some)
        ),
    };
    let signal = format!(
        " FROM '{takes}SIGNAL SQLSTATE ''{state}'' SET MYSQL_ERRNO = {code}, \
         MESSAGE_TEXT = ''{message}'''"
    );
    [b"PREPARE ", &*quoted_name(name), signal.as_bytes()].concat()
}

fn name(token: &Token<'_>) -> Option<Vec<u8>> {
    token.name().map(|name| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> TextPrepared {
        let mut all = TextPrepared::default();
        for text in texts {
            all.ran(text.as_bytes(), Mode::default(), None, ParsingContext(0));
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
        assert!(!all.is_stuck(None, ParsingContext(0)));
        assert!(
            all.is_stuck(None, ParsingContext(1)),
            "it was prepared in another context"
        );
        let restored: Vec<_> = all.restore().map(|(_, statement)| statement).collect();
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
        assert!(after(&["PREPARE a FROM @text"]).is_stuck(None, ParsingContext(0)));
        assert!(after(&["PREPARE a FROM CONCAT('SELECT ', 1)"]).is_stuck(None, ParsingContext(0)));
        let mut all = after(&["PREPARE a FROM 'SELECT 1'"]);
        all.counted(1);
        assert!(!all.is_stuck(None, ParsingContext(0)));
        all.counted(2);
        assert!(
            all.is_stuck(None, ParsingContext(0)),
            "a procedure has prepared one"
        );
    }

    #[test]
    fn one_that_failed_is_counted_and_forgotten() {
        let mut all = after(&["PREPARE a FROM 'SELECT 1'"]);
        all.failed(b"PREPARE a FROM 'SELECT nonsense'", Mode::default());
        all.counted(2);
        assert!(!all.is_stuck(None, ParsingContext(0)));
        assert!(all.is_empty());
        all.failed(b"PREPARE FROM nonsense", Mode::default());
        all.counted(3);
        assert!(
            all.is_stuck(None, ParsingContext(0)),
            "the server has not counted that"
        );
    }

    #[test]
    fn what_cannot_be_prepared_fails_when_it_is_executed() {
        let error = ErrPacket {
            code: 1146,
            sqlstate: *b"42S02",
            message: "Table 'd.t' doesn't exist".into(),
        };
        assert_eq!(
            String::from_utf8_lossy(&stand_in(b"a", 0, &error)),
            "PREPARE `a` FROM 'SIGNAL SQLSTATE ''42S02'' SET MYSQL_ERRNO = 1146, \
             MESSAGE_TEXT = ''Table ''''d.t'''' doesn''''t exist'''"
        );
        let prepare = b"PREPARE a FROM 'SELECT ''?'', ? FROM t WHERE i = ? -- ?'";
        assert_eq!(parameters(prepare, Mode::default()), 2);
        let error = ErrPacket {
            message: "no".into(),
            ..error
        };
        assert_eq!(
            String::from_utf8_lossy(&stand_in(b"a", 2, &error)),
            "PREPARE `a` FROM 'SET STATEMENT max_statement_time = 0 * COALESCE(? IS NULL, ? IS NULL, 0) \
             FOR SIGNAL SQLSTATE ''42S02'' SET MYSQL_ERRNO = 1146, MESSAGE_TEXT = ''no'''"
        );
        let mut all = after(&["PREPARE a FROM 'SELECT 1 FROM t'"]);
        all.moved();
        all.tried(b"a", 1, true);
        assert_eq!(all.missing().count(), 1);
        all.counted(2);
        assert!(!all.is_stuck(None, ParsingContext(0)));
        all.tried(b"a", 1, false);
        assert_eq!(all.missing().count(), 0);
    }
}
