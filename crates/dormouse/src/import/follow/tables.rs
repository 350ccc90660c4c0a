//! Tables of the database that follows: what the log does not say of their columns.

use std::collections::HashMap;
use std::sync::Arc;

use super::halt::Halt;
use super::target::Target;
use crate::import::text::{literal, quoted};

/// How a column's values are written as SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As the log says it.
    Plain,
    /// An integer without a sign.
    Unsigned,
    /// A string in this character set.
    Text(String),
    /// A binary string; the log leaves out zeros at the end of a `BINARY` of this length.
    Binary(usize),
    /// `UUID`
    Uuid,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name in quotes.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether the server computes it.
    pub(crate) generated: bool,
    /// Whether the server sets it when others change.
    pub(crate) touched: bool,
    /// Whether a number of 0 is an invalid value, written with a warning.
    pub(crate) is_enum: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Schema and name, as SQL.
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// The columns of its primary key; none if it has none.
    pub(crate) key: Vec<usize>,
    /// Whether it is a sequence.
    pub(crate) is_sequence: bool,
}

/// The tables that were looked at since the last definition.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: HashMap<(String, String), Arc<Table>>,
}

impl Tables {
    /// Forgets all: a definition has run.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// A table.
    ///
    /// # Errors
    /// It is not there, or has no transactions.
    pub(crate) fn get(
        &mut self,
        target: &mut Target,
        schema: &str,
        name: &str,
    ) -> Result<Arc<Table>, Halt> {
        let key = (schema.to_owned(), name.to_owned());
        if let Some(table) = self.known.get(&key) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(read(target, schema, name)?);
        self.known.insert(key, Arc::clone(&table));
        Ok(table)
    }
}

fn read(target: &mut Target, schema: &str, name: &str) -> Result<Table, Halt> {
    let of = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(schema),
        literal(name)
    );
    let about = target.ask(&format!(
        "SELECT TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {of}"
    ))?;
    let Some([kind, engine]) = about
        .into_iter()
        .next()
        .and_then(|row| <[Option<String>; 2]>::try_from(row).ok())
    else {
        return Err(Halt::stop(
            format!(
                "diverged: the other server has rows for {schema}.{name}, which is not in the database"
            ),
            "begin anew with --restart",
        ));
    };
    let engine = engine.unwrap_or_default();
    if engine != "InnoDB" {
        return Err(Halt::stop(
            format!(
                "table {schema}.{name} has the engine {engine}, which has no transactions: its rows could be written twice after a crash"
            ),
            "ALTER TABLE … ENGINE = InnoDB at the other server, then begin anew with --restart",
        ));
    }
    let rows = target.ask(&format!(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, EXTRA, \
         IS_GENERATED FROM information_schema.COLUMNS WHERE {of} ORDER BY ORDINAL_POSITION"
    ))?;
    let columns = rows.into_iter().map(column).collect();
    let key = target.ask(&format!(
        "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE {of} AND INDEX_NAME = 'PRIMARY' \
         ORDER BY SEQ_IN_INDEX"
    ))?;
    let table = Table {
        name: format!("{}.{}", quoted(schema), quoted(name)),
        columns,
        key: Vec::new(),
        is_sequence: kind.as_deref() == Some("SEQUENCE"),
    };
    let at = |name: Option<String>| {
        let name = quoted(&name?);
        table.columns.iter().position(|column| column.name == name)
    };
    let key = key.into_iter().flatten().filter_map(at).collect();
    Ok(Table { key, ..table })
}

fn column(row: Vec<Option<String>>) -> Column {
    let row = <[Option<String>; 7]>::try_from(row).unwrap_or_default();
    let [
        name,
        data_type,
        column_type,
        charset,
        octets,
        extra,
        generated,
    ] = row.map(Option::unwrap_or_default);
    let unsigned = column_type.contains("unsigned");
    let kind = match data_type.as_str() {
        "uuid" => Kind::Uuid,
        "inet4" => Kind::Binary(4),
        "inet6" => Kind::Binary(16),
        "binary" => Kind::Binary(octets.parse().unwrap_or(0)),
        _ if !charset.is_empty() && data_type != "enum" && data_type != "set" => {
            Kind::Text(charset)
        }
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if unsigned => Kind::Unsigned,
        _ => Kind::Plain,
    };
    Column {
        name: quoted(&name),
        kind,
        generated: generated == "ALWAYS",
        touched: extra.contains("on update"),
        is_enum: data_type == "enum",
    }
}
