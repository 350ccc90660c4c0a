//! Reads user variables so that each can be set again with the same type, character set and value.
//!
//! `information_schema.USER_VARIABLES` has names, types and exact values of numbers; it converts strings, so
//! these are read by a second question, in hexadecimal.

use crate::rows::{Rows, unhex};

/// The most bytes of statements that are kept to restore one session's variables.
pub const MOST_BYTES: usize = 64 << 10;

/// The most variables that are kept; an answer with so many rows fits into any limit.
const MOST: usize = 1000;

/// The most bytes of strings, which are written in hexadecimal.
const MOST_TEXT: usize = MOST_BYTES / 2;

/// The question for all names and types.
pub(crate) const NAMES: &str = "SELECT HEX(CONVERT(VARIABLE_NAME USING utf8mb4)), VARIABLE_TYPE, \
     IF(VARIABLE_TYPE = 'VARCHAR', NULL, VARIABLE_VALUE) \
     FROM information_schema.USER_VARIABLES LIMIT 1000";

/// One variable, as in the answer to the first question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserVariable {
    name: String,
    kind: String,
    value: Option<String>,
}

fn text(value: Option<&Option<Vec<u8>>>) -> Option<String> {
    String::from_utf8(value?.clone()?).ok()
}

/// Reads the answer to [`NAMES`]; `None` if there may be more variables, or a name is not ASCII.
pub(crate) fn names(rows: &Rows) -> Option<Vec<UserVariable>> {
    if rows.len() >= MOST {
        return None;
    }
    let named = rows.iter().map(|row| {
        let name = unhex(row.first())?;
        let name = String::from_utf8(name)
            .ok()
            .filter(|name| name.is_ascii())?;
        Some(UserVariable {
            name,
            kind: text(row.get(1))?,
            value: text(row.get(2)),
        })
    });
    named.collect()
}

fn quoted(name: &str) -> String {
    format!("@`{}`", name.replace('`', "``"))
}

/// The question for the total length and the values of strings; if they are too long, the server sends only
/// the length. `None` if there is no string.
pub(crate) fn texts(all: &[UserVariable]) -> Option<String> {
    let names = all.iter().filter(|one| one.kind == "VARCHAR");
    let names: Vec<String> = names.map(|one| quoted(&one.name)).collect();
    let length = |name: &String| format!("COALESCE(LENGTH({name}), 0)");
    let value = |name: &String| {
        format!("IF(t.n <= {MOST_TEXT}, HEX({name}), NULL), CHARSET({name}), COLLATION({name})")
    };
    let lengths: Vec<String> = names.iter().map(length).collect();
    let values: Vec<String> = names.iter().map(value).collect();
    (!names.is_empty()).then(|| {
        format!(
            "SELECT t.n, {} FROM (SELECT {} AS n) t LIMIT 1",
            values.join(", "),
            lengths.join(" + ")
        )
    })
}

/// The assignments that restore the variables; `None` if they are too long or cannot be read.
pub(crate) fn assignments(all: &[UserVariable], texts: Option<&Rows>) -> Option<Vec<String>> {
    let mut values = texts.and_then(|rows| rows.first()).into_iter().flatten();
    if let Some(length) = values.next() {
        let length: usize = text(Some(length))?.parse().ok()?;
        if length > MOST_TEXT {
            return None;
        }
    }
    let mut statements = Vec::with_capacity(all.len());
    let mut bytes = 0;
    for one in all {
        let name = quoted(&one.name);
        let statement = if one.kind == "VARCHAR" {
            let hex = values.next()?.clone();
            let charset = text(values.next())?;
            let collation = text(values.next())?;
            of_text(
                &name,
                hex.map(String::from_utf8).transpose().ok()?,
                &charset,
                &collation,
            )
        } else {
            of_number(&name, &one.kind, one.value.as_deref())?
        };
        bytes += statement.len();
        if bytes > MOST_BYTES {
            return None;
        }
        statements.push(statement);
    }
    Some(statements)
}

fn of_text(name: &str, hex: Option<String>, charset: &str, collation: &str) -> String {
    let literal = |hex: &str| {
        if charset == "binary" {
            format!("_binary X'{hex}'")
        } else {
            format!("_{charset} X'{hex}' COLLATE {collation}")
        }
    };
    match hex {
        Some(hex) => format!("{name} = {}", literal(&hex)),
        // a NULL string has a character set too
        None => format!("{name} = {}, {name} = NULL", literal("")),
    }
}

fn of_number(name: &str, kind: &str, value: Option<&str>) -> Option<String> {
    let literal = |value: &str| match kind {
        "INT" => Some(value.to_owned()),
        "INT UNSIGNED" => Some(format!("CAST({value} AS UNSIGNED)")),
        "DOUBLE" if value.contains(['e', 'E']) => Some(value.to_owned()),
        "DOUBLE" => Some(format!("{value}e0")),
        "DECIMAL" if value.contains('.') => Some(value.to_owned()),
        "DECIMAL" => Some(format!("CAST({value} AS DECIMAL(65,0))")),
        _ => None,
    };
    Some(match value {
        Some(value) => format!("{name} = {}", literal(value)?),
        None => format!("{name} = {}, {name} = NULL", literal("0")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Vec<Option<Vec<u8>>> {
        let bytes = |value: &Option<&str>| value.map(|value| value.as_bytes().to_vec());
        values.iter().map(bytes).collect()
    }

    #[test]
    fn each_type_is_set_as_it_was() {
        let all = names(&vec![
            row(&[Some("61"), Some("INT"), Some("-5")]),
            row(&[
                Some("62"),
                Some("INT UNSIGNED"),
                Some("18446744073709551615"),
            ]),
            row(&[Some("63"), Some("DOUBLE"), Some("10000000000")]),
            row(&[Some("64"), Some("DOUBLE"), Some("1.25e-300")]),
            row(&[Some("65"), Some("DECIMAL"), Some("1.50")]),
            row(&[Some("66"), Some("DECIMAL"), Some("5")]),
            row(&[Some("67"), Some("VARCHAR"), None]),
            row(&[Some("6860"), Some("VARCHAR"), None]),
            row(&[Some("69"), Some("INT"), None]),
        ]);
        let all = all.unwrap();
        assert_eq!(
            texts(&all).unwrap(),
            "SELECT t.n, IF(t.n <= 32768, HEX(@`g`), NULL), CHARSET(@`g`), COLLATION(@`g`), \
             IF(t.n <= 32768, HEX(@`h```), NULL), CHARSET(@`h```), COLLATION(@`h```) \
             FROM (SELECT COALESCE(LENGTH(@`g`), 0) + COALESCE(LENGTH(@`h```), 0) AS n) t LIMIT 1"
        );
        let answer = vec![row(&[
            Some("2"),
            Some("C3A4"),
            Some("utf8mb4"),
            Some("utf8mb4_bin"),
            None,
            Some("binary"),
            Some("binary"),
        ])];
        assert_eq!(
            assignments(&all, Some(&answer)).unwrap(),
            [
                "@`a` = -5",
                "@`b` = CAST(18446744073709551615 AS UNSIGNED)",
                "@`c` = 10000000000e0",
                "@`d` = 1.25e-300",
                "@`e` = 1.50",
                "@`f` = CAST(5 AS DECIMAL(65,0))",
                "@`g` = _utf8mb4 X'C3A4' COLLATE utf8mb4_bin",
                "@`h``` = _binary X'', @`h``` = NULL",
                "@`i` = 0, @`i` = NULL",
            ]
        );
    }

    #[test]
    fn too_many_variables_and_unsafe_ones_are_not_kept() {
        assert_eq!(
            names(&vec![row(&[Some("C3A4"), Some("INT"), Some("1")])]),
            None
        );
        let all = names(&vec![row(&[Some("61"), Some("VARCHAR"), None])]).unwrap();
        for (length, hex) in [
            ("32768", Some("41".repeat(MOST_TEXT))),
            ("32769", None),
            ("10000000", None),
        ] {
            let answer = vec![row(&[
                Some(length),
                hex.as_deref(),
                Some("latin1"),
                Some("latin1_bin"),
            ])];
            assert_eq!(assignments(&all, Some(&answer)), None, "{length}");
        }
        let many = vec![row(&[Some("61"), Some("INT"), Some("1")]); MOST];
        assert_eq!(names(&many), None, "there may be more");
        assert_eq!(assignments(&all, None), None);
    }
}
