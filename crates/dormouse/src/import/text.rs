//! Texts of statements: names and strings as SQL writes them, and what a statement does in a few words.

use super::classify::{Effect, Object};

/// What a statement does, without its values.
pub(crate) fn describe(effect: &Effect, text: &[u8]) -> String {
    let of = |verb: &str, object: &Object| format!("{verb} {} {}", object.kind.sql(), object.name);
    match effect {
        Effect::Drop(object) => of("DROP", object),
        Effect::Create { object, .. } => of("CREATE", object),
        Effect::Rows(object) => format!("rows for {}", object.name),
        Effect::Use(schema) => format!("USE {schema}"),
        _ => {
            let text = text.get(..200).unwrap_or(text);
            let text = String::from_utf8_lossy(text);
            let word = |w: &&str| w.len() > 1 && w.chars().all(|c| c.is_ascii_alphabetic());
            let words: Vec<_> = text.split_whitespace().filter(word).take(2).collect();
            match words.is_empty() {
                true => "a statement".to_owned(),
                false => words.join(" ").to_ascii_uppercase(),
            }
        }
    }
}

/// A name in backquotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string that every SQL mode reads alike.
pub(crate) fn literal(text: &str) -> String {
    if !text.contains('\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("CONVERT(X'{hex}' USING utf8mb4)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::classify::ObjectKind;

    #[test]
    fn a_description_has_no_values() {
        let of = |effect, text: &str| describe(&effect, text.as_bytes());
        let table = Object {
            kind: ObjectKind::Table,
            schema: None,
            name: "t".to_owned(),
        };
        assert_eq!(
            of(Effect::Rows(table), "INSERT INTO t VALUES ('x')"),
            "rows for t"
        );
        assert_eq!(
            of(Effect::Definition, "create user app IDENTIFIED BY 'x'"),
            "CREATE USER"
        );
        assert_eq!(of(Effect::Other, "{}"), "a statement");
    }

    #[test]
    fn names_and_strings_end_where_they_shall() {
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), "CONVERT(X'5c27' USING utf8mb4)");
    }
}
