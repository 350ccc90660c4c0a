//! Cuts a plain statement into tokens that know where they stand: columns are named by their text.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word.
    Word,
    /// Digits.
    Number,
    /// A text in `'`, or in `"`.
    Text {
        /// Whether in `"`: then it may be a name (`ANSI_QUOTES`).
        double: bool,
    },
    /// A name in backticks.
    Name,
    /// `@@`
    Variable,
    /// Any other character.
    Sign,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// What it says, without quotes.
    pub(crate) text: &'a str,
    /// Where it begins.
    pub(crate) start: usize,
    /// Where it ends, quotes included.
    pub(crate) end: usize,
}

impl Token<'_> {
    /// Whether it is this word, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 4096;

/// Cuts a text. `None`: it holds what only a server should read, such as escapes, doubled quotes,
/// user variables, comments that are code or stand between words, or characters beyond ASCII.
/// Semicolons at the end are left out.
pub(crate) fn scan(text: &[u8]) -> Option<Vec<Token<'_>>> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = |b: u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n') && b != b'\\';
    if text.len() > LONGEST || !text.bytes().all(plain) {
        return None;
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(first) = rest.bytes().next() else {
            break;
        };
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if rest.starts_with("/*") {
            let code = rest.starts_with("/*!") || rest.starts_with("/*M!");
            if code || !tokens.is_empty() {
                return None;
            }
            at += rest.find("*/")? + 2;
            continue;
        }
        let token = token(rest, at)?;
        at = token.end;
        tokens.push(token);
    }
    while tokens.last().is_some_and(|last| last.is_sign(";")) {
        tokens.pop();
    }
    (!tokens.iter().any(|token| token.is_sign(";"))).then_some(tokens)
}

fn token(rest: &str, at: usize) -> Option<Token<'_>> {
    let first = rest.bytes().next()?;
    let run = |of: fn(u8) -> bool| rest.bytes().position(|b| !of(b)).unwrap_or(rest.len());
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    let (kind, from, to, len) = match first {
        b'\'' | b'"' | b'`' => {
            let quote = char::from(first);
            let inside = rest.get(1..)?.find(quote)?;
            let len = inside + 2;
            if rest.get(len..)?.starts_with(quote) {
                return None;
            }
            let kind = match first {
                b'`' => Kind::Name,
                _ => Kind::Text {
                    double: first == b'"',
                },
            };
            (kind, 1, len - 1, len)
        }
        b'@' if rest.starts_with("@@") => (Kind::Variable, 0, 2, 2),
        b'@' | b'#' => return None,
        b'-' if rest.starts_with("--") => return None,
        b'0'..=b'9' => {
            let len = run(word);
            let digits = run(|b| b.is_ascii_digit());
            (len == digits).then_some((Kind::Number, 0, len, len))?
        }
        _ if word(first) => {
            let len = run(word);
            (Kind::Word, 0, len, len)
        }
        _ => (Kind::Sign, 0, 1, 1),
    };
    Some(Token {
        kind,
        text: rest.get(from..to)?,
        start: at,
        end: at + len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<&str>> {
        let tokens = scan(text.as_bytes())?;
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
            "SELECT 1 # x",
            "SELECT /* x */ 1",
            "/*!50000 SELECT 1 */",
            "/*M! SELECT 1 */",
            "SELECT 1; SELECT 2",
            "SELECT 'a",
            "SELECT 1e5",
            "SELECT '\u{e4}'",
            "/* open",
        ] {
            assert_eq!(texts(text), None, "{text}");
        }
    }
}
