//! The tokenizer for SQL texts, with the rules of MariaDB's own (`sql/sql_lex.cc`, `lex_one_token`).
//!
//! Invariants:
//! - any bytes are accepted, and no token is empty;
//! - tokens come in order, do not overlap, and cover all of the text but white space and comments;
//! - what is inside a string, a quoted name or a comment is never mistaken for code, in any [`Mode`].
//!
//! The code inside `/*! */` and `/*M! */` is read as code, except where it names a version for which
//! every supported server skips it. Where servers of different versions disagree, it is read as code
//! and [`Lexer::is_versioned`] says so.
//!
//! Every other module that looks at a statement's text uses this one.

mod mode;
mod token;

pub use mode::{Charset, Mode};
pub use token::{Gap, Spanned, Token};

/// The oldest supported server version (MariaDB 10.11).
const OLDEST: u32 = 101_100;

/// What the next token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Anything.
    Start,
    /// The `.` between two names, even if a digit follows.
    Separator,
    /// A name, even if it begins with a digit or like `x'`.
    Name,
    /// The second `.` of `..`.
    Range,
}

/// Iterates over the tokens of a text.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    mode: Mode,
    at: usize,
    state: State,
    /// Whether it is inside an executable comment.
    executable: bool,
    versioned: bool,
    gap: Gap,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`, which is read in this mode.
    #[must_use]
    pub fn new(text: &'a [u8], mode: Mode) -> Self {
        Self {
            text,
            mode,
            at: 0,
            state: State::Start,
            executable: false,
            versioned: false,
            gap: Gap::Blank,
        }
    }

    /// Whether some of what was read so far is code to some supported servers and a comment to others.
    #[must_use]
    pub fn is_versioned(&self) -> bool {
        self.versioned
    }

    /// The mode in which the text is read.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the whole text has been read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// What was skipped in front of the last token, or at the end of the text.
    #[must_use]
    pub fn gap(&self) -> Gap {
        self.gap
    }

    /// The next token and where it is.
    #[inline]
    pub fn next_spanned(&mut self) -> Option<Spanned<'a>> {
        self.skip_gap();
        let start = self.at;
        let token = self.token()?;
        Some(Spanned {
            token,
            start,
            end: self.at,
            gap: self.gap,
        })
    }

    /// All remaining tokens and where they are.
    pub fn spanned(&mut self) -> impl Iterator<Item = Spanned<'a>> {
        std::iter::from_fn(|| self.next_spanned())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips white space and comments.
    fn skip_gap(&mut self) {
        self.gap = Gap::Blank;
        // fast path: at most one blank
        if self.peek(0) == b' ' {
            self.at += 1;
            self.state = State::Start;
        }
        if is_word(self.peek(0)) {
            return;
        }
        loop {
            match self.peek(0) {
                b' ' | b'\t'..=b'\r' => self.at += 1,
                b'#' => self.skip_line(),
                b'-' if self.peek(1) == b'-' && (self.peek(2) <= b' ' || self.peek(2) == 0x7f) => {
                    self.skip_line();
                }
                b'/' if self.peek(1) == b'*' => match (self.peek(2), self.peek(3)) {
                    (b'!', _) => self.enter_executable(3),
                    (b'M', b'!') => self.enter_executable(4),
                    _ => {
                        self.at += 2;
                        self.gap = self.gap.max(Gap::Comment);
                        self.skip_comment();
                    }
                },
                b'*' if self.executable && self.peek(1) == b'/' => {
                    self.executable = false;
                    self.gap = Gap::Special;
                    self.at += 2;
                }
                _ => return,
            }
            self.state = State::Start;
        }
    }

    fn skip_line(&mut self) {
        self.gap = Gap::Special;
        self.at = memchr::memchr(b'\n', self.rest()).map_or(self.text.len(), |n| self.at + n + 1);
    }

    fn skip_comment(&mut self) {
        if let Some(length) = memchr::memmem::find(self.rest(), b"*/") {
            self.at += length + 2;
        } else {
            self.gap = Gap::Special;
            self.at = self.text.len();
        }
    }

    /// Skips the opening of an executable comment, `/*!50100 ` or `/*M!100100 `, or the whole comment
    /// if it is for MySQL 5.7 to 9 alone; it may then contain another comment.
    fn enter_executable(&mut self, prefix: usize) {
        self.gap = Gap::Special;
        self.at += prefix;
        let digits = self.rest().iter().take(6);
        let digits = digits.take_while(|b| b.is_ascii_digit());
        let (length, version) = digits.fold((0, 0_u32), |(length, version), digit| {
            (length + 1, version * 10 + u32::from(digit - b'0'))
        });
        if length < 5 {
            self.executable = true;
            return;
        }
        self.at += length;
        if prefix == 3 && (50_700..100_000).contains(&version) {
            self.skip_executable();
        } else {
            self.executable = true;
            self.versioned |= version > OLDEST;
        }
    }

    fn skip_executable(&mut self) {
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
    }

    /// The token at the current position, which is not at white space or a comment.
    fn token(&mut self) -> Option<Token<'a>> {
        let byte = *self.text.get(self.at)?;
        let state = std::mem::replace(&mut self.state, State::Start);
        let plain = WORD_START[usize::from(byte)] || is_word(byte) && state == State::Name;
        if plain {
            return Some(self.word());
        }
        Some(match byte {
            b'\'' | b'"' | b'`' => self.quoted_token(byte),
            b'x' | b'X' if self.peek(1) == b'\'' => self.bits(u8::is_ascii_hexdigit, 2),
            b'b' | b'B' if self.peek(1) == b'\'' => self.bits(|b| matches!(b, b'0' | b'1'), 1),
            b'n' | b'N' if self.peek(1) == b'\'' => {
                self.at += 1;
                Token::National(self.quoted(b'\''))
            }
            b'0'..=b'9' => self.number(),
            b'.' if matches!(state, State::Start | State::Name)
                && self.peek(1).is_ascii_digit() =>
            {
                let start = self.at;
                self.fraction();
                Token::Number(self.since(start))
            }
            _ if is_word(byte) => self.word(),
            b'@' => self.variable(),
            b'\\' if self.peek(1) == b'N' => {
                // NULL
                self.at += 2;
                Token::Word(self.since(self.at - 2))
            }
            b';' => {
                self.at += 1;
                Token::Semicolon
            }
            b'.' => {
                self.at += 1;
                self.state = match state {
                    State::Range => State::Start,
                    State::Start | State::Name if self.peek(0) == b'.' => State::Range,
                    State::Start | State::Name | State::Separator => State::Name,
                };
                Token::Other(b'.')
            }
            _ => {
                self.at += 1;
                Token::Other(byte)
            }
        })
    }

    fn quoted_token(&mut self, quote: u8) -> Token<'a> {
        let inside = self.quoted(quote);
        if self.quotes_names(quote) {
            Token::Quoted(inside, quote)
        } else {
            Token::Text(inside, quote)
        }
    }

    fn quotes_names(&self, quote: u8) -> bool {
        quote == b'`' || quote == b'"' && self.mode.ansi_quotes
    }

    /// Reads from an opening quote to behind the closing one; without one, to the end of the text.
    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        let escapes = !self.mode.no_backslash_escapes && !self.quotes_names(quote);
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.next_special(quote, escapes) {
            if byte == quote && self.peek(1) != quote {
                let inside = self.since(start);
                self.at += 1;
                return inside;
            }
            // a doubled quote, or an escape
            self.at += 2;
        }
        self.at = self.text.len();
        self.text.get(start..).unwrap_or_default()
    }

    /// Skips to the next quote or, with `escapes`, backslash.
    fn next_special(&mut self, quote: u8, escapes: bool) -> Option<u8> {
        let escape = if escapes { b'\\' } else { quote };
        if self.mode.charset == Charset::Other {
            self.at += memchr::memchr2(quote, escape, self.rest())?;
            return self.text.get(self.at).copied();
        }
        loop {
            let byte = *self.text.get(self.at)?;
            let length = self.mode.charset.length(self.rest());
            if length == 1 && (byte == quote || byte == escape) {
                return Some(byte);
            }
            self.at += length;
        }
    }

    fn word(&mut self) -> Token<'a> {
        let start = self.at;
        if self.mode.charset == Charset::Other {
            let rest = self.rest();
            self.at += rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
        } else {
            while self.text.get(self.at).is_some_and(|byte| is_word(*byte)) {
                self.at += self.mode.charset.length(self.rest());
            }
        }
        if self.peek(0) == b'.' && is_word(self.peek(1)) {
            self.state = State::Separator;
        }
        Token::Word(self.since(start))
    }

    /// `x'…'` or `b'…'`; if what is quoted is not such a literal, the letter alone.
    fn bits(&mut self, digit: impl Fn(&u8) -> bool, multiple: usize) -> Token<'a> {
        let start = self.at;
        let digits = self.text.get(start + 2..).unwrap_or_default();
        let length = digits.iter().take_while(|b| digit(b)).count();
        if digits.get(length) != Some(&b'\'') || length % multiple != 0 {
            self.at += 1;
            return Token::Word(self.since(start));
        }
        self.at += length + 3;
        Token::Bits(self.since(start))
    }

    /// A number, or a name that begins with a digit.
    fn number(&mut self) -> Token<'a> {
        let start = self.at;
        let prefixed = match (self.peek(0), self.peek(1)) {
            (b'0', b'x') => Some(self.digits(2, u8::is_ascii_hexdigit)),
            (b'0', b'b') => Some(self.digits(2, |b| matches!(b, b'0' | b'1'))),
            _ => None,
        };
        if let Some(length) = prefixed {
            if length == 2 || is_word(self.peek(length)) {
                return self.word();
            }
            self.at += length;
            return Token::Bits(self.since(start));
        }
        let length = self.digits(0, u8::is_ascii_digit);
        match self.peek(length) {
            b'.' if self.peek(length + 1) != b'.' => {
                self.at += length;
                self.fraction();
            }
            b'e' | b'E' => match self.exponent(length) {
                Some(end) => self.at += end,
                None => return self.word(),
            },
            next if is_word(next) => return self.word(),
            _ => self.at += length,
        }
        Token::Number(self.since(start))
    }

    /// Skips `.5` or `.5e5`.
    fn fraction(&mut self) {
        let length = self.digits(1, u8::is_ascii_digit);
        self.at += match self.peek(length) {
            b'e' | b'E' => self.exponent(length).unwrap_or(length),
            _ => length,
        };
    }

    /// The end of the exponent whose `e` is `e` bytes ahead, in bytes ahead; `None` if it has no digits.
    fn exponent(&self, e: usize) -> Option<usize> {
        let sign = usize::from(matches!(self.peek(e + 1), b'+' | b'-'));
        let digits = e + 1 + sign;
        let end = self.digits(digits, u8::is_ascii_digit);
        (end > digits).then_some(end)
    }

    /// The end of the digits that begin `from` bytes ahead, in bytes ahead.
    fn digits(&self, from: usize, digit: impl Fn(&u8) -> bool) -> usize {
        let rest = self.rest().get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| digit(b)).count()
    }

    fn variable(&mut self) -> Token<'a> {
        self.at += 1;
        match self.peek(0) {
            b'@' => {
                self.at += 1;
                self.state = State::Name;
                Token::SystemVariable
            }
            quote @ (b'\'' | b'"' | b'`') => {
                self.quoted(quote);
                Token::UserVariable
            }
            _ => {
                let name = |byte: &u8| is_word(*byte) || *byte == b'.';
                self.at += self.rest().iter().take_while(|b| name(b)).count();
                Token::UserVariable
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

/// Which bytes may be part of an unquoted name.
static WORD: [bool; 256] = word_bytes(true);

/// Which bytes begin an unquoted name and nothing else.
static WORD_START: [bool; 256] = word_bytes(false);

const fn word_bytes(all: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    loop {
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80;
        // a number, or x'…', b'…', N'…'
        let other =
            byte.is_ascii_digit() || matches!(byte, b'x' | b'X' | b'b' | b'B' | b'n' | b'N');
        table[byte as usize] = word && (all || !other);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_gap();
        self.token()
    }
}

/// The first token of a text. It is the same in every mode, unless it is quoted.
#[must_use]
pub fn first(text: &[u8]) -> Option<Token<'_>> {
    Lexer::new(text, Mode::default()).next()
}

/// Whether the first token of a text is one of these words.
#[must_use]
pub fn begins_with(text: &[u8], keywords: &[&str]) -> bool {
    first(text).is_some_and(|first| first.is_any(keywords))
}

/// Whether nothing but semicolons follows the first semicolon.
#[must_use]
pub fn is_one_statement<'a>(tokens: impl IntoIterator<Item = Token<'a>>) -> bool {
    tokens
        .into_iter()
        .skip_while(|token| *token != Token::Semicolon)
        .all(|token| token == Token::Semicolon)
}

/// Whether a text contains this anywhere, in any case: in a longer word, a string or a comment too.
#[must_use]
pub fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len())
        .any(|place| place.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests;
