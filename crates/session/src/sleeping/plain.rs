//! The filter in front of all answers without a server: only plain statements pass.

use memchr::memmem;

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
    /// Whether a comment stands in front of it.
    pub(crate) is_behind_comment: bool,
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
/// left to a server: escapes, doubled quotes, user variables, executable comments, comments behind a semicolon,
/// numbers with exponents, characters beyond ASCII, or several statements. A text without a token may begin with a
/// comment in `/* */`, but has no other.
///
/// `"` is read as the quote of a string; under `ANSI_QUOTES` that is for the caller to refuse.
pub(crate) fn plain(text: &[u8]) -> Option<Vec<Plain<'_>>> {
    let is_plain = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n') && *b != b'\\';
    if text.len() > LONGEST || !text.iter().all(is_plain) {
        return None;
    }
    let mut lexer = Lexer::new(text, Mode::default());
    let mut tokens: Vec<Plain<'_>> = Vec::new();
    let mut behind = 0;
    while let Some(spanned) = lexer.next_spanned() {
        let is_behind_comment = spanned.gap != Gap::Blank;
        if is_behind_comment && !has_comments_alone(text.get(behind..spanned.start)?) {
            return None;
        }
        let last = tokens.last();
        let token = Plain {
            is_behind_comment,
            ..plain_token(text, &spanned)?
        };
        // some clients take `--` for a comment in every case
        let dashes = last.is_some_and(|last| {
            last.is_sign(b'-') && token.is_sign(b'-') && last.end == token.start
        });
        // a comment behind a semicolon is a statement of its own
        let more = is_behind_comment && last.is_some_and(|last| last.token == Token::Semicolon);
        if dashes || more {
            return None;
        }
        behind = spanned.end;
        tokens.push(token);
    }
    let ends = match (lexer.gap(), tokens.last()) {
        (Gap::Blank, _) | (Gap::Comment, None) => true,
        (_, Some(last)) if last.token != Token::Semicolon => {
            has_comments_alone(text.get(behind..)?)
        }
        _ => false,
    };
    if !ends {
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

/// Whether what stands between two tokens is white space and comments that no server executes.
fn has_comments_alone(gap: &[u8]) -> bool {
    let mut rest = gap;
    loop {
        rest = match rest {
            [] => return true,
            [blank, more @ ..] if blank.is_ascii_whitespace() => more,
            [b'#', ..] | [b'-', b'-', ..] => match memchr::memchr(b'\n', rest) {
                Some(end) => rest.get(end..).unwrap_or_default(),
                None => return true,
            },
            [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => return false,
            [b'/', b'*', more @ ..] => match memmem::find(more, b"*/") {
                Some(end) => more.get(end + 2..).unwrap_or_default(),
                None => return false,
            },
            _ => return false,
        };
    }
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
        is_behind_comment: false,
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
        for text in [
            "SELECT 1 -- x",
            "SELECT 1 # x",
            "SELECT /* x */ 1",
            "SELECT 1 /* x */;",
            "-- x\nSELECT 1 -- y\n",
            "/* it's */ SELECT/**/1 # \"",
        ] {
            let tokens = texts(text).map(|all| all.join(" "));
            assert_eq!(tokens.as_deref(), Some("SELECT 1"), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_a_server() {
        for text in [
            "SELECT 'it''s'",
            "SELECT '\\n'",
            "SELECT @a",
            "SELECT 1 --1",
            "/*!50000 SELECT 1 */",
            "/*M! SELECT 1 */",
            "/*!80000 x */ SELECT 1",
            "-- x",
            "SELECT 1; -- x",
            "SELECT 1; /* x */",
            "SELECT 1 /* x",
            "SELECT 1 /* x */ /*! + 1 */",
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
