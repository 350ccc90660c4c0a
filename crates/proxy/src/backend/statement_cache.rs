//! Cache of one backend's prepared statements, shared by the sessions that use the backend in turn.
//!
//! A server does not share statements (each `COM_STMT_PREPARE` makes one), so Dormouse does: a statement
//! that a session has closed, or left behind with its lease, is kept for the next session that executes
//! the same text in the same schema. A cursor and long data belong to one execution; a session that has
//! them keeps its lease.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_session::StatementKey;

/// The most statements that are cached for a backend.
const SPARE: usize = 64;

/// A prepared statement on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedStatement {
    /// The server's id.
    pub(crate) id: u32,
    /// The parameter types that it received last.
    pub(crate) types: Option<Box<[u8]>>,
}

/// The prepared statements of one backend that no session uses.
#[derive(Debug, Default)]
pub(crate) struct StatementCache {
    spare: HashMap<StatementKey, Vec<(u64, CachedStatement)>>,
    count: usize,
    clock: u64,
    /// Ids of statements to close with the next command.
    closing: Vec<u32>,
}

impl StatementCache {
    /// Takes a statement of this text, if there is one.
    pub(crate) fn take(
        &mut self,
        text: &Arc<[u8]>,
        schema: Option<&Arc<[u8]>>,
    ) -> Option<CachedStatement> {
        let wording = (Arc::clone(text), schema.cloned());
        let same = self.spare.get_mut(&wording)?;
        let (_, cached) = same.pop()?;
        if same.is_empty() {
            self.spare.remove(&wording);
        }
        self.count -= 1;
        Some(cached)
    }

    /// Adds a statement that its session no longer needs; if there are too many, closes the oldest.
    pub(crate) fn put(
        &mut self,
        text: Arc<[u8]>,
        schema: Option<Arc<[u8]>>,
        cached: CachedStatement,
    ) {
        self.clock += 1;
        let same = self.spare.entry((text, schema)).or_default();
        same.push((self.clock, cached));
        self.count += 1;
        if self.count > SPARE {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let age = |entries: &Vec<(u64, CachedStatement)>| {
            entries.first().map_or(u64::MAX, |entry| entry.0)
        };
        let Some(wording) = self
            .spare
            .iter()
            .min_by_key(|(_, entries)| age(entries))
            .map(|(wording, _)| wording.clone())
        else {
            return;
        };
        if let Some(entries) = self.spare.get_mut(&wording) {
            self.closing.push(entries.remove(0).1.id);
            self.count -= 1;
            if entries.is_empty() {
                self.spare.remove(&wording);
            }
        }
    }

    /// The number of cached statements.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Has a statement closed with the next command.
    pub(crate) fn close(&mut self, id: u32) {
        self.closing.push(id);
    }

    /// Closes all: the parsing context under which they were prepared has changed.
    pub(crate) fn retire(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        self.closing
            .extend(spare.into_values().flatten().map(|(_, cached)| cached.id));
        self.count = 0;
    }

    /// Forgets all: the server has closed them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the ids of statements to close with the next command.
    pub(crate) fn take_closing(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    fn plain(id: u32) -> CachedStatement {
        CachedStatement { id, types: None }
    }

    #[test]
    fn a_statement_is_found_by_text_and_schema_and_given_once() {
        let mut cache = StatementCache::default();
        let schema = Some(text("shop"));
        cache.put(text("SELECT 1"), schema.clone(), plain(7));
        assert_eq!(cache.take(&text("SELECT 1"), None), None);
        assert_eq!(cache.take(&text("SELECT 2"), schema.as_ref()), None);
        assert_eq!(
            cache.take(&text("SELECT 1"), schema.as_ref()),
            Some(plain(7))
        );
        assert_eq!(cache.take(&text("SELECT 1"), schema.as_ref()), None);
        assert!(cache.take_closing().is_empty());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut cache = StatementCache::default();
        for n in 0..u32::try_from(SPARE).unwrap() + 2 {
            cache.put(text(&n.to_string()), None, plain(n));
        }
        assert_eq!(cache.take_closing(), [0, 1]);
        assert_eq!(cache.take(&text("2"), None), Some(plain(2)));
    }

    #[test]
    fn another_context_closes_what_is_kept() {
        let mut cache = StatementCache::default();
        cache.put(text("SELECT 1"), None, plain(3));
        cache.retire();
        assert_eq!(cache.take(&text("SELECT 1"), None), None);
        assert_eq!(cache.take_closing(), [3]);
    }
}
