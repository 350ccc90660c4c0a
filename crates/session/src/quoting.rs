//! Texts as the [`lexer`](crate::lexer) reads them, whatever the SQL mode.
//!
//! Under `NO_BACKSLASH_ESCAPES` a `\` in a string is a plain byte, and under `ANSI_QUOTES` a `"` begins
//! a name, in which it is one too (`sql/sql_lex.cc`, `get_text`, `get_quoted_token`). Read otherwise,
//! `'\'` would hide what follows it.

use std::borrow::Cow;

use dormouse_wire::status::Status;

/// The text as it would stand under the default SQL mode, with other bytes in place of some in its
/// strings and names.
#[must_use]
pub fn in_default_mode(text: &[u8], status: Status) -> Cow<'_, [u8]> {
    let plain = status.contains(Status::NO_BACKSLASH_ESCAPES);
    let ansi = status.contains(Status::ANSI_QUOTES);
    if !(plain && text.contains(&b'\\') || ansi && text.contains(&b'"')) {
        return Cow::Borrowed(text);
    }
    let mut rewritten = text.to_vec();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at = match byte {
            b'\'' | b'"' | b'`' => {
                let name = byte == b'`' || ansi && byte == b'"';
                let end = end_of(text, at, !name && !plain);
                if let Some(inside) = rewritten.get_mut(at..end) {
                    rewrite(inside, name, plain);
                }
                end
            }
            b'#' => end_of_line(text, at),
            b'-' if text.get(at + 1) == Some(&b'-')
                && text.get(at + 2).is_none_or(|b| *b <= b' ') =>
            {
                end_of_line(text, at)
            }
            b'/' if text.get(at + 1) == Some(&b'*')
                && !text.get(at + 2).is_some_and(|b| b"!M".contains(b)) =>
            {
                let end = memchr::memmem::find(text.get(at..).unwrap_or_default(), b"*/");
                end.map_or(text.len(), |n| at + n + 2)
            }
            _ => at + 1,
        };
    }
    Cow::Owned(rewritten)
}

/// Where what is quoted from `at` on ends.
fn end_of(text: &[u8], at: usize, escapes: bool) -> usize {
    let quote = text.get(at);
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        if escapes && *byte == b'\\' {
            end += 2;
        } else if Some(byte) != quote {
            end += 1;
        } else if text.get(end + 1) == quote {
            end += 2;
        } else {
            return end + 1;
        }
    }
    text.len()
}

fn end_of_line(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |n| at + n + 1)
}

fn rewrite(quoted: &mut [u8], name: bool, plain: bool) {
    let foreign = name && quoted.first() == Some(&b'"');
    for byte in quoted {
        *byte = match *byte {
            b'\\' if name || plain => b'?',
            b'`' if foreign => b'?',
            b'"' if foreign => b'`',
            byte => byte,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_reads_quotes_in_its_own_way() {
        let none = Status(0);
        let plain = Status::NO_BACKSLASH_ESCAPES;
        let ansi = Status::ANSI_QUOTES;
        let both = Status(plain.0 | ansi.0);
        for (text, status, expected) in [
            (r"SELECT '\', @x", none, r"SELECT '\', @x"),
            (r"SELECT '\', @x", plain, "SELECT '?', @x"),
            (r#"SELECT "\", @x"#, plain, r#"SELECT "?", @x"#),
            (
                r#"SELECT '\'' AS "a""b`\", @x"#,
                ansi,
                r"SELECT '\'' AS `a``b??`, @x",
            ),
            (r#"SELECT '\' "\", `"\`"#, both, r#"SELECT '?' `?`, `"?`"#),
            (r#"SELECT 1 -- "\n, "a""#, ansi, r#"SELECT 1 -- "\n, "a""#),
            ("SELECT 1 -- \"\n, \"a\"", ansi, "SELECT 1 -- \"\n, `a`"),
            ("/* \" */ USE \"e", ansi, "/* \" */ USE `e"),
        ] {
            let rewritten = in_default_mode(text.as_bytes(), status);
            assert_eq!(String::from_utf8_lossy(&rewritten), expected, "{text}");
        }
    }
}
