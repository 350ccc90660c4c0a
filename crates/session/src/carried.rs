//! What a planned park carries to the next server: small temporary tables, and [locks](UserLock). The definitions and rows
//! of tables are read, and made again on the session's next backend.
//!
//! A value is read as an SQL literal that means exactly this value: texts, binaries and geometries as hexadecimal bytes,
//! which a column takes as they are; `ENUM`, `SET` and `BIT` as numbers; `FLOAT` as `DOUBLE`; times in UTC.
//! (`SHOW CREATE TABLE` has the next `AUTO_INCREMENT`.) What cannot be read so keeps its session on the backend.

mod locks;

use dormouse_types::Pin;

use crate::rows::Rows;

pub use locks::{UserLock, named, names_question};

/// The most bytes of the statements that make one session's tables again.
pub const MOST_BYTES: usize = 1 << 20;
/// Rows are inserted by statements of about this many bytes.
const CHUNK: usize = 64 << 10;
/// Engines whose temporary tables are plain.
const ENGINES: [&str; 4] = ["InnoDB", "MEMORY", "Aria", "MyISAM"];

/// What a session carries to its next backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Its temporary tables.
    pub tables: Tables,
    /// Its locks.
    pub locks: Vec<UserLock>,
}

impl Carried {
    pub(crate) fn pins(&self) -> Vec<Pin> {
        let tables = (!self.tables.names.is_empty()).then_some(Pin::TemporaryTable);
        let locks = (!self.locks.is_empty()).then_some(Pin::UserLock);
        tables.into_iter().chain(locks).collect()
    }
}

/// What a session would carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The names of its temporary tables, quoted.
    pub tables: Vec<String>,
    /// Whether it has locks.
    pub locks: bool,
}

/// Temporary tables, and how they are made again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    pub(crate) names: Vec<String>,
    statements: Vec<Vec<u8>>,
}

/// One table, as its definition tells.
#[derive(Debug)]
pub struct Table {
    name: String,
    create: String,
    columns: Vec<(String, &'static str)>,
}

impl Tables {
    /// The statements that make the tables again, in order.
    #[must_use]
    pub fn statements(&self) -> &[Vec<u8>] {
        &self.statements
    }

    /// Adds a table with its rows, the answer to [`Table::rows_question`]. Returns whether all is within the limit.
    #[must_use]
    pub fn add(&mut self, table: &Table, rows: &Rows) -> bool {
        self.names.push(table.name.clone());
        self.statements.push(table.create.clone().into_bytes());
        let insert = table.insert();
        let mut statement: Vec<u8> = Vec::new();
        for row in rows {
            let values: Option<Vec<&[u8]>> = row.iter().map(Option::as_deref).collect();
            let Some(values) = values else {
                return false;
            };
            if statement.is_empty() {
                statement.extend_from_slice(insert.as_bytes());
            } else {
                statement.push(b',');
            }
            statement.push(b'(');
            statement.extend_from_slice(&values.join(&b','));
            statement.push(b')');
            if statement.len() > CHUNK {
                self.statements.push(std::mem::take(&mut statement));
            }
        }
        if !statement.is_empty() {
            self.statements.push(statement);
        }
        self.statements.iter().map(Vec::len).sum::<usize>() <= MOST_BYTES
    }
}

/// The questions for the definition of a table.
#[must_use]
pub fn definition_questions(name: &str) -> [String; 2] {
    [
        format!("SHOW CREATE TABLE {name}"),
        format!("SHOW FULL COLUMNS FROM {name}"),
    ]
}

impl Table {
    /// Reads the answers to [`definition_questions`]; `None` if the table is not a plain one.
    #[must_use]
    pub fn read(name: &str, create: &Rows, columns: &Rows) -> Option<Self> {
        let create = text(create.first()?.get(1)?)?;
        let rest = create.strip_prefix("CREATE TEMPORARY TABLE `")?;
        let end = rest.find("` (")?;
        let rest = rest.get(end + 1..)?;
        let plain = ENGINES
            .iter()
            .any(|engine| rest.contains(&format!("\n) ENGINE={engine}")));
        if !plain || !create.is_ascii() || rest.contains("SYSTEM VERSIONING") {
            return None;
        }
        let mut plain = Vec::new();
        for row in columns {
            match column(row) {
                Column::Plain(name, format) => plain.push((name, format)),
                Column::Computed => {}
                Column::Unknown => return None,
            }
        }
        (!plain.is_empty()).then(|| Self {
            name: name.to_owned(),
            create: format!("{SETTINGS} CREATE TEMPORARY TABLE {name}{rest}"),
            columns: plain,
        })
    }

    /// The question for the rows: each value is an SQL literal.
    #[must_use]
    pub fn rows_question(&self) -> String {
        let values: Vec<String> = { self.columns.iter() }
            .map(|(name, format)| {
                let value = format.replace('?', name);
                format!("COALESCE(CONVERT({value} USING utf8mb4), 'NULL')")
            })
            .collect();
        format!(
            "SET STATEMENT time_zone = '+00:00', sql_select_limit = 18446744073709551615, \
             max_statement_time = 0 FOR SELECT {} FROM {}",
            values.join(", "),
            self.name
        )
    }

    fn insert(&self) -> String {
        let names: Vec<&str> = { self.columns.iter() }
            .map(|(name, _)| name.as_str())
            .collect();
        format!(
            "{SETTINGS} INSERT INTO {} ({}) VALUES ",
            self.name,
            names.join(", ")
        )
    }
}

/// With these the values are taken as they are.
const SETTINGS: &str = "SET STATEMENT time_zone = '+00:00', check_constraint_checks = 0, max_statement_time = 0, \
     sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES' FOR";

/// A column, as a row of `SHOW FULL COLUMNS` tells.
enum Column {
    /// Its quoted name, and how a value is written as a literal (`?` is the name).
    Plain(String, &'static str),
    /// The server computes it.
    Computed,
    /// Its values cannot be carried.
    Unknown,
}

fn column(row: &[Option<Vec<u8>>]) -> Column {
    let at = |n: usize| row.get(n).and_then(text).unwrap_or_default();
    let (name, kind) = (at(0), at(1));
    if at(6).contains("GENERATED") {
        return Column::Computed;
    }
    let end = kind.find(|c: char| !c.is_ascii_alphanumeric());
    let format = match kind.get(..end.unwrap_or(kind.len())).unwrap_or_default() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => "?",
        "float" | "double" => "CAST(? AS DOUBLE)",
        "bit" | "enum" | "set" => "?+0",
        "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet6" | "inet4" => {
            "CONCAT('''', ?, '''')"
        }
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "binary"
        | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "vector" => "CONCAT('X''', HEX(?), '''')",
        _ => return Column::Unknown,
    };
    if name.is_empty() || !name.is_ascii() {
        return Column::Unknown;
    }
    Column::Plain(format!("`{}`", name.replace('`', "``")), format)
}

fn text(value: &Option<Vec<u8>>) -> Option<String> {
    String::from_utf8(value.clone()?).ok()
}

#[cfg(test)]
mod tests;
