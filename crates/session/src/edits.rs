//! Changes of a statement's text: what takes the place of which bytes. The server names a column by the text of its item,
//! so an item whose text is changed gets its old text as an alias.

pub(crate) mod items;

use std::ops::Range;

use crate::lexer::Spanned;

/// Whether a statement defines something whose text is kept, so that no value of the moment may stand in it.
pub(crate) fn is_stored(statement: &[Spanned<'_>]) -> bool {
    const KINDS: [&str; 7] = [
        "VIEW",
        "PROCEDURE",
        "FUNCTION",
        "TRIGGER",
        "EVENT",
        "PACKAGE",
        "PREPARE",
    ];
    let mut words = statement.iter().map(|span| span.token);
    let first = words.next();
    first.is_some_and(|first| {
        first.is("PREPARE")
            || first.is_any(&["CREATE", "ALTER"]) && words.take(20).any(|word| word.is_any(&KINDS))
    })
}

/// Changes of one text, in bytes: the character set of a session may be another than UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, Vec<u8>)>);

impl Edits {
    /// Puts `new` in the place of these bytes.
    pub(crate) fn replace(&mut self, bytes: Range<usize>, new: impl Into<Vec<u8>>) {
        self.0.push((bytes, new.into()));
    }

    /// Gives the items around these tokens of a statement, one of which is changed, the names that they have now.
    /// Returns whether each name could be kept.
    pub(crate) fn keep_names(
        &mut self,
        text: &[u8],
        statement: &[Spanned<'_>],
        tokens: Range<usize>,
    ) -> bool {
        let names = items::names(text, statement, tokens);
        let all = names.is_ok();
        let (Ok(names) | Err(names)) = names;
        for (end, name) in names {
            let alias = (end..end, [b" AS ", &*name].concat());
            if !self.0.contains(&alias) {
                self.0.push(alias);
            }
        }
        all
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changed text. `None`: nothing is changed, or a change is inside of another one.
    pub(crate) fn applied(mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        // an alias stands behind what ends where it is put
        self.0.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
        let mut out = Vec::with_capacity(text.len() + 1024);
        let mut at = 0;
        for (bytes, new) in &self.0 {
            if bytes.start < at {
                return None;
            }
            out.extend_from_slice(text.get(at..bytes.start)?);
            out.extend_from_slice(new);
            at = bytes.end;
        }
        out.extend_from_slice(text.get(at..)?);
        Some(out)
    }
}
