//! Reading a session's whole state from its backend, and the statements that restore it.

use std::sync::Arc;

use crate::aftermath::Aftermath;
use crate::pin::Pin;
use crate::temporary::Temporaries;
use crate::user_variables::{self, Named};

/// Rows of columns.
pub type Rows = Vec<Vec<Option<Vec<u8>>>>;

/// A question to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Its rows are wanted.
    Rows(Vec<u8>),
    /// Its reply is wanted as the bytes it is.
    Raw(Vec<u8>),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Rows, or the packets of the reply.
    Rows(Rows),
    /// The packets of the reply.
    Raw(Vec<u8>),
    /// The server refuses to answer.
    Refused,
}

impl Answer {
    fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Rows(rows) => Some(rows),
            Self::Raw(_) | Self::Refused => None,
        }
    }
}

/// How much is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is not known otherwise.
    Needed,
    /// Everything, also what only stored code could have changed.
    Everything,
}

/// Reads a session's state from its backend: batches of questions out, answers in. All questions
/// are right under any SQL mode and, but for names of variables and tables, plain ASCII; explicit
/// `LIMIT`s override `sql_select_limit`. They are to be asked outside a transaction.
#[derive(Debug)]
pub struct Probe {
    next: Vec<Asked>,
    asked: Vec<Asked>,
    pub(crate) found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Aftermath,
    Warnings,
    Errors,
    Identity,
    Variables,
    Names,
    Counters,
    Locks,
    Texts(String),
    Temporary(String),
}

/// What a probe has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) aftermath: Option<(Aftermath, u64)>,
    pub(crate) captured: Option<Captured>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) prepared: u64,
    /// Whether `timestamp` is set.
    pub(crate) clock_stands: bool,
    pub(crate) temporaries: Temporaries,
    names: Vec<Named>,
    texts: Option<Rows>,
    shown: Vec<Option<Vec<u8>>>,
    locks: Option<Vec<Pin>>,
}

/// It must come first: it tells of the statement before. The next two keep what it tells of.
const AFTERMATH: &str =
    "SELECT ROW_COUNT(), FOUND_ROWS(), @@warning_count, @@error_count, LAST_INSERT_ID()";

/// The last two ask for what stored code may have set: variables that have no global value, and a
/// clock that stands.
const IDENTITY: &str = "SELECT HEX(CONVERT(DATABASE() USING utf8mb4)), \
     HEX(CONVERT(CURRENT_ROLE() USING utf8mb4)), \
     @@character_set_client, @@character_set_results, @@collation_connection, \
     @@profiling, @@optimizer_trace LIKE '%enabled=on%', \
     @@insert_id <> 0 OR @@sql_log_bin = 0 OR @@skip_replication OR @@pseudo_slave_mode, \
     ABS(TIMESTAMPDIFF(SECOND, NOW(), SYSDATE())) > 2";

/// The last two are said to have session values but can be set globally alone.
const VARIABLES: &str = "SELECT VARIABLE_NAME, HEX(CONVERT(SESSION_VALUE USING utf8mb4)), VARIABLE_TYPE \
     FROM information_schema.SYSTEM_VARIABLES \
     WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' AND GLOBAL_VALUE IS NOT NULL \
     AND BINARY SESSION_VALUE <> BINARY GLOBAL_VALUE \
     AND VARIABLE_NAME NOT IN ('CHARACTER_SET_CLIENT', 'CHARACTER_SET_RESULTS', \
     'CHARACTER_SET_CONNECTION', 'COLLATION_CONNECTION', 'CHARACTER_SET_DATABASE', \
     'COLLATION_DATABASE', 'MAX_ALLOWED_PACKET', 'NET_BUFFER_LENGTH') LIMIT 10000";

const COUNTERS: &str = "SHOW SESSION STATUS WHERE Variable_name IN \
     ('Com_create_temporary_table', 'Com_prepare_sql')";

const LOCKS: &str = "SELECT DISTINCT LOCK_TYPE FROM information_schema.METADATA_LOCK_INFO \
     WHERE THREAD_ID = CONNECTION_ID() LIMIT 100";

impl Probe {
    pub(crate) fn new(everything: bool, warned: bool, temporaries: Temporaries) -> Self {
        let mut next = vec![Asked::Aftermath];
        if warned {
            next.extend([Asked::Warnings, Asked::Errors]);
        }
        if everything {
            next.extend([
                Asked::Identity,
                Asked::Variables,
                Asked::Names,
                Asked::Locks,
                // last: it leaves no warnings of the others
                Asked::Counters,
            ]);
        }
        Self {
            next,
            asked: Vec::new(),
            found: Found {
                temporaries,
                ..Found::default()
            },
        }
    }

    /// The next batch, to be sent at once; none means that the probe is over.
    pub fn questions(&mut self) -> Vec<Question> {
        self.asked = std::mem::take(&mut self.next);
        self.asked.iter().map(Asked::question).collect()
    }

    /// The answers to the batch, in order.
    pub fn answers(&mut self, answers: Vec<Answer>) {
        let asked = std::mem::take(&mut self.asked);
        let first = asked.first().cloned();
        for (asked, answer) in asked.into_iter().zip(answers) {
            self.answer(asked, answer);
        }
        match first {
            Some(Asked::Aftermath) if self.found.captured.is_some() => self.look_closer(),
            Some(_) => self.finish(),
            None => {}
        }
    }

    /// The first batch has told what there is; what it is, is asked now.
    fn look_closer(&mut self) {
        if let Some(question) = user_variables::texts(&self.found.names) {
            self.next.push(Asked::Texts(question));
        }
        let tables = self.found.temporaries.questions().into_iter();
        self.next.extend(tables.map(Asked::Temporary));
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
            Asked::Aftermath => {
                found.aftermath = answer.rows().and_then(|rows| aftermath(rows.first()?));
                if found.aftermath.is_none() {
                    found.pins.push(Pin::Unreadable);
                }
            }
            Asked::Warnings | Asked::Errors => {
                if let (Some((aftermath, _)), Answer::Raw(bytes)) = (&mut found.aftermath, answer) {
                    let (count, list) = if asked == Asked::Warnings {
                        (aftermath.warnings, &mut aftermath.warning_list)
                    } else {
                        (aftermath.errors, &mut aftermath.error_list)
                    };
                    *list = (count > 0).then(|| bytes.into());
                }
            }
            Asked::Identity => {
                let row = answer.rows().and_then(|rows| rows.first());
                found.captured = row.and_then(|row| identity(row));
                let on = |column: usize| {
                    row.and_then(|row| number(row.get(column)?.as_deref()?)) == Some(1)
                };
                if on(5) || on(6) {
                    found.pins.push(Pin::Profiling);
                }
                if on(7) {
                    found.pins.push(Pin::HiddenVariable);
                }
                found.clock_stands = on(8);
                if found.captured.is_none() {
                    found.pins.push(Pin::Unreadable);
                }
            }
            Asked::Variables => {
                let variables: Option<Vec<_>> = answer
                    .rows()
                    .and_then(|rows| rows.iter().map(|row| variable(row)).collect());
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
            Asked::Locks => found.locks = answer.rows().map(locks),
            Asked::Texts(_) => found.texts = answer.rows().cloned(),
            Asked::Temporary(_) => {
                let row = answer.rows().and_then(|rows| rows.first());
                found.shown.push(row.and_then(|row| row.get(1)?.clone()));
            }
        }
    }
}

impl Found {
    /// The pins of locks: as the server tells, or by the statements that ran.
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
            Self::Aftermath => rows(AFTERMATH),
            Self::Warnings => Question::Raw(b"SHOW WARNINGS".to_vec()),
            Self::Errors => Question::Raw(b"SHOW ERRORS".to_vec()),
            Self::Identity => rows(IDENTITY),
            Self::Variables => rows(VARIABLES),
            Self::Names => rows(user_variables::NAMES),
            Self::Counters => rows(COUNTERS),
            Self::Locks => rows(LOCKS),
            Self::Texts(text) | Self::Temporary(text) => rows(text),
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

fn aftermath(row: &[Option<Vec<u8>>]) -> Option<(Aftermath, u64)> {
    let text = |n: usize| std::str::from_utf8(row.get(n)?.as_deref()?).ok();
    let aftermath = Aftermath {
        row_count: text(0)?.parse().ok()?,
        found_rows: text(1)?.parse().ok()?,
        warnings: text(2)?.parse().ok()?,
        errors: text(3)?.parse().ok()?,
        warning_list: None,
        error_list: None,
    };
    Some((aftermath, text(4)?.parse().ok()?))
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

fn text(column: Option<&Option<Vec<u8>>>) -> Option<String> {
    column?
        .as_ref()
        .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
}

pub(crate) fn unhex(column: Option<&Option<Vec<u8>>>) -> Option<Vec<u8>> {
    let hex = column?.as_ref()?;
    let pairs = hex.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}

fn identity(row: &[Option<Vec<u8>>]) -> Option<Captured> {
    Some(Captured {
        schema: unhex(row.first()).map(Into::into),
        role: unhex(row.get(1)).and_then(|role| String::from_utf8(role).ok()),
        client_charset: text(row.get(2))?,
        // NULL: results are sent as they are stored
        results_charset: text(row.get(3)),
        connection_collation: text(row.get(4))?,
        variables: Vec::new(),
        user_variables: Vec::new(),
    })
}

fn variable(row: &[Option<Vec<u8>>]) -> Option<Variable> {
    let name = text(row.first())?;
    let value = String::from_utf8(unhex(row.get(1))?).ok()?;
    let kind = text(row.get(2))?;
    let plain = kind.contains("INT") || kind == "DOUBLE";
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        .then_some(())?;
    Some(Variable { name, value, plain })
}

/// A system variable whose session value differs from the global one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    name: String,
    value: String,
    /// A number, written without quotes.
    plain: bool,
}

/// A session's state as read from its backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The current schema, in UTF-8.
    pub schema: Option<Arc<[u8]>>,
    /// The current role.
    pub role: Option<String>,
    client_charset: String,
    results_charset: Option<String>,
    connection_collation: String,
    variables: Vec<Variable>,
    /// Assignments.
    user_variables: Vec<String>,
}

impl Captured {
    /// What of it a refused change of user leaves.
    pub(crate) fn wiped(self, schema: Option<Arc<[u8]>>) -> Self {
        Self {
            schema,
            variables: Vec::new(),
            user_variables: Vec::new(),
            ..self
        }
    }

    pub(crate) fn is_double_bytes(&self) -> bool {
        crate::effects::names_double_bytes(self.client_charset.as_bytes())
    }

    /// The statements that bring a new backend, whose schema is already set, to this state. How
    /// they are read changes last: the SQL mode, then the character sets.
    #[must_use]
    pub fn restore(&self) -> Vec<String> {
        let role = self
            .role
            .as_ref()
            .map_or("NONE".to_owned(), |role| quote_name(role));
        let mut statements = vec![format!("SET ROLE {role}")];
        let (mode, rest): (Vec<_>, Vec<_>) = self
            .variables
            .iter()
            .partition(|v| v.name.eq_ignore_ascii_case("SQL_MODE"));
        if !self.user_variables.is_empty() {
            statements.push(format!("SET {}", self.user_variables.join(", ")));
        }
        let set: Vec<String> = rest.into_iter().map(Variable::assignment).collect();
        if !set.is_empty() {
            statements.push(format!("SET {}", set.join(", ")));
        }
        statements.extend(
            mode.into_iter()
                .map(|mode| format!("SET {}", mode.assignment())),
        );
        statements.push(self.character_sets());
        statements
    }

    /// `SET NAMES` where it can say it all: it also sets which collation the columns of results are
    /// said to have, which no variable shows.
    fn character_sets(&self) -> String {
        let Self {
            client_charset: client,
            connection_collation: collation,
            ..
        } = self;
        let results = self.results_charset.as_deref().unwrap_or("NULL");
        let charset_of = |collation: &str| collation.split('_').next().map(str::to_owned);
        let names = charset_of(collation).as_deref() == Some(client);
        match (names, results == client) {
            (true, true) => format!("SET NAMES {client} COLLATE {collation}"),
            (true, false) => {
                format!("SET NAMES {client} COLLATE {collation}, character_set_results = {results}")
            }
            (false, _) => format!(
                "SET character_set_results = {results}, collation_connection = {collation}, \
                 character_set_client = {client}"
            ),
        }
    }
}

impl Variable {
    fn assignment(&self) -> String {
        let Self { name, value, plain } = self;
        let value = if *plain {
            value.clone()
        } else {
            quote_text(value)
        };
        format!("SESSION {name} = {value}")
    }
}

/// Quotes a text for the default SQL mode.
fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Quotes a name.
fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
pub(crate) mod tests;
