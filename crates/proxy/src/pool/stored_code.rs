//! Cache of whether a database has stored code that changes sessions in ways that no reply reports.
//!
//! The server is asked once after each of its starts, and again after statements that may have created, altered
//! or dropped stored code. Until it has answered, a statement that may have run stored code may have run any.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dormouse_types::{InstanceId, Target};

/// What [`StoredCode::clear`] is while the answer is not "none".
const NOT_CLEAR: u64 = u64::MAX;

/// What is known of a database's stored code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hides {
    /// It has none that changes sessions silently.
    Nothing,
    /// It may have some.
    Perhaps,
    /// It has some.
    Changes,
}

/// What is known of the stored code of one database.
#[derive(Debug)]
pub(crate) struct StoredCode {
    /// The generation of the server that has none: the only thing that a statement reads in such a database.
    clear: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What the server has answered, and which.
    answer: Option<Answer>,
    /// Counts the statements that may have changed stored code, at their beginnings and ends.
    changes: u64,
    /// How many of them run now.
    changing: u32,
    /// Whether the server is being asked.
    asking: bool,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    instance: InstanceId,
    generation: u64,
    changes: u64,
    hides: bool,
}

/// The right to ask the server; [`StoredCode::answered`] follows.
#[derive(Debug)]
pub(crate) struct Question {
    instance: InstanceId,
    generation: u64,
    changes: u64,
}

impl Default for StoredCode {
    fn default() -> Self {
        Self {
            clear: AtomicU64::new(NOT_CLEAR),
            known: Mutex::default(),
        }
    }
}

/// A running statement that may change stored code.
pub(crate) struct Changing<'a>(&'a StoredCode);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.changes += 1;
        known.changing = known.changing.saturating_sub(1);
    }
}

impl StoredCode {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the code that a statement on this server may have run, and the right to ask the server if
    /// it must be asked.
    pub(crate) fn look(&self, target: &Target) -> (Hides, Option<Question>) {
        if self.clear.load(Ordering::Acquire) == target.generation {
            return (Hides::Nothing, None);
        }
        let mut known = self.known();
        let same = |answer: &Answer| answer.instance == target.instance;
        let answer = known.answer.filter(same);
        let unchanged = |answer: &Answer| answer.changes == known.changes && known.changing == 0;
        let fresh = answer
            .as_ref()
            .is_some_and(|answer| unchanged(answer) && answer.generation == target.generation);
        let hides = match answer {
            // in doubt a change has removed nothing
            Some(Answer { hides: true, .. }) => Hides::Changes,
            // a start of a server changes no code of its users
            Some(answer) if unchanged(&answer) => Hides::Nothing,
            _ => Hides::Perhaps,
        };
        if fresh || known.asking || known.changing > 0 {
            return (hides, None);
        }
        known.asking = true;
        let question = Question {
            instance: target.instance,
            generation: target.generation,
            changes: known.changes,
        };
        (hides, Some(question))
    }

    /// Takes the server's answer; `None`: it did not answer.
    pub(crate) fn answered(&self, question: &Question, hides: Option<bool>) {
        let mut known = self.known();
        let Some(hides) = hides else {
            return;
        };
        if known.changes != question.changes || known.changing > 0 {
            return;
        }
        known.answer = Some(Answer {
            instance: question.instance,
            generation: question.generation,
            changes: question.changes,
            hides,
        });
        let clear = if hides {
            NOT_CLEAR
        } else {
            question.generation
        };
        self.clear.store(clear, Ordering::Release);
    }

    /// Permits the next question.
    pub(crate) fn may_ask(&self) {
        self.known().asking = false;
    }

    /// A statement that may change stored code is about to be sent; it has ended when what is returned is dropped.
    pub(crate) fn changes(&self) -> Changing<'_> {
        let mut known = self.known();
        known.changes += 1;
        known.changing += 1;
        self.clear.store(NOT_CLEAR, Ordering::Release);
        Changing(self)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use dormouse_types::{Carry, Endpoint, Pooling};

    use super::*;

    fn server(instance: u32, generation: u64) -> Target {
        Target {
            origin: InstanceId(instance),
            instance: InstanceId(instance),
            generation,
            endpoint: Endpoint::Unix(PathBuf::new()),
            pooling: Pooling::Statement,
            carry: Carry::default(),
        }
    }

    fn ask(code: &StoredCode, target: &Target, hides: bool) {
        let question = code.look(target).1.expect("it must be asked");
        code.answered(&question, Some(hides));
        code.may_ask();
    }

    fn seen(code: &StoredCode, target: &Target) -> (Hides, bool) {
        let (hides, question) = code.look(target);
        let asks = question.is_some();
        if asks {
            code.may_ask();
        }
        (hides, asks)
    }

    #[test]
    fn a_server_is_asked_once_and_after_each_change() {
        let (code, target) = (StoredCode::default(), server(1, 1));
        assert_eq!(seen(&code, &target), (Hides::Perhaps, true));
        ask(&code, &target, false);
        assert_eq!(seen(&code, &target), (Hides::Nothing, false));

        let changing = code.changes();
        // the answer could be older than the change
        assert_eq!(seen(&code, &target), (Hides::Perhaps, false));
        drop(changing);
        ask(&code, &target, true);
        assert_eq!(seen(&code, &target), (Hides::Changes, false));

        drop(code.changes());
        assert_eq!(seen(&code, &target), (Hides::Changes, true));
        ask(&code, &target, false);
        assert_eq!(seen(&code, &target), (Hides::Nothing, false));
    }

    #[test]
    fn an_answer_that_a_change_has_overtaken_does_not_count() {
        let (code, target) = (StoredCode::default(), server(1, 1));
        let question = code.look(&target).1.expect("it must be asked");
        assert_eq!(seen(&code, &target), (Hides::Perhaps, false), "one asks");
        drop(code.changes());
        code.answered(&question, Some(false));
        code.may_ask();
        assert_eq!(seen(&code, &target), (Hides::Perhaps, true));
        let question = code.look(&target).1.expect("it must be asked");
        code.answered(&question, None);
        code.may_ask();
        assert_eq!(seen(&code, &target), (Hides::Perhaps, true));
    }

    #[test]
    fn another_server_is_asked_again() {
        let code = StoredCode::default();
        ask(&code, &server(1, 1), false);
        // the same files
        assert_eq!(seen(&code, &server(1, 2)), (Hides::Nothing, true));
        // other files
        assert_eq!(seen(&code, &server(2, 2)), (Hides::Perhaps, true));
        ask(&code, &server(1, 2), false);
        assert_eq!(seen(&code, &server(1, 2)), (Hides::Nothing, false));
        assert_eq!(seen(&code, &server(2, 3)), (Hides::Perhaps, true));
    }
}
