//! Tokens, and where they are.

use std::borrow::Cow;

/// One token; its bytes borrow from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// An unquoted keyword or name. A character set introducer (`_utf8mb4`) is one too.
    Word(&'a [u8]),
    /// A decimal number: `1`, `1.5`, `.5`, `1e5`.
    Number(&'a [u8]),
    /// A hexadecimal or binary literal: `x'41'`, `0x41`, `b'1'`, `0b1`.
    Bits(&'a [u8]),
    /// What is between the quotes of a quoted name, and the quote: `` ` ``, or `"` with `ANSI_QUOTES`.
    Quoted(&'a [u8], u8),
    /// What is between the quotes of a string, and the quote.
    Text(&'a [u8], u8),
    /// The same for `N'…'`.
    National(&'a [u8]),
    /// `@name`: a user variable.
    UserVariable,
    /// `@@`: a system variable's name follows.
    SystemVariable,
    /// `;`
    Semicolon,
    /// Any other byte.
    Other(u8),
}

impl<'a> Token<'a> {
    /// Whether this is the unquoted word `keyword`, in any case.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// Whether this is one of these unquoted words, in any case.
    #[must_use]
    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// Whether this is `name`, quoted or not, in any case.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        matches!(self, Self::Word(found) | Self::Quoted(found, _)
            if found.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The name, if the token is one; each doubled quote is reduced to one.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, [u8]>> {
        match *self {
            Self::Word(name) => Some(Cow::Borrowed(name)),
            Self::Quoted(name, quote) if name.contains(&quote) => {
                let mut single = Vec::with_capacity(name.len());
                let mut bytes = name.iter();
                while let Some(byte) = bytes.next() {
                    single.push(*byte);
                    if *byte == quote {
                        bytes.next();
                    }
                }
                Some(Cow::Owned(single))
            }
            Self::Quoted(name, _) => Some(Cow::Borrowed(name)),
            _ => None,
        }
    }
}

/// The kind of white space and comments between two tokens: of several kinds, the last one listed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// White space, or nothing.
    Blank,
    /// A `/* */` comment.
    Comment,
    /// A comment to the end of the line, one without an end, or a part of an executable comment.
    Special,
}

/// A token and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<'a> {
    /// The token.
    pub token: Token<'a>,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset behind its last byte.
    pub end: usize,
    /// What is in front of it.
    pub gap: Gap,
}

impl Spanned<'_> {
    /// Whether a quoted token has its closing quote; true for all other tokens.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let quotes = match self.token {
            Token::Text(inside, _) | Token::Quoted(inside, _) => inside.len() + 2,
            Token::National(inside) => inside.len() + 3,
            _ => 0,
        };
        self.end - self.start >= quotes
    }
}
