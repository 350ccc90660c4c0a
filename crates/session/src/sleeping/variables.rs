//! The variables of one session, as far as known without its server.

use std::collections::BTreeMap;

use dormouse_types::{VARIABLES, Variable, VariableKind, Variables};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::status::Status;

use super::change::{Change, NAMES};
use super::charset::{Collation, Collations};
use super::modes;

/// A session variable that may differ from the global one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    /// Its value; `None` is NULL.
    Is(Option<String>),
    /// It was set to an unknown value.
    Unknown,
}

/// The variables of one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionVariables<'a> {
    pub(crate) globals: &'a Variables,
    own: BTreeMap<&'static str, Setting>,
    /// The collation of results; `None`: they are sent without conversion.
    results: Option<Collation>,
}

/// A variable by its name, in any case.
pub(crate) fn variable(name: &str) -> Option<&'static Variable> {
    VARIABLES
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name))
}

/// The name under which a variable's value is stored: aliases have one value.
fn kept(name: &'static str) -> &'static str {
    match name {
        "transaction_isolation" => "tx_isolation",
        "transaction_read_only" => "tx_read_only",
        name => name,
    }
}

impl<'a> SessionVariables<'a> {
    /// The variables right after a login; `None` if not known.
    pub(crate) fn at_login(
        globals: &'a Variables,
        collation: u8,
        capabilities: Capabilities,
    ) -> Option<Self> {
        // the server would run these statements for each client
        if !globals.get("init_connect")?.is_empty() {
            return None;
        }
        let collation = Collations(globals).of_login(collation)?;
        let mut known = Self {
            globals,
            own: BTreeMap::new(),
            results: Some(collation),
        };
        known.apply(&Change::Names(collation));
        if capabilities.contains(Capabilities::INTERACTIVE) {
            let timeout = globals.get("interactive_timeout").map(str::to_owned);
            known.set("wait_timeout", timeout.map(Some));
        }
        if capabilities.contains(Capabilities::IGNORE_SPACE) {
            let mode = modes::with(globals.get("sql_mode")?, "IGNORE_SPACE")?;
            known.set("sql_mode", Some(Some(mode)));
        }
        Some(known)
    }

    /// Sets a variable whose value Dormouse decides.
    pub(crate) fn keep(&mut self, name: &'static str, value: String) {
        self.set(name, Some(Some(value)));
    }

    fn set(&mut self, name: &'static str, value: Option<Option<String>>) {
        let own = value.map_or(Setting::Unknown, Setting::Is);
        self.own.insert(kept(name), own);
    }

    /// Applies a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Names(collation) => {
                let charset = Some(collation.charset.to_owned());
                self.results = Some(*collation);
                for name in NAMES {
                    self.set(name, Some(charset.clone()));
                }
                let name = Some(collation.name.to_owned());
                self.set("collation_connection", Some(name));
            }
            Change::Results(collation) => {
                self.results = *collation;
                let charset = collation.map(|collation| collation.charset.to_owned());
                self.set("character_set_results", Some(charset));
            }
            Change::Connection(collation) => {
                let charset = Some(collation.charset.to_owned());
                self.set("character_set_connection", Some(charset));
                let name = Some(collation.name.to_owned());
                self.set("collation_connection", Some(name));
            }
            Change::Value(name, value) => self.set(name, Some(Some(value.clone()))),
            Change::Lost(name) => self.set(name, None),
            Change::NextTransaction { .. } => {}
        }
    }

    /// The value of a variable; outer `None`: not known, inner `None`: NULL.
    pub(crate) fn value(&self, name: &'static str) -> Option<Option<&str>> {
        match self.own.get(kept(name)) {
            Some(Setting::Is(value)) => Some(value.as_deref()),
            Some(Setting::Unknown) => None,
            None => self.globals.get(name).map(Some),
        }
    }

    /// The value of a variable that is never NULL.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.value(name).flatten()
    }

    /// Whether a flag is set.
    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        self.text(name).map(|value| value == "1")
    }

    /// The collation of a string that comes from the server.
    pub(crate) fn system_text(&self) -> Option<Collation> {
        let system = Collations(self.globals).named("utf8mb3_general_ci");
        self.results.or(system)
    }

    /// The collation of a literal.
    pub(crate) fn literal(&self) -> Option<Collation> {
        match self.results {
            Some(results) => Some(results),
            None => Collations(self.globals).named(self.text("collation_connection")?),
        }
    }

    /// The status flags that follow from variables; `None` if they are not known, or the SQL mode changes how
    /// a text is read.
    pub(crate) fn status(&self) -> Option<Status> {
        let mut status = Status(0);
        if self.flag("autocommit")? {
            status = status.with(Status::AUTOCOMMIT);
        }
        for mode in self.text("sql_mode")?.split(',') {
            match mode {
                "ANSI_QUOTES" => status = status.with(Status::ANSI_QUOTES),
                "NO_BACKSLASH_ESCAPES" => status = status.with(Status::NO_BACKSLASH_ESCAPES),
                "ORACLE" => return None,
                _ => {}
            }
        }
        Some(status)
    }

    /// Whether session tracking reports a variable.
    pub(crate) fn is_tracked(&self, name: &str) -> Option<bool> {
        let list = self.text("session_track_system_variables")?;
        // '*' means all, which differs between versions
        (!list.contains('*')).then(|| list.split(',').any(|one| one == name))
    }

    /// A value as session tracking reports it.
    pub(crate) fn tracked_value(&self, variable: &Variable) -> Option<Vec<u8>> {
        let value = self.value(variable.name)?;
        let value = match (variable.kind, value) {
            (VariableKind::Flag, Some("1")) => "ON",
            (VariableKind::Flag, _) => "OFF",
            (_, value) => value.unwrap_or_default(),
        };
        Some(value.as_bytes().to_vec())
    }
}
