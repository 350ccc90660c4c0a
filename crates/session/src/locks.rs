//! Locks that outlive their statement, by the texts of statements: for servers that cannot tell
//! which there are, for want of the plugin `metadata_lock_info`. In doubt there is one.

use crate::lexer::{Lexer, Token};

/// Words of statements that take such locks, or run what may.
const WORDS: [&str; 6] = ["GET_LOCK", "LOCK", "HANDLER", "FLUSH", "BACKUP", "CALL"];

/// What a session may have locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Locks {
    /// What `UNLOCK TABLES` ends.
    tables: bool,
    /// What it does not.
    others: bool,
}

impl Locks {
    /// Whether it may have locked anything.
    pub(crate) fn any(self) -> bool {
        self.tables || self.others
    }

    /// A text of unknown effect has run, or broken off. `prepared` finds the `PREPARE` of a name, in
    /// lower case, if its text is known.
    pub(crate) fn ran<'a>(
        &mut self,
        text: &[u8],
        prepared: impl FnOnce(&[u8]) -> Option<&'a [u8]>,
    ) {
        let mut tokens = Lexer::new(text);
        let (first, second) = (tokens.next(), tokens.next());
        let first_is = |word| first.is_some_and(|first: Token<'_>| first.is(word));
        if first_is("EXECUTE") {
            self.others |= match second {
                Some(word) if word.is("IMMEDIATE") => {
                    !tokens.all(|t| matches!(t, Token::Text | Token::Semicolon)) || mentions(text)
                }
                Some(Token::Word(name) | Token::Quoted(name)) => {
                    prepared(&name.to_ascii_lowercase()).is_none_or(mentions)
                }
                _ => true,
            };
        } else if (first_is("LOCK") || first_is("FLUSH")) && is_one(text) {
            self.tables = true;
        } else {
            let locks =
                |token: Token<'_>| token.is("EXECUTE") || WORDS.iter().any(|word| token.is(word));
            self.others |= Lexer::new(text).any(locks);
        }
    }

    /// A text has succeeded.
    pub(crate) fn succeeded(&mut self, text: &[u8]) {
        let mut tokens = Lexer::new(text);
        let unlocks = tokens.next().is_some_and(|token| token.is("UNLOCK"))
            && (tokens.next()).is_some_and(|token| token.is("TABLES") || token.is("TABLE"));
        if unlocks && is_one(text) {
            self.tables = false;
        }
    }
}

/// Whether a text has one of the words anywhere, in literals too.
fn mentions(text: &[u8]) -> bool {
    WORDS.iter().any(|word| {
        let mut places = text.windows(word.len());
        places.any(|place| place.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether nothing follows a semicolon.
fn is_one(text: &[u8]) -> bool {
    Lexer::new(text)
        .skip_while(|token| *token != Token::Semicolon)
        .all(|token| token == Token::Semicolon)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> bool {
        let mut locks = Locks::default();
        for text in texts {
            locks.ran(text.as_bytes(), |name| match name {
                b"harmless" => Some(b"PREPARE harmless FROM 'SELECT 1'"),
                b"locks" => Some(b"PREPARE locks FROM 'DO get_lock(1, 1)'"),
                _ => None,
            });
            locks.succeeded(text.as_bytes());
        }
        locks.any()
    }

    #[test]
    fn what_may_leave_a_lock_is_known_by_its_words() {
        for text in [
            "LOCK TABLES t READ",
            "FLUSH TABLES WITH READ LOCK",
            "HANDLER t OPEN",
            "DO GET_LOCK('a', 1)",
            "BACKUP STAGE START",
            "CALL p()",
            "SELECT 1; EXECUTE harmless",
            "EXECUTE unheard_of",
            "EXECUTE locks",
            "EXECUTE IMMEDIATE 'lock tables t read'",
            "EXECUTE IMMEDIATE @text",
            "EXECUTE IMMEDIATE CONCAT('lo', 'ck')",
        ] {
            assert!(after(&[text]), "{text}");
        }
        for text in [
            "SET @a = 1",
            "CREATE TABLE t (id INT)",
            "EXECUTE harmless",
            "EXECUTE Harmless USING @a",
            "EXECUTE IMMEDIATE 'SELECT 1';",
            "SET @a = 'lock'",
        ] {
            assert!(!after(&[text]), "{text}");
        }
    }

    #[test]
    fn tables_are_unlocked_and_nothing_else() {
        assert!(!after(&["LOCK TABLES t READ", "UNLOCK TABLES"]));
        assert!(!after(&["FLUSH TABLES WITH READ LOCK;", "unlock table;"]));
        assert!(after(&["UNLOCK TABLES", "LOCK TABLES t READ"]));
        assert!(after(&[
            "LOCK TABLES t READ",
            "UNLOCK TABLES; LOCK TABLES t READ"
        ]));
        assert!(after(&["LOCK TABLES t READ; DO 1", "UNLOCK TABLES"]));
        assert!(after(&["HANDLER t OPEN", "UNLOCK TABLES"]));
        assert!(after(&["LOCK TABLES t READ", "COMMIT"]));
    }
}
