//! Cuts a dump into statements, as the mariadb client does (`client/mysql.cc`, `add_line`).
//!
//! Bytes go in, statements come out; no I/O. A statement ends at the delimiter outside of strings, quoted names and
//! comments; the code inside `/*! */` and `/*M! */` counts as code. `DELIMITER` sets another one. What is in front of a
//! statement's first code (white space, comments) is not part of it.
//!
//! Invariants:
//! - the result does not depend on how the input is cut into pieces;
//! - no more than the limit and one piece of input is kept;
//! - offsets and lines are those of the whole input.

use dormouse_session::lexer::{Charset, Mode};

/// One statement of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text without the delimiter.
    pub(crate) text: Vec<u8>,
    /// Offset of its first byte.
    pub(crate) offset: u64,
    /// Line of its first byte, from 1.
    pub(crate) line: u64,
}

/// Why a dump cannot be cut into statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitError {
    /// Line of the beginning of the statement.
    pub(crate) line: u64,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// What is wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is longer than this limit in bytes.
    TooLong(usize),
    /// The input ends inside a string, a quoted name or a comment.
    Unfinished,
    /// A command of the mariadb client, such as `\!`.
    ClientCommand(u8),
    /// `DELIMITER` without one.
    NoDelimiter,
}

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    /// A string or quoted name with this quote.
    Quoted(u8),
    /// A comment to the end of the line.
    Line,
    /// A `/* */` comment.
    Comment,
    /// The line of the dump that tells the client to allow no commands.
    Sandbox,
}

/// Whether the scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    On,
    /// The statement ends in front of the current position.
    End,
    /// More input is needed.
    Starved,
}

/// Cuts input into statements.
#[derive(Debug)]
pub(crate) struct Splitter {
    delimiter: Vec<u8>,
    mode: Mode,
    limit: usize,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte in the input, and its line.
    base: u64,
    line: u64,
    /// The byte in front of the buffer.
    before: u8,
    /// Beginning of the statement in the buffer.
    start: usize,
    /// Next byte to look at.
    at: usize,
    state: State,
    /// Whether the statement has code already.
    code: bool,
    ended: bool,
}

impl Splitter {
    /// A splitter at the beginning of an input, for statements of at most `limit` bytes.
    pub(crate) fn new(delimiter: &[u8], limit: usize) -> Self {
        Self {
            delimiter: delimiter.to_vec(),
            mode: Mode::default(),
            limit,
            buffer: Vec::new(),
            base: 0,
            line: 1,
            before: b'\n',
            start: 0,
            at: 0,
            state: State::Code,
            code: false,
            ended: false,
        }
    }

    /// Sets how strings are read from the next statement on.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Adds input.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.forget();
        self.buffer.extend_from_slice(bytes);
    }

    /// The input is complete.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next statement; `None` if more input is needed, or at the end.
    ///
    /// # Errors
    /// The input is not a dump's.
    pub(crate) fn next(&mut self) -> Result<Option<Statement>, SplitError> {
        loop {
            if self.at - self.start > self.limit {
                return Err(self.fault(Fault::TooLong(self.limit)));
            }
            if self.at >= self.buffer.len() {
                return self.starved();
            }
            let scan = match self.state {
                State::Code => self.in_code()?,
                State::Quoted(quote) => self.in_quotes(quote),
                State::Line => self.to(b"\n"),
                State::Comment | State::Sandbox => self.to(b"*/"),
            };
            match scan {
                Scan::On => {}
                Scan::Starved => return self.starved(),
                Scan::End => {
                    let end = self.at;
                    self.at += self.delimiter.len();
                    if let Some(statement) = self.take(end) {
                        return Ok(Some(statement));
                    }
                }
            }
        }
    }

    /// No more can be said of the input there is.
    fn starved(&mut self) -> Result<Option<Statement>, SplitError> {
        if !self.ended {
            return Ok(None);
        }
        self.at = self.buffer.len();
        match std::mem::replace(&mut self.state, State::Code) {
            State::Code | State::Line => Ok(self.take(self.at)),
            State::Sandbox | State::Comment if !self.code => Ok(self.take(self.start)),
            _ => Err(self.fault(Fault::Unfinished)),
        }
    }

    /// Takes the statement that ends there; `None` if it has no code.
    fn take(&mut self, end: usize) -> Option<Statement> {
        let code = std::mem::replace(&mut self.code, false);
        let text = self.buffer.get(self.start..end).unwrap_or_default();
        let statement = code.then(|| Statement {
            text: text.trim_ascii_end().to_vec(),
            offset: self.base + self.start as u64,
            line: self.line_at(self.start),
        });
        self.start = self.at;
        statement
    }

    fn fault(&self, fault: Fault) -> SplitError {
        SplitError {
            line: self.line_at(self.start),
            fault,
        }
    }

    fn line_at(&self, at: usize) -> u64 {
        let before = self.buffer.get(..at).unwrap_or_default();
        self.line + memchr::memchr_iter(b'\n', before).count() as u64
    }

    /// Drops the input in front of the statement.
    fn forget(&mut self) {
        self.line = self.line_at(self.start);
        self.base += self.start as u64;
        if let Some(last) = self.start.checked_sub(1) {
            self.before = self.buffer.get(last).copied().unwrap_or_default();
        }
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind `mark`.
    fn to(&mut self, mark: &[u8]) -> Scan {
        match memchr::memmem::find(self.rest(), mark) {
            Some(length) => {
                self.at += length + mark.len();
                self.state = State::Code;
                self.skipped();
                Scan::On
            }
            None => {
                // the mark may be cut
                self.at = (self.buffer.len() + 1 - mark.len()).max(self.at);
                self.skipped();
                Scan::Starved
            }
        }
    }

    /// What was read so far is no part of the statement if it has no code.
    fn skipped(&mut self) {
        if !self.code {
            self.start = self.at;
        }
    }

    fn in_quotes(&mut self, quote: u8) -> Scan {
        let names = quote == b'`' || quote == b'"' && self.mode.ansi_quotes;
        let escape = match names || self.mode.no_backslash_escapes {
            true => quote,
            false => b'\\',
        };
        let plain = self.mode.charset == Charset::Other;
        while let Some(&byte) = self.buffer.get(self.at) {
            if plain {
                let Some(length) = memchr::memchr2(quote, escape, self.rest()) else {
                    self.at = self.buffer.len();
                    return Scan::Starved;
                };
                self.at += length;
            } else {
                if byte >= 0x80 && self.rest().len() < 2 && !self.ended {
                    return Scan::Starved;
                }
                let length = self.mode.charset.length(self.rest());
                if length > 1 || byte != quote && byte != escape {
                    self.at += length;
                    continue;
                }
            }
            if self.buffer.get(self.at) == Some(&quote) {
                // a doubled quote ends the string and begins the next one
                self.at += 1;
                self.state = State::Code;
                return Scan::On;
            }
            if self.rest().len() < 2 {
                return Scan::Starved;
            }
            self.at += 2;
        }
        Scan::Starved
    }

    fn in_code(&mut self) -> Result<Scan, SplitError> {
        while let Some(&byte) = self.buffer.get(self.at) {
            if self.delimiter.first() == Some(&byte) {
                if self.rest().starts_with(&self.delimiter) {
                    return Ok(Scan::End);
                }
                if self.is_cut(self.delimiter.len()) {
                    return Ok(Scan::Starved);
                }
            }
            match byte {
                b' ' | b'\t'..=b'\r' => {
                    self.at += 1;
                    self.skipped();
                    continue;
                }
                b'\'' | b'"' | b'`' => {
                    self.begin(State::Quoted(byte));
                    return Ok(Scan::On);
                }
                b'#' => {
                    self.state = State::Line;
                    return Ok(Scan::On);
                }
                b'-' | b'/' | b'\\' => {
                    if self.is_cut(3) {
                        return Ok(Scan::Starved);
                    }
                    if let Some(scan) = self.special(byte)? {
                        return Ok(scan);
                    }
                }
                b'd' | b'D' if !self.code => {
                    if let Some(scan) = self.delimiter_command()? {
                        return Ok(scan);
                    }
                }
                _ => {}
            }
            self.code = true;
            self.at += 1;
        }
        Ok(Scan::Starved)
    }

    fn begin(&mut self, state: State) {
        self.code = true;
        self.state = state;
        self.at += 1;
    }

    /// Whether fewer than `length` bytes are there, and more may come.
    fn is_cut(&self, length: usize) -> bool {
        self.rest().len() < length && !self.ended
    }

    /// A byte that may begin a comment or a command; `None`: it is code.
    fn special(&mut self, byte: u8) -> Result<Option<Scan>, SplitError> {
        let next = |n: usize| self.rest().get(n).copied();
        match (byte, next(1), next(2)) {
            (b'-', Some(b'-'), third) => {
                let comment = third.is_none_or(|b| b <= b' ' || b == 0x7f);
                // the client reads any line that begins so as a comment
                if comment || !self.code && self.is_at_line_start() {
                    self.state = State::Line;
                    return Ok(Some(Scan::On));
                }
                Ok(None)
            }
            (b'/', Some(b'*'), third) => self.comment(third),
            (b'\\', Some(b'N'), _) | (b'-' | b'/', _, _) => Ok(None),
            (_, second, _) => Err(self.fault(Fault::ClientCommand(second.unwrap_or(b' ')))),
        }
    }

    /// `/*`; `None`: it is executable.
    fn comment(&mut self, third: Option<u8>) -> Result<Option<Scan>, SplitError> {
        // "/*M!999999\- " at most
        if self.is_cut(12) {
            return Ok(Some(Scan::Starved));
        }
        let rest = self.rest();
        let inside = match (third, rest.get(3)) {
            (Some(b'!'), _) => rest.get(3..),
            (Some(b'M'), Some(b'!')) => rest.get(4..),
            _ => None,
        };
        let Some(inside) = inside else {
            self.state = State::Comment;
            self.at += 2;
            return Ok(Some(Scan::On));
        };
        let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
        if inside
            .get(digits..)
            .is_some_and(|text| text.starts_with(b"\\-"))
        {
            self.state = State::Sandbox;
            self.at += 2;
            return Ok(Some(Scan::On));
        }
        Ok(None)
    }

    fn is_at_line_start(&self) -> bool {
        let before = self.at.checked_sub(1);
        before.map_or(Some(&self.before), |at| self.buffer.get(at)) == Some(&b'\n')
    }

    /// `DELIMITER …`; `None`: it is code.
    fn delimiter_command(&mut self) -> Result<Option<Scan>, SplitError> {
        const WORD: &[u8] = b"delimiter";
        if self.is_cut(WORD.len() + 1) {
            return Ok(Some(Scan::Starved));
        }
        let rest = self.rest();
        let is_command = rest
            .get(..WORD.len())
            .is_some_and(|w| w.eq_ignore_ascii_case(WORD))
            && rest.get(WORD.len()).is_none_or(u8::is_ascii_whitespace);
        if !is_command {
            return Ok(None);
        }
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end,
            None if self.ended => rest.len(),
            None => return Ok(Some(Scan::Starved)),
        };
        let argument = rest.get(WORD.len()..end).unwrap_or_default().trim_ascii();
        let word = argument.split(u8::is_ascii_whitespace).next();
        let word = word.unwrap_or_default().to_vec();
        if word.is_empty() {
            return Err(self.fault(Fault::NoDelimiter));
        }
        self.delimiter = word;
        self.at += end;
        self.skipped();
        Ok(Some(Scan::On))
    }
}

#[cfg(test)]
mod tests;
