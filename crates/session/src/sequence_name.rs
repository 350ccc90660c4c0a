//! Names of sequences in a statement's text: which it advances, and whose last value it asks for.

use std::borrow::Cow;

use crate::lexer::Token;

/// A sequence as named in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) schema: Option<Vec<u8>>,
    pub(crate) name: Vec<u8>,
}

impl Name {
    /// The sequence whose last value the first tokens ask for, and the number of these tokens.
    pub(crate) fn asked(tokens: &[Token<'_>]) -> Option<(Self, usize)> {
        match tokens {
            [word, Token::Other(b'('), rest @ ..] if word.is("LASTVAL") => {
                let (name, length) = Self::parse(rest)?;
                (rest.get(length) == Some(&Token::Other(b')'))).then_some((name, length + 3))
            }
            [previous, value, word, rest @ ..]
                if previous.is("PREVIOUS") && value.is("VALUE") && word.is("FOR") =>
            {
                Self::parse(rest).map(|(name, length)| (name, length + 3))
            }
            _ => {
                // ORACLE: s.currval
                let (name, length) = Self::before(tokens, "CURRVAL")?;
                Some((name, length))
            }
        }
    }

    /// The sequence that the first tokens advance; inner `None`: one whose name is not known.
    pub(crate) fn advanced(tokens: &[Token<'_>]) -> Option<Option<Self>> {
        let parse = |rest| Self::parse(rest).map(|(name, _)| name);
        match tokens {
            [word, Token::Other(b'('), rest @ ..] if word.is("NEXTVAL") || word.is("SETVAL") => {
                Some(parse(rest))
            }
            [next, value, word, rest @ ..]
                if next.is("NEXT") && value.is("VALUE") && word.is("FOR") =>
            {
                Some(parse(rest))
            }
            _ => Self::before(tokens, "NEXTVAL").map(|(name, _)| Some(name)),
        }
    }

    /// `name` or `schema.name`, and the number of its tokens.
    fn parse(tokens: &[Token<'_>]) -> Option<(Self, usize)> {
        match tokens {
            [schema, Token::Other(b'.'), name, ..] => {
                let schema = Some(word(schema)?);
                let name = word(name)?;
                Some((Self { schema, name }, 3))
            }
            [name, ..] => {
                let name = word(name)?;
                Some((Self { schema: None, name }, 1))
            }
            [] => None,
        }
    }

    /// `name.what` or `schema.name.what`, unless it is a call.
    fn before(tokens: &[Token<'_>], what: &str) -> Option<(Self, usize)> {
        let ends = |at: usize| {
            tokens.get(at) == Some(&Token::Other(b'.'))
                && tokens.get(at + 1).is_some_and(|token| token.is(what))
                && tokens.get(at + 2) != Some(&Token::Other(b'('))
        };
        let first = tokens.first()?;
        if ends(1) {
            let name = word(first)?;
            return Some((Self { schema: None, name }, 3));
        }
        let (name, length) = Self::parse(tokens)?;
        (length == 3 && ends(3)).then_some((name, 5))
    }

    pub(crate) fn within(mut self, schema: Option<&[u8]>) -> Option<Self> {
        if self.schema.is_none() {
            self.schema = Some(schema?.to_vec());
        }
        let ascii = self.name.is_ascii() && self.schema.as_ref().is_some_and(|s| s.is_ascii());
        ascii.then_some(self)
    }

    pub(crate) fn question(&self) -> String {
        let quoted =
            |name: &[u8]| format!("`{}`", String::from_utf8_lossy(name).replace('`', "``"));
        let schema = self.schema.as_deref().unwrap_or_default();
        format!("SELECT LASTVAL({}.{})", quoted(schema), quoted(&self.name))
    }
}

fn word(token: &Token<'_>) -> Option<Vec<u8>> {
    token.name().map(Cow::into_owned)
}

/// Whether a text may use sequences: a fast check, so that most texts are not tokenized.
pub(crate) fn mentions(text: &[u8]) -> bool {
    let is = |from: Option<usize>, word: &str| {
        let found = from.and_then(|from| text.get(from..from + word.len()));
        found.is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    let blank = |at: Option<usize>| {
        let byte = at.and_then(|at| text.get(at));
        byte.is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'/')
    };
    memchr::memchr2_iter(b'v', b'V', text).any(|at| {
        let ends = |word: &str| is(at.checked_sub(word.len()), word);
        let called = ["NEXT", "LAST", "CURR", "SET"]
            .iter()
            .any(|word| ends(word));
        is(Some(at), "VAL") && called
            || is(Some(at), "VALUE") && blank(at.checked_sub(1)) && blank(Some(at + 5))
    })
}
