//! Decides which statements a restricted database may run, which must not grow or change: those that read,
//! delete or free space, and those about the session, its transaction, or accounts.
//!
//! The decision is made by the text, and an unknown statement is refused. Stored code that a text runs
//! implicitly (a function in a `SELECT`, a trigger of a `DELETE`) is not seen; `CALL` is refused for that
//! reason. Called through [`SessionState::allows_restricted`](crate::SessionState::allows_restricted).

use std::borrow::Cow;

use crate::lexer::{Lexer, Mode, Token};
use crate::literal::literal;

/// The deepest nesting of statements, as in `ANALYZE SELECT`.
const DEEPEST: u8 = 8;

/// Finds the `PREPARE` with which a statement of this name was prepared.
pub(crate) type FindPrepared<'a> = &'a dyn Fn(&[u8]) -> Option<Cow<'a, [u8]>>;

/// Whether each statement of a text may run. `find` knows what was prepared with `PREPARE`.
pub(crate) fn is_allowed(text: &[u8], mode: Mode, find: FindPrepared<'_>) -> bool {
    text_is_allowed(text, mode, find, 0)
}

fn text_is_allowed(text: &[u8], mode: Mode, find: FindPrepared<'_>, depth: u8) -> bool {
    let mut lexer = Lexer::new(text, mode);
    let (mut statements, mut sets) = (0, false);
    while !lexer.is_at_end() {
        sets |= lexer.clone().next().is_some_and(|first| first.is("SET"));
        let mut one = StatementTokens::of(&mut lexer);
        if !one.is_allowed(find, depth) {
            return false;
        }
        one.for_each(drop);
        statements += 1;
    }
    // a SET may change how the server reads the quotes of the next statement
    let changes_mode = sets && statements > 1 && text.iter().any(|byte| b"\\\"".contains(byte));
    // and servers may disagree about what is a comment
    !changes_mode && !lexer.is_versioned()
}

/// The tokens of one statement.
struct StatementTokens<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    over: bool,
}

impl<'a> Iterator for StatementTokens<'_, 'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.over {
            return None;
        }
        let token = self.lexer.next().filter(|t| *t != Token::Semicolon);
        self.over = token.is_none();
        token
    }
}

impl<'l, 'a> StatementTokens<'l, 'a> {
    fn of(lexer: &'l mut Lexer<'a>) -> Self {
        Self { lexer, over: false }
    }

    /// The next token, without consuming it.
    fn peek(&self) -> Option<Token<'a>> {
        let next = if self.over {
            None
        } else {
            self.lexer.clone().next()
        };
        next.filter(|token| *token != Token::Semicolon)
    }

    /// Consumes the next token if it is this word.
    fn eats(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.is(word));
        is && self.next().is_some()
    }

    fn is_over(&self) -> bool {
        self.peek().is_none()
    }

    fn is_allowed(&mut self, find: FindPrepared<'_>, depth: u8) -> bool {
        if depth > DEEPEST {
            return false;
        }
        let Some(mut first) = self.next() else {
            return true;
        };
        let mut enclosed = false;
        while first == Token::Other(b'(') {
            enclosed = true;
            let Some(next) = self.next() else {
                return false;
            };
            first = next;
        }
        let Token::Word(word) = first else {
            return false;
        };
        // the label of a block
        if self.peek() == Some(Token::Other(b':')) {
            return false;
        }
        match word.to_ascii_uppercase().as_slice() {
            b"SELECT" | b"VALUES" => self.writes_no_file(),
            b"WITH" => self.with(),
            _ if enclosed => false,
            b"SHOW" | b"USE" | b"DO" | b"HELP" | b"HANDLER" | b"CHECK" | b"CHECKSUM"
            | b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" | b"XA" | b"LOCK" | b"UNLOCK"
            | b"FLUSH" | b"BACKUP" | b"KILL" | b"DEALLOCATE" | b"DELETE" | b"DROP"
            | b"TRUNCATE" | b"OPTIMIZE" | b"GRANT" | b"REVOKE" => true,
            b"BEGIN" => {
                self.eats("WORK");
                self.is_over()
            }
            b"START" => self.eats("TRANSACTION"),
            b"SET" => !self.eats("STATEMENT") || self.set_statement(find, depth),
            b"EXPLAIN" | b"DESCRIBE" | b"DESC" => {
                !self.eats("ANALYZE") || self.analyze(find, depth)
            }
            b"ANALYZE" => self.analyze(find, depth),
            b"PREPARE" => {
                self.next().is_some() && self.eats("FROM") && self.literal_is_allowed(find, depth)
            }
            b"EXECUTE" if self.eats("IMMEDIATE") => self.literal_is_allowed(find, depth),
            b"EXECUTE" => self.prepared_is_allowed(find, depth),
            b"CREATE" => {
                let _replaces = self.eats("OR") && self.eats("REPLACE");
                self.eats("USER") || self.eats("ROLE")
            }
            b"RENAME" => self.eats("USER"),
            b"ALTER" => self.eats("USER") || self.alter_table(),
            _ => false,
        }
    }

    /// Consumes the rest of the statement; false if it is a query that writes a file on the server's disk.
    fn writes_no_file(&mut self) -> bool {
        let mut into = false;
        self.all(|token| {
            let file = into && (token.is("OUTFILE") || token.is("DUMPFILE"));
            into = token.is("INTO");
            !file
        })
    }

    /// After `WITH`: the statement after its queries decides. Newer servers have `WITH … UPDATE`.
    fn with(&mut self) -> bool {
        const CHANGES: [&str; 3] = ["INSERT", "REPLACE", "UPDATE"];
        let mut depth = 0_usize;
        for token in self.by_ref() {
            match token {
                Token::Other(b'(') => depth += 1,
                Token::Other(b')') => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                _ if token.is("SELECT") || token.is("VALUES") || token.is("DELETE") => break,
                _ if CHANGES.iter().any(|word| token.is(word)) => return false,
                _ => {}
            }
        }
        self.writes_no_file()
    }

    /// After `SET STATEMENT`: the statement after `FOR` decides.
    fn set_statement(&mut self, find: FindPrepared<'_>, depth: u8) -> bool {
        let mut inside = 0_usize;
        while let Some(token) = self.next() {
            match token {
                Token::Other(b'(') => inside += 1,
                Token::Other(b')') => inside = inside.saturating_sub(1),
                _ if inside == 0 && token.is("FOR") => return self.is_allowed(find, depth + 1),
                _ => {}
            }
        }
        false
    }

    /// After `ANALYZE`: a table's name, or a statement that the server runs.
    fn analyze(&mut self, find: FindPrepared<'_>, depth: u8) -> bool {
        const OF_TABLES: [&str; 4] = ["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"];
        if OF_TABLES.iter().any(|word| self.eats(word)) {
            return true;
        }
        if self.eats("FORMAT") {
            let _equals_what = (self.next(), self.next());
        }
        self.is_allowed(find, depth + 1)
    }

    /// A text that is prepared is known only if it is a literal.
    fn literal_is_allowed(&mut self, find: FindPrepared<'_>, depth: u8) -> bool {
        let text = literal(self.lexer.clone());
        text.is_some_and(|text| text_is_allowed(&text, self.lexer.mode(), find, depth + 1))
    }

    /// What `EXECUTE` runs may have been prepared before the restriction.
    fn prepared_is_allowed(&mut self, find: FindPrepared<'_>, depth: u8) -> bool {
        let mode = self.lexer.mode();
        let Some(name) = self.next().and_then(|token| token.name()) else {
            return false;
        };
        find(&name.to_ascii_lowercase())
            .is_some_and(|prepare| text_is_allowed(&prepare, mode, find, depth + 1))
    }

    /// After `ALTER`: allowed for a table if parts of it are dropped and nothing else is done.
    fn alter_table(&mut self) -> bool {
        self.eats("ONLINE");
        self.eats("IGNORE");
        if !self.eats("TABLE") {
            return false;
        }
        let _if_exists = self.eats("IF") && self.eats("EXISTS");
        self.next();
        while self.peek() == Some(Token::Other(b'.')) {
            self.next();
            self.next();
        }
        if self.eats("WAIT") {
            self.next();
        }
        self.eats("NOWAIT");
        let mut drops = false;
        while !self.is_over() {
            let truncates = self.eats("TRUNCATE");
            if truncates || self.eats("DROP") {
                drops = true;
                if self.eats("PARTITION") {
                    // only names of partitions can follow
                    return true;
                }
                if truncates {
                    return false;
                }
            } else if !self.eats("ALGORITHM") && !self.eats("LOCK") {
                return false;
            }
            let mut inside = 0_usize;
            for token in self.by_ref() {
                match token {
                    Token::Other(b'(') => inside += 1,
                    Token::Other(b')') => inside = inside.saturating_sub(1),
                    Token::Other(b',') if inside == 0 => break,
                    _ => {}
                }
            }
        }
        drops
    }
}

#[cfg(test)]
mod tests;
