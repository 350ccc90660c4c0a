//! Decodes string literals, and encodes quoted names.

use crate::lexer::{Lexer, Mode, Spanned, Token};

/// The value of the string that comes next, if only `USING …` or the end of the statement follows it.
pub(crate) fn literal(mut tokens: Lexer<'_>) -> Option<Vec<u8>> {
    let mode = tokens.mode();
    let text = tokens.next_spanned().filter(Spanned::is_closed)?.token;
    let last = |next: Token<'_>| next == Token::Semicolon || next.is("USING");
    tokens
        .next()
        .is_none_or(last)
        .then(|| unquoted(text, mode))?
}

/// The value of a string (`sql/sql_lex.cc`, `get_text`); `None` if the token is not a string.
pub(crate) fn unquoted(token: Token<'_>, mode: Mode) -> Option<Vec<u8>> {
    let Token::Text(inside, quote) = token else {
        return None;
    };
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        let second = match byte {
            b'\\' if !mode.no_backslash_escapes => match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'0' => b'\0',
                b'b' => 0x08,
                b'Z' => 0x1a,
                other => *other,
            },
            doubled if *doubled == quote => *bytes.next()?,
            other => *other,
        };
        text.push(second);
    }
    Some(text)
}

/// A text as a string.
pub(crate) fn quoted(text: &[u8], mode: Mode) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in text {
        let twice = *byte == b'\'' || *byte == b'\\' && !mode.no_backslash_escapes;
        out.extend(std::iter::repeat_n(*byte, 1 + usize::from(twice)));
    }
    out.push(b'\'');
    out
}

/// A name in backticks.
pub(crate) fn quoted_name(name: &[u8]) -> Vec<u8> {
    let doubled = |&byte: &u8| std::iter::repeat_n(byte, 1 + usize::from(byte == b'`'));
    let name: Vec<u8> = name.iter().flat_map(doubled).collect();
    [b"`", &*name, b"`"].concat()
}
