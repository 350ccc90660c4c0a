//! Locks that outlast their statement, judged by texts. Used for servers without the plugin
//! `metadata_lock_info`, which would list them. In doubt there is a lock.

use crate::lexer::{Lexer, Mode, Token, contains, is_one_statement};

/// Words of statements that take such locks, or that may run one which does.
const WORDS: [&str; 6] = ["GET_LOCK", "LOCK", "HANDLER", "FLUSH", "BACKUP", "CALL"];

/// Which locks a session may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Locks {
    /// Locks that `UNLOCK TABLES` releases.
    tables: bool,
    /// Other locks.
    others: bool,
}

impl Locks {
    /// Whether it may have any.
    pub(crate) fn any(self) -> bool {
        self.tables || self.others
    }

    /// Notes a text of unknown effect that has run, successfully or not. `prepared` finds the `PREPARE` of
    /// a name, in lower case, if its text is known.
    pub(crate) fn ran<'a>(
        &mut self,
        text: &[u8],
        mode: Mode,
        prepared: impl FnOnce(&[u8]) -> Option<&'a [u8]>,
    ) {
        let mut tokens = Lexer::new(text, mode);
        let (first, second) = (tokens.next(), tokens.next());
        let first_is = |word| first.is_some_and(|first: Token<'_>| first.is(word));
        if first_is("EXECUTE") {
            self.others |= match second {
                Some(word) if word.is("IMMEDIATE") => {
                    !tokens.all(|t| matches!(t, Token::Text(..) | Token::Semicolon))
                        || mentions(text)
                }
                Some(Token::Word(name) | Token::Quoted(name, _)) => {
                    prepared(&name.to_ascii_lowercase()).is_none_or(mentions)
                }
                _ => true,
            };
        } else if (first_is("LOCK") || first_is("FLUSH")) && is_one_statement(tokens) {
            self.tables = true;
        } else {
            let locks = |token: Token<'_>| token.is("EXECUTE") || token.is_any(&WORDS);
            self.others |= Lexer::new(text, mode).any(locks);
        }
    }

    /// Notes a text that has succeeded.
    pub(crate) fn succeeded(&mut self, text: &[u8], mode: Mode) {
        let mut tokens = Lexer::new(text, mode);
        let unlocks = tokens.next().is_some_and(|token| token.is("UNLOCK"))
            && (tokens.next()).is_some_and(|token| token.is("TABLES") || token.is("TABLE"));
        if unlocks && is_one_statement(tokens) {
            self.tables = false;
        }
    }
}

/// Whether a text has one of the words anywhere, in literals too.
fn mentions(text: &[u8]) -> bool {
    WORDS.iter().any(|word| contains(text, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> bool {
        let mut locks = Locks::default();
        for text in texts {
            locks.ran(text.as_bytes(), Mode::default(), |name| match name {
                b"harmless" => Some(b"PREPARE harmless FROM 'SELECT 1'"),
                b"locks" => Some(b"PREPARE locks FROM 'DO get_lock(1, 1)'"),
                _ => None,
            });
            locks.succeeded(text.as_bytes(), Mode::default());
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
