//! Leaving a backend: what must be asked of it first, what keeps the session on it, and what is gone
//! with it.

use dormouse_wire::status::Status;

use super::{Knowledge, Last, Session};
use crate::aftermath::Aftermath;
use crate::locks::Locks;
use crate::pin::Pin;
use crate::probe::{Depth, Probe};
use crate::temporary::Temporaries;

impl Session {
    /// Whether the backend must be asked something before the session can leave it.
    #[must_use]
    pub fn needs_probe(&self) -> bool {
        self.knowledge == Knowledge::Unknown
            || self.doubtful
            || self.id_unsure
            || self.last == Last::Ask && self.aftermath.is_none()
            || self.asks_sequences()
    }

    /// A probe of the session's backend.
    #[must_use]
    pub fn probe(&self, depth: Depth) -> Probe {
        let everything =
            depth == Depth::Everything || self.doubtful || self.knowledge == Knowledge::Unknown;
        let warned = self.conditions > 0 && self.aftermath.is_none();
        let sequences = if self.asks_sequences() {
            self.sequences.questions()
        } else {
            Vec::new()
        };
        Probe::new(everything, warned, self.temporaries.clone())
            .with_sequences(sequences, !self.status.contains(Status::AUTOCOMMIT))
    }

    /// Whether the values of sequences are to be read, and can be: it takes a transaction, and what
    /// waits for one, or is part of one, would go with that.
    pub(super) fn asks_sequences(&self) -> bool {
        self.sequences.is_stale() && self.next_transaction.is_empty() && !self.savepoints.any()
    }

    /// What a probe of the backend found; the log before it is no longer needed.
    pub fn captured(&mut self, probe: Probe) {
        let mut found = probe.found;
        let locks = found.lock_pins(self.locks.any());
        if let Some(values) = found.sequences.take() {
            self.sequences.answered(values);
        }
        if let Some((aftermath, id)) = found.aftermath.take() {
            self.last_insert_id = id;
            self.id_unsure = false;
            self.aftermath.get_or_insert_with(|| Box::new(aftermath));
        }
        let unreadable = found.pins.contains(&Pin::Unreadable);
        if let Some(captured) = found.captured.filter(|_| !unreadable) {
            self.texts.counted(found.prepared);
            self.temporaries = found.temporaries;
            self.profiled |= found.pins.contains(&Pin::Profiling);
            self.pins = found.pins;
            self.pins.extend(locks);
            if found.clock_stands && self.timestamp.is_none() {
                self.pins.push(Pin::HiddenVariable);
            }
            self.schema.clone_from(&captured.schema);
            self.double_bytes |= captured.is_double_bytes();
            self.captured = Some(Box::new(captured));
            self.log.clear();
            self.log_bytes = 0;
            self.knowledge = Knowledge::Known;
            self.doubtful = false;
        } else if unreadable {
            self.pins = vec![Pin::Unreadable];
        }
    }

    /// Why the session cannot leave its backend, as of the last capture.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        let mut pins = self.pins.clone();
        let mut pin = |when: bool, pin| {
            if when {
                pins.push(pin);
            }
        };
        let transaction = self.in_transaction() || self.savepoints.any();
        pin(transaction, Pin::Transaction);
        let unread = self.sequences.is_stale() && !self.asks_sequences();
        pin(self.sequences.pin() || unread, Pin::Sequence);
        pin(self.hidden_variable, Pin::HiddenVariable);
        let context = self.statements.context();
        let stuck = self.texts.is_stuck(self.schema.as_ref(), context);
        pin(stuck, Pin::TextPrepare);
        for statement in self.statements.iter() {
            pin(statement.cursor, Pin::Cursor);
            pin(statement.long_data, Pin::LongData);
            pin(statement.text.is_none(), Pin::PreparedText);
            pin(statement.context != context, Pin::PreparedContext);
        }
        pins.sort_unstable();
        pins.dedup();
        pins
    }

    /// Whether it could leave its backend now, without a probe.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !self.needs_probe() && self.pins().is_empty()
    }

    /// The session has come to a backend. What a former one's last statement left there is not this
    /// session's.
    pub fn arrived(&mut self) {
        if self.aftermath.is_none() {
            self.aftermath = Some(Box::new(self.presumed_aftermath()));
        }
    }

    fn presumed_aftermath(&self) -> Aftermath {
        let (row_count, found_rows) = match self.last {
            Last::Is {
                row_count,
                found_rows,
            } => (row_count, found_rows),
            Last::Ask => (-1, 0),
        };
        Aftermath {
            row_count,
            found_rows,
            // the lists went with a backend that was not asked: who asks for them is told so
            warnings: self.conditions.into(),
            errors: u64::from(self.last_failed),
            ..Aftermath::default()
        }
    }

    /// The session leaves its backend, free to do so. What the last statement left is Dormouse's
    /// to answer from now on.
    pub fn leave(&mut self) {
        let _nothing = self.lost_backend();
    }

    /// The backend is gone. What it held that no other can be given is returned: with any, the
    /// session cannot go on as if nothing had happened.
    pub fn lost_backend(&mut self) -> Vec<Pin> {
        let mut lost = self.pins();
        if self.knowledge == Knowledge::Unknown {
            lost.push(Pin::Unreadable);
        }
        self.arrived();
        self.statements.lose_backend();
        self.status = self
            .status
            .without(Status::IN_TRANS)
            .without(Status::IN_TRANS_READONLY);
        self.savepoints.clear();
        self.present_transaction.clear();
        self.sequences.left();
        self.hidden_variable = false;
        self.id_unsure = false;
        self.conditions = 0;
        self.locks = Locks::default();
        self.doubtful = false;
        self.tainted = false;
        self.profiled = false;
        self.temporaries = Temporaries::default();
        self.texts.moved();
        self.pins.clear();
        // it is in the log
        self.owed.clear();
        self.knowledge = Knowledge::Known;
        lost
    }
}
