//! What the last statement left for later ones to ask: `ROW_COUNT()`, `FOUND_ROWS()`,
//! `LAST_INSERT_ID()`, warnings.

use dormouse_wire::framer::ReplyEnd;

use super::certainty::Certainty;
use crate::diagnostics::{self, Diagnostics};
use crate::effects::{Effects, Kind};
use crate::lexer::{Lexer, Mode, begins_with, is_one_statement};

/// `ROW_COUNT()` and `FOUND_ROWS()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    row_count: i64,
    found_rows: u64,
}

/// What only the present backend has.
#[derive(Debug, Default)]
struct OnBackend {
    /// How many warnings and errors there are to be shown.
    conditions: u16,
    /// Whether `LAST_INSERT_ID()` is what the replies say.
    insert_id: Certainty,
}

/// What the last statement left.
#[derive(Debug)]
pub(super) struct LastStatement {
    /// What Dormouse must answer itself, because the backend does not have it.
    kept: Option<Box<Diagnostics>>,
    /// What the reply tells, if there were no warnings; `None`: the server must be asked.
    counts: Option<Counts>,
    /// What the reply tells of each, in case that the server can no longer be asked.
    told: (Option<i64>, Option<u64>),
    /// Whether it may have left a `FOUND_ROWS()` that its reply does not tell (`SQL_CALC_FOUND_ROWS`).
    counted: bool,
    /// Whether the server has been asked since.
    asked: bool,
    /// Whether what is kept has the warnings of an earlier statement, and the backend the counts of the last one.
    uncounted: bool,
    /// `FOUND_ROWS()` of an earlier statement, if this one has left it: the backend may have another.
    found_before: Option<u64>,
    failed: bool,
    insert_id: u64,
    on_backend: OnBackend,
}

impl LastStatement {
    /// The state after a login, or after a reset, which leaves `FOUND_ROWS()` as it is (`None`: not known).
    pub(super) fn none(found_rows: Option<u64>) -> Self {
        Self {
            // a backend may hold what another session's last statement left
            kept: found_rows.map(|found_rows| {
                Box::new(Diagnostics {
                    found_rows,
                    ..Diagnostics::default()
                })
            }),
            counts: found_rows.map(|found_rows| Counts {
                row_count: 0,
                found_rows,
            }),
            told: (Some(0), found_rows),
            counted: false,
            asked: false,
            uncounted: false,
            found_before: None,
            failed: false,
            insert_id: 0,
            on_backend: OnBackend::default(),
        }
    }

    /// `FOUND_ROWS()`, if it is known.
    pub(super) fn found_rows(&self) -> Option<u64> {
        let kept = self.kept.as_ref().map(|kept| kept.found_rows);
        kept.or(self.counts.map(|counts| counts.found_rows))
    }

    /// `FOUND_ROWS()`, if it is certain.
    pub(super) fn certain_found_rows(&self) -> Option<u64> {
        let lost = self.kept.as_ref().is_some_and(|kept| kept.found_rows_lost);
        self.found_rows().filter(|_| !lost)
    }

    /// `ROW_COUNT()`, as far as the reply has told it.
    pub(super) fn row_count(&self) -> Option<i64> {
        self.told.0
    }

    /// What Dormouse must answer itself.
    pub(super) fn kept(&self) -> Option<&Diagnostics> {
        self.kept.as_deref()
    }

    /// Whether it failed.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// `LAST_INSERT_ID()`.
    pub(super) fn insert_id(&self) -> u64 {
        self.insert_id
    }

    /// `LAST_INSERT_ID()`, unless only the backend knows it.
    pub(super) fn certain_insert_id(&self) -> Option<u64> {
        (self.on_backend.insert_id == Certainty::Known).then_some(self.insert_id)
    }

    /// How many warnings and errors there may be to be shown.
    fn conditions(&self) -> u16 {
        let kept = self.kept.as_ref().map_or(0, |kept| kept.warnings);
        let kept = u16::try_from(kept).unwrap_or(u16::MAX);
        kept.max(self.on_backend.conditions)
    }

    /// Whether the backend has warnings or errors of it.
    pub(super) fn has_conditions(&self) -> bool {
        self.on_backend.conditions > 0
    }

    /// Whether those must be read before the backend is left.
    pub(super) fn has_unread_conditions(&self) -> bool {
        self.has_conditions() && self.kept.is_none()
    }

    /// Whether the backend must be asked before it is left.
    pub(super) fn needs_probe(&self) -> bool {
        self.on_backend.insert_id != Certainty::Known
            || self.uncounted
            || self.counts.is_none() && self.kept.is_none()
    }

    /// Whether the server has something that it should be asked for soon, since it would be lost with it.
    pub(super) fn wants_asking(&self) -> bool {
        self.kept.is_none() && !self.asked && (self.counted || self.has_conditions())
    }

    /// Notes that the server was asked, whatever it has answered.
    pub(super) fn was_asked(&mut self) {
        self.asked = true;
    }

    /// Notes the end of a statement.
    pub(super) fn ended(
        &mut self,
        text: &[u8],
        mode: Mode,
        effects: Effects,
        kind: Kind,
        end: &ReplyEnd,
    ) {
        let told = !matches!(effects, Effects::Counted | Effects::Unknown);
        let before = self.conditions();
        let other = kind == Kind::Other && begins_with(text, &["DO", "VALUES"]);
        let leaves = told && (kind == Kind::Change || other) && end.error.is_none();
        self.found_before = self.certain_found_rows().filter(|_| leaves);
        let was_kept = self.kept.is_some();
        let kept = self.kept.take().filter(|_| end.error.is_none());
        self.kept = kept
            .and_then(|kept| kept.after(text, mode, end, told))
            .map(Box::new);
        self.uncounted = self.kept.is_some() && !told;
        if end.last_insert_id != 0 {
            // if the client gave the value, LAST_INSERT_ID() is unchanged: a probe decides
            self.insert_id = end.last_insert_id;
        }
        if end.last_insert_id != 0 || !told {
            self.on_backend.insert_id = Certainty::Unknown;
        }
        self.failed = end.error.is_some();
        if self.failed || end.warnings > 0 || !diagnostics::keeps_warnings(text, mode) {
            self.on_backend.conditions = end.warnings.max(u16::from(self.failed));
            if effects == Effects::Unknown && !self.failed {
                // a block, CALL or EXECUTE that uses no table leaves them, and its reply does not say so
                self.on_backend.conditions = self.on_backend.conditions.max(before);
            }
        }
        let certain = !self.has_conditions() && told;
        let one = effects != Effects::Unknown || is_one_statement(Lexer::new(text, mode));
        self.told = match (kind, end.rows) {
            _ if self.failed => (Some(-1), None),
            (Kind::Select, Some(rows)) => (Some(-1), Some(rows).filter(|_| told)),
            (_, Some(_)) => (Some(-1), None),
            (Kind::Change, None) if one => (i64::try_from(end.affected).ok(), self.told.1),
            (_, None) if one => (i64::try_from(end.affected).ok(), None),
            (_, None) => (None, None),
        };
        self.asked = false;
        self.counted = kind == Kind::Select && effects == Effects::Counted;
        if was_kept
            && kind == Kind::Change
            && certain
            && let Some(found_rows) = self.found_before
        {
            // the backend has another FOUND_ROWS(), which this statement has left as it was
            self.kept.get_or_insert_with(|| {
                Box::new(Diagnostics {
                    row_count: i64::try_from(end.affected).unwrap_or(-1),
                    found_rows,
                    ..Diagnostics::default()
                })
            });
        }
        self.counts = match (kind, end.rows, self.counts) {
            (Kind::Select, Some(found_rows), _) if certain => Some(Counts {
                row_count: -1,
                found_rows,
            }),
            (Kind::Change, None, Some(before)) if certain => Some(Counts {
                row_count: i64::try_from(end.affected).unwrap_or(-1),
                found_rows: before.found_rows,
            }),
            _ => None,
        };
    }

    /// Notes that this text was prepared with the protocol. That changes neither `ROW_COUNT()` nor `FOUND_ROWS()`.
    pub(super) fn prepared(&mut self, text: &[u8], mode: Mode, end: &ReplyEnd) {
        if end.error.is_some() || end.warnings > 0 {
            let found_rows = self.certain_found_rows();
            self.ended(text, mode, Effects::Counted, Kind::Other, end);
            self.found_before = found_rows;
            return;
        }
        if diagnostics::keeps_warnings(text, mode) {
            return;
        }
        self.on_backend.conditions = 0;
        if let Some(kept) = &mut self.kept {
            (kept.warnings, kept.errors) = (0, 0);
            (kept.warning_list, kept.error_list, kept.conditions) = (None, None, None);
        }
    }

    /// Notes that the statement whose end was noted was answered without a server: what it left is kept here
    /// as far as it is known; the backend has the rest. `before` is what was kept before it.
    pub(super) fn answered(&mut self, before: Option<Diagnostics>, end: &ReplyEnd) {
        if self.kept.is_some() {
            return;
        }
        if self.counts.is_some() {
            self.keep();
        } else if let Some(mut before) = before {
            before.row_count = if end.rows.is_some() { -1 } else { 0 };
            self.kept = Some(Box::new(before));
        }
    }

    /// Notes what a statement left that has run elsewhere than on the backend. It changes neither
    /// `FOUND_ROWS()` nor `LAST_INSERT_ID()`.
    pub(super) fn ran_elsewhere(&mut self, left: Diagnostics) {
        self.failed = left.errors > 0;
        let found_rows = self.found_rows().unwrap_or(left.found_rows);
        self.told = (Some(left.row_count), Some(found_rows));
        (self.counted, self.uncounted) = (false, false);
        self.kept = Some(Box::new(Diagnostics { found_rows, ..left }));
        self.counts = None;
        self.on_backend.conditions = 0;
    }

    /// Notes that the kept list of warnings was shown.
    pub(super) fn showed(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.row_count = -1;
        }
    }

    /// Notes that a `COM_PING` was answered without a server.
    pub(super) fn pinged(&mut self) {
        if self.counts.is_some() {
            self.keep();
        }
        self.told.0 = Some(0);
        if let Some(kept) = &mut self.kept {
            kept.row_count = 0;
        }
        if let Some(counts) = &mut self.counts {
            counts.row_count = 0;
        }
    }

    /// Takes what a probe has read from the backend.
    pub(super) fn captured(&mut self, diagnostics: Diagnostics, insert_id: u64) {
        self.insert_id = insert_id;
        self.on_backend.insert_id = Certainty::Known;
        self.counted = false;
        let found_rows = self.found_before.unwrap_or(diagnostics.found_rows);
        let diagnostics = Diagnostics {
            found_rows,
            ..diagnostics
        };
        self.told = (Some(diagnostics.row_count), Some(diagnostics.found_rows));
        match &mut self.kept {
            Some(kept) if std::mem::take(&mut self.uncounted) => {
                kept.row_count = diagnostics.row_count;
                kept.found_rows = diagnostics.found_rows;
                kept.found_rows_lost = false;
            }
            Some(_) => {}
            None => self.kept = Some(Box::new(diagnostics)),
        }
    }

    /// Keeps what is known: the backend is another one, or has run something else.
    pub(super) fn keep(&mut self) {
        if self.kept.is_some() {
            return;
        }
        let (row_count, found_rows) = match self.counts {
            Some(counts) => (Some(counts.row_count), Some(counts.found_rows)),
            None => self.told,
        };
        self.kept = Some(Box::new(Diagnostics {
            row_count: row_count.unwrap_or(-1),
            found_rows: found_rows.unwrap_or(0),
            found_rows_lost: found_rows.is_none(),
            // the lists went with a backend that was not asked: a statement that asks for them is refused
            warnings: self.on_backend.conditions.into(),
            errors: u64::from(self.failed),
            ..Diagnostics::default()
        }));
    }

    /// Notes that the backend is gone.
    pub(super) fn lose_backend(&mut self) {
        self.keep();
        self.uncounted = false;
        self.on_backend = OnBackend::default();
    }
}
