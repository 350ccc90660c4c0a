//! Where a client wants its reads to run: `SET DORMOUSE READS`, and a comment in front of a statement.

use dormouse_types::Reads;

use crate::lexer::{Lexer, Mode, Token};

/// A statement that begins with `SET DORMOUSE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetReads {
    /// `SET DORMOUSE READS = primary | replica | any`; `None`: `= default`, as the database says.
    To(Option<Reads>),
    /// Anything else that begins so.
    Unknown,
}

impl SetReads {
    /// Parses the statement; `None` if it does not begin with `SET DORMOUSE`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut tokens = Lexer::new(text, Mode::default()).filter(|one| *one != Token::Semicolon);
        if !tokens.next()?.is("SET") || !tokens.next()?.is("DORMOUSE") {
            return None;
        }
        let rest: Vec<Token<'_>> = tokens.take(4).collect();
        Some(match rest.as_slice() {
            [name, Token::Other(b'='), value] if name.is("READS") => {
                read(*value).unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        })
    }
}

fn read(value: Token<'_>) -> Option<SetReads> {
    let (Token::Word(value) | Token::Text(value, _)) = value else {
        return None;
    };
    let value = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    if value == "default" {
        return Some(SetReads::To(None));
    }
    value.parse().ok().map(|reads| SetReads::To(Some(reads)))
}

/// Whether one of the comments in front of a statement is `/* dormouse: primary */`.
#[must_use]
pub fn wants_primary(text: &[u8]) -> bool {
    let mut rest = text.trim_ascii_start();
    while let Some(comment) = rest.strip_prefix(b"/*") {
        let Some(end) = memchr::memmem::find(comment, b"*/") else {
            return false;
        };
        let words = comment.get(..end).unwrap_or_default();
        let Some((name, value)) = words
            .iter()
            .position(|byte| *byte == b':')
            .and_then(|at| words.split_at_checked(at))
        else {
            rest = comment
                .get(end + 2..)
                .unwrap_or_default()
                .trim_ascii_start();
            continue;
        };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.trim_ascii().eq_ignore_ascii_case(b"dormouse")
            && value.eq_ignore_ascii_case(b"primary")
        {
            return true;
        }
        rest = comment
            .get(end + 2..)
            .unwrap_or_default()
            .trim_ascii_start();
    }
    false
}
