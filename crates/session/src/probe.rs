//! The probe: reads a session's whole state from its backend.
//!
//! Called by `proxy` when a session whose state is not known is idle or must leave its backend. The
//! answers go to [`SessionState::captured`](crate::SessionState::captured).

mod captured;

use crate::diagnostics::{Diagnostics, conditions};
use crate::rows::Rows;
use crate::temporary::Temporaries;
use crate::user_variables::{self, UserVariable};
use dormouse_types::Pin;

pub use captured::Captured;
use captured::{Variable, identity, variable};

/// A question to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The answer is needed as rows.
    Rows(Vec<u8>),
    /// The answer is needed as the packets of the reply, unchanged.
    Raw(Vec<u8>),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Rows, or the packets of the reply.
    Rows(Rows),
    /// The packets of the reply.
    Raw(Vec<u8>),
    /// The server answered with an error.
    Refused,
    /// The answer exceeds the limit for one answer.
    TooLong,
}

impl Answer {
    fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Rows(rows) => Some(rows),
            Self::Raw(_) | Self::Refused | Self::TooLong => None,
        }
    }
}

/// How much a probe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only what is not known.
    Needed,
    /// Everything, including what only stored code could have changed.
    Everything,
}

/// Reads a session's state from its backend: batches of questions out, answers in. Every question is
/// valid in any SQL mode (but the one about conditions, which `ORACLE` refuses) and is ASCII, except for names of variables and tables; explicit `LIMIT`s
/// override `sql_select_limit`. Questions must be asked outside a transaction.
#[derive(Debug)]
pub struct Probe {
    next: Vec<Asked>,
    asked: Vec<Asked>,
    sequences: Vec<Asked>,
    /// The `ROW_COUNT()` of the last statement, if profiling is on: then it is off while the server is asked,
    /// and switching it off changes that.
    profiled: Option<i64>,
    pub(crate) found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    ProfilingOff,
    ProfilingOn,
    TrackingOn,
    Diagnostics,
    Warnings,
    Errors,
    /// What those do not tell.
    Conditions,
    Identity,
    Variables,
    Names,
    Counters,
    /// The locks of the server's connection with this id.
    Locks(u32),
    Texts(String),
    Temporary(String),
    Sequence(String),
    /// Ends the transaction in which sequences were read.
    Rollback,
}

/// What a probe has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) diagnostics: Option<(Diagnostics, u64)>,
    pub(crate) captured: Option<Captured>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) prepared: u64,
    created_code: Option<u64>,
    /// Whether `timestamp` is set.
    pub(crate) clock_stands: bool,
    /// Whether tracking of changes of state was off.
    pub(crate) untracked: bool,
    pub(crate) temporaries: Temporaries,
    /// The last values of the sequences, in the order of the questions; `None` inside if the server refused.
    pub(crate) sequences: Option<Vec<Option<Option<Vec<u8>>>>>,
    names: Vec<UserVariable>,
    texts: Option<Rows>,
    shown: Vec<Option<Vec<u8>>>,
    locks: Option<Vec<Pin>>,
}

/// Must be the first question: it reads what the client's last statement left. `SHOW WARNINGS`, `SHOW ERRORS` and the
/// question about conditions, which follow, leave that as it is.
const DIAGNOSTICS: &str =
    "SELECT ROW_COUNT(), FOUND_ROWS(), @@warning_count, @@error_count, LAST_INSERT_ID() LIMIT 1";

/// The last three columns show what stored code may have set: variables without a global value, a fixed
/// `timestamp`, and tracking off, which Dormouse needs.
const IDENTITY: &str = "SELECT HEX(CONVERT(DATABASE() USING utf8mb4)), \
     HEX(CONVERT(CURRENT_ROLE() USING utf8mb4)), \
     @@character_set_client, @@character_set_results, @@collation_connection, \
     @@profiling, @@optimizer_trace LIKE '%enabled=on%', \
     @@insert_id <> 0 OR @@sql_log_bin = 0 OR @@skip_replication OR @@pseudo_slave_mode, \
     ABS(TIMESTAMPDIFF(SECOND, NOW(), SYSDATE())) > 2, @@session_track_state_change = 0 LIMIT 1";

/// The last two variables have session values but can be set only globally.
const VARIABLES: &str = "SELECT VARIABLE_NAME, HEX(CONVERT(SESSION_VALUE USING utf8mb4)), VARIABLE_TYPE \
     FROM information_schema.SYSTEM_VARIABLES \
     WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' AND GLOBAL_VALUE IS NOT NULL \
     AND BINARY SESSION_VALUE <> BINARY GLOBAL_VALUE \
     AND VARIABLE_NAME NOT IN ('CHARACTER_SET_CLIENT', 'CHARACTER_SET_RESULTS', \
     'CHARACTER_SET_CONNECTION', 'COLLATION_CONNECTION', 'CHARACTER_SET_DATABASE', \
     'COLLATION_DATABASE', 'MAX_ALLOWED_PACKET', 'NET_BUFFER_LENGTH', 'WAIT_TIMEOUT', \
     'SESSION_TRACK_STATE_CHANGE') \
     AND NOT (VARIABLE_NAME IN ('NET_READ_TIMEOUT', 'NET_WRITE_TIMEOUT') AND SESSION_VALUE = '31536000') \
     LIMIT 10000";

/// Asks for the global values of these variables, as far as sessions begin with them and a session may set its own.
#[must_use]
pub fn globals_question(names: &[&str]) -> String {
    let plain = |name: &&&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let names: Vec<_> = names
        .iter()
        .filter(plain)
        .map(|name| format!("'{name}'"))
        .collect();
    format!(
        "SELECT VARIABLE_NAME, HEX(CONVERT(GLOBAL_VALUE USING utf8mb4)), VARIABLE_TYPE \
         FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' \
         AND GLOBAL_VALUE IS NOT NULL AND VARIABLE_NAME IN ('', {}) AND VARIABLE_NAME NOT LIKE 'CHARACTER%' \
         AND VARIABLE_NAME NOT LIKE 'COLLATION%' AND VARIABLE_NAME NOT IN ('MAX_ALLOWED_PACKET', \
         'NET_BUFFER_LENGTH', 'WAIT_TIMEOUT', 'NET_READ_TIMEOUT', 'NET_WRITE_TIMEOUT', \
         'SESSION_TRACK_STATE_CHANGE') LIMIT 100",
        names.join(", ")
    )
}

/// The answer to that: each variable's name, and the `SET` that gives it its present value in a session.
#[must_use]
pub fn globals_answer(rows: &Rows) -> Vec<(String, String)> {
    let all = rows.iter().filter_map(|row| variable(row));
    all.filter(|variable| !variable.may_be_cut())
        .map(Variable::keep)
        .collect()
}

const COUNTERS: &str = "SHOW SESSION STATUS WHERE Variable_name IN \
     ('Com_create_temporary_table', 'Com_prepare_sql', 'Com_create_function', 'Com_create_procedure', \
     'Com_create_trigger', 'Com_create_package_body', 'Com_create_view')";

/// Those of them that count stored code.
const CREATED: [&str; 5] = [
    "Com_create_function",
    "Com_create_procedure",
    "Com_create_trigger",
    "Com_create_package_body",
    "Com_create_view",
];

/// The server's own id of the connection stands behind it: `CONNECTION_ID()` is the session's.
const LOCKS: &str =
    "SELECT DISTINCT LOCK_TYPE FROM information_schema.METADATA_LOCK_INFO WHERE THREAD_ID = ";

impl Probe {
    pub(crate) fn new(
        thread: u32,
        everything: bool,
        warned: bool,
        temporaries: Temporaries,
    ) -> Self {
        let mut next = vec![Asked::Diagnostics];
        if warned {
            next.extend([Asked::Warnings, Asked::Errors, Asked::Conditions]);
        }
        if everything {
            next.extend([
                Asked::Identity,
                Asked::Variables,
                Asked::Names,
                Asked::Locks(thread),
                // last, because it clears warnings of the others
                Asked::Counters,
            ]);
        }
        Self {
            next,
            asked: Vec::new(),
            sequences: Vec::new(),
            profiled: None,
            found: Found {
                temporaries,
                ..Found::default()
            },
        }
    }

    /// Keeps the questions out of the profiles of a session that has profiling on. `row_count` is the `ROW_COUNT()`
    /// of its last statement.
    pub(crate) fn unprofiled(mut self, row_count: i64) -> Self {
        self.next.insert(0, Asked::ProfilingOff);
        self.profiled = Some(row_count);
        self
    }

    /// Adds questions about sequences; `rollback` ends the transaction that they open.
    pub(crate) fn with_sequences(mut self, questions: Vec<String>, rollback: bool) -> Self {
        let end = (rollback && !questions.is_empty()).then_some(Asked::Rollback);
        self.sequences = questions
            .into_iter()
            .map(Asked::Sequence)
            .chain(end)
            .collect();
        self
    }

    /// How many statements of the backend have created stored code, as its server counts; `None` if it was not asked.
    #[must_use]
    pub fn created_code(&self) -> Option<u64> {
        self.found.created_code
    }

    /// Whether it has read the session's variables.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        self.found.captured.is_some()
    }

    /// The next batch of questions, to be sent together; an empty one means that the probe is finished.
    pub fn questions(&mut self) -> Vec<Question> {
        self.asked = std::mem::take(&mut self.next);
        self.asked.iter().map(Asked::question).collect()
    }

    /// Takes the answers to the batch, in order.
    pub fn answers(&mut self, answers: Vec<Answer>) {
        let asked = std::mem::take(&mut self.asked);
        let first = asked.first().cloned();
        for (asked, answer) in asked.into_iter().zip(answers) {
            self.answer(asked, answer);
        }
        match first {
            Some(Asked::Diagnostics | Asked::ProfilingOff) => self.look_closer(),
            Some(_) => self.finish(),
            None => {}
        }
    }

    /// Prepares the second batch: the first one has shown which variables, tables and sequences exist.
    fn look_closer(&mut self) {
        if self.found.captured.is_some() {
            if let Some(question) = user_variables::texts(&self.found.names) {
                self.next.push(Asked::Texts(question));
            }
            let tables = self.found.temporaries.questions().into_iter();
            self.next.extend(tables.map(Asked::Temporary));
        }
        self.next.append(&mut self.sequences);
        if self.found.untracked {
            self.next.push(Asked::TrackingOn);
        }
        if self.profiled.is_some() {
            self.next.push(Asked::ProfilingOn);
        }
        if self.next.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let found = &mut self.found;
        let Some(captured) = &mut found.captured else {
            return;
        };
        match user_variables::assignments(&found.names, found.texts.as_ref()) {
            Some(assignments) => captured.user_variables = assignments,
            None => found.pins.push(Pin::UserVariable),
        }
        found.temporaries.answered(&found.shown);
        if found.temporaries.may_exist() {
            found.pins.push(Pin::TemporaryTable);
        }
    }

    fn answer(&mut self, asked: Asked, answer: Answer) {
        let found = &mut self.found;
        match asked {
            Asked::Diagnostics => {
                found.diagnostics = answer.rows().and_then(|rows| diagnostics(rows.first()?));
                if let (Some(row_count), Some((read, _))) = (self.profiled, &mut found.diagnostics)
                {
                    read.row_count = row_count;
                }
                if found.diagnostics.is_none() {
                    found.pins.push(Pin::Unreadable);
                }
            }
            Asked::Warnings | Asked::Errors => {
                if let (Some((diagnostics, _)), Answer::Raw(bytes)) =
                    (&mut found.diagnostics, answer)
                {
                    let (count, list) = if asked == Asked::Warnings {
                        (diagnostics.warnings, &mut diagnostics.warning_list)
                    } else {
                        (diagnostics.errors, &mut diagnostics.error_list)
                    };
                    *list = (count > 0).then(|| bytes.into());
                }
            }
            Asked::Conditions => {
                if let (Some((diagnostics, _)), Answer::Raw(bytes)) =
                    (&mut found.diagnostics, answer)
                {
                    diagnostics.conditions = conditions::told(&bytes);
                }
            }
            Asked::Identity => {
                let row = answer.rows().and_then(|rows| rows.first());
                found.captured = row.and_then(|row| identity(row));
                let on = |column: usize| {
                    row.and_then(|row| number(row.get(column)?.as_deref()?)) == Some(1)
                };
                if on(5) || on(6) || self.profiled.is_some() {
                    found.pins.push(Pin::Profiling);
                }
                if on(7) {
                    found.pins.push(Pin::HiddenVariable);
                }
                found.clock_stands = on(8);
                found.untracked = on(9);
                if found.captured.is_none() {
                    found.pins.push(Pin::Unreadable);
                }
            }
            Asked::Variables => {
                let variables: Option<Vec<_>> = answer
                    .rows()
                    .and_then(|rows| rows.iter().map(|row| variable(row)).collect());
                let cut = |all: &Vec<Variable>| all.iter().any(Variable::may_be_cut);
                if variables.as_ref().is_some_and(cut) {
                    found.pins.push(Pin::HiddenVariable);
                }
                match (variables, &mut found.captured) {
                    (Some(variables), Some(captured)) => captured.variables = variables,
                    _ => found.pins.push(Pin::Unreadable),
                }
            }
            Asked::Names => match answer.rows().and_then(user_variables::names) {
                Some(names) => found.names = names,
                None => found.pins.push(Pin::UserVariable),
            },
            Asked::Counters => {
                let count = |name| answer.rows().and_then(|rows| counter(rows, name));
                found.created_code = CREATED.into_iter().map(count).sum();
                match (
                    count("Com_create_temporary_table"),
                    count("Com_prepare_sql"),
                ) {
                    (Some(tables), Some(prepared)) => {
                        found.temporaries.counted(tables);
                        found.prepared = prepared;
                    }
                    _ => found.pins.push(Pin::Unreadable),
                }
            }
            Asked::Locks(_) => found.locks = answer.rows().map(locks),
            Asked::Sequence(_) => {
                let row = answer.rows().and_then(|rows| rows.first());
                let value = row.and_then(|row| row.first().cloned());
                found.sequences.get_or_insert_default().push(value);
            }
            Asked::Rollback | Asked::ProfilingOff | Asked::ProfilingOn | Asked::TrackingOn => {}
            Asked::Texts(_) => found.texts = answer.rows().cloned(),
            Asked::Temporary(_) if answer == Answer::TooLong => {
                // an answer that is too long means that the table exists
                found.shown.push(Some(b"CREATE TEMPORARY ".to_vec()));
            }
            Asked::Temporary(_) => {
                let row = answer.rows().and_then(|rows| rows.first());
                found.shown.push(row.and_then(|row| row.get(1)?.clone()));
            }
        }
    }
}

impl Found {
    /// The pins of locks: as the server lists them, else by the texts of statements.
    pub(crate) fn lock_pins(&self, may_lock: bool) -> Vec<Pin> {
        match &self.locks {
            Some(locks) => locks.clone(),
            None if may_lock => vec![Pin::TableLock],
            None => Vec::new(),
        }
    }
}

impl Asked {
    fn question(&self) -> Question {
        let rows = |text: &str| Question::Rows(text.as_bytes().to_vec());
        match self {
            Self::Diagnostics => rows(DIAGNOSTICS),
            Self::Warnings => Question::Raw(b"SHOW WARNINGS".to_vec()),
            Self::Errors => Question::Raw(b"SHOW ERRORS".to_vec()),
            Self::Conditions => Question::Raw(conditions::QUESTION.as_bytes().to_vec()),
            Self::Identity => rows(IDENTITY),
            Self::Variables => rows(VARIABLES),
            Self::Names => rows(user_variables::NAMES),
            Self::Counters => rows(COUNTERS),
            Self::Locks(thread) => rows(&format!("{LOCKS}{thread} LIMIT 100")),
            Self::Rollback => rows("ROLLBACK"),
            Self::ProfilingOff => rows("SET profiling = 0"),
            Self::ProfilingOn => rows("SET profiling = 1"),
            Self::TrackingOn => rows("SET SESSION session_track_state_change = ON"),
            Self::Texts(text) | Self::Temporary(text) | Self::Sequence(text) => rows(text),
        }
    }
}

/// `LOCK_TYPE`s as in the plugin's `mdl_lock` names.
fn locks(rows: &Rows) -> Vec<Pin> {
    let pin = |row: &Vec<Option<Vec<u8>>>| match row.first()?.as_deref()? {
        b"User lock" => Some(Pin::UserLock),
        b"Backup lock" => Some(Pin::GlobalLock),
        _ => Some(Pin::TableLock),
    };
    let mut pins: Vec<_> = rows.iter().filter_map(pin).collect();
    pins.sort_unstable();
    pins.dedup();
    pins
}

fn diagnostics(row: &[Option<Vec<u8>>]) -> Option<(Diagnostics, u64)> {
    let text = |n: usize| std::str::from_utf8(row.get(n)?.as_deref()?).ok();
    let diagnostics = Diagnostics {
        row_count: text(0)?.parse().ok()?,
        found_rows: text(1)?.parse().ok()?,
        found_rows_lost: false,
        warnings: text(2)?.parse().ok()?,
        errors: text(3)?.parse().ok()?,
        warning_list: None,
        error_list: None,
        conditions: None,
    };
    Some((diagnostics, text(4)?.parse().ok()?))
}

fn counter(rows: &Rows, name: &str) -> Option<u64> {
    let row = rows.iter().find(|row| {
        row.first()
            .and_then(Option::as_ref)
            .is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    number(row.get(1)?.as_deref()?)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests;
