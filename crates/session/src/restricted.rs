//! Which statements a database may still run that must not grow nor change: those that read, remove
//! or free, and those about the session, its transaction, or accounts.
//!
//! Judged by the text, and what is not known is refused. What a text runs without saying so (a
//! function that a `SELECT` calls, a trigger of a `DELETE`) is not seen; `CALL` is refused for that
//! reason.

use std::borrow::Cow;

use crate::lexer::{Lexer, Token};

/// How many statements may stand in one another, as `ANALYZE SELECT` does.
const DEEPEST: u8 = 8;

/// Finds the `PREPARE` with which a statement of this name was prepared.
pub(crate) type Find<'a> = &'a dyn Fn(&[u8]) -> Option<Cow<'a, [u8]>>;

/// Whether each statement of a text, read [in the default SQL mode](crate::quoting), may run.
/// `find` knows what was prepared with `PREPARE`.
pub(crate) fn is_allowed(text: &[u8], find: Find<'_>) -> bool {
    text_is_allowed(text, find, 0)
}

fn text_is_allowed(text: &[u8], find: Find<'_>, depth: u8) -> bool {
    let mut lexer = Lexer::new(text);
    let (mut statements, mut sets) = (0, false);
    while !lexer.rest().is_empty() {
        sets |= lexer.clone().next().is_some_and(|first| first.is("SET"));
        let mut one = One::of(&mut lexer);
        if !one.is_allowed(find, depth) {
            return false;
        }
        one.for_each(drop);
        statements += 1;
    }
    // how the server reads quotes may change in the midst of it
    let changes_mode = sets && statements > 1 && text.iter().any(|byte| b"\\\"".contains(byte));
    // and what is code to one server is a comment to another
    !changes_mode && !lexer.is_versioned()
}

/// The tokens of one statement.
struct One<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    over: bool,
}

impl<'a> Iterator for One<'_, 'a> {
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

impl<'l, 'a> One<'l, 'a> {
    fn of(lexer: &'l mut Lexer<'a>) -> Self {
        Self { lexer, over: false }
    }

    /// The next token, which stays the next one.
    fn peek(&self) -> Option<Token<'a>> {
        let next = if self.over {
            None
        } else {
            self.lexer.clone().next()
        };
        next.filter(|token| *token != Token::Semicolon)
    }

    /// Steps over the next token if it is this word.
    fn eats(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.is(word));
        is && self.next().is_some()
    }

    fn is_over(&self) -> bool {
        self.peek().is_none()
    }

    fn is_allowed(&mut self, find: Find<'_>, depth: u8) -> bool {
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

    /// Steps over the rest of it. A query may write a file on the server's disk.
    fn writes_no_file(&mut self) -> bool {
        let mut into = false;
        self.all(|token| {
            let file = into && (token.is("OUTFILE") || token.is("DUMPFILE"));
            into = token.is("INTO");
            !file
        })
    }

    /// Behind `WITH`: what follows its queries decides. Newer servers have `WITH … UPDATE`.
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

    /// Behind `SET STATEMENT`: a statement with other values of variables.
    fn set_statement(&mut self, find: Find<'_>, depth: u8) -> bool {
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

    /// Behind `ANALYZE`: of a table, or a statement that is run.
    fn analyze(&mut self, find: Find<'_>, depth: u8) -> bool {
        const OF_TABLES: [&str; 4] = ["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"];
        if OF_TABLES.iter().any(|word| self.eats(word)) {
            return true;
        }
        if self.eats("FORMAT") {
            let _equals_what = (self.next(), self.next());
        }
        self.is_allowed(find, depth + 1)
    }

    /// A text that is prepared must be a literal to be known.
    fn literal_is_allowed(&mut self, find: Find<'_>, depth: u8) -> bool {
        let before = self.lexer.rest();
        if self.next() != Some(Token::Text) {
            return false;
        }
        let len = before.len() - self.lexer.rest().len();
        let literal = before.get(..len).unwrap_or_default().trim_ascii_start();
        let Some(text) = unquoted(literal) else {
            return false;
        };
        (self.is_over() || self.eats("USING")) && text_is_allowed(&text, find, depth + 1)
    }

    /// What `EXECUTE` runs was prepared earlier, maybe when more was allowed.
    fn prepared_is_allowed(&mut self, find: Find<'_>, depth: u8) -> bool {
        let name = match self.next() {
            Some(Token::Word(name) | Token::Quoted(name)) => name.to_ascii_lowercase(),
            _ => return false,
        };
        find(&name).is_some_and(|prepare| text_is_allowed(&prepare, find, depth + 1))
    }

    /// Behind `ALTER`: a table of which things are dropped, and nothing else is done to it.
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
                    // their names follow and nothing else
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

/// What the string literal with which a text begins stands for, if nothing but `USING …` follows.
pub(crate) fn literal(text: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text);
    if lexer.next() != Some(Token::Text) {
        return None;
    }
    let length = text.len() - lexer.rest().len();
    let literal = text.get(..length)?.trim_ascii_start();
    let next = lexer.next();
    let last = next.is_none_or(|next| next == Token::Semicolon || next.is("USING"));
    last.then(|| unquoted(literal)).flatten()
}

/// What a string literal, with its quotes, stands for.
fn unquoted(literal: &[u8]) -> Option<Vec<u8>> {
    let (quote @ (b'\'' | b'"'), rest) = literal.split_first()? else {
        return None;
    };
    let inside = rest.strip_suffix(&[*quote])?;
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        let second = match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'0' => b'\0',
                b'b' => 0x08,
                b'Z' => 0x1a,
                other => *other,
            },
            doubled if doubled == quote => *bytes.next()?,
            other => *other,
        };
        text.push(second);
    }
    Some(text)
}

#[cfg(test)]
mod tests;
