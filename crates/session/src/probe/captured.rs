//! A session's state as a probe has read it, and the statements that restore it.

use std::sync::Arc;

use crate::effects::words::names_double_bytes;
use crate::rows::unhex;

/// The length of `SESSION_VALUE`, a `VARCHAR`, in characters.
const LONGEST_VALUE: usize = 2048;

fn text(column: Option<&Option<Vec<u8>>>) -> Option<String> {
    column?
        .as_ref()
        .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
}

pub(super) fn identity(row: &[Option<Vec<u8>>]) -> Option<Captured> {
    Some(Captured {
        schema: unhex(row.first()).map(Into::into),
        role: unhex(row.get(1)).and_then(|role| String::from_utf8(role).ok()),
        client_charset: text(row.get(2))?,
        // NULL: results are sent without conversion
        results_charset: text(row.get(3)),
        connection_collation: text(row.get(4))?,
        variables: Vec::new(),
        user_variables: Vec::new(),
    })
}

pub(super) fn variable(row: &[Option<Vec<u8>>]) -> Option<Variable> {
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
pub(super) struct Variable {
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
    pub(super) variables: Vec<Variable>,
    /// Assignments to user variables, ready for `SET`.
    pub(super) user_variables: Vec<String>,
}

impl Captured {
    /// What remains after a refused change of user.
    pub(crate) fn wiped(self, schema: Option<Arc<[u8]>>) -> Self {
        Self {
            schema,
            variables: Vec::new(),
            user_variables: Vec::new(),
            ..self
        }
    }

    pub(crate) fn is_double_bytes(&self) -> bool {
        names_double_bytes(self.client_charset.as_bytes())
    }

    /// The statements that bring a new backend, whose schema is already set, to this state. The SQL mode
    /// and then the character sets are last, because they change how the others would be read.
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

    /// `SET NAMES` where it suffices: it also sets the collation that result columns report, which no
    /// variable shows.
    /// Whether the session's transactions are read only.
    pub(crate) fn is_read_only(&self) -> bool {
        let names = ["TX_READ_ONLY", "TRANSACTION_READ_ONLY"];
        let named = |variable: &Variable| {
            names
                .iter()
                .any(|name| variable.name.eq_ignore_ascii_case(name))
        };
        self.variables.iter().any(named)
    }

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
    /// Whether the server may have truncated the value.
    pub(super) fn may_be_cut(&self) -> bool {
        self.value.chars().count() >= LONGEST_VALUE
    }

    /// Its name, and the statement that sets it.
    pub(super) fn keep(self) -> (String, String) {
        let statement = format!("SET {}", self.assignment());
        (self.name, statement)
    }

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
pub(super) fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Quotes a name.
pub(super) fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
