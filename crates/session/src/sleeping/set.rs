//! Answers `SET` of variables to values that are known and that a server certainly accepts.

use dormouse_types::VariableKind;

use super::change::Change;
use super::charset::Collations;
use super::expression::{Value, evaluate, is_text};
use super::modes;
use super::plain::{Plain, is_session, plain, split};
use super::variables::{SessionVariables, variable};
use crate::effects::set::sets_user_variables;
use crate::lexer::{Lexer, Token};

/// How far a statement's values are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// From a client: each value must certainly be accepted.
    Nothing,
    /// A server has accepted it: an unknown value is [`Change::Lost`], or does not matter.
    Accepted,
}

/// The changes that a client's `SET` makes; the tokens are those after `SET`. `None`: only a server can say.
pub(crate) fn asked(tokens: &[Plain<'_>], known: &SessionVariables<'_>) -> Option<Vec<Change>> {
    changes(tokens, known, Trust::Nothing)
}

/// Whether a variable is set as `@@name`, without a scope.
pub(crate) fn has_bare_variable(tokens: &[Plain<'_>]) -> bool {
    split(tokens).into_iter().any(|part| match part {
        [at, _, third, ..] => at.token == Token::SystemVariable && !third.is_sign(b'.'),
        _ => false,
    })
}

/// The changes that a statement of [`restore`](crate::SessionState::restore) makes. `None`: not known.
pub(crate) fn followed(text: &[u8], known: &SessionVariables<'_>) -> Option<Vec<Change>> {
    // a probe sets user variables in separate statements, and a client does so if its text is kept
    let mut lexer = Lexer::new(text, known.status()?.into());
    let user = lexer.next().is_some_and(|first| first.is("SET")) && sets_user_variables(lexer);
    if user || text.starts_with(b"SET @`") {
        return Some(Vec::new());
    }
    let tokens = plain(text)?;
    let (first, rest) = tokens.split_first()?;
    let second = rest.first();
    if first.is("USE") || second.is_some_and(|second| second.is("ROLE")) {
        return Some(Vec::new());
    }
    if !first.is("SET") {
        return None;
    }
    changes(rest, known, Trust::Accepted)
}

/// Applies a statement that a server has accepted, or will accept when the session is restored.
pub(crate) fn follow(known: &mut SessionVariables<'_>, text: &[u8]) -> Option<()> {
    for change in followed(text, known)? {
        known.apply(&change);
    }
    Some(())
}

fn changes(
    tokens: &[Plain<'_>],
    known: &SessionVariables<'_>,
    trust: Trust,
) -> Option<Vec<Change>> {
    if tokens.first()?.is("TRANSACTION") {
        let changes = transaction(tokens.get(1..)?)?;
        let read_only = changes.iter().find_map(|change| match change {
            Change::Value("tx_read_only", value) => Some(value == "1"),
            _ => None,
        });
        return Some(vec![Change::NextTransaction { read_only }]);
    }
    if let [scope, second, rest @ ..] = tokens
        && is_session(scope)
        && second.is("TRANSACTION")
    {
        return transaction(rest);
    }
    let mut all = Vec::new();
    for part in split(tokens) {
        let part = Assignment::parse(part)?;
        all.extend(part.changes(known, trust)?);
    }
    Some(all)
}

/// The characteristics of a transaction.
fn transaction(tokens: &[Plain<'_>]) -> Option<Vec<Change>> {
    let parts = split(tokens);
    let mut all = Vec::new();
    for part in &parts {
        let words: Vec<_> = part
            .iter()
            .map(|token| token.text.to_ascii_uppercase())
            .collect();
        let bare = part
            .iter()
            .all(|token| matches!(token.token, Token::Word(_)));
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        all.push(match words.as_slice() {
            _ if !bare => return None,
            ["ISOLATION", "LEVEL", level @ ..] => {
                let level = isolation(&level.join("-"))?;
                Change::Value("tx_isolation", level.to_owned())
            }
            ["READ", "ONLY"] => Change::Value("tx_read_only", "1".to_owned()),
            ["READ", "WRITE"] => Change::Value("tx_read_only", "0".to_owned()),
            _ => return None,
        });
    }
    // each may be given once
    match all.as_slice() {
        [_] => Some(all),
        [Change::Value(a, _), Change::Value(b, _)] if a != b => Some(all),
        _ => None,
    }
}

fn isolation(level: &str) -> Option<&'static str> {
    const LEVELS: [&str; 4] = [
        "READ-UNCOMMITTED",
        "READ-COMMITTED",
        "REPEATABLE-READ",
        "SERIALIZABLE",
    ];
    LEVELS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(level))
}

enum Assignment<'t, 'a> {
    Names(&'t [Plain<'a>]),
    Variable {
        name: &'a str,
        session: bool,
        value: &'t [Plain<'a>],
    },
}

impl<'t, 'a> Assignment<'t, 'a> {
    fn parse(tokens: &'t [Plain<'a>]) -> Option<Self> {
        let (first, rest) = tokens.split_first()?;
        if first.is("NAMES") {
            return Some(Self::Names(rest));
        }
        let (session, rest) = match (first.token, rest) {
            (Token::SystemVariable, [scope, dot, rest @ ..])
                if is_session(scope) && dot.is_sign(b'.') =>
            {
                (true, rest)
            }
            (Token::SystemVariable, rest) => (false, rest),
            (_, rest) if is_session(first) => (true, rest),
            _ => (false, tokens),
        };
        let (name, rest) = rest.split_first()?;
        let value = match rest {
            [colon, equals, value @ ..] if colon.is_sign(b':') && equals.is_sign(b'=') => value,
            [equals, value @ ..] if equals.is_sign(b'=') => value,
            _ => return None,
        };
        matches!(name.token, Token::Word(_) | Token::Quoted(..)).then_some(Self::Variable {
            name: name.text,
            session,
            value,
        })
    }

    fn changes(&self, known: &SessionVariables<'_>, trust: Trust) -> Option<Vec<Change>> {
        match self {
            Self::Names(tokens) => names(tokens, known).map(|change| vec![change]),
            Self::Variable {
                name,
                session,
                value,
            } => {
                let value = evaluate(value, known);
                let change = value
                    .as_ref()
                    .and_then(|value| of_variable(name, *session, value, known, trust));
                match (change, trust) {
                    (Some(change), _) => Some(vec![change]),
                    (None, Trust::Nothing) => None,
                    (None, Trust::Accepted) => lost(name),
                }
            }
        }
    }
}

/// The change that marks a variable as unknown after it was set to an unknown value.
fn lost(name: &str) -> Option<Vec<Change>> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("character_set_") || lower.starts_with("collation_") {
        return None;
    }
    let lost = variable(name).map(|variable| Change::Lost(variable.name));
    Some(lost.into_iter().collect())
}

fn names(tokens: &[Plain<'_>], known: &SessionVariables<'_>) -> Option<Change> {
    let collations = Collations(known.globals);
    let (charset, rest) = tokens.split_first()?;
    let charset = name_of(charset, known)?;
    let default = collations.default(charset)?;
    let collation = match rest {
        [] => default,
        [word, name] if word.is("COLLATE") => {
            let named = collations.named(name_of(name, known)?)?;
            (named.charset == default.charset).then_some(named)?
        }
        _ => return None,
    };
    Some(Change::Names(collation))
}

/// A name written as a word or a string, but not `DEFAULT`.
fn name_of<'a>(token: &Plain<'a>, known: &SessionVariables<'_>) -> Option<&'a str> {
    let name = match token.token {
        Token::Word(_) => true,
        Token::Text(_, quote) => is_text(quote, known),
        _ => false,
    };
    (name && !token.is("DEFAULT")).then_some(token.text)
}

/// The change that setting a variable to a value makes.
fn of_variable(
    name: &str,
    session: bool,
    value: &Value,
    known: &SessionVariables<'_>,
    trust: Trust,
) -> Option<Change> {
    let variable = variable(name).filter(|variable| variable.session)?;
    let global = known.globals.get(variable.name)?;
    let accepted = trust == Trust::Accepted;
    let collations = Collations(known.globals);
    match variable.name {
        "character_set_results" => {
            return match value {
                Value::Word(word) if word.eq_ignore_ascii_case("NULL") => {
                    Some(Change::Results(None))
                }
                Value::Word(name) | Value::Text(name) => {
                    Some(Change::Results(Some(collations.compiled(name)?)))
                }
                Value::Number(_) => None,
            };
        }
        "collation_connection" if accepted => {
            return match value {
                Value::Word(name) | Value::Text(name) => {
                    Some(Change::Connection(collations.named(name)?))
                }
                Value::Number(_) => None,
            };
        }
        "character_set_client" if accepted => {
            return match value {
                Value::Word(name) | Value::Text(name) => {
                    let charset = collations.compiled(name)?.charset;
                    Some(Change::Value("character_set_client", charset.to_owned()))
                }
                Value::Number(_) => None,
            };
        }
        _ => {}
    }
    let is_default = matches!(value, Value::Word(word) if word.eq_ignore_ascii_case("DEFAULT"));
    let value = match (value, variable.name) {
        (
            _,
            "tx_isolation" | "transaction_isolation" | "tx_read_only" | "transaction_read_only",
        ) => {
            // without SESSION it may hold for the next transaction only; servers with the new names warn of
            // the old ones
            let old = variable.name.starts_with("tx_")
                && known.globals.get("transaction_isolation").is_some();
            if !accepted && (!session || old) {
                return None;
            }
            match value {
                Value::Text(level) if variable.name.ends_with("isolation") => {
                    isolation(level)?.to_owned()
                }
                value if variable.name.ends_with("only") => flag(value)?.to_owned(),
                _ => return None,
            }
        }
        _ if is_default => match variable.name {
            "autocommit" | "sql_mode" | "time_zone" | "wait_timeout" | "sql_select_limit" => {
                global.to_owned()
            }
            _ => return None,
        },
        (
            value,
            "autocommit"
            | "foreign_key_checks"
            | "sql_auto_is_null"
            | "sql_safe_updates"
            | "unique_checks"
            | "session_track_schema",
        ) => flag(value)?.to_owned(),
        (value, "session_track_state_change") => (flag(value)? == "0").then_some("0".to_owned())?,
        (Value::Text(value), "session_track_transaction_info") => {
            (value.eq_ignore_ascii_case("OFF")).then_some("OFF".to_owned())?
        }
        (Value::Text(list), "session_track_system_variables") => tracked(list, known)?,
        (Value::Text(list), "sql_mode") => modes::normal(list)?,
        (Value::Text(zone), "time_zone") => time_zone(zone)?.to_owned(),
        (Value::Number(number), "max_statement_time") => seconds(number)?,
        (Value::Number(number), name) if variable.kind == VariableKind::Number => {
            let value: u64 = number.parse().ok()?;
            (accepted || range(name).contains(&value)).then(|| value.to_string())?
        }
        _ => return None,
    };
    Some(Change::Value(variable.name, value))
}

/// The values of a numeric variable that a server certainly accepts unchanged.
fn range(name: &str) -> std::ops::Range<u64> {
    const YEAR: u64 = 31_536_000;
    match name {
        "wait_timeout" | "interactive_timeout" | "net_read_timeout" | "net_write_timeout" => {
            1..YEAR + 1
        }
        "lock_wait_timeout" => 0..YEAR + 1,
        "innodb_lock_wait_timeout" => 1..100_000_000,
        "group_concat_max_len" => 4..1 << 31,
        "sql_select_limit" => 0..u64::MAX,
        _ => 0..0,
    }
}

fn flag(value: &Value) -> Option<&'static str> {
    let (Value::Word(text) | Value::Number(text) | Value::Text(text)) = value;
    let word = matches!(value, Value::Word(_));
    let number = matches!(value, Value::Number(_));
    match text.to_ascii_uppercase().as_str() {
        "ON" if !number => Some("1"),
        "OFF" if !number => Some("0"),
        "TRUE" if word => Some("1"),
        "FALSE" if word => Some("0"),
        "1" if number => Some("1"),
        "0" if number => Some("0"),
        _ => None,
    }
}

/// `SYSTEM` or an offset as a server shows it. Servers accept −12:59 to +13:00.
fn time_zone(zone: &str) -> Option<&str> {
    if zone == "SYSTEM" {
        return Some(zone);
    }
    let [sign, a, b, b':', c, d] = zone.as_bytes() else {
        return None;
    };
    let digits = [a, b, c, d].into_iter().all(u8::is_ascii_digit);
    let hours = (a & 15) * 10 + (b & 15);
    let minutes = (c & 15) * 10 + (d & 15);
    let fits = hours <= 12 && minutes <= 59 && (*sign == b'+' || hours + minutes > 0);
    (matches!(sign, b'+' | b'-') && digits && fits).then_some(zone)
}

/// A number of seconds, formatted as a server shows it.
fn seconds(number: &str) -> Option<String> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u32 = whole.parse().ok()?;
    (whole <= 31_536_000 && part.len() <= 6).then(|| format!("{whole}.{part:0<6}"))
}

/// The list of tracked variables as a server shows it: sorted.
fn tracked(list: &str, known: &SessionVariables<'_>) -> Option<String> {
    let mut names = Vec::new();
    for name in list.split(',') {
        // redirect_url is reported only if it is set
        let is_one = known.globals.get(name).is_some()
            || name == "redirect_url" && known.is_tracked(name) == Some(true);
        names.push(is_one.then_some(name)?);
    }
    names.sort_unstable();
    names.dedup();
    Some(names.join(","))
}
