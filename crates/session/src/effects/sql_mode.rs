//! Which texts may change the SQL mode for the statements after them.
//!
//! At the end of stored code (a routine, a trigger, a compound statement) and of `SET STATEMENT` the server restores the
//! SQL mode, but not the status flags that tell of it (`sp_head::execute`): until the next `SET` of the mode they tell the
//! mode that was set inside.

use crate::lexer::{Lexer, Mode, Token, contains};

/// First words of statements with statements inside.
const COMPOUND: [&str; 8] = [
    "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "DECLARE", "CREATE",
];

/// Whether a text may change the SQL mode for longer than it runs. `find` returns the `PREPARE` of a name.
pub(crate) fn may_set_mode<'a>(
    text: &[u8],
    mode: Mode,
    find: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> bool {
    let mut tokens = Lexer::new(text, mode);
    let (first, second) = (tokens.next(), tokens.next());
    let is_first = |word| first.is_some_and(|token| token.is(word));
    let is_second = |word| second.is_some_and(|token| token.is(word));
    let names_mode = contains(text, "SQL_MODE");
    if is_first("EXECUTE") {
        return match second {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"IMMEDIATE") => {
                names_mode || !matches!(tokens.next(), Some(Token::Text(..)))
            }
            Some(token) => {
                let prepared = token.name().and_then(|name| find(&name));
                prepared.is_none_or(|text| contains(text, "SQL_MODE") || text.contains(&b'@'))
            }
            None => true,
        };
    }
    let restores = is_first("BEGIN") && is_second("NOT")
        || is_first("SET") && is_second("STATEMENT")
        || first.is_some_and(|token| token.is_any(&COMPOUND));
    names_mode && !restores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_stored_code_alone_sets_no_mode() {
        for (text, expected) in [
            ("SET sql_mode = ''", true),
            ("set @@session.`sql_mode` = 'ANSI'", true),
            ("SELECT 1; SET sql_mode = ''", true),
            ("/*!SET sql_mode = '' */", true),
            ("EXECUTE sets", true),
            ("EXECUTE unknown", true),
            ("EXECUTE indirect", true),
            ("EXECUTE IMMEDIATE 'SET sql_mode = 0'", true),
            ("EXECUTE IMMEDIATE @x", true),
            ("EXECUTE calls", false),
            ("EXECUTE IMMEDIATE 'CALL p()'", false),
            ("CALL p()", false),
            ("SELECT f()", false),
            ("SET @x = f()", false),
            ("INSERT INTO t VALUES (1)", false),
            ("BEGIN NOT ATOMIC SELECT 1; SET sql_mode = ''; END", false),
            ("IF 1 THEN SET sql_mode = ''; END IF", false),
            ("SET STATEMENT sql_mode = '' FOR SELECT 1", false),
        ] {
            let find = |name: &[u8]| match name {
                b"sets" => Some(&b"PREPARE sets FROM 'SET sql_mode = 0'"[..]),
                b"calls" => Some(&b"PREPARE calls FROM 'CALL p()'"[..]),
                b"indirect" => Some(&b"PREPARE indirect FROM @x"[..]),
                _ => None,
            };
            let found = may_set_mode(text.as_bytes(), Mode::default(), find);
            assert_eq!(found, expected, "{text}");
        }
    }
}
