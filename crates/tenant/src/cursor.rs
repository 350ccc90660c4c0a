//! The tokens of one statement, and the values of names and strings.

use dormouse_session::lexer::{Lexer, Mode, Spanned, Token};

use crate::parse::Problem;

/// The most tokens of a mediated statement.
const MOST_TOKENS: usize = 20_000;

/// Reads a statement token by token.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    mode: Mode,
    tokens: Vec<Spanned<'a>>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// All tokens of a text, which must be certain: closed quotes, and no comment that only some servers skip.
    pub(crate) fn new(text: &'a [u8], mode: Mode) -> Result<Self, Problem> {
        let mut lexer = Lexer::new(text, mode);
        let mut tokens: Vec<Spanned<'a>> = lexer.spanned().take(MOST_TOKENS + 1).collect();
        if tokens.len() > MOST_TOKENS {
            return Err(Problem::unsupported("the statement is too long"));
        }
        if lexer.is_versioned() {
            return Err(Problem::unsupported(
                "it has a comment for servers of certain versions (/*!…*/)",
            ));
        }
        if !tokens.iter().all(Spanned::is_closed) {
            return Err(Problem::syntax("a quote is not closed"));
        }
        while tokens
            .last()
            .is_some_and(|last| last.token == Token::Semicolon)
        {
            tokens.pop();
        }
        if tokens.iter().any(|one| one.token == Token::Semicolon) {
            return Err(Problem::unsupported(
                "statements about accounts, privileges and global variables must be sent alone, not together \
                 with others in one text",
            ));
        }
        Ok(Self {
            text,
            mode,
            tokens,
            at: 0,
        })
    }

    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|one| one.token)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).map(|one| one.token)
    }

    pub(crate) fn next(&mut self) -> Option<Spanned<'a>> {
        let next = self.tokens.get(self.at).copied();
        self.at += usize::from(next.is_some());
        next
    }

    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Whether the next token is this word.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is(word))
    }

    /// Consumes the next token if it is this word.
    pub(crate) fn eats(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    /// Consumes these words if all of them come next.
    pub(crate) fn eats_all(&mut self, words: &[&str]) -> bool {
        let are = words
            .iter()
            .enumerate()
            .all(|(n, word)| self.peek_at(n).is_some_and(|token| token.is(word)));
        self.at += if are { words.len() } else { 0 };
        are
    }

    /// Consumes the next token if it is this byte.
    pub(crate) fn eats_byte(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(Token::Other(byte));
        self.at += usize::from(is);
        is
    }

    pub(crate) fn need(&mut self, word: &str) -> Result<(), Problem> {
        if self.eats(word) {
            return Ok(());
        }
        Err(self.unexpected(word))
    }

    pub(crate) fn need_byte(&mut self, byte: u8) -> Result<(), Problem> {
        if self.eats_byte(byte) {
            return Ok(());
        }
        Err(self.unexpected(&char::from(byte).to_string()))
    }

    /// The error that something else is expected. It does not quote what stands there, which may be secret.
    pub(crate) fn unexpected(&self, expected: &str) -> Problem {
        Problem::syntax(&format!(
            "{expected} is expected at token {} of the statement",
            self.at + 1
        ))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Problem> {
        if self.is_over() {
            return Ok(());
        }
        Err(self.unexpected("the end"))
    }

    /// The value of a string.
    pub(crate) fn string(&mut self) -> Result<String, Problem> {
        match self.peek() {
            Some(Token::Text(inside, quote)) => {
                self.at += 1;
                text_of(inside, quote, self.mode)
            }
            _ => Err(self.unexpected("a string in quotes")),
        }
    }

    /// An identifier, quoted or not.
    pub(crate) fn identifier(&mut self) -> Result<String, Problem> {
        let Some(name) = self.peek().and_then(|token| token.name()) else {
            return Err(self.unexpected("a name"));
        };
        self.at += 1;
        checked(name.into_owned())
    }

    /// An identifier or a string.
    pub(crate) fn identifier_or_string(&mut self) -> Result<String, Problem> {
        match self.peek() {
            Some(Token::Text(..)) => self.string(),
            _ => self.identifier(),
        }
    }

    /// The host behind a user's name: `@host`, if one comes next.
    pub(crate) fn host(&mut self) -> Result<Option<String>, Problem> {
        let Some(next) = self.tokens.get(self.at).copied() else {
            return Ok(None);
        };
        if next.token != Token::UserVariable {
            return Ok(None);
        }
        self.at += 1;
        let inside = self.text.get(next.start + 1..next.end).unwrap_or_default();
        let quote = inside.first().copied().unwrap_or(0);
        if !matches!(quote, b'\'' | b'"' | b'`') {
            return if inside.is_empty() {
                Err(Problem::syntax("a host is expected directly behind @"))
            } else {
                checked(inside.to_vec()).map(Some)
            };
        }
        // the same rules as for a token of its own
        let mut lexer = Lexer::new(inside, self.mode);
        let only = lexer.next_spanned();
        let only = only.filter(|one| one.end == inside.len() && one.is_closed());
        match only.map(|one| one.token) {
            Some(Token::Text(inside, quote)) => text_of(inside, quote, self.mode).map(Some),
            Some(token @ Token::Quoted(..)) => {
                checked(token.name().unwrap_or_default().into_owned()).map(Some)
            }
            _ => Err(Problem::syntax("the host behind @ cannot be read")),
        }
    }

    /// A whole number without a sign.
    pub(crate) fn number<T: std::str::FromStr>(&mut self) -> Result<T, Problem> {
        let digits = match self.peek() {
            Some(Token::Number(digits)) => std::str::from_utf8(digits).ok(),
            _ => None,
        };
        let number = digits.and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| self.unexpected("a whole number, not too large,"))?;
        self.at += 1;
        Ok(number)
    }

    /// Consumes tokens up to a comma outside of brackets, or the end. Returns them with their text.
    pub(crate) fn up_to_comma(&mut self) -> Result<(&[Spanned<'a>], &'a [u8]), Problem> {
        let first = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Other(b',') if depth == 0 => break,
                Token::Other(b'(') => depth += 1,
                Token::Other(b')') => {
                    depth = depth.checked_sub(1).ok_or_else(|| {
                        Problem::syntax("a bracket is closed that was not opened")
                    })?;
                }
                _ => {}
            }
            self.at += 1;
        }
        if depth > 0 {
            return Err(Problem::syntax("a bracket is not closed"));
        }
        let tokens = self.tokens.get(first..self.at).unwrap_or_default();
        let text = match tokens {
            [first, .., last] => self.text.get(first.start..last.end),
            [one] => self.text.get(one.start..one.end),
            [] => None,
        };
        Ok((tokens, text.unwrap_or_default()))
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }
}

/// The value of a string (`sql/sql_lex.cc`, `get_text`).
pub(crate) fn text_of(inside: &[u8], quote: u8, mode: Mode) -> Result<String, Problem> {
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && !mode.no_backslash_escapes {
            match bytes.next() {
                Some(b'n') => text.push(b'\n'),
                Some(b't') => text.push(b'\t'),
                Some(b'r') => text.push(b'\r'),
                Some(b'0') => text.push(0),
                Some(b'b') => text.push(8),
                Some(b'Z') => text.push(0x1a),
                Some(wildcard @ (b'%' | b'_')) => text.extend([b'\\', wildcard]),
                Some(other) => text.push(other),
                None => text.push(b'\\'),
            }
        } else {
            text.push(byte);
            if byte == quote {
                bytes.next();
            }
        }
    }
    checked(text)
}

/// A value as text. NUL is in no name and no password; invalid UTF-8 would be another character to the server.
fn checked(bytes: Vec<u8>) -> Result<String, Problem> {
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Problem::syntax(
            "a name or string has a NUL byte or is not valid UTF-8",
        )),
    }
}
