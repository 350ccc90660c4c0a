//! What a session can be answered while its database's server sleeps.
//!
//! Idle pools, health checks and drivers that connect send a small set of statements; what they are
//! answered follows from the session's own state and from the server's global variables, which are
//! noted before it sleeps. An answer is the server's own, byte for byte, or there is none and the
//! statement wakes the database: in doubt there is none.
//!
//! [`SessionState::answer_asleep`](crate::SessionState::answer_asleep) is the way in; `proxy` calls it.

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

/// What a statement is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One row.
    Row(Row),
    /// OK, and nothing changes.
    Nothing,
    /// OK; session tracking reports this much.
    Set {
        changes: Vec<Change>,
        tracked: Vec<SessionChange>,
    },
    /// OK, and this is the schema.
    Use(Vec<u8>),
    /// OK, and a transaction is open that has not begun yet on the server.
    Begin { read_only: Option<bool> },
    /// OK, and none is open.
    End,
}

impl Answer {
    /// What it sets `wait_timeout` to, in seconds.
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

/// What a statement is answered that finds the session like this. `deferred`: a transaction has been
/// said to be open. `known` has changed with the answer.
pub(crate) fn answer(
    text: &[u8],
    known: Option<&mut SessionVariables<'_>>,
    schema: Option<&[u8]>,
    deferred: bool,
    context: &AsleepContext<'_>,
) -> Option<Answer> {
    let tokens = plain(text)?;
    let Some((first, rest)) = tokens.split_first() else {
        // a comment; nothing at all is an error
        return (!text.is_empty() && text.starts_with(b"/*")).then_some(Answer::Nothing);
    };
    if first.is("SELECT") {
        let select_context = SelectContext {
            text,
            connection_id: context.connection_id,
            // one that has been dropped meanwhile may or may not be told
            schema: match schema {
                None => Some(None),
                Some(name) => ((context.has_schema)(name) == Some(true)).then_some(schema),
            },
        };
        return select::row(rest, known.as_deref(), &select_context).map(Answer::Row);
    }
    if first.is("DO") {
        let number = matches!(rest, [one] if one.is_integer());
        return number.then_some(Answer::Nothing);
    }
    let known = known?;
    if first.is("SET") {
        return set_answer(rest, known, deferred, context);
    }
    if first.is("USE") {
        let [name] = rest else {
            return None;
        };
        let is_name = matches!(name.token, Token::Word(_) | Token::Quoted(..));
        let exists = (context.has_schema)(name.text.as_bytes()) == Some(true);
        return (is_name && exists).then(|| Answer::Use(name.text.as_bytes().to_vec()));
    }
    // another one may begin at the end of each, or the connection end
    if known.text("completion_type")? != "NO_CHAIN" {
        return None;
    }
    transaction(first, rest)
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
    // which the tracker passes over, but not for every variable
    if tracks && set::has_bare_variable(tokens) {
        return None;
    }
    let changes = set::asked(tokens, known)?;
    let autocommit = known.flag("autocommit")?;
    let mut touched: Vec<&'static str> = Vec::new();
    for change in &changes {
        // the deferred transaction would begin under other rules, or end
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
        // what the old list holds is reported or not, depending on the order of things
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

/// Notes what session tracking reports of a change: what the list holds at this moment.
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
            // all that are bits of one word are taken for the first (11.8: `sql/session_tracker.cc`
            // knows variables by where they lie)
            "foreign_key_checks" | "sql_auto_is_null" | "sql_safe_updates" | "unique_checks" => {
                let version = known.globals.get("version")?;
                if version.starts_with("10.") {
                    name
                } else {
                    version.starts_with("11.8.").then_some("autocommit")?
                }
            }
            // the name in the list is reported
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
