//! Scripts: one step per line.
//!
//! ```text
//! # a comment
//! a> SELECT 1                 session a runs a statement
//! a$ SELECT ? + 1 | 5 | x     prepares a statement, executes it with these texts, closes it
//! a= p SELECT ? + 1           prepares a statement as p
//! a! p 5                      executes p
//! a~ ping                     or reset, use SCHEMA
//!
//! `{9}` in a line stands for nine letters, `{N}` for N letters.
//! `o` and `x` are other kinds of client: see `World::login`.
//! ```

use std::fmt;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name of the session.
    pub(crate) session: char,
    /// Action.
    pub(crate) action: Action,
}

/// Action of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Runs a statement as text.
    Query(String),
    /// Prepares, executes and closes a statement.
    Once(String, Vec<String>),
    /// Prepares a statement under a name.
    Prepare(String, String),
    /// Executes a prepared statement.
    Execute(String, Vec<String>),
    /// `COM_PING`
    Ping,
    /// `COM_RESET_CONNECTION`
    Reset,
    /// `COM_INIT_DB`
    Use(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.session;
        match &self.action {
            Action::Query(text) => write!(f, "{who}> {text}"),
            Action::Once(text, values) => write!(f, "{who}$ {text} | {}", values.join(" | ")),
            Action::Prepare(name, text) => write!(f, "{who}= {name} {text}"),
            Action::Execute(name, values) => write!(f, "{who}! {name} {}", values.join(" | ")),
            Action::Ping => write!(f, "{who}~ ping"),
            Action::Reset => write!(f, "{who}~ reset"),
            Action::Use(schema) => write!(f, "{who}~ use {schema}"),
        }
    }
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(step).collect()
}

/// Expands `{9}` in a line.
fn written_out(line: &str) -> String {
    let mut parts = line.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = part
            .split_once('}')
            .and_then(|(n, rest)| Some((n.parse().ok()?, rest)));
        match number {
            Some((count, rest)) => text.extend(["y".repeat(count).as_str(), rest]),
            None => text.extend(["{", part]),
        }
    }
    text
}

fn step(line: &str) -> Result<Step, String> {
    let line = &written_out(line);
    let wrong = || format!("'{line}' is not a step");
    let mut chars = line.chars();
    let session = chars.next().filter(char::is_ascii_lowercase);
    let session = session.ok_or_else(wrong)?;
    let kind = chars.next().ok_or_else(wrong)?;
    let rest = chars.as_str().trim();
    let split = |text: &str| text.split('|').map(|v| v.trim().to_owned()).collect();
    let action = match kind {
        '>' => Action::Query(rest.to_owned()),
        '$' => {
            let (text, values) = rest.split_once('|').unwrap_or((rest, ""));
            let values = if values.is_empty() {
                Vec::new()
            } else {
                split(values)
            };
            Action::Once(text.trim().to_owned(), values)
        }
        '=' => {
            let (name, text) = rest.split_once(' ').ok_or_else(wrong)?;
            Action::Prepare(name.to_owned(), text.to_owned())
        }
        '!' => match rest.split_once(' ') {
            Some((name, values)) => Action::Execute(name.to_owned(), split(values)),
            None => Action::Execute(rest.to_owned(), Vec::new()),
        },
        '~' if rest == "ping" => Action::Ping,
        '~' if rest == "reset" => Action::Reset,
        '~' => Action::Use(rest.strip_prefix("use ").ok_or_else(wrong)?.to_owned()),
        _ => return Err(wrong()),
    };
    Ok(Step { session, action })
}
