//! Variables of a server that are recorded before it sleeps.
//!
//! Clients query these when they connect and when they check a connection; from the recorded values
//! Dormouse answers while the server sleeps. `engine` reads them from the server, `session` uses them.

use std::sync::Arc;

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// Format of a variable in `SELECT @@name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableKind {
    /// 0 or 1.
    Flag,
    /// An unsigned integer.
    Number,
    /// A number with six digits after the point.
    Fraction,
    /// A text, also an enum or a set.
    Text,
}

/// A recorded variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Name, in lower case.
    pub name: &'static str,
    /// Format.
    pub kind: VariableKind,
    /// Whether each session has its own value.
    pub session: bool,
}

const fn own(name: &'static str, kind: VariableKind) -> Variable {
    let session = true;
    Variable {
        name,
        kind,
        session,
    }
}

const fn global(name: &'static str, kind: VariableKind) -> Variable {
    let session = false;
    Variable {
        name,
        kind,
        session,
    }
}

use VariableKind::{Flag, Fraction, Number, Text};

/// The recorded variables, by name.
pub const VARIABLES: [Variable; 53] = [
    own("auto_increment_increment", Number),
    own("auto_increment_offset", Number),
    own("autocommit", Flag),
    own("character_set_client", Text),
    own("character_set_collations", Text),
    own("character_set_connection", Text),
    own("character_set_results", Text),
    own("character_set_server", Text),
    own("collation_connection", Text),
    own("collation_server", Text),
    own("completion_type", Text),
    own("default_storage_engine", Text),
    own("foreign_key_checks", Flag),
    own("group_concat_max_len", Number),
    global("init_connect", Text),
    own("innodb_lock_wait_timeout", Number),
    own("interactive_timeout", Number),
    global("license", Text),
    own("lock_wait_timeout", Number),
    own("long_query_time", Fraction),
    global("lower_case_table_names", Number),
    own("max_allowed_packet", Number),
    global("max_connections", Number),
    own("max_statement_time", Fraction),
    own("net_buffer_length", Number),
    own("net_read_timeout", Number),
    own("net_write_timeout", Number),
    own("old_mode", Text),
    global("performance_schema", Flag),
    global("query_cache_size", Number),
    own("query_cache_type", Text),
    own("redirect_url", Text),
    own("session_track_schema", Flag),
    own("session_track_state_change", Flag),
    own("session_track_system_variables", Text),
    own("session_track_transaction_info", Text),
    global("socket", Text),
    own("sql_auto_is_null", Flag),
    own("sql_mode", Text),
    own("sql_safe_updates", Flag),
    own("sql_select_limit", Number),
    global("system_time_zone", Text),
    own("time_zone", Text),
    own("transaction_isolation", Text),
    own("transaction_read_only", Flag),
    own("tx_isolation", Text),
    own("tx_read_only", Flag),
    own("unique_checks", Flag),
    global("version", Text),
    global("version_comment", Text),
    global("version_compile_machine", Text),
    global("version_compile_os", Text),
    own("wait_timeout", Number),
];

/// Recorded global variables of one server; cheap to clone.
///
/// They are stored for every sleeping database and rarely read; so they are `name=value` lines, most of
/// which several servers can share ([`Variables::like`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Variables {
    common: Arc<str>,
    /// Lines that replace the shared lines of the same names, in the same order.
    own: Arc<str>,
}

impl Variables {
    /// Name of a pseudo-variable: whether a statement has set any variable since the server started; then
    /// an older session may have another value.
    pub const CHANGED: &'static str = "(changed)";
    /// Name of a pseudo-variable: whether the server has named time zones.
    pub const TIME_ZONES: &'static str = "(time zones)";

    /// The value of `SELECT @@GLOBAL.name`. `None`: unknown, or no such variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.own, name).or_else(|| find(&self.common, name))
    }

    /// The same values, but for this variable, which it has.
    #[must_use]
    pub fn with(&self, variable: &str, value: &str) -> Self {
        let lines = self.lines().map(|line| match line.split_once('=') {
            Some((name, _)) if name == variable => (name, value),
            Some(other) => other,
            None => (line, ""),
        });
        lines.collect()
    }

    /// The same values, sharing the memory of `other` where they are equal. `None` if the two do not
    /// have the same names in the same order.
    #[must_use]
    pub fn like(&self, other: &Self) -> Option<Self> {
        let mut own = String::new();
        let mut common = other.common.lines();
        for line in self.lines() {
            let theirs = common.next()?;
            if name(theirs) != name(line) {
                return None;
            }
            if theirs != line {
                own.extend([line, "\n"]);
            }
        }
        common.next().is_none().then(|| Self {
            common: Arc::clone(&other.common),
            own: own.into(),
        })
    }

    /// The names whose values differ. `None` if the two do not have the same names in the same order.
    #[must_use]
    pub fn differences<'a>(&'a self, other: &'a Self) -> Option<Vec<&'a str>> {
        if Arc::ptr_eq(&self.common, &other.common) {
            // only lines that one of them has of its own can differ
            let ours = self.own.lines().map(name);
            let more = other.own.lines().map(name);
            let more = more.filter(|name| find(&self.own, name).is_none());
            let differs = |name: &&str| self.get(name) != other.get(name);
            return Some(ours.chain(more).filter(differs).collect());
        }
        let mut theirs = other.lines();
        let mut all = Vec::new();
        for ours in self.lines() {
            let theirs = theirs.next()?;
            if ours != theirs {
                (name(ours) == name(theirs)).then_some(())?;
                all.push(name(ours));
            }
        }
        theirs.next().is_none().then_some(all)
    }

    /// Number of bytes not [shared](Self::like) with others.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.own.len()
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let mut own = self.own.lines().peekable();
        self.common
            .lines()
            .map(move |line| own.next_if(|own| name(own) == name(line)).unwrap_or(line))
    }
}

/// The value in the line with this name.
fn find<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    let at = memmem::find_iter(lines.as_bytes(), name).find(|at| {
        let begins = { lines.as_bytes().get(..*at) }
            .is_some_and(|before| matches!(before, [] | [.., b'\n']));
        begins && lines.as_bytes().get(at + name.len()) == Some(&b'=')
    })?;
    let value = lines.get(at + name.len() + 1..)?;
    let end = memchr::memchr(b'\n', value.as_bytes()).unwrap_or(value.len());
    value.get(..end)
}

/// The name in a line.
fn name(line: &str) -> &str {
    line.split_once('=').map_or(line, |(name, _)| name)
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.lines().eq(other.lines())
    }
}

impl Eq for Variables {}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Variables {
    /// A value with several lines is left out, and so unknown.
    fn from_iter<T: IntoIterator<Item = (N, V)>>(all: T) -> Self {
        let mut lines = String::new();
        for (name, value) in all {
            let (name, value) = (name.as_ref(), value.as_ref());
            if !value.contains(['\n', '\r']) {
                lines.extend([name, "=", value, "\n"]);
            }
        }
        lines.into()
    }
}

impl From<String> for Variables {
    fn from(lines: String) -> Self {
        Self {
            common: lines.into(),
            own: Arc::default(),
        }
    }
}

impl From<Variables> for String {
    fn from(variables: Variables) -> Self {
        let lines = variables.lines();
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let all: Variables = [
            ("tx", "1"),
            ("tx_read_only", "0"),
            ("b", "x=y"),
            ("c", "1\n2"),
        ]
        .into_iter()
        .collect();
        assert_eq!(all.get("tx"), Some("1"));
        assert_eq!(all.get("tx_read_only"), Some("0"));
        assert_eq!(all.get("b"), Some("x=y"));
        assert_eq!(all.get("c"), None);
        assert_eq!(all.get("t"), None);
        let text = String::from(all.clone());
        assert_eq!(Variables::from(text), all);
    }

    #[test]
    fn one_value_is_replaced() {
        let all: Variables = [("a", "1"), ("b", "x=y"), ("c", "3")].into_iter().collect();
        let wanted: Variables = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
        assert_eq!(all.with("b", "2"), wanted);
    }

    #[test]
    fn equal_values_are_stored_once() {
        let of = |all: &[(&str, &str)]| -> Variables { all.iter().copied().collect() };
        let first = of(&[("a", "1"), ("socket", "/1"), ("b", "2")]);
        let second = of(&[("a", "1"), ("socket", "/2"), ("b", "2")]);
        let shared = second.like(&first).unwrap();
        assert_eq!(shared.own_bytes(), "socket=/2\n".len());
        assert_eq!(shared, second);
        assert_ne!(shared, first);
        assert_eq!(String::from(shared.clone()), String::from(second));
        let values = ["a", "socket", "b", "c"].map(|name| shared.get(name));
        assert_eq!(values, [Some("1"), Some("/2"), Some("2"), None]);
        // also if the other shares values itself, and in reverse
        assert_eq!(first.like(&shared).unwrap(), first);
        assert_eq!(first.like(&shared).unwrap().own_bytes(), 0);
    }

    #[test]
    fn differences_are_named() {
        let of = |text: &str| Variables::from(text.to_owned());
        let first = of("a=1\nb=2\nc=3\n");
        let other = of("a=1\nb=5\nc=4\n");
        assert_eq!(first.differences(&first), Some(vec![]));
        assert_eq!(first.differences(&other), Some(vec!["b", "c"]));
        let shared = other.like(&first).unwrap();
        assert_eq!(first.differences(&shared), Some(vec!["b", "c"]));
        // both have lines of their own
        let third = of("a=2\nb=5\nc=3\n").like(&first).unwrap();
        assert_eq!(shared.differences(&third), Some(vec!["c", "a"]));
        assert_eq!(third.differences(&first), Some(vec!["a", "b"]));
        assert_eq!(third.differences(&third.clone()), Some(vec![]));
        for names in ["a=1\nb=2\n", "a=1\nc=3\nb=2\n", "a=1\nb=2\nc=3\nd=4\n"] {
            assert_eq!(first.differences(&of(names)), None, "{names}");
        }
    }

    #[test]
    fn other_names_are_not_shared() {
        let of = |text: &str| Variables::from(text.to_owned());
        let first = of("a=1\nb=2\n");
        for other in ["a=1\n", "a=1\nb=2\nc=3\n", "b=2\na=1\n", "a=1\nc=2\n", ""] {
            assert_eq!(of(other).like(&first), None, "{other:?}");
        }
    }

    #[test]
    fn the_list_is_sorted_without_duplicates() {
        assert!(VARIABLES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
