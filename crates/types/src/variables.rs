//! Which variables of a server are noted before it sleeps, and what they were.
//!
//! Clients ask for these when they connect and when they check a connection; with them Dormouse can
//! answer while the server sleeps. The list is `engine`'s to ask for and `session`'s to use.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a server shows a variable to `SELECT @@name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableKind {
    /// 0 or 1.
    Flag,
    /// A whole number without a sign.
    Number,
    /// A number with six digits after the point.
    Fraction,
    /// A text, also of a choice or a set.
    Text,
}

/// One variable that is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How it is shown.
    pub kind: VariableKind,
    /// Whether each session has its own.
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

/// Those that are noted.
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

/// What the global variables of one server were; cheap to clone.
///
/// They are kept for every database that sleeps, and rarely read: as `name=value` lines, most of
/// which several servers can have in common ([`Variables::like`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Variables {
    common: Arc<str>,
    /// In place of the common lines of the same names, and in the same order.
    own: Arc<str>,
}

impl Variables {
    /// Whether any of them was set by a statement since the server started: then a session that is
    /// older may have another value.
    pub const CHANGED: &'static str = "(changed)";
    /// Whether the server has time zones by name.
    pub const TIME_ZONES: &'static str = "(time zones)";

    /// What `SELECT @@GLOBAL.name` shows. `None`: it is not known, or there is none of the name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.own.lines().chain(self.common.lines());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// The same, in the memory of another server's as far as they are alike. `None` if they have
    /// not the same names in the same order.
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

    /// How many bytes are not shared with those they are [like](Self::like).
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
    /// A value of several lines is left out, and so not known.
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
    fn what_is_alike_is_kept_once() {
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
        // also of what is shared itself, and back again
        assert_eq!(first.like(&shared).unwrap(), first);
        assert_eq!(first.like(&shared).unwrap().own_bytes(), 0);
    }

    #[test]
    fn others_are_not_alike() {
        let of = |text: &str| Variables::from(text.to_owned());
        let first = of("a=1\nb=2\n");
        for other in ["a=1\n", "a=1\nb=2\nc=3\n", "b=2\na=1\n", "a=1\nc=2\n", ""] {
            assert_eq!(of(other).like(&first), None, "{other:?}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_without_doubles() {
        assert!(VARIABLES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
