//! Lists of words that are neither functions nor variables.

use crate::lexer::Token;

/// Units of time (`sql_yacc.yy`, `interval` and `interval_time_stamp`).
pub(super) const UNITS: [&str; 20] = [
    "MICROSECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
    "QUARTER",
    "YEAR",
    "SECOND_MICROSECOND",
    "MINUTE_MICROSECOND",
    "MINUTE_SECOND",
    "HOUR_MICROSECOND",
    "HOUR_SECOND",
    "HOUR_MINUTE",
    "DAY_MICROSECOND",
    "DAY_SECOND",
    "DAY_MINUTE",
    "DAY_HOUR",
    "YEAR_MONTH",
];

/// Types in `CAST`, with or without a length.
pub(super) const TYPES: [&str; 18] = [
    "BINARY", "CHAR", "NCHAR", "VARCHAR", "SIGNED", "UNSIGNED", "INTEGER", "INT", "DECIMAL", "DEC",
    "DOUBLE", "FLOAT", "DATE", "DATETIME", "TIME", "INET4", "INET6", "UUID",
];

/// Character sets in which every byte below 0x80 is a character of its own, and those that no client may have. A
/// session in another one reads texts in another way.
const CHARSETS: [&str; 27] = [
    "utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "binary", "ucs2", "utf16", "utf16le", "utf32",
    "latin2", "latin5", "latin7", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256",
    "cp1257", "koi8r", "koi8u", "greek", "hebrew", "tis620", "macce", "macroman",
];

/// Words that stand for a value of a system variable without quotes, besides character sets.
const VALUES: [&str; 25] = [
    "ON",
    "OFF",
    "SYSTEM",
    "ALL",
    "NO_CHAIN",
    "CHAIN",
    "RELEASE",
    "NEVER",
    "COMPLEMENTARY",
    "PREFERABLY",
    "InnoDB",
    "Aria",
    "MyISAM",
    "MEMORY",
    "CSV",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "NO_ENGINE_SUBSTITUTION",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_ZERO_DATE",
    "ONLY_FULL_GROUP_BY",
    "PIPES_AS_CONCAT",
    "TRADITIONAL",
];

/// Words that begin something else than an alias behind a complete item, in the server's grammar or this one.
const NO_ALIAS: [&str; 46] = [
    "AND",
    "AS",
    "BETWEEN",
    "BINARY",
    "CASE",
    "COLLATE",
    "CROSS",
    "DESC",
    "DIV",
    "ESCAPE",
    "EXCEPT",
    "FETCH",
    "FOR",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LIKE",
    "LIMIT",
    "LOCK",
    "MEMBER",
    "MINUS",
    "MOD",
    "NATURAL",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PROCEDURE",
    "REGEXP",
    "RLIKE",
    "SELECT",
    "SOUNDS",
    "UNION",
    "USING",
    "VALUES",
    "WHERE",
    "WINDOW",
    "XOR",
];

/// Whether a token may be an alias without `AS`.
pub(super) fn is_bare_alias(token: Token<'_>) -> bool {
    match token {
        Token::Word(_) => !token.is_any(&NO_ALIAS),
        Token::Quoted(..) | Token::Text(..) => true,
        _ => false,
    }
}

/// Whether this is the name of a character set of the list.
pub(super) fn is_charset(name: &[u8]) -> bool {
    let is = |one: &&str| name.eq_ignore_ascii_case(one.as_bytes());
    CHARSETS.iter().any(is)
}

/// Whether a token is a character set before a string: `_utf8mb4`.
pub(super) fn is_introducer(token: Token<'_>) -> bool {
    matches!(token, Token::Word([b'_', name @ ..]) if is_charset(name))
}

/// Whether a token is a value of a system variable that is written like a name: a character set and a collation too.
pub(super) fn is_value(token: Token<'_>) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    let charset = word.split(|byte| *byte == b'_').next();
    token.is_any(&VALUES) || charset.is_some_and(is_charset)
}
