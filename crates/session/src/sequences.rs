//! `LASTVAL()` of sequences: the last value that each gave to this session. A server keeps it per
//! connection.
//!
//! The sequences that a session advances are known from its texts, but column defaults, triggers and
//! functions advance others. Therefore the values of known sequences are read before a session leaves its
//! backend, the backend is reset before another session gets it, and a session that asks for `LASTVAL()` is
//! pinned. (MariaDB Knowledge Base, "Sequence Functions"; a reset of the connection forgets the values.)

use std::collections::BTreeMap;

use crate::diagnostics::ValuePatch;
use crate::diagnostics::items::{self, Asked};
use crate::edits::{Edits, is_stored};
use crate::lexer::{Gap, Lexer, Mode, Spanned, Token};
use crate::sequence_name::{Name, mentions};

/// The most sequences kept for one session.
const MOST: usize = 64;

/// The name used in errors.
const LASTVAL: &str = "LASTVAL()";

/// What is known about the last value of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastValue {
    before: Earlier,
    /// Whether a text has advanced the sequence on the present backend.
    here: bool,
}

/// The value from earlier backends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Earlier {
    /// None: only the present backend may have one.
    Nothing,
    /// This value, unless the present backend has a later one.
    Kept(Vec<u8>),
    /// It was lost with a backend.
    Lost,
}

/// The sequences of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    by_name: BTreeMap<Name, LastValue>,
    /// Whether there are others whose names are not known.
    more: bool,
    /// Whether a known one may have been advanced since the values were read.
    stale: bool,
    /// Whether the session has asked for a value.
    asked: bool,
    /// Whether an unknown one may have been advanced on the present backend.
    changed: bool,
    /// Whether an unknown one may have been advanced on an earlier backend.
    left: bool,
}

/// How a text gets the last values that the present backend does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// The reply is one row, whose values are patched.
    Row(Vec<ValuePatch>),
    /// This text is sent in its place.
    Text(Vec<u8>),
    /// A value is lost.
    Refuse(&'static str),
}

/// How a text uses sequences.
#[derive(Debug, Default)]
struct Uses {
    advances: Vec<Option<Name>>,
    asks: Vec<Option<Name>>,
}

fn uses(text: &[u8], mode: Mode) -> Uses {
    let mut uses = Uses::default();
    if !mentions(text) {
        return uses;
    }
    let tokens: Vec<_> = Lexer::new(text, mode).collect();
    for at in 0..tokens.len() {
        let rest = tokens.get(at..).unwrap_or_default();
        // part of a longer name
        if at > 0 && tokens.get(at - 1) == Some(&Token::Other(b'.')) {
            continue;
        }
        uses.advances.extend(Name::advanced(rest));
        if let Some((name, _)) = Name::asked(rest) {
            uses.asks.push(Some(name));
        } else if rest.first().is_some_and(|token| token.is("LASTVAL")) {
            uses.asks.push(None);
        }
    }
    uses
}

impl Sequences {
    /// Notes a text that has run in this schema.
    pub(crate) fn ran(&mut self, text: &[u8], mode: Mode, schema: Option<&[u8]>, failed: bool) {
        let uses = uses(text, mode);
        for name in uses.advances {
            self.stale = true;
            match name.and_then(|name| name.within(schema)) {
                Some(name) if self.by_name.len() < MOST || self.by_name.contains_key(&name) => {
                    let held = self.by_name.entry(name).or_insert(LastValue {
                        before: Earlier::Nothing,
                        here: true,
                    });
                    held.here |= !failed;
                }
                _ => self.more = true,
            }
        }
        self.asked |= !uses.asks.is_empty();
    }

    /// Notes a statement that may have advanced any sequence through stored code.
    pub(crate) fn mark_stale(&mut self) {
        self.changed = true;
        self.stale |= !self.by_name.is_empty();
    }

    /// Whether the session uses any: then its backend must be reset before and after it.
    pub(crate) fn any(&self) -> bool {
        self.asked || self.more || !self.by_name.is_empty()
    }

    /// Whether the session is pinned.
    pub(crate) fn pin(&self) -> bool {
        self.asked
    }

    /// Whether the values must be read before the session leaves.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale && !self.by_name.is_empty()
    }

    /// The questions that read the values.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.by_name.keys().map(Name::question).collect()
    }

    /// Takes the answers to the questions, in order; outer `None`: the server refused.
    pub(crate) fn answered(&mut self, answers: Vec<Option<Option<Vec<u8>>>>) {
        for (held, answer) in self.by_name.values_mut().zip(answers) {
            match answer {
                Some(Some(value)) => held.before = Earlier::Kept(value),
                Some(None) => {}
                None => held.before = Earlier::Lost,
            }
        }
        self.stale = false;
    }

    /// Notes that the session has left or lost its backend.
    pub(crate) fn left(&mut self) {
        for held in self.by_name.values_mut() {
            held.here = false;
            if self.stale {
                held.before = Earlier::Lost;
            }
        }
        self.left |= self.changed || self.any();
        self.changed = false;
        self.stale = false;
    }

    /// How a text that asks for last values gets those that the present backend does not have. `values` are the patches
    /// that are already known for other items of its row; `None`: its rows are not edited. Outer `None`: the server's
    /// answer is right.
    pub(crate) fn put(
        &mut self,
        text: &[u8],
        mode: Mode,
        schema: Option<&[u8]>,
        values: Option<Vec<ValuePatch>>,
    ) -> Option<Put> {
        let uses = uses(text, mode);
        if uses.asks.is_empty() {
            return None;
        }
        // its next backend must be a reset one
        self.asked = true;
        let is_here = |name: &Option<Name>| {
            let name = name.clone().and_then(|name| name.within(schema));
            let held = name.and_then(|name| self.by_name.get(&name));
            held.is_some_and(|held| held.here)
        };
        let there = |name: &Option<Name>| {
            is_here(name) || self.patch(name.clone(), schema) == ValuePatch::Keep
        };
        if uses.asks.iter().all(there) {
            return None;
        }
        let mut lexer = Lexer::new(text, mode);
        let spans: Vec<_> = lexer.spanned().collect();
        // of a text that also advances one only a server knows the order
        let items = values.filter(|_| uses.advances.is_empty());
        let items = items.and_then(|values| Some((items::of(&spans)?, values)));
        let Some((items, values)) = items else {
            let special = |span: &Spanned<'_>| span.gap == Gap::Special && span.start > 0;
            let text = match lexer.is_versioned() || spans.iter().any(special) {
                true => Err(LASTVAL),
                false => self.written(text, &spans, schema),
            };
            return match text {
                Ok(text) => text.map(Put::Text),
                Err(name) => Some(Put::Refuse(name)),
            };
        };
        let values = values
            .into_iter()
            .chain(std::iter::repeat(ValuePatch::Keep));
        let patches = items
            .into_iter()
            .zip(values)
            .map(|(item, value)| match item {
                Asked::Sequence(name) => self.patch(Some(name), schema),
                _ => value,
            });
        Some(Put::Row(patches.collect()))
    }

    /// What is put in the place of the last value of a sequence.
    fn patch(&self, name: Option<Name>, schema: Option<&[u8]>) -> ValuePatch {
        match name.and_then(|name| name.within(schema)) {
            None => ValuePatch::RefuseNull(LASTVAL),
            Some(name) => match self.by_name.get(&name).map(|held| &held.before) {
                Some(Earlier::Nothing) => ValuePatch::Keep,
                Some(Earlier::Kept(value)) => ValuePatch::ReplaceNull(value.clone()),
                Some(Earlier::Lost) => ValuePatch::RefuseNull(LASTVAL),
                None if self.left => ValuePatch::RefuseNull(LASTVAL),
                None => ValuePatch::Keep,
            },
        }
    }

    /// The text in which each question for a last value has the earlier value beside it, in case that the server has
    /// none: also within a statement that advances the sequence before or after it asks. Type and name of a column stay
    /// as they are. Inner `None`: it asks only in what is stored. The error is the name of a value that is lost or cannot
    /// be put in its place.
    fn written(
        &self,
        text: &[u8],
        spans: &[Spanned<'_>],
        schema: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let mut edits = Edits::default();
        for statement in spans.split(|span| span.token == Token::Semicolon) {
            if is_stored(statement) {
                break;
            }
            let tokens: Vec<_> = statement.iter().map(|span| span.token).collect();
            let defines = tokens
                .first()
                .is_some_and(|first| first.is_any(&["CREATE", "ALTER"]));
            let select = tokens.iter().position(|token| token.is("SELECT"));
            let returns = tokens.iter().any(|token| token.is("RETURNING"));
            // a default of a column is stored
            let begin = if defines {
                select.unwrap_or(tokens.len())
            } else {
                0
            };
            for at in begin..tokens.len() {
                if at > 0 && tokens.get(at - 1) == Some(&Token::Other(b'.')) {
                    continue;
                }
                let rest = tokens.get(at..).unwrap_or_default();
                let (name, length) = match Name::asked(rest) {
                    Some((name, length)) => (Some(name), length),
                    None if rest.first().is_some_and(|token| token.is("LASTVAL")) => (None, 1),
                    None => continue,
                };
                let value = match self.patch(name, schema) {
                    ValuePatch::Keep => continue,
                    ValuePatch::ReplaceNull(value) => value,
                    _ => return Err(LASTVAL),
                };
                let tokens = at..at + length;
                let bytes = statement.get(at).zip(statement.get(tokens.end - 1));
                let bytes = bytes.map(|(first, last)| first.start..last.end);
                let asked = bytes.clone().and_then(|bytes| text.get(bytes));
                let asked = asked.and_then(|asked| std::str::from_utf8(asked).ok());
                let (Some(bytes), Some(asked), Ok(value)) =
                    (bytes, asked, String::from_utf8(value))
                else {
                    return Err(LASTVAL);
                };
                // NULLIF: an expression of the same type that may be NULL
                edits.replace(bytes, format!("IFNULL({asked}, NULLIF({value}, NULL))"));
                // items of RETURNING are not found
                let named = edits.keep_names(text, statement, tokens) && !returns;
                let plain = value
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'-');
                if !named || !plain {
                    return Err(LASTVAL);
                }
            }
        }
        if edits.is_empty() {
            return Ok(None);
        }
        edits.applied(text).map(Some).ok_or(LASTVAL)
    }
}

#[cfg(test)]
mod tests;
