//! Moving between backends: what a probe must read before the session leaves one, what pins the session
//! to it, what is lost with it, and the statements that bring the next one to the session's state.

use std::sync::Arc;

use dormouse_wire::reply::ErrPacket;
use dormouse_wire::status::Status;

use super::certainty::Certainty;
use super::on_backend::{BackendState, Leftover};
use super::session_state::SessionState;
use crate::carried::{Carried, Wanted};
use crate::effects::words::may_change_parsing;
use crate::lexer::{Lexer, Token};
use crate::probe::{Captured, Depth, Probe};
use crate::temporary::Temporaries;
use crate::text_prepared::{parameters, stand_in};
use dormouse_types::{Carry, Pin};

impl SessionState {
    /// Whether a probe must read something before the session can leave its backend.
    #[must_use]
    pub fn needs_probe(&self) -> bool {
        self.certainty() != Certainty::Known || self.last.needs_probe()
    }

    /// Whether the next statement, if it changes rows, is a transaction of its own that its server's log tells apart, and
    /// another statement may come before it.
    #[must_use]
    pub fn changes_alone(&self) -> bool {
        let alone = !self.in_transaction() && self.status().contains(Status::AUTOCOMMIT);
        alone && self.deferred.is_none() && !self.backend.hidden_variable && !self.has_profiled()
    }

    /// A probe of what the last statement left, and of nothing else.
    #[must_use]
    pub fn probe_last_statement(&self) -> Probe {
        let warned = self.last.has_unread_conditions();
        self.quietly(Probe::new(
            0,
            false,
            warned,
            self.backend.temporaries.clone(),
        ))
    }

    /// Keeps a probe out of the session's profiles.
    fn quietly(&self, probe: Probe) -> Probe {
        match self.last.row_count().filter(|_| self.backend.profiling) {
            Some(row_count) => probe.unprofiled(row_count),
            None => probe,
        }
    }

    /// Whether profiling is on, according to the session's own texts.
    #[must_use]
    pub fn is_profiling(&self) -> bool {
        self.backend.profiling
    }

    /// Whether the session should be probed as soon as it is idle: its state is not known, or its server has what
    /// the next statement may ask for and only it can tell.
    #[must_use]
    pub fn wants_probe(&self) -> bool {
        self.certainty() == Certainty::Unknown || self.last.wants_asking()
    }

    /// A probe of the session's backend, whose id at its server is `thread`.
    #[must_use]
    pub fn probe(&self, depth: Depth, thread: u32) -> Probe {
        let everything = depth == Depth::Everything || self.backend.certainty != Certainty::Known;
        let warned = self.last.has_unread_conditions();
        let sequences = if self.asks_sequences() {
            self.sequences.questions()
        } else {
            Vec::new()
        };
        let probe = Probe::new(thread, everything, warned, self.backend.temporaries.clone())
            .with_sequences(sequences, !self.status.contains(Status::AUTOCOMMIT));
        self.quietly(probe)
    }

    /// Whether the values of sequences must and can be read now. Reading them takes a transaction, which
    /// would use up `SET TRANSACTION` and end savepoints.
    pub(super) fn asks_sequences(&self) -> bool {
        self.sequences.is_stale()
            && self.next_transaction.is_empty()
            && !self.backend.savepoints.any()
    }

    /// Takes what a finished probe has read; it replaces the log.
    pub fn captured(&mut self, probe: Probe) {
        self.last.was_asked();
        let mut found = probe.found;
        let locks = found.lock_pins(self.backend.locks.any());
        if let Some(values) = found.sequences.take() {
            self.sequences.answered(values);
        }
        if let Some((diagnostics, id)) = found.diagnostics.take() {
            self.last.captured(diagnostics, id);
        }
        let unreadable = found.pins.contains(&Pin::Unreadable);
        if let Some(captured) = found.captured.filter(|_| !unreadable) {
            self.texts.counted(found.prepared);
            let backend = &mut self.backend;
            backend.temporaries = found.temporaries;
            if found.pins.contains(&Pin::Profiling) {
                backend.leaves(Leftover::Permanent);
            }
            backend.pins = found.pins;
            backend.pins.extend(locks);
            if found.clock_stands && !self.log.has_timestamp() {
                backend.pins.push(Pin::HiddenVariable);
            }
            backend.certainty = Certainty::Known;
            if found.untracked {
                self.state_tracking = Some(false);
            }
            self.schema.clone_from(&captured.schema);
            if captured.is_double_bytes() {
                self.charset.lower_to(Certainty::Doubtful);
            }
            self.log.capture(captured);
        } else if unreadable {
            self.backend.pins = vec![Pin::Unreadable];
        }
    }

    /// Why the session cannot leave its backend, as far as the last probe and the texts since tell.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        let mut pins = self.backend.pins.clone();
        let mut pin = |when: bool, pin| {
            if when {
                pins.push(pin);
            }
        };
        let transaction = self.in_transaction() || self.backend.savepoints.any();
        pin(transaction, Pin::Transaction);
        let unread = self.sequences.is_stale() && !self.asks_sequences();
        pin(self.sequences.pin() || unread, Pin::Sequence);
        pin(self.backend.hidden_variable, Pin::HiddenVariable);
        pin(self.has_profiled(), Pin::Profiling);
        let context = self.statements.parsing_context();
        let stuck = self.texts.is_stuck(self.schema.as_ref(), context);
        pin(stuck, Pin::TextPrepare);
        for statement in self.statements.iter() {
            pin(statement.cursor, Pin::Cursor);
            pin(statement.long_data, Pin::LongData);
            pin(statement.text.is_none(), Pin::PreparedText);
            pin(statement.parsing_context != context, Pin::PreparedContext);
        }
        pins.sort_unstable();
        pins.dedup();
        pins
    }

    /// Whether the session can leave its backend now, without a probe.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !self.needs_probe() && self.pins().is_empty()
    }

    /// Notes that the session has a new backend, or that its backend has run something else: what the last
    /// statement left is no longer there.
    pub fn arrived(&mut self) {
        self.last.keep();
        self.mode_was_told = false;
    }

    /// Notes that the session leaves its backend, which it [is free](Self::is_free) to do.
    pub fn leave(&mut self) {
        let _nothing = self.lost_backend();
    }

    /// Notes that the backend is gone, and returns what was lost with it. With any loss the session cannot
    /// continue silently.
    pub fn lost_backend(&mut self) -> Vec<Pin> {
        let mut lost = self.pins();
        if self.backend.certainty == Certainty::Unknown {
            if self.backend.temporaries.may_exist() && !lost.contains(&Pin::TemporaryTable) {
                lost.push(Pin::TemporaryTable);
            }
            lost.push(Pin::Unreadable);
        }
        self.last.lose_backend();
        self.statements.lose_backend();
        self.status = self
            .status
            .without(Status::IN_TRANS)
            .without(Status::IN_TRANS_READONLY);
        self.sequences.left();
        self.texts.moved();
        self.backend = BackendState::default();
        lost
    }

    /// The statements that bring a new backend to the session's state. A schema with a
    /// [plain](Self::has_plain_schema) name is set after them, because the role may be needed for it;
    /// another is set before them, by `COM_INIT_DB` in UTF-8, to [`restore_schema`](Self::restore_schema).
    /// [`restore_inside`](Self::restore_inside) comes last.
    #[must_use]
    pub fn restore(&self) -> Vec<Vec<u8>> {
        self.log.statements(!self.has_plain_schema())
    }

    /// The names of statements prepared with `PREPARE`, and the texts that prepare them again once the
    /// backend is in the session's schema. The outcome of one that fails goes to
    /// [`tried_text`](Self::tried_text).
    pub fn restore_texts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.texts.restore()
    }

    /// The `PREPARE` of a substitute for a statement that cannot be prepared now.
    #[must_use]
    pub fn stand_in(&self, name: &[u8], error: &ErrPacket) -> Vec<u8> {
        let prepare = self.texts.find(name, self.statements.parsing_context());
        let parameters = prepare.map_or(0, |prepare| parameters(prepare, self.mode()));
        stand_in(name, parameters, error)
    }

    /// Notes that one of [`restore_texts`](Self::restore_texts) was tried again. `taken`: the number of
    /// `PREPARE`s the server has counted for it beyond the first; `missing`: whether it still failed.
    pub fn tried_text(&mut self, name: &[u8], taken: u64, missing: bool) {
        self.texts.tried(name, taken, missing);
    }

    /// Whether the backend lacks statements prepared with `PREPARE`.
    #[must_use]
    pub fn misses_texts(&self) -> bool {
        self.texts.missing().next().is_some()
    }

    /// The names and texts of the statements prepared with `PREPARE` that the backend lacks, if this text may
    /// execute one.
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

    /// The statements prepared with the protocol that the backend lacks and that must be prepared before this text runs,
    /// by the client's ids: it may change how they are parsed.
    #[must_use]
    pub fn to_prepare_before(&self, text: &[u8]) -> Vec<u32> {
        if self.statements.is_empty() || !may_change_parsing(text, self.mode()) {
            return Vec::new();
        }
        self.statements.missing()
    }

    /// The statements that restore the rest, once the backend is in the session's schema.
    #[must_use]
    pub fn restore_inside(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        if self.last_insert_id() != 0 {
            all.push(format!("SET last_insert_id = {}", self.last_insert_id()).into_bytes());
        }
        all.extend(self.next_transaction.statements().map(<[u8]>::to_vec));
        all
    }

    /// The statements that lead from the state after the login to this session's, apart from its schema and
    /// `LAST_INSERT_ID()`. Sessions with equal overlays can use a backend in turn without a reset.
    #[must_use]
    pub fn overlay(&self) -> Vec<Vec<u8>> {
        let mut all = self.log.statements(false);
        all.extend(self.texts.restore().map(|(_, text)| text.to_vec()));
        all.extend(self.next_transaction.statements().map(<[u8]>::to_vec));
        all
    }

    /// Whether the session's backend may keep state that the overlay does not contain.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        self.backend.leftover != Leftover::None
            || !self.backend.owed.is_empty()
            || self.backend.certainty == Certainty::Unknown
            || !self.next_transaction.is_empty()
            || self.last.has_conditions()
            || self.sequences.any()
            || !self.texts.is_empty()
    }

    /// Whether its backend must be reset before this session uses it, because it asks for last values of
    /// sequences, which no overlay contains.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        self.sequences.any()
    }

    /// Whether a probe has ever read the state; [`restore`](Self::restore) then sets all character sets.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        self.log.captured().is_some()
    }

    /// Whether the schema's name is ASCII and so means the same in every character set: then it is set last,
    /// and [`restore`](Self::restore) leaves it out.
    #[must_use]
    pub fn has_plain_schema(&self) -> bool {
        self.schema.as_ref().is_none_or(|schema| schema.is_ascii())
    }

    /// The schema to set before [`restore`](Self::restore) if its name is not plain: that of the last probe
    /// or of the login, since the log contains later changes.
    #[must_use]
    pub fn restore_schema(&self) -> Option<&Arc<[u8]>> {
        match self.log.captured() {
            Some(captured) => captured.schema.as_ref(),
            None => self.schema.as_ref(),
        }
    }

    /// What a park may carry to the next backend, if that is all that keeps the session on this one.
    #[must_use]
    pub fn to_carry(&self, carry: Carry) -> Option<Wanted> {
        let mut wanted = Wanted {
            tables: Vec::new(),
            locks: false,
        };
        let pins = self.pins();
        for pin in &pins {
            match pin {
                Pin::TemporaryTable if carry.temporary_tables && self.may_write() => {
                    wanted.tables = self.backend.temporaries.known()?;
                }
                Pin::UserLock if carry.user_locks => wanted.locks = true,
                _ => return None,
            }
        }
        (!pins.is_empty()).then_some(wanted)
    }

    /// Whether a next transaction could write rows.
    fn may_write(&self) -> bool {
        let captured = self.log.captured();
        !captured.is_some_and(Captured::is_read_only) && self.next_transaction.is_empty()
    }

    /// Takes what is carried, as it is on the backend until its next statement; it is made again on the next backend.
    pub fn carry(&mut self, carried: Carried) {
        self.carried = Some(Box::new(carried));
    }

    /// What is to be made again on the backend.
    #[must_use]
    pub fn carried(&self) -> Option<&Carried> {
        self.carried.as_deref()
    }

    /// Whether locks are to be taken again.
    #[must_use]
    pub fn carries_locks(&self) -> bool {
        self.carried()
            .is_some_and(|carried| !carried.locks.is_empty())
    }

    /// Notes that the session's next statement runs on the backend that has what was to be carried.
    pub fn stays(&mut self) {
        self.carried = None;
    }

    /// Notes that what was carried cannot be made again, and returns what that was.
    pub fn lose_carried(&mut self) -> Vec<Pin> {
        let carried = self.carried.take();
        carried.map_or_else(Vec::new, |carried| carried.pins())
    }

    /// Notes that what was carried has been made again on the backend.
    pub fn carried_over(&mut self) {
        if let Some(carried) = self.carried.take() {
            self.backend.pins.extend(carried.pins());
            self.backend.temporaries = Temporaries::created(carried.tables.names);
            self.backend.doubt(Certainty::Unknown);
        }
    }
}
