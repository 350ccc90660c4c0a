//! Prepared statements of a session (`COM_STMT_PREPARE`), which outlast backends.
//!
//! The client sees ids that Dormouse assigns, counted from 1 as a server does. Each stands for a text and,
//! while the present backend has it prepared, for that backend's id. A statement without one is prepared
//! again before it runs; the bound parameter types are remembered, because drivers send them only once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::effects::{Effects, Kind};
use crate::timeout::Timeout;

/// The statement id that means "the one prepared last" (`sql/sql_prepare.h`,
/// `LAST_STMT_ID`).
pub const LAST: u32 = u32::MAX;

/// Counts the changes of what decides how a text is parsed: the SQL mode and the character set. Texts of
/// equal contexts are parsed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParsingContext(pub(crate) u32);

/// One prepared statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text, unless it is too large to keep.
    pub text: Option<Arc<[u8]>>,
    /// What its execution may do to the session.
    pub effects: Effects,
    /// What its reply says about counts.
    pub kind: Kind,
    /// Whether it reads or sets `wait_timeout`.
    pub timeout: Option<Timeout>,
    /// Whether it may tell ids of connections: then it is translated and prepared for each execution.
    pub tells: bool,
    /// The schema in which its names were resolved; `None` for none.
    pub schema: Option<Arc<[u8]>>,
    /// The parsing context in which it was prepared.
    pub parsing_context: ParsingContext,
    /// The number of its parameters.
    pub params: u16,
    /// The types last bound, two bytes for each parameter.
    pub types: Option<Box<[u8]>>,
    /// The present backend's id for it.
    pub backend: Option<u32>,
    /// Whether the present backend has received the types.
    pub bound: bool,
    /// Whether a cursor is open on it.
    pub cursor: bool,
    /// Whether long data was sent for its next execution.
    pub long_data: bool,
    /// Whether a part of the long data was lost.
    pub data_lost: bool,
    /// Whether the backend's statement has another text, with values that were right for one execution.
    pub replaced: bool,
}

/// What identifies a prepared statement on a backend: its text, and the schema in which its names are
/// looked up.
pub type StatementKey = (Arc<[u8]>, Option<Arc<[u8]>>);

/// A prepared statement that its session leaves on a backend, for others to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpareStatement {
    /// The backend's id for it.
    pub id: u32,
    /// Its text and schema; `None` if no other session can use it.
    pub key: Option<StatementKey>,
    /// The parameter types that the backend received last.
    pub types: Option<Box<[u8]>>,
}

impl Statement {
    /// What remains on the backend when the session no longer needs the statement there. Other sessions can
    /// use the statement only if it was prepared in the `present` parsing context.
    #[must_use]
    pub fn leave(&self, present: ParsingContext) -> Option<SpareStatement> {
        let text = self
            .text
            .clone()
            .filter(|_| self.parsing_context == present && !self.tells && !self.replaced);
        Some(SpareStatement {
            id: self.backend?,
            key: text.map(|text| (text, self.schema.clone())),
            types: self.types.clone().filter(|_| self.bound),
        })
    }
}

/// The prepared statements of one session.
#[derive(Debug, Default)]
pub struct Statements {
    by_id: BTreeMap<u32, Box<Statement>>,
    last: u32,
    parsing_context: ParsingContext,
    text_bytes: usize,
}

impl Statements {
    /// The most statements that one session may have; a server's default for all sessions together
    /// (`max_prepared_stmt_count`).
    pub const MOST: usize = 16_382;
    /// The longest text that is kept, in bytes.
    pub const LONGEST_TEXT: usize = 1 << 20;
    /// The most bytes of text kept for one session.
    pub const MOST_TEXT: usize = 16 << 20;

    /// Whether another text of this many bytes can be kept.
    #[must_use]
    pub fn can_keep(&self, bytes: usize) -> bool {
        bytes <= Self::LONGEST_TEXT && self.text_bytes + bytes <= Self::MOST_TEXT
    }

    /// The present parsing context.
    #[must_use]
    pub fn parsing_context(&self) -> ParsingContext {
        self.parsing_context
    }

    /// Notes that later texts are parsed differently.
    pub fn new_parsing_context(&mut self) {
        self.parsing_context.0 = self.parsing_context.0.wrapping_add(1);
    }

    /// Adds a statement and returns the client's id for it.
    pub fn add(&mut self, statement: Statement) -> u32 {
        self.text_bytes += statement.text.as_ref().map_or(0, |text| text.len());
        self.last = if self.last >= LAST - 1 {
            1
        } else {
            self.last + 1
        };
        self.by_id.insert(self.last, Box::new(statement));
        self.last
    }

    /// The client's id behind the id in a packet: [`LAST`] means the latest.
    #[must_use]
    pub fn resolve(&self, id: u32) -> u32 {
        if id == LAST { self.last } else { id }
    }

    /// The statement with this client's id.
    pub fn get(&mut self, id: u32) -> Option<&mut Statement> {
        self.by_id.get_mut(&id).map(AsMut::as_mut)
    }

    /// The text of the statement with this client's id, if it is kept, and is read now as when it was prepared.
    #[must_use]
    pub fn text_as_prepared(&self, id: u32) -> Option<&[u8]> {
        let statement = self.by_id.get(&id)?;
        let text = statement.text.as_deref();
        text.filter(|_| statement.parsing_context == self.parsing_context)
    }

    /// Forgets a statement and returns it.
    pub fn remove(&mut self, id: u32) -> Option<Box<Statement>> {
        let statement = self.by_id.remove(&id)?;
        self.text_bytes -= statement.text.as_ref().map_or(0, |text| text.len());
        Some(statement)
    }

    /// Forgets the present backend's ids, and returns the statements that remain on it.
    pub fn leave(&mut self) -> Vec<SpareStatement> {
        let present = self.parsing_context;
        let left = self.by_id.values().filter_map(|one| one.leave(present));
        let left = left.collect();
        self.lose_backend();
        left
    }

    /// Forgets all, as the server does on a reset.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes that the backend is gone: every statement must be prepared again before it runs.
    pub fn lose_backend(&mut self) {
        for statement in self.by_id.values_mut() {
            statement.backend = None;
            statement.bound = false;
            statement.cursor = false;
            statement.long_data = false;
            statement.replaced = false;
        }
    }

    /// The number of statements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Those that the backend lacks and that would be parsed now as they were then.
    pub(crate) fn missing(&self) -> Vec<u32> {
        let missing = |statement: &Statement| {
            let same = statement.parsing_context == self.parsing_context;
            statement.backend.is_none() && statement.text.is_some() && same
        };
        let all = self.by_id.iter();
        all.filter(|(_, one)| missing(one))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Statement> {
        self.by_id.values().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
