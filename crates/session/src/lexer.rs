//! A lexer that sees just enough of SQL: words, user variables, system variables, separators.
//!
//! It follows MariaDB's own (`sql/sql_lex.cc`): `#` and `-- ` comments to the end of the line,
//! `/* */` comments, but `/*! */` and `/*M! */` hold code, unless they name a version that the server
//! is not; strings in `'` and `"` with `\` escapes and doubled quotes, names in backticks. Bytes above
//! 0x7f are parts of words. It reads as the default SQL mode does; [`quoting`](crate::quoting) rewrites
//! what another mode reads otherwise.

/// The oldest version that a server may have (MariaDB 10.11).
const OLDEST: u32 = 101_100;

/// One token; words borrow from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A bare word: keyword, name or number.
    Word(&'a [u8]),
    /// A name in backticks, without them.
    Quoted(&'a [u8]),
    /// A string literal.
    Text,
    /// `@name`: a user variable.
    UserVariable,
    /// `@@`: a system variable follows.
    SystemVariable,
    /// `;`
    Semicolon,
    /// Any other byte.
    Other(u8),
}

impl Token<'_> {
    /// Whether this is the bare word `keyword` (given in upper case), in any case.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// The tokens of a text.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether it is inside a comment that holds code.
    inside: bool,
    versioned: bool,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            inside: false,
            versioned: false,
        }
    }

    /// Whether some of what was read so far is code only for servers from some version of MariaDB
    /// on; to others it is a comment, in which a quote means nothing.
    #[must_use]
    pub fn is_versioned(&self) -> bool {
        self.versioned
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_line(&mut self) {
        self.at = memchr::memchr(b'\n', self.rest()).map_or(self.text.len(), |n| self.at + n + 1);
    }

    fn skip_comment(&mut self) {
        let end = memchr::memmem::find(self.rest(), b"*/");
        self.at = end.map_or(self.text.len(), |n| self.at + n + 2);
    }

    /// Steps over the opening of a comment that holds code, `/*!50100 `, `/*M!100100 `, or over the
    /// whole of one for MySQL alone (5.7 to 9, `lex_one_token`), which may hold a comment itself.
    fn enter_code_comment(&mut self, prefix: usize) {
        self.at += prefix;
        let digits = self
            .rest()
            .iter()
            .take(6)
            .take_while(|b| b.is_ascii_digit());
        let (len, version) = digits.fold((0, 0_u32), |(len, version), digit| {
            (len + 1, version * 10 + u32::from(digit - b'0'))
        });
        if len < 5 {
            self.inside = true;
            return;
        }
        self.at += len;
        if prefix == 3 && (50_700..100_000).contains(&version) {
            while let Some(n) = memchr::memchr2(b'*', b'/', self.rest()) {
                self.at += n;
                match (self.peek(0), self.peek(1)) {
                    (b'*', b'/') => {
                        self.at += 2;
                        return;
                    }
                    (b'/', b'*') => {
                        self.at += 2;
                        self.skip_comment();
                    }
                    _ => self.at += 1,
                }
            }
            self.at = self.text.len();
        } else {
            self.inside = true;
            self.versioned |= version > OLDEST;
        }
    }

    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        self.at += 1;
        let start = self.at;
        while let Some(&byte) = self.text.get(self.at) {
            if byte == b'\\' && quote != b'`' {
                self.at += 2;
            } else if byte == quote {
                if self.peek(1) != quote {
                    let inside = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return inside;
                }
                self.at += 2;
            } else {
                self.at += 1;
            }
        }
        self.at = self.text.len();
        self.text.get(start..).unwrap_or_default()
    }

    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while is_word(self.peek(0)) && self.at < self.text.len() {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn variable(&mut self) -> Token<'a> {
        self.at += 1;
        match self.peek(0) {
            b'@' => {
                self.at += 1;
                Token::SystemVariable
            }
            quote @ (b'\'' | b'"' | b'`') => {
                self.quoted(quote);
                Token::UserVariable
            }
            _ => {
                self.word();
                Token::UserVariable
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = *self.text.get(self.at)?;
            return Some(match byte {
                _ if byte.is_ascii_whitespace() || byte == 0x0b => {
                    self.at += 1;
                    continue;
                }
                b'#' => {
                    self.skip_line();
                    continue;
                }
                b'-' if self.peek(1) == b'-' && (self.peek(2) <= b' ' || self.peek(2) == 0x7f) => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.peek(1) == b'*' => {
                    match (self.peek(2), self.peek(3)) {
                        (b'!', _) => self.enter_code_comment(3),
                        (b'M', b'!') => self.enter_code_comment(4),
                        _ => {
                            self.at += 2;
                            self.skip_comment();
                        }
                    }
                    continue;
                }
                b'*' if self.inside && self.peek(1) == b'/' => {
                    self.inside = false;
                    self.at += 2;
                    continue;
                }
                b'\'' | b'"' => {
                    self.quoted(byte);
                    Token::Text
                }
                b'`' => Token::Quoted(self.quoted(b'`')),
                b'@' => self.variable(),
                b';' => {
                    self.at += 1;
                    Token::Semicolon
                }
                _ if is_word(byte) => Token::Word(self.word()),
                _ => {
                    self.at += 1;
                    Token::Other(byte)
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
