//! Answers while the server sleeps, and the statements that the backend must run later because of them.

use dormouse_wire::caps::Capabilities;
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::{OkPacket, SessionChange};
use dormouse_wire::status::Status;
use dormouse_wire::{packet, rows};

use super::certainty::Certainty;
use super::deferred::Deferred;
use super::session_state::SessionState;
use crate::diagnostics::put_back;
use crate::effects::{Effects, Kind};
use crate::lexer::contains;
use crate::sleeping::change::Change;
use crate::sleeping::set;
use crate::sleeping::variables::SessionVariables;
use crate::sleeping::{Answer, AsleepContext, Candidate, Facts, answer};

/// An answer given without the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsleepAnswer {
    /// The packets of the reply.
    pub packets: Vec<u8>,
    /// The new `wait_timeout` in seconds, if the statement has set it.
    pub wait_timeout: Option<u64>,
}

impl SessionState {
    /// Answers a statement without the server; `None` if only a server can. The packets are those that the
    /// server would send, and the state is as if the server had run the statement.
    pub fn answer_asleep(
        &mut self,
        candidate: &Candidate<'_>,
        context: &AsleepContext<'_>,
    ) -> Option<AsleepAnswer> {
        let text = candidate.text;
        let unknown = self.backend.certainty == Certainty::Unknown || self.backend.hidden_variable;
        let open = self.in_transaction() || self.backend.savepoints.any();
        if unknown || open || self.last.has_conditions() {
            return None;
        }
        let mut known = self.variables(context);
        if known.is_none() && !context.backend {
            // not even the status flags are known
            return None;
        }
        let facts = Facts {
            schema: self.schema.as_deref(),
            deferred: self.deferred.is_some(),
            insert_id: self.last.certain_insert_id(),
        };
        let answer = answer(candidate, known.as_mut(), &facts, context)?;
        let lasting = match &known {
            Some(known) => known.status()?,
            None => self.status,
        };
        let effects = Effects::of(text, self.mode());
        let has_room = match (&answer, effects) {
            (Answer::Row(_) | Answer::Nothing, Effects::None) => true,
            (Answer::Begin { .. } | Answer::End, Effects::None) => true,
            // prepared statements would be prepared again under other rules
            (_, Effects::Replay(replay))
                if (replay.parsing || replay.schema) && self.has_prepared() =>
            {
                false
            }
            (Answer::Set { .. } | Answer::Use(_), Effects::Replay(replay)) => {
                self.log.has_room(text, replay.relative)
            }
            (Answer::Set { .. }, Effects::NextTransaction) => self.next_transaction.has_room(),
            _ => false,
        };
        if !has_room {
            return None;
        }
        self.status = lasting;
        if let Some(known) = &known {
            self.mode = lasting.into();
            if contains(text, "STATE_CHANGE") {
                self.state_tracking = known.flag("session_track_state_change");
            }
        }
        let wait_timeout = answer.wait_timeout();
        let packets = self.give(text, effects, answer, known.as_ref(), context);
        Some(AsleepAnswer {
            packets,
            wait_timeout,
        })
    }

    /// Whether a statement with these effects can run on an understudy: a server that is brought to the session's state
    /// for it and left at once. The session has no backend, or one that it is free to leave.
    #[must_use]
    pub fn can_be_stood_in_for(&self, text: &[u8], effects: Effects) -> bool {
        let open = self.in_transaction() || self.deferred.is_some();
        let more = self.carried.is_some() || self.sequences.any() || !self.texts.is_empty();
        let noted = match effects {
            Effects::None | Effects::Counted => true,
            // prepared statements would be prepared again under other rules
            Effects::Replay(replay) => {
                let reparses = replay.parsing && self.has_prepared();
                !replay.schema && !reparses && self.log.has_room(text, replay.relative)
            }
            _ => false,
        };
        let next = self.next_transaction.is_empty();
        noted
            && !open
            && !more
            && next
            && self.is_free()
            && self.can_read(text)
            && !self.is_special()
    }

    /// Whether its settings lift a limit of an understudy, or make other words keywords there.
    fn is_special(&self) -> bool {
        const WORDS: [&str; 4] = [
            "ORACLE",
            "MAX_STATEMENT_TIME",
            "MAX_SESSION_MEM_USED",
            "TMP_DISK_TABLE_SIZE",
        ];
        self.has_settings_with(&WORDS)
    }

    /// Whether its settings may have been made from the global values with which it began.
    #[must_use]
    pub fn has_copied_globals(&self) -> bool {
        self.has_settings_with(&["DEFAULT", "GLOBAL"])
    }

    fn has_settings_with(&self, words: &[&str]) -> bool {
        let with = |text: &Vec<u8>| words.iter().any(|word| contains(text, word));
        self.log.statements(false).iter().any(with)
    }

    /// What an understudy must run before a statement that may leave `FOUND_ROWS()` as it was; outer `None`: it cannot be
    /// made what it was.
    #[must_use]
    pub fn before_stand_in(&self, effects: Effects, kind: Kind) -> Option<Option<String>> {
        if effects != Effects::Counted || kind == Kind::Select {
            return Some(None);
        }
        let found_rows = self.last.certain_found_rows()?;
        put_back::found_rows(found_rows).map(Some)
    }

    /// Notes that an understudy has run a statement. [`probe_last_statement`](Self::probe_last_statement) follows if the
    /// state [needs it](Self::needs_probe) or [wants it](Self::wants_probe), then [`leave`](Self::leave).
    pub fn stood_in_for(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        self.arrived();
        if let Some(status) = end.status {
            self.saw_status(status);
        }
        self.ran(text, effects, kind, end);
    }

    fn has_prepared(&self) -> bool {
        !self.statements.is_empty() || !self.texts.is_empty()
    }

    /// The session's variables; `None` if they are not known.
    fn variables<'a>(&self, context: &AsleepContext<'a>) -> Option<SessionVariables<'a>> {
        // a reset does not restore everything that such a login sets
        if self.was_reset && context.collation >= 250 {
            return None;
        }
        // if the login was with it, `restore` has it until a reset
        let capabilities = context.capabilities - Capabilities::IGNORE_SPACE;
        let mut known =
            SessionVariables::at_login(context.globals?, context.collation, capabilities)?;
        for text in self.restore() {
            set::follow(&mut known, &text)?;
        }
        known.keep("wait_timeout", context.wait_timeout.to_string());
        known.keep("socket", context.socket.to_owned());
        if let Some(on) = self.state_tracking {
            known.keep("session_track_state_change", u8::from(on).to_string());
        }
        known.status().map(|_| known)
    }

    fn give(
        &mut self,
        text: &[u8],
        effects: Effects,
        answer: Answer,
        known: Option<&SessionVariables<'_>>,
        context: &AsleepContext<'_>,
    ) -> Vec<u8> {
        let mut rows = None;
        let mut tracked = Vec::new();
        let mut row = None;
        let mut kind = Kind::Change;
        match answer {
            Answer::Row(found) => {
                rows = Some(1);
                kind = Kind::Select;
                row = Some(found);
            }
            Answer::Nothing => {}
            Answer::Set { tracked: told, .. } => tracked = told,
            Answer::Use(name) => {
                if known.and_then(|known| known.flag("session_track_schema")) == Some(true) {
                    tracked.push(SessionChange::Schema(name));
                }
            }
            Answer::Begin { read_only } => self.begin(text, read_only, known),
            Answer::End => {
                self.deferred = None;
                if context.backend && !self.next_transaction.is_empty() {
                    // the backend may have a SET TRANSACTION, which this uses up
                    self.backend.owed.push(text.into());
                }
                self.next_transaction.clear();
            }
        }
        let owed = matches!(effects, Effects::Replay(_) | Effects::NextTransaction);
        if context.backend && owed {
            self.backend.owed.push(text.into());
        }
        let end = ReplyEnd {
            status: Some(self.status()),
            rows,
            ..ReplyEnd::default()
        };
        self.note_answer(text, effects, kind, &end);
        if let Some((columns, values)) = row {
            return rows::result(&columns, &[values], context.capabilities, self.status());
        }
        let ok = OkPacket {
            status: self.status(),
            session_changes: tracked,
            ..OkPacket::default()
        };
        let mut packets = Vec::new();
        packet::write_packet(&mut packets, 1, &ok.encode(context.capabilities, false));
        packets
    }

    /// Notes what the answer changes, and what it leaves for later statements to ask.
    fn note_answer(&mut self, text: &[u8], effects: Effects, kind: Kind, end: &ReplyEnd) {
        let before = self.diagnostics().cloned();
        if effects == Effects::None {
            // no transaction has begun on a server: SET TRANSACTION still holds
            self.ended(text, effects, kind, end);
        } else {
            self.ran(text, effects, kind, end);
        }
        self.last.answered(before, end);
    }

    /// Notes that a statement without a result and without effects on the session was answered with OK, without a server.
    pub fn answered(&mut self, text: &[u8], affected: u64) {
        let end = ReplyEnd {
            status: Some(self.status()),
            affected,
            ..ReplyEnd::default()
        };
        // it leaves FOUND_ROWS() as it was
        self.note_answer(text, Effects::None, Kind::Change, &end);
    }

    fn begin(
        &mut self,
        text: &[u8],
        read_only: Option<bool>,
        known: Option<&SessionVariables<'_>>,
    ) {
        if self.deferred.is_some() {
            // BEGIN ends the one that is open
            self.next_transaction.clear();
        }
        let next = self.next_transaction.statements().rev().find_map(|text| {
            let known = known?;
            let changes = set::followed(text, known)?;
            changes.iter().find_map(|change| match change {
                Change::NextTransaction { read_only } => *read_only,
                _ => None,
            })
        });
        let usual = || known.and_then(|known| known.flag("tx_read_only"));
        let read_only = read_only.or(next).or_else(usual).unwrap_or_default();
        self.deferred = Some(Box::new(Deferred::new(text, read_only)));
    }

    /// Notes a `COM_PING` that was answered without a server: it changes `ROW_COUNT()`.
    pub fn pinged(&mut self) {
        self.last.pinged();
    }

    /// Answers `COM_INIT_DB` without the server; `None` if only a server can.
    pub fn use_asleep(
        &mut self,
        schema: &[u8],
        context: &AsleepContext<'_>,
    ) -> Option<AsleepAnswer> {
        let plain = schema.is_ascii() && !schema.contains(&b'`') && !schema.is_empty();
        let text = [b"USE `", schema, b"`"].concat();
        let candidate = Candidate::read(&text).filter(|_| plain)?;
        self.answer_asleep(&candidate, context)
    }

    /// Whether a backend must run something before the next statement.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.backend.owed.is_empty() || self.deferred.is_some()
    }

    /// Takes the statements that were answered and that the backend must run.
    pub fn take_owed(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.backend.owed)
    }

    /// The statement that begins the transaction that the client was told is open.
    #[must_use]
    pub fn deferred(&self) -> Option<&[u8]> {
        self.deferred.as_ref().map(|deferred| &*deferred.statement)
    }

    /// Notes that the server has begun it, and the status flags of its reply.
    pub fn begun(&mut self, status: Status) {
        let deferred = self.deferred.take();
        self.saw_status(status);
        if let (Some(log), Some(deferred)) = (&mut self.transaction, deferred) {
            log.begun_by(&deferred.statement);
        }
    }
}
