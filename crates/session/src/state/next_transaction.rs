//! `SET TRANSACTION`: characteristics of the next transaction.

use dormouse_wire::status::Status;

/// The most statements that are kept.
const MOST: usize = 32;

/// `SET TRANSACTION` statements that no transaction has used yet; each may set another characteristic.
#[derive(Debug, Default)]
pub(super) struct NextTransaction(Vec<Box<[u8]>>);

impl NextTransaction {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether another can be kept.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    /// The statements, in order.
    pub(super) fn statements(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.iter().map(|text| &**text)
    }

    /// Adds a statement, in place of an equal one. Returns whether there was room; it is kept all the
    /// same.
    pub(super) fn add(&mut self, text: &[u8]) -> bool {
        self.0.retain(|former| **former != *text);
        let room = self.has_room();
        self.0.push(text.into());
        room
    }

    /// Forgets all: a transaction has begun.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Follows a change of the status flags. `open` has what the open transaction has used: it holds
    /// once more after it if `SET autocommit = 1` ends it (`sql/sys_vars.cc`, `fix_autocommit`).
    pub(super) fn saw_status(&mut self, before: Status, now: Status, open: &mut Vec<Box<[u8]>>) {
        if now.contains(Status::IN_TRANS) {
            if !self.0.is_empty() {
                *open = std::mem::take(&mut self.0);
            }
            return;
        }
        let used = std::mem::take(open);
        let commits = !before.contains(Status::AUTOCOMMIT) && before.contains(Status::IN_TRANS);
        if commits && now.contains(Status::AUTOCOMMIT) {
            self.0.extend(used);
        }
    }
}
