//! The statements that bring a new backend to a session's settings.

use super::role::Role;
use crate::effects::set::sets_user_variables;
use crate::effects::words::may_change_parsing;
use crate::lexer::{Lexer, Mode, begins_with, contains};
use crate::probe::Captured;

/// The most statements that the log holds before a probe must replace it.
pub(super) const MOST_STATEMENTS: usize = 32;
/// The most bytes of them.
const MOST_BYTES: usize = 16 << 10;

/// The settings as a probe has read them, and the statements that have changed them since.
#[derive(Debug, Default)]
pub(super) struct ReplayLog {
    captured: Option<Box<Captured>>,
    statements: Vec<Box<[u8]>>,
    bytes: usize,
    /// The last `SET timestamp`, which no probe can read.
    timestamp: Option<Box<[u8]>>,
}

impl ReplayLog {
    /// What was read last, if anything was.
    pub(super) fn captured(&self) -> Option<&Captured> {
        self.captured.as_deref()
    }

    /// Takes out what was read last.
    pub(super) fn take_captured(&mut self) -> Option<Captured> {
        self.captured.take().map(|captured| *captured)
    }

    /// Starts anew from what a probe has read.
    pub(super) fn capture(&mut self, captured: Captured) {
        self.captured = Some(Box::new(captured));
        self.statements.clear();
        self.bytes = 0;
    }

    /// Whether a statement can be added. `relative`: its outcome depends on what was set before.
    pub(super) fn has_room(&self, text: &[u8], relative: bool) -> bool {
        self.replaced_by(text, relative).is_some() || self.fits(text)
    }

    /// The place of an equal statement whose values a new one gives again: none of those in between has read them.
    fn replaced_by(&self, text: &[u8], relative: bool) -> Option<usize> {
        let at = self.statements.iter().position(|entry| **entry == *text)?;
        let mut later = self.statements.iter().skip(at + 1);
        (!relative && later.all(|entry| stands_alone(entry))).then_some(at)
    }

    fn fits(&self, text: &[u8]) -> bool {
        self.statements.len() < MOST_STATEMENTS && self.bytes + text.len() <= MOST_BYTES
    }

    /// Adds a statement, in place of an equal one if the order does not matter. Returns whether there
    /// was room.
    pub(super) fn add(&mut self, text: &[u8], relative: bool) -> bool {
        if let Some(at) = self.replaced_by(text, relative) {
            self.bytes -= self.statements.remove(at).len();
        }
        let fits = self.fits(text);
        if fits {
            self.bytes += text.len();
            self.statements.push(text.into());
        }
        fits
    }

    /// Notes a `SET timestamp`.
    pub(super) fn set_timestamp(&mut self, text: &[u8]) {
        self.timestamp = Some(text.into());
    }

    /// Whether there is one.
    pub(super) fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Whether a statement may have set the role.
    pub(super) fn may_set_role(&self) -> bool {
        self.captured().is_some_and(|c| c.role.is_some())
            || self.statements.iter().any(|text| contains(text, "ROLE"))
    }

    /// The role, unless a statement since the last probe may have set it.
    pub(super) fn role(&self) -> Option<Role> {
        let may_set = |text: &[u8]| contains(text, "ROLE") && !begins_with(text, &["USE"]);
        if self.statements.iter().any(|text| may_set(text)) {
            return None;
        }
        let captured = self.captured();
        Some(captured.map_or(Role::OfLogin, |captured| Role::Is(captured.role.clone())))
    }

    /// Whether a statement since the last probe may have set the SQL mode or a character set.
    pub(super) fn may_change_parsing(&self, mode: Mode) -> bool {
        self.statements
            .iter()
            .any(|text| may_change_parsing(text, mode))
    }

    /// All statements in order, with or without `USE`.
    pub(super) fn statements(&self, with_use: bool) -> Vec<Vec<u8>> {
        let captured = self.captured.iter().flat_map(|captured| captured.restore());
        let mut all: Vec<Vec<u8>> = captured.map(String::into_bytes).collect();
        let log = self.statements.iter();
        let log = log.filter(|text| with_use || !begins_with(text, &["USE"]));
        all.extend(log.map(|text| text.to_vec()));
        all.extend(self.timestamp.iter().map(|text| text.to_vec()));
        all
    }
}

/// Whether a `SET` means the same whatever was set before: it reads no variable, and no SQL mode or
/// character set matters to it.
fn stands_alone(text: &[u8]) -> bool {
    let plain = text.is_ascii() && !text.iter().any(|byte| b"\"\\".contains(byte));
    plain && (!text.contains(&b'@') || gives_literals(text))
}

/// Whether it gives literals to user variables.
fn gives_literals(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text, Mode::default());
    lexer.next().is_some_and(|first| first.is("SET")) && sets_user_variables(lexer)
}
