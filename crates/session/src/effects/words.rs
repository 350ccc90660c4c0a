//! Words in a statement's text that decide how it is judged.

use crate::lexer::{Lexer, Mode, Token, contains};

/// Words of statements that may change session state other than variables.
const SUSPECT: [&str; 12] = [
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "DEALLOCATE",
    "TEMPORARY",
    "CALL",
    "EXECUTE",
    "PREPARE",
    "HANDLER",
    "BACKUP",
    "SETVAL",
    "XA",
];

pub(super) fn is_suspect(token: &Token<'_>) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    // fast path: every suspect word has 2 to 17 letters and begins with one of these
    (2..=17).contains(&word.len())
        && word
            .first()
            .is_some_and(|b| b"GTCEPHBSXRD".contains(&b.to_ascii_uppercase()))
        && SUSPECT
            .iter()
            .any(|suspect| word.eq_ignore_ascii_case(suspect.as_bytes()))
}

/// Whether a text names, inside a literal too, a setting that no probe can read.
pub(super) fn names_unreadable(text: &[u8]) -> bool {
    contains(text, "TRANSACTION") || contains(text, "RAND_SEED")
}

/// Whether a text of unknown effect names the SQL mode or a character set variable. (A procedure's own
/// SQL mode ends with the call, `sp_head::execute`.)
pub(crate) fn may_change_parsing(text: &[u8], mode: Mode) -> bool {
    Lexer::new(text, mode).any(|token| matches!(token, Token::Word(word) if changes_parsing(word)))
}

/// Whether a text names a character set in which a `\` may be the second half of a character, so that
/// a quote behind it is not escaped.
pub(crate) fn names_double_bytes(text: &[u8]) -> bool {
    ["SJIS", "CP932", "GBK", "BIG5"]
        .iter()
        .any(|name| contains(text, name))
}

pub(super) fn changes_parsing(word: &[u8]) -> bool {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    is("SQL_MODE")
        || is("NAMES")
        || is("CHARSET")
        || is("CHARACTER")
        || is("CHARACTER_SET_CLIENT")
        || is("CHARACTER_SET_CONNECTION")
        || is("COLLATION_CONNECTION")
}
