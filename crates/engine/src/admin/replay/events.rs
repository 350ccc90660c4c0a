//! Which events are enabled. Replication makes every event that it creates or changes `SLAVESIDE_DISABLED`, so the
//! states follow from the statements of the log, which are read here.

use std::collections::BTreeMap;

use dormouse_session::lexer::{Lexer, Mode, Token};

use super::literal;

const ENABLED: &str = "ENABLED";
const DISABLED: &str = "DISABLED";
/// What replication writes, and `DISABLE ON SLAVE`.
const ELSEWHERE: &str = "SLAVESIDE_DISABLED";

/// Whether each event, by schema and name, is enabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events(BTreeMap<(String, String), String>);

impl FromIterator<[String; 3]> for Events {
    fn from_iter<T: IntoIterator<Item = [String; 3]>>(rows: T) -> Self {
        let row = |[schema, name, status]: [String; 3]| ((schema, name), status);
        Self(rows.into_iter().map(row).collect())
    }
}

impl Events {
    /// Follows a statement that defines something, with its default schema.
    pub fn follow(&mut self, schema: &str, text: &str) {
        // a statement that is no definition of an event changes nothing
        let _ = self.read(schema, Words::new(text));
    }

    /// The statements that make the states in the server so.
    pub(in crate::admin) fn repairs(&self) -> impl Iterator<Item = String> {
        let own = self.0.iter().filter(|(_, status)| *status != ELSEWHERE);
        own.map(|((schema, name), status)| {
            format!(
                "UPDATE mysql.event SET status = {} WHERE db = {} AND name = {} AND status = '{ELSEWHERE}'",
                literal(status),
                literal(schema),
                literal(name)
            )
        })
    }

    fn read(&mut self, schema: &str, mut words: Words<'_>) -> Option<()> {
        if words.eats("CREATE") {
            if words.eats("OR") {
                words.next()?;
            }
            words.definer()?;
            words.need("EVENT")?;
            let keeps = words.eats("IF");
            if keeps {
                words.next()?;
                words.next()?;
            }
            let event = words.event(schema)?;
            if keeps && self.0.contains_key(&event) {
                return None;
            }
            let (status, _) = words.rest(schema);
            self.0.insert(event, status.unwrap_or(ENABLED).to_owned());
        } else if words.eats("ALTER") {
            words.definer()?;
            words.need("EVENT")?;
            let event = words.event(schema)?;
            let before = self.0.remove(&event)?;
            let (status, renamed) = words.rest(schema);
            let status = status.map_or(before, str::to_owned);
            self.0.insert(renamed.unwrap_or(event), status);
        } else if words.eats("DROP") {
            let whole = words.eats("DATABASE") || words.eats("SCHEMA");
            if !whole {
                words.need("EVENT")?;
            }
            if words.eats("IF") {
                words.next()?;
            }
            if whole {
                let gone = words.name()?;
                self.0.retain(|(schema, _), _| *schema != gone);
            } else {
                let event = words.event(schema)?;
                self.0.remove(&event);
            }
        }
        Some(())
    }
}

/// The words of a statement.
struct Words<'a> {
    lexer: Lexer<'a>,
    next: Option<Token<'a>>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let mut lexer = Lexer::new(text.as_bytes(), Mode::default());
        let next = lexer.next();
        Self { lexer, next }
    }

    fn is(&self, keyword: &str) -> bool {
        self.next.as_ref().is_some_and(|next| next.is(keyword))
    }

    fn next(&mut self) -> Option<Token<'a>> {
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    fn eats(&mut self, keyword: &str) -> bool {
        let is = self.is(keyword);
        if is {
            self.next();
        }
        is
    }

    /// `DEFINER = …`, up to what is defined; `None` if that is no event.
    fn definer(&mut self) -> Option<()> {
        const OTHERS: [&str; 5] = ["PROCEDURE", "FUNCTION", "TRIGGER", "VIEW", "SQL"];
        if self.eats("DEFINER") {
            while !self.is("EVENT") {
                let next = self.next()?;
                if next.is_any(&OTHERS) {
                    return None;
                }
            }
        }
        Some(())
    }

    fn need(&mut self, keyword: &str) -> Option<()> {
        self.eats(keyword).then_some(())
    }

    fn name(&mut self) -> Option<String> {
        let name = self.next()?.name()?;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    /// The name of an event, with its schema.
    fn event(&mut self, schema: &str) -> Option<(String, String)> {
        let first = self.name()?;
        if matches!(self.next, Some(Token::Other(b'.'))) {
            self.next();
            return Some((first, self.name()?));
        }
        Some((schema.to_owned(), first))
    }

    /// The status and the new name that stand between an event's name and its body.
    fn rest(&mut self, schema: &str) -> (Option<&'static str>, Option<(String, String)>) {
        let (mut status, mut renamed) = (None, None);
        while self.next.is_some() && !self.is("DO") {
            if self.eats("ENABLE") {
                status = Some(ENABLED);
            } else if self.eats("DISABLE") {
                status = Some(match self.eats("ON") {
                    true => ELSEWHERE,
                    false => DISABLED,
                });
            } else if self.eats("RENAME") {
                self.eats("TO");
                renamed = self.event(schema);
            } else {
                self.next();
            }
        }
        (status, renamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_statements_of_a_log() {
        let mut events: Events = [
            ["app", "old", "DISABLED"],
            ["app", "gone", "ENABLED"],
            ["other", "x", "ENABLED"],
        ]
        .map(|row| row.map(str::to_owned))
        .into_iter()
        .collect();
        for text in [
            "CREATE DEFINER=`a`@`%` event ev on schedule every 1 day do delete from t",
            "CREATE DEFINER=`a`@`%` EVENT IF NOT EXISTS evd ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE \
             COMMENT 'do ENABLE' DO BEGIN SET @enable = 1; END",
            "CREATE EVENT IF NOT EXISTS evd ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "ALTER DEFINER=`a`@`%` EVENT `app`.`old` ENABLE",
            "ALTER EVENT ev ON SCHEDULE EVERY 2 DAY RENAME TO other.ev",
            "ALTER EVENT other.ev DISABLE",
            "CREATE OR REPLACE EVENT r ON SCHEDULE EVERY 1 DAY DISABLE ON SLAVE DO SELECT 1",
            "DROP EVENT IF EXISTS gone",
            "DROP TABLE ev",
            "CREATE TABLE event (a INT)",
            "",
        ] {
            events.follow("app", text);
        }
        let told: Vec<_> = events
            .0
            .iter()
            .map(|((schema, name), status)| format!("{schema}.{name} {status}"))
            .collect();
        let expected = [
            "app.evd DISABLED",
            "app.old ENABLED",
            "app.r SLAVESIDE_DISABLED",
            "other.ev DISABLED",
            "other.x ENABLED",
        ];
        assert_eq!(told, expected);
        assert_eq!(events.repairs().count(), 4);
        events.follow("app", "drop database if exists `other`");
        assert_eq!(events.repairs().count(), 2);
    }
}
