//! Reading a session's whole state from its backend, and the statements that restore it.

use std::sync::Arc;

use crate::pin::Pin;

/// Answers to the questions of a probe, in order: rows of columns, or `None` where the server
/// refused the question.
pub type Answer = Option<Vec<Vec<Option<Vec<u8>>>>>;

/// What is asked of a backend. All questions are plain ASCII and are right under any SQL mode; the
/// explicit `LIMIT` overrides `sql_select_limit`.
#[derive(Debug, Clone, Copy)]
pub struct Probe;

const IDENTITY: &str = "SELECT HEX(CONVERT(DATABASE() USING utf8mb4)), \
     HEX(CONVERT(CURRENT_ROLE() USING utf8mb4)), LAST_INSERT_ID(), \
     @@character_set_client, @@character_set_results, @@collation_connection";

/// The last two are said to have session values but can be set globally alone.
const VARIABLES: &str = "SELECT VARIABLE_NAME, HEX(CONVERT(SESSION_VALUE USING utf8mb4)), VARIABLE_TYPE \
     FROM information_schema.SYSTEM_VARIABLES \
     WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' AND GLOBAL_VALUE IS NOT NULL \
     AND BINARY SESSION_VALUE <> BINARY GLOBAL_VALUE \
     AND VARIABLE_NAME NOT IN ('CHARACTER_SET_CLIENT', 'CHARACTER_SET_RESULTS', \
     'CHARACTER_SET_CONNECTION', 'COLLATION_CONNECTION', 'CHARACTER_SET_DATABASE', \
     'COLLATION_DATABASE', 'MAX_ALLOWED_PACKET', 'NET_BUFFER_LENGTH') LIMIT 10000";

const USER_VARIABLES: &str = "SELECT COUNT(*) FROM information_schema.USER_VARIABLES LIMIT 1";

const COUNTERS: &str = "SHOW SESSION STATUS WHERE Variable_name IN \
     ('Com_create_temporary_table', 'Com_create_sequence', 'Com_prepare_sql', 'Com_dealloc_sql')";

const LOCKS: &str = "SELECT COUNT(*) FROM information_schema.METADATA_LOCK_INFO \
     WHERE THREAD_ID = CONNECTION_ID() LIMIT 1";

impl Probe {
    /// The questions, to be asked in this order outside a transaction.
    pub const QUESTIONS: [&'static str; 5] = [IDENTITY, VARIABLES, USER_VARIABLES, COUNTERS, LOCKS];

    /// What the answers say: the state, and what of it cannot be restored. A server without the
    /// plugin `metadata_lock_info` cannot tell of locks; `may_lock` is then the judgement of the
    /// statements the session has run.
    #[must_use]
    pub fn read(answers: &[Answer], may_lock: bool) -> (Captured, Vec<Pin>) {
        let mut captured = Captured::default();
        let mut pins = Vec::new();
        let answer = |n: usize| answers.get(n).and_then(Option::as_ref);
        match answer(0)
            .and_then(|rows| rows.first())
            .and_then(|row| identity(row))
        {
            Some(read) => captured = read,
            None => pins.push(Pin::Unreadable),
        }
        match answer(1).and_then(|rows| rows.iter().map(|row| variable(row)).collect()) {
            Some(variables) => captured.variables = variables,
            None => pins.push(Pin::Unreadable),
        }
        if count(answer(2)) != Some(0) {
            pins.push(Pin::UserVariable);
        }
        match answer(3) {
            Some(rows) => pins.extend(counters(rows)),
            None => pins.push(Pin::Unreadable),
        }
        if count(answer(4)).map_or(may_lock, |locks| locks > 0) {
            pins.push(Pin::Lock);
        }
        pins.sort_unstable();
        pins.dedup();
        (captured, pins)
    }
}

fn count(answer: Option<&Vec<Vec<Option<Vec<u8>>>>>) -> Option<u64> {
    number(answer?.first()?.first()?.as_deref()?)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn text(column: Option<&Option<Vec<u8>>>) -> Option<String> {
    column?
        .as_ref()
        .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
}

fn unhex(column: Option<&Option<Vec<u8>>>) -> Option<Vec<u8>> {
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
        last_insert_id: number(row.get(2)?.as_deref()?)?,
        client_charset: text(row.get(3))?,
        // NULL: results are sent as they are stored
        results_charset: text(row.get(4)),
        connection_collation: text(row.get(5))?,
        variables: Vec::new(),
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

fn counters(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<Pin> {
    let of = |name: &str| {
        let row = rows.iter().find(|row| {
            row.first()
                .and_then(Option::as_ref)
                .is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
        });
        row.and_then(|row| number(row.get(1)?.as_deref()?))
            .unwrap_or(0)
    };
    let mut pins = Vec::new();
    if of("Com_create_temporary_table") > 0 {
        pins.push(Pin::TemporaryTable);
    }
    if of("Com_prepare_sql") > of("Com_dealloc_sql") {
        pins.push(Pin::TextPrepare);
    }
    pins
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
    /// `LAST_INSERT_ID()`.
    pub last_insert_id: u64,
    client_charset: String,
    results_charset: Option<String>,
    connection_collation: String,
    variables: Vec<Variable>,
}

impl Captured {
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
        let mut set: Vec<String> = rest.into_iter().map(Variable::assignment).collect();
        if self.last_insert_id != 0 {
            set.push(format!("last_insert_id = {}", self.last_insert_id));
        }
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
mod tests;
