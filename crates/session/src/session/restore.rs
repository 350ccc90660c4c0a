//! Coming to a backend: the statements that bring it to the session's state.

use std::sync::Arc;

use super::{Knowledge, Session};
use crate::lexer::Lexer;

impl Session {
    /// The statements that bring a new backend to the session's state, before it is in its schema. A
    /// schema whose name is [plain](Self::has_plain_schema) is set after them, when the role is there
    /// that may allow it; another first, by `COM_INIT_DB` in UTF-8, to
    /// [`restore_schema`](Self::restore_schema). [`restore_inside`](Self::restore_inside) comes last.
    #[must_use]
    pub fn restore(&self) -> Vec<Vec<u8>> {
        let captured = self.captured.iter().flat_map(|captured| captured.restore());
        let mut all: Vec<Vec<u8>> = captured.map(String::into_bytes).collect();
        let plain = self.has_plain_schema();
        let log = self.log.iter().filter(|text| !plain || !is_use(text));
        all.extend(log.map(|text| text.to_vec()));
        all.extend(self.timestamp.iter().map(|text| text.to_vec()));
        all
    }

    /// The statements that follow when the backend is in the session's schema: they name tables, or
    /// must be the last.
    #[must_use]
    pub fn restore_inside(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = self.texts.restore().collect();
        if self.last_insert_id != 0 {
            all.push(format!("SET last_insert_id = {}", self.last_insert_id).into_bytes());
        }
        all.extend(self.next_transaction.iter().map(|text| text.to_vec()));
        all
    }

    /// What distinguishes this session's state from that after the login, apart from its schema
    /// and `LAST_INSERT_ID()`. Two sessions with the same overlay can follow each other on a
    /// backend without a reset.
    #[must_use]
    pub fn overlay(&self) -> Vec<Vec<u8>> {
        let captured = self.captured.iter().flat_map(|captured| captured.restore());
        let mut all: Vec<Vec<u8>> = captured.map(String::into_bytes).collect();
        let lasting = self.log.iter().filter(|text| !is_use(text));
        all.extend(lasting.map(|text| text.to_vec()));
        all.extend(self.timestamp.iter().map(|text| text.to_vec()));
        all.extend(self.texts.restore());
        all.extend(self.next_transaction.iter().map(|text| text.to_vec()));
        all
    }

    /// Whether its backend may hold something that the overlay does not tell.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        self.tainted
            || !self.owed.is_empty()
            || self.knowledge == Knowledge::Unknown
            || !self.next_transaction.is_empty()
            || self.texts.restore().next().is_some()
    }

    /// Its `LAST_INSERT_ID()`.
    #[must_use]
    pub fn last_insert_id(&self) -> u64 {
        self.last_insert_id
    }

    /// Whether the state has ever been read from a backend; [`restore`](Self::restore) then sets all
    /// character sets.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        self.captured.is_some()
    }

    /// Whether the schema's name means the same in every character set: then it is set last, and
    /// [`restore`](Self::restore) does without it.
    #[must_use]
    pub fn has_plain_schema(&self) -> bool {
        self.schema.as_ref().is_none_or(|schema| schema.is_ascii())
    }

    /// The schema to set before [`restore`](Self::restore) if its name is not plain: as of the last
    /// capture or the login, since the log holds what has changed it after.
    #[must_use]
    pub fn restore_schema(&self) -> Option<&Arc<[u8]>> {
        match &self.captured {
            Some(captured) => captured.schema.as_ref(),
            None => self.schema.as_ref(),
        }
    }
}

fn is_use(text: &[u8]) -> bool {
    Lexer::new(text).next().is_some_and(|first| first.is("USE"))
}
