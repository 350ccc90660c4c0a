//! Answers statements while the database's server sleeps.
//!
//! Idle pools, health checks and connecting drivers send a small set of statements. Their answers follow
//! from the session's state and from the server's global variables, which are read before it sleeps.
//!
//! Invariant: an answer is what the server would send, byte for byte. In doubt there is none, and the
//! statement wakes the database.
//!
//! `proxy` calls [`SessionState::answer_asleep`](crate::SessionState::answer_asleep).

pub(crate) mod change;
mod charset;
mod context;
mod expression;
mod login;
mod modes;
mod plain;
pub(crate) mod select;
pub(crate) mod set;
pub(crate) mod variables;

use dormouse_wire::caps::Capabilities;
use dormouse_wire::reply::SessionChange;

use crate::lexer::Token;
use change::{Change, NAMES};
use plain::{Plain, plain};
use select::{Row, SelectContext};
use variables::{SessionVariables, variable};

pub use context::AsleepContext;
pub use login::login_changes;

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One row.
    Row(Row),
    /// OK, and nothing changes.
    Nothing,
    /// OK, with these changes; session tracking reports some of them.
    Set {
        changes: Vec<Change>,
        tracked: Vec<SessionChange>,
    },
    /// OK, and the schema is this one.
    Use(Vec<u8>),
    /// OK, and a transaction is open, which the server must begin later.
    Begin { read_only: Option<bool> },
    /// OK, and no transaction is open.
    End,
}

impl Answer {
    /// The new `wait_timeout` in seconds, if it is set.
    pub(crate) fn wait_timeout(&self) -> Option<u64> {
        let Self::Set { changes, .. } = self else {
            return None;
        };
        changes.iter().rev().find_map(|change| match change {
            Change::Value("wait_timeout", value) => value.parse().ok(),
            _ => None,
        })
    }
}

/// A statement that has the form of those that are answered. Whether it is answered depends on the session's state.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub(crate) text: &'a [u8],
    tokens: Vec<Plain<'a>>,
}

impl<'a> Candidate<'a> {
    /// Reads a statement; `None`: only a server can answer, whatever the state.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        const FIRST: [&str; 7] = ["SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "START", "DO"];
        let tokens = plain(text)?;
        let has_form = match tokens.split_first() {
            Some((first, rest)) if first.is("SELECT") => select::has_form(rest, text),
            Some((first, _)) => FIRST.iter().any(|word| first.is(word)),
            None => true,
        };
        has_form.then_some(Self { text, tokens })
    }
}

/// What an answer depends on besides variables.
pub(crate) struct Facts<'a> {
    /// The current schema.
    pub(crate) schema: Option<&'a [u8]>,
    /// Whether the client was told that a transaction is open.
    pub(crate) deferred: bool,
    /// `LAST_INSERT_ID()`, if it is certain.
    pub(crate) insert_id: Option<u64>,
}

/// The answer to a statement. `known` is changed as the statement says.
pub(crate) fn answer(
    Candidate { text, tokens }: &Candidate<'_>,
    known: Option<&mut SessionVariables<'_>>,
    facts: &Facts<'_>,
    context: &AsleepContext<'_>,
) -> Option<Answer> {
    let Some((first, rest)) = tokens.split_first() else {
        // a comment is answered with OK, an empty text with an error
        return (!text.is_empty() && text.starts_with(b"/*")).then_some(Answer::Nothing);
    };
    if first.is("SELECT") {
        // then it has no row
        let none = |known: &SessionVariables<'_>| known.text("sql_select_limit") == Some("0");
        if known.as_deref().is_some_and(none) {
            return None;
        }
        let select_context = SelectContext {
            text,
            connection_id: context.connection_id,
            // for a schema that was dropped meanwhile servers differ
            schema: match facts.schema {
                None => Some(None),
                Some(name) => ((context.has_schema)(name) == Some(true)).then_some(facts.schema),
            },
            insert_id: facts.insert_id,
        };
        return select::row(rest, known.as_deref(), &select_context).map(Answer::Row);
    }
    if first.is("DO") {
        let number = matches!(rest, [one] if one.is_integer());
        return number.then_some(Answer::Nothing);
    }
    let known = known?;
    if first.is("SET") {
        return set_answer(rest, known, facts.deferred, context);
    }
    if first.is("USE") {
        let [name] = rest else {
            return None;
        };
        let is_name = matches!(name.token, Token::Word(_) | Token::Quoted(..));
        let exists = (context.has_schema)(name.text.as_bytes()) == Some(true);
        let may = is_name && exists && (context.may_enter)(name.text.as_bytes());
        return may.then(|| Answer::Use(name.text.as_bytes().to_vec()));
    }
    if tells_of_transactions(known, context) {
        return None;
    }
    // else COMMIT may begin another transaction, or close the connection
    if known.text("completion_type")? != "NO_CHAIN" {
        return None;
    }
    transaction(first, rest)
}

/// Whether the answer to a statement about a transaction would report what has become of it: only a server words that.
fn tells_of_transactions(known: &SessionVariables<'_>, context: &AsleepContext<'_>) -> bool {
    context.capabilities.contains(Capabilities::SESSION_TRACK)
        && known.text("session_track_transaction_info") != Some("OFF")
}

fn transaction(first: &Plain<'_>, rest: &[Plain<'_>]) -> Option<Answer> {
    let work = |rest: &[Plain<'_>]| match rest {
        [] => true,
        [word] => word.is("WORK"),
        _ => false,
    };
    if first.is("BEGIN") && work(rest) {
        return Some(Answer::Begin { read_only: None });
    }
    if (first.is("COMMIT") || first.is("ROLLBACK")) && work(rest) {
        return Some(Answer::End);
    }
    if !first.is("START") {
        return None;
    }
    let read_only = match rest {
        [word] if word.is("TRANSACTION") => None,
        [word, read, only] if word.is("TRANSACTION") && read.is("READ") => {
            (only.is("ONLY") || only.is("WRITE")).then(|| Some(only.is("ONLY")))?
        }
        _ => return None,
    };
    Some(Answer::Begin { read_only })
}

fn set_answer(
    tokens: &[Plain<'_>],
    known: &mut SessionVariables<'_>,
    deferred: bool,
    context: &AsleepContext<'_>,
) -> Option<Answer> {
    let tracks = context.capabilities.contains(Capabilities::SESSION_TRACK);
    // the tracker ignores some variables that are set as `@@name`
    if tracks && set::has_bare_variable(tokens) {
        return None;
    }
    let changes = set::asked(tokens, known)?;
    let autocommit = known.flag("autocommit")?;
    let mut touched: Vec<&'static str> = Vec::new();
    for change in &changes {
        // it would change or end the deferred transaction
        let transaction = matches!(
            change,
            Change::NextTransaction { .. }
                | Change::Value(
                    "tx_isolation"
                        | "tx_read_only"
                        | "transaction_isolation"
                        | "transaction_read_only",
                    _
                )
        );
        if deferred && transaction {
            return None;
        }
        let next = matches!(change, Change::NextTransaction { .. });
        if next && tells_of_transactions(known, context) {
            return None;
        }
        // whether a variable of the old list is reported depends on the order of assignments
        let list = matches!(change, Change::Value("session_track_system_variables", _));
        for name in &touched {
            if list && known.is_tracked(name)? {
                return None;
            }
        }
        known.apply(change);
        note(change, known, &mut touched)?;
    }
    if deferred && known.flag("autocommit")? != autocommit {
        return None;
    }
    let tracked = if tracks {
        tracked(touched, known)?
    } else {
        Vec::new()
    };
    Some(Answer::Set { changes, tracked })
}

/// Notes the variables that session tracking may report for a change.
fn note(
    change: &Change,
    known: &SessionVariables<'_>,
    touched: &mut Vec<&'static str>,
) -> Option<()> {
    let names: &[&'static str] = match change {
        Change::Names(_) => &NAMES,
        Change::Results(_) => &["character_set_results"],
        Change::Value(name, _) => &[*name],
        Change::NextTransaction { .. } => &[],
        Change::Connection(_) | Change::Lost(_) => return None,
    };
    for name in names {
        touched.push(match *name {
            // 11.8 reports each flag of `option_bits` as the first one (`sql/session_tracker.cc` finds
            // variables by their address)
            "foreign_key_checks" | "sql_auto_is_null" | "sql_safe_updates" | "unique_checks" => {
                let version = known.globals.get("version")?;
                if version.starts_with("10.") {
                    name
                } else {
                    version.starts_with("11.8.").then_some("autocommit")?
                }
            }
            // the reported name is the one in the list
            "tx_isolation" | "transaction_isolation" => {
                match known.globals.get("transaction_isolation") {
                    Some(_) if known.is_tracked("tx_isolation")? => return None,
                    Some(_) => "transaction_isolation",
                    None => "tx_isolation",
                }
            }
            "tx_read_only" | "transaction_read_only" => {
                let either = known.is_tracked("tx_read_only")?
                    || known.is_tracked("transaction_read_only")?;
                (!either).then_some("tx_read_only")?
            }
            name => name,
        });
    }
    Some(())
}

fn tracked(
    mut touched: Vec<&'static str>,
    known: &SessionVariables<'_>,
) -> Option<Vec<SessionChange>> {
    touched.sort_unstable();
    touched.dedup();
    let mut changes = Vec::new();
    for name in touched {
        if known.is_tracked(name)? {
            changes.push(SessionChange::SystemVariable {
                name: name.as_bytes().to_vec(),
                value: known.tracked_value(variable(name)?)?,
            });
        }
    }
    Some(changes)
}

#[cfg(test)]
mod tests;
