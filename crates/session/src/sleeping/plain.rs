//! The filter in front of all answers without a server: only plain statements pass.

use crate::lexer::{Gap, Lexer, Mode, Spanned, Token};

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 4096;

/// One token of a plain statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) token: Token<'a>,
    /// Its text, without quotes.
    pub(crate) text: &'a str,
    /// The offset of its first byte.
    pub(crate) start: usize,
    /// The offset behind its last byte, quotes included.
    pub(crate) end: usize,
}

impl Plain<'_> {
    /// Whether it is this word, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.token.is(word)
    }

    /// Whether it is this character.
    pub(crate) fn is_sign(&self, sign: u8) -> bool {
        self.token == Token::Other(sign)
    }

    /// Whether it is a number of digits alone.
    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.token, Token::Number(digits) if digits.iter().all(u8::is_ascii_digit))
    }
}

/// The tokens of a text, without semicolons at its end. `None` if the text has anything that is best
/// left to a server: escapes, doubled quotes, user variables, executable comments, comments between
/// words, numbers with exponents, characters beyond ASCII, or several statements.
///
/// `"` is read as the quote of a string; under `ANSI_QUOTES` that is for the caller to refuse.
pub(crate) fn plain(text: &[u8]) -> Option<Vec<Plain<'_>>> {
    let is_plain = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n') && *b != b'\\';
    if text.len() > LONGEST || !text.iter().all(is_plain) {
        return None;
    }
    let mut lexer = Lexer::new(text, Mode::default());
    let mut tokens: Vec<Plain<'_>> = Vec::new();
    while let Some(spanned) = lexer.next_spanned() {
        let leading = tokens.is_empty() && spanned.gap == Gap::Comment;
        if spanned.gap != Gap::Blank && !leading {
            return None;
        }
        let token = plain_token(text, &spanned)?;
        // some clients take `--` for a comment in every case
        let dashes = tokens.last().is_some_and(|last| {
            last.is_sign(b'-') && token.is_sign(b'-') && last.end == token.start
        });
        if dashes {
            return None;
        }
        tokens.push(token);
    }
    let leading = tokens.is_empty() && lexer.gap() == Gap::Comment;
    if lexer.gap() != Gap::Blank && !leading {
        return None;
    }
    while tokens
        .last()
        .is_some_and(|last| last.token == Token::Semicolon)
    {
        tokens.pop();
    }
    (!tokens.iter().any(|token| token.token == Token::Semicolon)).then_some(tokens)
}

/// The parts between commas outside parentheses.
pub(crate) fn split<'t, 'a>(tokens: &'t [Plain<'a>]) -> Vec<&'t [Plain<'a>]> {
    let mut depth = 0_usize;
    let comma = |token: &Plain<'_>| {
        if token.is_sign(b'(') {
            depth += 1;
        } else if token.is_sign(b')') {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_sign(b',')
    };
    tokens.split(comma).collect()
}

pub(crate) fn is_session(token: &Plain<'_>) -> bool {
    token.is("SESSION") || token.is("LOCAL")
}

fn plain_token<'a>(text: &'a [u8], spanned: &Spanned<'a>) -> Option<Plain<'a>> {
    let whole = text.get(spanned.start..spanned.end)?;
    let says = match spanned.token {
        Token::Word(word) if !word.first()?.is_ascii_digit() => word,
        Token::Number(number) if is_simple(number) => number,
        Token::Text(inside, quote) | Token::Quoted(inside, quote)
            if spanned.is_closed() && !inside.contains(&quote) =>
        {
            inside
        }
        Token::SystemVariable | Token::Semicolon | Token::Other(_) => whole,
        Token::Word(_)
        | Token::Number(_)
        | Token::Text(..)
        | Token::Quoted(..)
        | Token::Bits(_)
        | Token::National(_)
        | Token::UserVariable => return None,
    };
    Some(Plain {
        token: spanned.token,
        text: std::str::from_utf8(says).ok()?,
        start: spanned.start,
        end: spanned.end,
    })
}

/// Whether a number is digits, with or without a fraction.
fn is_simple(number: &[u8]) -> bool {
    let mut parts = number.split(|byte| *byte == b'.');
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts.all(digits) && number.iter().filter(|byte| **byte == b'.').count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<&str>> {
        let tokens = plain(text.as_bytes())?;
        Some(tokens.into_iter().map(|token| token.text).collect())
    }

    #[test]
    fn plain_statements_are_cut() {
        assert_eq!(texts("/* a */ SELECT 1;"), Some(vec!["SELECT", "1"]));
        assert_eq!(
            texts("SET @@session.`x`='a b', y=\"c\""),
            Some(vec![
                "SET", "@@", "session", ".", "x", "=", "a b", ",", "y", "=", "c"
            ])
        );
        assert_eq!(texts("/* ping */"), Some(vec![]));
    }

    #[test]
    fn what_is_not_plain_is_left_to_a_server() {
        for text in [
            "SELECT 'it''s'",
            "SELECT '\\n'",
            "SELECT @a",
            "SELECT 1 -- x",
            "SELECT 1 --1",
            "SELECT 1 # x",
            "SELECT /* x */ 1",
            "SELECT 1 /* x */",
            "/*!50000 SELECT 1 */",
            "/*M! SELECT 1 */",
            "/*!80000 x */ SELECT 1",
            "-- x\nSELECT 1",
            "SELECT 1; SELECT 2",
            "SELECT 'a",
            "SELECT `a",
            "SELECT 1e5",
            "SELECT 1.",
            "SELECT 1a",
            "SELECT x'41'",
            "SELECT 0x41",
            "SELECT N'a'",
            "SELECT '\u{e4}'",
            "/* open",
        ] {
            assert_eq!(texts(text), None, "{text}");
        }
    }
}
