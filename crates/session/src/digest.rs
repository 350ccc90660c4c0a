//! The digest of a statement: its text without the values in it, so that statements of one kind can be counted and kept.
//!
//! Invariants:
//! - no literal of the text is in its digest: not a number, a string, a bit value, a truth value, nor a `NULL` that is
//!   a value; nor is a comment, nor anything whose end is missing;
//! - a digest has at most [`LONGEST`] bytes and no character that would change how a terminal shows it;
//! - the digest of a digest is the digest itself.
//!
//! Called by `proxy`, for the statement that wakes a database; the ledger keeps it.

use std::borrow::Cow;
use std::ops::Range;

use dormouse_types::misleads;

use crate::lexer::{Lexer, Mode, Spanned, Token};

/// The largest number of bytes of a digest.
pub const LONGEST: usize = 256;

/// How much of a text is read.
const READ: usize = 16 * 1024;

/// Stands at the end of a digest for the rest of its statement.
const REST: &str = "…";

/// The digest of a whole text. Literals are `?`, the values of a list are `(...)`, rows alike are one row, and white space
/// and comments are one blank. Names and keywords are as written.
#[must_use]
pub fn digest(text: &[u8], mode: Mode) -> String {
    match text.get(..READ) {
        Some(start) if start.len() < text.len() => digest_of_start(start, mode),
        _ => read(text, mode, Extent::Whole),
    }
}

/// The digest of a text whose end is not there.
#[must_use]
pub fn digest_of_start(text: &[u8], mode: Mode) -> String {
    read(text.get(..READ).unwrap_or(text), mode, Extent::Start)
}

/// How much of a statement is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Start,
}

fn read(text: &[u8], mode: Mode, extent: Extent) -> String {
    let mut pieces = Pieces::default();
    let mut lexer = Lexer::new(text, mode);
    let mut last_end = 0;
    let mut next = lexer.next_spanned();
    while let Some(found) = next {
        next = lexer.next_spanned();
        // where the text was cut, a literal may look like a name
        if next.is_none() && extent == Extent::Start && found.end == text.len() {
            break;
        }
        let apart = found.start != last_end;
        last_end = found.end;
        pieces.take(text, &found, apart);
    }
    pieces.text(extent)
}

/// One piece of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name or a keyword.
    Name,
    /// The `.` behind a name or `*`.
    Dot,
    /// `@name`
    UserVariable,
    /// `?`
    Value,
    /// `...`
    Values,
    /// Anything else.
    Sign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece<'a> {
    kind: Kind,
    text: Cow<'a, str>,
    /// Whether white space or a comment is in front of it.
    apart: bool,
}

impl Piece<'_> {
    fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    fn is_word(&self, words: &[&str]) -> bool {
        self.kind == Kind::Name
            && words
                .iter()
                .any(|word| self.text.eq_ignore_ascii_case(word))
    }
}

/// Operators of several characters, the longest first.
const OPERATORS: [&str; 13] = [
    "...", "<=>", "->>", "->", ":=", "<<", ">>", "<=", ">=", "<>", "!=", "||", "&&",
];

/// Words behind which a sign belongs to the number that follows.
const BEFORE_A_SIGN: &[&str] = &[
    "SELECT", "WHERE", "AND", "OR", "XOR", "NOT", "BETWEEN", "LIKE", "IN", "WHEN", "THEN", "ELSE",
    "CASE", "LIMIT", "OFFSET", "INTERVAL", "RETURN", "DEFAULT", "BY", "ON", "HAVING", "DIV", "MOD",
    "VALUES", "VALUE",
];

/// The pieces so far.
#[derive(Default)]
struct Pieces<'a> {
    all: Vec<Piece<'a>>,
    /// Where each list that is open begins: at its parenthesis.
    open: Vec<usize>,
    /// Which pieces a list of values does not have.
    others: Vec<usize>,
    /// The last row outside all parentheses.
    row: Option<Range<usize>>,
}

impl<'a> Pieces<'a> {
    fn take(&mut self, text: &'a [u8], found: &Spanned<'a>, apart: bool) {
        let raw = text.get(found.start..found.end).unwrap_or_default();
        let after_dot = self.last_is(Kind::Dot);
        match found.token {
            // some are values with a letter too much
            Token::Word([b'0'..=b'9', ..]) if apart || !after_dot => self.value(apart),
            Token::Word(word) if after_dot => self.push(Kind::Name, shown(word), apart),
            Token::Word(word) if self.is_value(word) => self.value(apart),
            Token::Word(word) => self.push(Kind::Name, shown(word), apart),
            Token::Quoted(..) if found.is_closed() => self.push(Kind::Name, shown(raw), apart),
            Token::Number(_)
            | Token::Bits(_)
            | Token::Text(..)
            | Token::National(_)
            | Token::Quoted(..)
            | Token::Other(b'?') => self.value(apart),
            Token::UserVariable if is_plain_variable(raw) => {
                self.push(Kind::UserVariable, shown(raw), apart);
            }
            // the host of an account, too
            Token::UserVariable => {
                self.push(Kind::UserVariable, "@".into(), apart);
                self.push(Kind::Value, "?".into(), false);
            }
            Token::SystemVariable => self.push(Kind::Sign, "@@".into(), apart),
            Token::Semicolon => self.push(Kind::Sign, ";".into(), apart),
            Token::Other(b'(') => {
                self.open.push(self.all.len());
                self.push(Kind::Sign, "(".into(), apart);
            }
            Token::Other(b')') => {
                self.push(Kind::Sign, ")".into(), apart);
                if let Some(from) = self.open.pop() {
                    self.reduce(from);
                    self.end_row(from);
                }
            }
            Token::Other(byte) => {
                let all = self.all.last().is_some_and(|last| last.is("*"));
                let kind = match byte {
                    b'.' if all || self.last_is(Kind::Name) => Kind::Dot,
                    _ if misleads(char::from(byte)) => Kind::Name,
                    _ => Kind::Sign,
                };
                self.push(kind, shown(raw), apart);
                if !apart {
                    self.join();
                }
            }
        }
    }

    fn last_is(&self, kind: Kind) -> bool {
        self.all.last().is_some_and(|last| last.kind == kind)
    }

    /// Whether a word is a value: a truth value or `NULL`, and not what `IS` asks for or a column is declared to be.
    fn is_value(&self, word: &[u8]) -> bool {
        let token = Token::Word(word);
        if !token.is_any(&["TRUE", "FALSE", "NULL", "\\N"]) {
            return false;
        }
        let mut before = self.all.iter().rev();
        match before.next() {
            Some(last) if last.is_word(&["IS"]) => false,
            Some(last) if last.is_word(&["NOT"]) => {
                !token.is("NULL") && !before.next().is_some_and(|other| other.is_word(&["IS"]))
            }
            _ => true,
        }
    }

    /// Adds a literal; signs that belong to it are a part of it.
    fn value(&mut self, mut apart: bool) {
        while let [before @ .., last] = self.all.as_slice()
            && (last.is("-") || last.is("+"))
            && before.last().is_none_or(|piece| match piece.kind {
                Kind::Sign => !piece.is(")"),
                Kind::Name => piece.is_word(BEFORE_A_SIGN),
                Kind::Dot | Kind::UserVariable | Kind::Value | Kind::Values => false,
            })
        {
            apart = last.apart;
            self.truncate(self.all.len() - 1);
        }
        self.push(Kind::Value, "?".into(), apart);
    }

    /// Makes one operator of the last signs, if they are one and nothing is between them.
    fn join(&mut self) {
        for count in [3, 2] {
            let Some(from) = self.all.len().checked_sub(count) else {
                continue;
            };
            let Some(signs @ [first, rest @ ..]) = self.all.get(from..) else {
                continue;
            };
            let text: String = signs.iter().map(|piece| &*piece.text).collect();
            if rest.iter().any(|piece| piece.apart) || !OPERATORS.contains(&text.as_str()) {
                continue;
            }
            let apart = first.apart;
            let kind = match text.as_str() {
                "..." => Kind::Values,
                _ => Kind::Sign,
            };
            self.truncate(from);
            self.push(kind, text.into(), apart);
            return;
        }
    }

    /// Reduces the list that begins at `from` and has just been closed, if it has nothing but values.
    fn reduce(&mut self, from: usize) -> bool {
        let before = from.checked_sub(1).and_then(|at| self.all.get(at));
        let is_list = before.is_some_and(|piece| {
            piece.is("(") || piece.is(",") || piece.is_word(&["IN", "VALUES", "VALUE"])
        });
        let only_values = self.others.last().is_none_or(|other| *other < from);
        let is_empty = from + 2 >= self.all.len();
        let reduces = is_list && only_values && !is_empty;
        if reduces {
            self.truncate(from + 1);
            self.push(Kind::Values, "...".into(), false);
            self.push(Kind::Sign, ")".into(), false);
        }
        reduces
    }

    /// Notes the row that begins at `from`, or removes it if it is like the one in front of it.
    fn end_row(&mut self, from: usize) {
        if !self.open.is_empty() {
            return;
        }
        let row = from..self.all.len();
        let of = |range: &Range<usize>| self.all.get(range.clone()).unwrap_or_default();
        if let Some(last) = &self.row
            && last.end + 1 == from
            && self.all.get(last.end).is_some_and(|piece| piece.is(","))
            && of(last)
                .iter()
                .map(|piece| &piece.text)
                .eq(of(&row).iter().map(|piece| &piece.text))
        {
            self.truncate(last.end);
        } else {
            self.row = Some(row);
        }
    }

    fn push(&mut self, kind: Kind, text: Cow<'a, str>, apart: bool) {
        let of_values = match kind {
            Kind::Value | Kind::Values => true,
            Kind::Sign => matches!(&*text, "(" | ")" | ","),
            Kind::Name | Kind::Dot | Kind::UserVariable => false,
        };
        if !of_values {
            self.others.push(self.all.len());
        }
        self.all.push(Piece { kind, text, apart });
    }

    fn truncate(&mut self, length: usize) {
        self.all.truncate(length);
        while self.others.last().is_some_and(|other| *other >= length) {
            self.others.pop();
        }
    }

    /// The digest.
    fn text(mut self, extent: Extent) -> String {
        match extent {
            Extent::Whole => {
                while self.all.last().is_some_and(|last| last.is(";")) {
                    self.all.pop();
                }
            }
            Extent::Start => self.close_lists(),
        }
        let mut text = String::new();
        let room = LONGEST - " ".len() - REST.len();
        let mut fits = 0;
        let mut last: Option<&Piece<'_>> = None;
        for piece in &self.all {
            if last.is_some_and(|last| stands_apart(last, piece)) {
                text.push(' ');
            }
            text.push_str(&piece.text);
            if text.len() <= room {
                fits = text.len();
            } else if text.len() > LONGEST {
                break;
            }
            last = Some(piece);
        }
        if text.len() > LONGEST || extent == Extent::Start {
            text.truncate(fits);
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(REST);
        }
        text
    }

    /// Reduces the lists of values whose end is not there, so that the number of their values does not matter.
    fn close_lists(&mut self) {
        while let Some(from) = self.open.pop() {
            self.push(Kind::Sign, ")".into(), false);
            if !self.reduce(from) {
                self.truncate(self.all.len() - 1);
                return;
            }
            self.end_row(from);
        }
    }
}

/// Whether a user variable is a name alone, or one in closed backticks.
fn is_plain_variable(raw: &[u8]) -> bool {
    match raw {
        [b'@', b'`', inside @ ..] => matches!(inside, [.., b'`']),
        [b'@', b'\'' | b'"', ..] => false,
        _ => true,
    }
}

/// Whether a blank is between two pieces. What is written alike but for its white space has one digest, except in front of a
/// parenthesis and an account's host, where white space has a meaning.
fn stands_apart(last: &Piece<'_>, piece: &Piece<'_>) -> bool {
    if piece.text == REST {
        return true;
    }
    let is_name = piece.kind == Kind::Name;
    let touches = match last.kind {
        Kind::Sign if last.is("(") => true,
        Kind::Sign if last.is("@@") => is_name,
        Kind::Dot => is_name || piece.is("*"),
        Kind::UserVariable if last.text == "@" => piece.kind == Kind::Value,
        _ => piece.kind == Kind::Dot || piece.is(")") || piece.is(",") || piece.is(";"),
    };
    if touches {
        return false;
    }
    let keyword = last.is_word(&["IN", "VALUES", "VALUE"]);
    let names = matches!(last.kind, Kind::Name | Kind::Value | Kind::UserVariable);
    let depends = piece.is("(") || piece.kind == Kind::UserVariable;
    !names || !depends || keyword || piece.apart
}

/// A name as it is kept.
fn shown(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    match text.contains(misleads) {
        true => text.replace(misleads, "\u{fffd}").into(),
        false => text,
    }
}

#[cfg(test)]
mod tests;
