//! The queries with the ids and the cipher that the client knows.

use std::fmt::Write as _;

use super::{Connections, Present, Table};
use crate::lexer::{Spanned, Token};

/// The longest text of the session's own statement that is shown as the client wrote it, in bytes.
const LONGEST_OWN: usize = 4096;

/// The most sessions without a backend that a list shows.
const MOST_RESTING: usize = 5000;

/// Columns of `PROCESSLIST` from the first to the last, their values for a session without a backend, and the versions
/// from which on servers have them.
const PROCESSES: [(&str, &str, (u16, u16)); 20] = [
    ("ID", "", (0, 0)),
    ("USER", "", (0, 0)),
    ("HOST", "", (0, 0)),
    ("DB", "", (0, 0)),
    ("COMMAND", "'Sleep'", (0, 0)),
    ("TIME", "", (0, 0)),
    ("STATE", "''", (0, 0)),
    ("INFO", "NULL", (0, 0)),
    ("TIME_MS", "", (0, 0)),
    ("STAGE", "0", (0, 0)),
    ("MAX_STAGE", "0", (0, 0)),
    ("PROGRESS", "0.000", (0, 0)),
    ("MEMORY_USED", "0", (0, 0)),
    ("MAX_MEMORY_USED", "0", (0, 0)),
    ("EXAMINED_ROWS", "0", (0, 0)),
    ("SENT_ROWS", "0", (11, 3)),
    ("QUERY_ID", "0", (0, 0)),
    ("INFO_BINARY", "NULL", (0, 0)),
    ("TID", "0", (0, 0)),
    ("TMP_SPACE_USED", "0", (11, 5)),
];

const TRANSACTIONS: [&str; 22] = [
    "trx_id",
    "trx_state",
    "trx_started",
    "trx_requested_lock_id",
    "trx_wait_started",
    "trx_weight",
    "trx_mysql_thread_id",
    "trx_query",
    "trx_operation_state",
    "trx_tables_in_use",
    "trx_tables_locked",
    "trx_lock_structs",
    "trx_lock_memory_bytes",
    "trx_rows_locked",
    "trx_rows_modified",
    "trx_concurrency_tickets",
    "trx_isolation_level",
    "trx_unique_checks",
    "trx_foreign_key_checks",
    "trx_last_foreign_key_error",
    "trx_is_read_only",
    "trx_autocommit_non_locking",
];

const LOCKS: [&str; 6] = [
    "THREAD_ID",
    "LOCK_MODE",
    "LOCK_DURATION",
    "LOCK_TYPE",
    "TABLE_SCHEMA",
    "TABLE_NAME",
];

/// How a text writes the names of columns: the server names a column of the result as the text does.
pub(super) struct Spelling<'a>(&'a [Spanned<'a>]);

impl<'a> Spelling<'a> {
    /// That of a text with these tokens.
    pub(super) fn of(spans: &'a [Spanned<'a>]) -> Self {
        let all = |at: usize| {
            let before = at.checked_sub(1).and_then(|at| spans.get(at));
            before.is_some_and(|before| {
                before.token.is_any(&["SELECT", "DISTINCT", "ALL"])
                    || matches!(before.token, Token::Other(b'.' | b','))
            })
        };
        let star = |(at, span): (usize, &Spanned<'_>)| span.token == Token::Other(b'*') && all(at);
        // for all columns the names are the table's
        match spans.iter().enumerate().any(star) {
            true => Self(&[]),
            false => Self(spans),
        }
    }

    fn name(&self, column: &str) -> String {
        let written = self.0.iter().find(|span| span.token.names(column));
        let written = written.and_then(|span| span.token.name());
        let name = written.and_then(|name| String::from_utf8(name.into_owned()).ok());
        name.unwrap_or_else(|| column.to_owned())
    }
}

/// The query in brackets that has the columns of a table. `text` is the whole text of the client.
pub(super) fn of(
    table: Table,
    known: &Connections,
    spelling: &Spelling<'_>,
    text: &[u8],
) -> String {
    match table {
        Table::Processes => processes(known, spelling, text),
        Table::Transactions => {
            let id = "trx_mysql_thread_id";
            with_ids("INNODB_TRX", &TRANSACTIONS, id, known, spelling)
        }
        Table::Locks => {
            let id = "THREAD_ID";
            with_ids("METADATA_LOCK_INFO", &LOCKS, id, known, spelling)
        }
        Table::Status(table) => status(table, known, spelling),
    }
}

/// The status variables with the client's cipher.
fn status(table: &str, known: &Connections, spelling: &Spelling<'_>) -> String {
    let tls = known.tls.as_ref();
    let (cipher, version) = tls.map_or(("", ""), |tls| (tls.cipher, tls.version));
    let [name, value] = ["VARIABLE_NAME", "VARIABLE_VALUE"].map(|column| spelling.name(column));
    format!(
        "(SELECT VARIABLE_NAME AS `{name}`, CASE VARIABLE_NAME WHEN 'SSL_CIPHER' THEN '{cipher}' \
         WHEN 'SSL_VERSION' THEN '{version}' ELSE VARIABLE_VALUE END AS `{value}` \
         FROM information_schema.{table})"
    )
}

/// A call of `IS_USED_LOCK` whose value, the server's id of a backend, becomes the id of its session.
pub(super) fn holder(call: &[u8], known: &Connections) -> Vec<u8> {
    mapped(call, known, |session| (session.thread, session.id))
}

/// The value by which a `KILL` names a session, as the server's id of its backend.
pub(super) fn victim(value: &[u8], known: &Connections) -> Vec<u8> {
    mapped(value, known, |session| (session.id, session.thread))
}

/// A value that becomes another one for each session. It stands there once, since it may have a parameter or another
/// effect; one that is of no session becomes 0.
fn mapped(value: &[u8], known: &Connections, ids: impl Fn(&Present) -> (u32, u32)) -> Vec<u8> {
    let mut list = "0|".to_owned();
    for session in &known.present {
        let (from, to) = ids(session);
        // writing to a String cannot fail
        let _ = write!(list, "{from}={to}|");
    }
    let before = format!("CAST(SUBSTRING_INDEX(SUBSTRING_INDEX('{list}', CONCAT('|', ");
    [
        before.as_bytes(),
        value,
        b", '='), -1), '|', 1) AS UNSIGNED)",
    ]
    .concat()
}

/// The list that `SHOW [FULL] PROCESSLIST` gives, if that is the statement, whose text is `text`.
pub(super) fn shown(statement: &[Spanned<'_>], text: &[u8], known: &Connections) -> Option<String> {
    let mut words = statement.iter().map(|span| span.token);
    let mut words = words.by_ref().filter(|token| *token != Token::Semicolon);
    words.next().filter(|word| word.is("SHOW"))?;
    let mut word = words.next()?;
    let full = word.is("FULL");
    if full {
        word = words.next()?;
    }
    if !word.is("PROCESSLIST") || words.next().is_some() {
        return None;
    }
    let info = if full { "INFO" } else { "LEFT(INFO, 100)" };
    let list = processes(known, &Spelling(&[]), text);
    Some(format!(
        "SELECT ID AS Id, USER AS User, HOST AS Host, DB AS db, COMMAND AS Command, TIME AS Time, \
         STATE AS State, {info} AS Info, PROGRESS AS Progress FROM {list} AS PROCESSLIST"
    ))
}

/// An expression whose value, the server's id of a backend, becomes the id of its session.
fn translate(value: &str, known: &Connections) -> String {
    if known.present.is_empty() {
        return value.to_owned();
    }
    let mut out = format!("(CASE {value}");
    for session in &known.present {
        // writing to a String cannot fail
        let _ = write!(out, " WHEN {} THEN {}", session.thread, session.id);
    }
    let _ = write!(out, " ELSE {value} END)");
    out
}

fn with_ids(
    table: &str,
    columns: &[&str],
    id: &str,
    known: &Connections,
    spelling: &Spelling<'_>,
) -> String {
    let columns: Vec<_> = { columns.iter() }
        .map(|column| {
            let name = spelling.name(column);
            match *column == id {
                true => format!("CAST({} AS UNSIGNED) AS `{name}`", translate(id, known)),
                false => format!("{column} AS `{name}`"),
            }
        })
        .collect();
    let columns = columns.join(", ");
    format!("(SELECT {columns} FROM information_schema.{table})")
}

/// Sessions and the server's own threads; no other connections.
fn processes(known: &Connections, spelling: &Spelling<'_>, text: &[u8]) -> String {
    let columns: Vec<_> = { PROCESSES.iter() }
        .filter(|(_, _, since)| *since <= known.version)
        .collect();
    let shown = !text.is_empty() && text.len() <= LONGEST_OWN;
    let own = shown.then(|| literal(shown_as(text).as_bytes()));
    let mut out = "(SELECT ".to_owned();
    for (at, (name, _, _)) in columns.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let column = match (*name, &own) {
            ("ID", _) => "IFNULL(m.i, p.ID)".to_owned(),
            ("HOST", _) => "IFNULL(m.h, p.HOST)".to_owned(),
            ("INFO" | "INFO_BINARY", Some(own)) => {
                format!("IF(p.ID = {}, {own}, p.{name})", known.own)
            }
            (name, _) => format!("p.{name}"),
        };
        let name = spelling.name(name);
        let _ = write!(out, "{separator}{column} AS `{name}`");
    }
    out.push_str(" FROM information_schema.PROCESSLIST p LEFT JOIN (");
    if known.present.is_empty() {
        out.push_str("SELECT 0 AS t, 0 AS i, '' AS h");
    }
    for (at, session) in known.present.iter().enumerate() {
        let (all, host) = (
            if at == 0 { "" } else { " UNION ALL " },
            literal(session.host.as_bytes()),
        );
        let _ = write!(
            out,
            "{all}SELECT {} AS t, {} AS i, {host} AS h",
            session.thread, session.id
        );
    }
    out.push_str(
        ") m ON m.t = p.ID WHERE m.t IS NOT NULL OR p.USER IN ('event_scheduler', 'system user')",
    );
    for session in known.resting.iter().take(MOST_RESTING) {
        let values: Vec<_> = { columns.iter() }
            .map(|(name, value, _)| match *name {
                "ID" => session.id.to_string(),
                "USER" => literal(session.user.as_bytes()),
                "HOST" => literal(session.host.as_bytes()),
                "DB" => match &session.schema {
                    Some(schema) => literal(schema.as_bytes()),
                    None => "NULL".to_owned(),
                },
                "TIME" => session.idle_s.to_string(),
                "TIME_MS" => format!("{}.000", u128::from(session.idle_s) * 1000),
                _ => (*value).to_owned(),
            })
            .collect();
        let _ = write!(out, " UNION ALL SELECT {}", values.join(", "));
    }
    out.push(')');
    out
}

/// A text as a list shows it: with question marks for characters of four bytes, which it cannot have, and for what is not
/// UTF-8.
fn shown_as(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.replace(|char: char| char.len_utf8() == 4, "?"),
        Err(_) => text
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '?'
                }
            })
            .collect(),
    }
}

/// A text as a literal that every SQL mode reads alike.
fn literal(text: &[u8]) -> String {
    let mut out = "_utf8mb3 X'".to_owned();
    for byte in text {
        let _ = write!(out, "{byte:02x}");
    }
    // that of the tables, whatever a server's default is
    out.push_str("' COLLATE utf8mb3_general_ci");
    out
}
