//! Coming to a backend: the statements that bring it to the session's state.

use std::sync::Arc;

use dormouse_wire::reply::ErrPacket;

use super::{Knowledge, Session};
use crate::lexer::{Lexer, Token, begins_with};
use crate::literal::quoted_name;
use crate::text_prepared::stand_in;

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

    /// The names of statements prepared with `PREPARE`, and the texts that prepare them again, when
    /// the backend is in the session's schema. One that fails is told to
    /// [`tried_text`](Self::tried_text).
    pub fn restore_texts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.texts.restore()
    }

    /// What stands for a statement that cannot be prepared now.
    #[must_use]
    pub fn stand_in(name: &[u8], error: &ErrPacket) -> Vec<u8> {
        stand_in(name, error)
    }

    /// One of [`restore_texts`](Self::restore_texts) has been tried once more: the server has taken so
    /// many statements for it, beyond the one when the backend was taken; `missing`: it is still
    /// missing there.
    pub fn tried_text(&mut self, name: &[u8], taken: u64, missing: bool) {
        self.texts.tried(name, taken, missing);
    }

    /// Whether there are statements that the backend has not.
    #[must_use]
    pub fn misses_texts(&self) -> bool {
        self.texts.missing().next().is_some()
    }

    /// Their names and the texts that prepare them, if this text may execute one.
    #[must_use]
    pub fn missing_texts(&self, text: &[u8], whole: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let executes = |token: Token<'_>| token.is_any(&["EXECUTE", "CALL"]);
        if whole && !Lexer::new(text, self.mode()).any(executes) {
            return Vec::new();
        }
        let missing = self.texts.missing();
        missing
            .map(|(name, text)| (name.to_vec(), text.to_vec()))
            .collect()
    }

    /// What to send in place of an `EXECUTE … USING` of a statement that is missing: what stands for
    /// it has no parameters.
    #[must_use]
    pub fn without_parameters(&self, text: &[u8]) -> Option<Vec<u8>> {
        let tokens: Vec<_> = Lexer::new(text, self.mode()).collect();
        let [execute, name, using, ..] = tokens.as_slice() else {
            return None;
        };
        let name = name.name()?;
        let one = !tokens.contains(&Token::Semicolon);
        let is = one && execute.is("EXECUTE") && using.is("USING");
        let lower = name.to_ascii_lowercase();
        let missing = self.texts.missing().any(|(missing, ..)| missing == lower);
        (is && missing).then(|| [b"EXECUTE ", &*quoted_name(&name)].concat())
    }

    /// The statements that follow when the backend is in the session's schema and must be the last.
    #[must_use]
    pub fn restore_inside(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
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
        all.extend(self.texts.restore().map(|(_, text)| text.to_vec()));
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
            || self.conditions > 0
            || self.sequences.any()
            || !self.texts.is_empty()
    }

    /// Whether its backend must hold nothing of another session's, not even what no overlay tells: the
    /// last values of sequences.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        self.sequences.any()
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
    begins_with(text, &["USE"])
}
