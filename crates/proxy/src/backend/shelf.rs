//! The prepared statements of one backend, shared by the sessions that come to have it.
//!
//! A server does not share statements, even of the same text (each `COM_STMT_PREPARE` makes one),
//! so Dormouse does: a statement that its session has closed, or left behind with its lease, stays
//! for the next session that executes the same text in the same schema. A cursor and long data
//! belong to one execution; a session that has them keeps its lease.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_session::StatementKey;

/// Statements that no session uses and that are kept all the same, for each backend.
const SPARE: usize = 64;

/// One prepared statement of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shelved {
    /// The server's id.
    pub(crate) id: u32,
    /// The parameter types it was told last.
    pub(crate) types: Option<Box<[u8]>>,
}

/// The prepared statements of one backend that no session has now.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    spare: HashMap<StatementKey, Vec<(u64, Shelved)>>,
    count: usize,
    clock: u64,
    /// To be closed with the next command.
    closing: Vec<u32>,
}

impl Shelf {
    /// Takes a statement of this text, if there is one.
    pub(crate) fn take(&mut self, text: &Arc<[u8]>, schema: Option<&Arc<[u8]>>) -> Option<Shelved> {
        let key = (Arc::clone(text), schema.cloned());
        let same = self.spare.get_mut(&key)?;
        let (_, shelved) = same.pop()?;
        if same.is_empty() {
            self.spare.remove(&key);
        }
        self.count -= 1;
        Some(shelved)
    }

    /// Keeps a statement that its session does not need any more; the one that was kept longest
    /// goes if there are too many.
    pub(crate) fn put(&mut self, text: Arc<[u8]>, schema: Option<Arc<[u8]>>, shelved: Shelved) {
        self.clock += 1;
        let same = self.spare.entry((text, schema)).or_default();
        same.push((self.clock, shelved));
        self.count += 1;
        if self.count > SPARE {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let age = |entries: &Vec<(u64, Shelved)>| entries.first().map_or(u64::MAX, |entry| entry.0);
        let Some(key) = self
            .spare
            .iter()
            .min_by_key(|(_, entries)| age(entries))
            .map(|(key, _)| key.clone())
        else {
            return;
        };
        if let Some(entries) = self.spare.get_mut(&key) {
            self.closing.push(entries.remove(0).1.id);
            self.count -= 1;
            if entries.is_empty() {
                self.spare.remove(&key);
            }
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Has a statement closed with the next command.
    pub(crate) fn close(&mut self, id: u32) {
        self.closing.push(id);
    }

    /// The parsing context has changed: what is kept was prepared under another.
    pub(crate) fn retire(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        self.closing
            .extend(spare.into_values().flatten().map(|(_, shelved)| shelved.id));
        self.count = 0;
    }

    /// The server has forgotten all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is to be closed with the next command.
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

    fn plain(id: u32) -> Shelved {
        Shelved { id, types: None }
    }

    #[test]
    fn a_statement_is_found_by_text_and_schema_and_given_once() {
        let mut shelf = Shelf::default();
        let schema = Some(text("shop"));
        shelf.put(text("SELECT 1"), schema.clone(), plain(7));
        assert_eq!(shelf.take(&text("SELECT 1"), None), None);
        assert_eq!(shelf.take(&text("SELECT 2"), schema.as_ref()), None);
        assert_eq!(
            shelf.take(&text("SELECT 1"), schema.as_ref()),
            Some(plain(7))
        );
        assert_eq!(shelf.take(&text("SELECT 1"), schema.as_ref()), None);
        assert!(shelf.take_closing().is_empty());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut shelf = Shelf::default();
        for n in 0..u32::try_from(SPARE).unwrap() + 2 {
            shelf.put(text(&n.to_string()), None, plain(n));
        }
        assert_eq!(shelf.take_closing(), [0, 1]);
        assert_eq!(shelf.take(&text("2"), None), Some(plain(2)));
    }

    #[test]
    fn another_context_closes_what_is_kept() {
        let mut shelf = Shelf::default();
        shelf.put(text("SELECT 1"), None, plain(3));
        shelf.retire();
        assert_eq!(shelf.take(&text("SELECT 1"), None), None);
        assert_eq!(shelf.take_closing(), [3]);
    }
}
