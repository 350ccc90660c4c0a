//! The functions that an understudy may run, and what may stand between their parentheses.
//!
//! All of them are built in and depend on nothing but their arguments, the clock and what is restored of a session's
//! state. One that a server does not have (`UUID_V4` in 10.11) is an error on the understudy, which has no schema.
//!
//! Not among them, and why:
//! - `DATABASE`, `SCHEMA`, `CURRENT_ROLE`, `NEXTVAL` and the like, locks, `LOAD_FILE`, `MASTER_…`, `WSREP_…`: they
//!   ask for what only the database has;
//! - `LAST_INSERT_ID(x)`, `SLEEP`, `BENCHMARK`: what they do matters, not their result;
//! - `RAND()` without a seed: its next numbers can be computed from the former ones, and the connection of an
//!   understudy serves more than one session; `UUID_SHORT`, which no two servers may share;
//! - `CONVERT_TZ`, which may read tables of time zones;
//! - `REGEXP_…`, `JSON_SCHEMA_VALID`, `EXTRACTVALUE`, `ST_…`, `UNCOMPRESS`: a short text can take much time or memory;
//! - `PASSWORD`, `ENCRYPT`, `AES_…` and the like: secrets belong into one's own server;
//! - `NAME_CONST`, `VALUES`, `DEFAULT`, `GROUP_CONCAT`: a grammar of their own, and no use without a table.

use super::parser::{Parser, Weight};
use super::words::{TYPES, UNITS, is_charset};
use crate::lexer::Token;

/// What may stand between a function's parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing.
    Empty,
    /// Expressions, or nothing.
    Any,
    /// One expression or more.
    Arguments,
    /// `*`, or expressions, which may be `DISTINCT`.
    Aggregate,
    /// A unit of time, then expressions.
    Unit,
    /// `unit FROM x`
    Extract,
    /// `x AS type`
    Cast,
    /// `x, type` or `x USING charset`
    Convert,
    /// Expressions, then `USING charset`.
    Char,
    /// `x`, or `BOTH x FROM y` and the like.
    Trim,
    /// Expressions, or `x FROM y FOR z`.
    Part,
    /// `x IN y`
    Position,
    /// `DATE, x`
    DateFormat,
    /// An expression, a length as a literal, and perhaps another expression.
    Padded,
    /// A length as a literal.
    Length,
}

/// Functions with one argument or more.
const SOME: [&str; 169] = [
    "ABS",
    "ACOS",
    "ASIN",
    "ATAN",
    "ATAN2",
    "BIN",
    "BIT_COUNT",
    "CEIL",
    "CEILING",
    "CONV",
    "COS",
    "COT",
    "CRC32",
    "DEGREES",
    "EXP",
    "FLOOR",
    "GREATEST",
    "LEAST",
    "LN",
    "LOG",
    "LOG10",
    "LOG2",
    "MOD",
    "OCT",
    "POW",
    "POWER",
    "RADIANS",
    "RAND",
    "ROUND",
    "SIGN",
    "SIN",
    "SQRT",
    "TAN",
    "TRUNCATE",
    "ASCII",
    "BIT_LENGTH",
    "CHAR_LENGTH",
    "CHARACTER_LENGTH",
    "CHR",
    "CONCAT_WS",
    "ELT",
    "EXPORT_SET",
    "FIELD",
    "FIND_IN_SET",
    "FORMAT",
    "FROM_BASE64",
    "HEX",
    "INSERT",
    "INSTR",
    "LCASE",
    "LEFT",
    "LENGTH",
    "LENGTHB",
    "LOCATE",
    "LOWER",
    "LTRIM",
    "MAKE_SET",
    "NATURAL_SORT_KEY",
    "OCTET_LENGTH",
    "ORD",
    "QUOTE",
    "RANDOM_BYTES",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "RTRIM",
    "SOUNDEX",
    "STRCMP",
    "SUBSTRING_INDEX",
    "TO_BASE64",
    "TO_CHAR",
    "UCASE",
    "UNHEX",
    "UPPER",
    "CHARSET",
    "COALESCE",
    "COERCIBILITY",
    "COLLATION",
    "IF",
    "IFNULL",
    "ISNULL",
    "NULLIF",
    "NVL",
    "NVL2",
    "MD5",
    "SHA",
    "SHA1",
    "SHA2",
    "INET_ATON",
    "INET_NTOA",
    "INET6_ATON",
    "INET6_NTOA",
    "IS_IPV4",
    "IS_IPV4_COMPAT",
    "IS_IPV4_MAPPED",
    "IS_IPV6",
    "ADD_MONTHS",
    "ADDDATE",
    "ADDTIME",
    "DATE",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "DATEDIFF",
    "DAY",
    "DAYNAME",
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "FROM_DAYS",
    "FROM_UNIXTIME",
    "HOUR",
    "LAST_DAY",
    "MAKEDATE",
    "MAKETIME",
    "MICROSECOND",
    "MINUTE",
    "MONTH",
    "MONTHNAME",
    "PERIOD_ADD",
    "PERIOD_DIFF",
    "QUARTER",
    "SEC_TO_TIME",
    "SECOND",
    "STR_TO_DATE",
    "SUBDATE",
    "SUBTIME",
    "TIME",
    "TIME_FORMAT",
    "TIME_TO_SEC",
    "TIMEDIFF",
    "TIMESTAMP",
    "TO_DAYS",
    "TO_SECONDS",
    "WEEK",
    "WEEKDAY",
    "WEEKOFYEAR",
    "YEAR",
    "YEARWEEK",
    "JSON_ARRAY_APPEND",
    "JSON_ARRAY_INSERT",
    "JSON_COMPACT",
    "JSON_CONTAINS",
    "JSON_CONTAINS_PATH",
    "JSON_DEPTH",
    "JSON_DETAILED",
    "JSON_EQUALS",
    "JSON_EXISTS",
    "JSON_EXTRACT",
    "JSON_INSERT",
    "JSON_KEYS",
    "JSON_LENGTH",
    "JSON_LOOSE",
    "JSON_MERGE",
    "JSON_MERGE_PATCH",
    "JSON_MERGE_PRESERVE",
    "JSON_NORMALIZE",
    "JSON_OVERLAPS",
    "JSON_PRETTY",
    "JSON_QUERY",
    "JSON_QUOTE",
    "JSON_REMOVE",
    "JSON_REPLACE",
    "JSON_SEARCH",
    "JSON_SET",
    "JSON_TYPE",
    "JSON_UNQUOTE",
    "JSON_VALID",
    "JSON_VALUE",
];

/// Functions whose arguments may be left out.
const ANY: [&str; 16] = [
    "CURDATE",
    "CURTIME",
    "NOW",
    "SYSDATE",
    "UNIX_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "JSON_ARRAY",
    "JSON_OBJECT",
    "CONCAT",
];

/// Functions that take no argument here.
const EMPTY: [&str; 13] = [
    "CONNECTION_ID",
    "CURRENT_USER",
    "FOUND_ROWS",
    "LAST_INSERT_ID",
    "PI",
    "ROW_COUNT",
    "SESSION_USER",
    "SYSTEM_USER",
    "USER",
    "UUID",
    "UUID_V4",
    "UUID_V7",
    "VERSION",
];

/// Functions of groups.
const AGGREGATES: [&str; 11] = [
    "AVG", "BIT_AND", "BIT_OR", "BIT_XOR", "COUNT", "MAX", "MIN", "STD", "STDDEV", "SUM",
    "VARIANCE",
];

/// Functions with a grammar of their own.
const SPECIAL: [(&str, Shape); 16] = [
    ("REPEAT", Shape::Padded),
    ("LPAD", Shape::Padded),
    ("RPAD", Shape::Padded),
    ("SPACE", Shape::Length),
    ("TIMESTAMPADD", Shape::Unit),
    ("TIMESTAMPDIFF", Shape::Unit),
    ("EXTRACT", Shape::Extract),
    ("CAST", Shape::Cast),
    ("CONVERT", Shape::Convert),
    ("CHAR", Shape::Char),
    ("TRIM", Shape::Trim),
    ("MID", Shape::Part),
    ("SUBSTR", Shape::Part),
    ("SUBSTRING", Shape::Part),
    ("POSITION", Shape::Position),
    ("GET_FORMAT", Shape::DateFormat),
];

/// Functions whose results may be much longer than their arguments.
const GROWING: [&str; 10] = [
    "CONCAT_WS",
    "EXPORT_SET",
    "HEX",
    "LPAD",
    "QUOTE",
    "REPEAT",
    "REPLACE",
    "RPAD",
    "SPACE",
    "TO_BASE64",
];

/// Functions that search or compare parts of their arguments with each other, besides those for JSON.
const HEAVY: [&str; 5] = [
    "FIND_IN_SET",
    "INSTR",
    "LOCATE",
    "POSITION",
    "SUBSTRING_INDEX",
];

/// What the arguments of this function look like, and what it costs; `None`: it is not one of those that an
/// understudy may run.
pub(super) fn function(name: Token<'_>) -> Option<(Shape, Weight)> {
    let shape = shape(name)?;
    let weight = if name.is_any(&GROWING) {
        Weight::Growing
    } else if name.is_any(&HEAVY) || is_of_json(name) {
        Weight::Heavy
    } else {
        Weight::Light
    };
    Some((shape, weight))
}

fn is_of_json(name: Token<'_>) -> bool {
    let Token::Word(name) = name else {
        return false;
    };
    name.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"JSON_"))
}

fn shape(name: Token<'_>) -> Option<Shape> {
    let lists: [(&[&str], Shape); 4] = [
        (&SOME, Shape::Arguments),
        (&ANY, Shape::Any),
        (&EMPTY, Shape::Empty),
        (&AGGREGATES, Shape::Aggregate),
    ];
    let list = lists.iter().find(|(names, _)| name.is_any(names));
    let special = || SPECIAL.iter().find(|(one, _)| name.is(one));
    list.map(|(_, shape)| *shape)
        .or_else(|| special().map(|(_, shape)| *shape))
}

impl Parser<'_, '_> {
    /// What stands between the parentheses of a function's call.
    pub(super) fn arguments(&mut self, shape: Shape) -> Option<()> {
        match shape {
            Shape::Empty => Some(()),
            Shape::Any if self.is_sign(0, b')') => Some(()),
            Shape::Any | Shape::Arguments => self.expressions(),
            Shape::Aggregate if self.takes_sign(b'*') => Some(()),
            Shape::Aggregate => {
                self.takes("DISTINCT");
                self.expressions()
            }
            Shape::Unit => {
                self.any(&UNITS)?;
                self.sign(b',')?;
                self.expressions()
            }
            Shape::Extract => {
                self.any(&UNITS)?;
                self.word("FROM")?;
                self.expression()
            }
            Shape::Cast => {
                self.expression()?;
                self.word("AS")?;
                self.type_name()
            }
            Shape::Convert => {
                self.expression()?;
                if self.takes("USING") {
                    return self.charset();
                }
                self.sign(b',')?;
                self.type_name()
            }
            Shape::Char => {
                self.expressions()?;
                if self.takes("USING") {
                    self.charset()?;
                }
                Some(())
            }
            Shape::Trim => {
                self.takes_any(&["BOTH", "LEADING", "TRAILING"]);
                if !self.is("FROM") {
                    self.expression()?;
                }
                if self.takes("FROM") {
                    self.expression()?;
                }
                Some(())
            }
            Shape::Part => {
                self.expressions()?;
                if self.takes("FROM") {
                    self.expression()?;
                    if self.takes("FOR") {
                        self.expression()?;
                    }
                }
                Some(())
            }
            Shape::Position => {
                self.operand()?;
                self.word("IN")?;
                self.expression()
            }
            Shape::DateFormat => {
                self.any(&["DATE", "TIME", "DATETIME", "TIMESTAMP"])?;
                self.sign(b',')?;
                self.expression()
            }
            Shape::Length => self.length(),
            Shape::Padded => {
                self.expression()?;
                self.sign(b',')?;
                self.length()?;
                if self.takes_sign(b',') {
                    self.expression()?;
                }
                Some(())
            }
        }
    }

    fn charset(&mut self) -> Option<()> {
        matches!(self.next()?, Token::Word(name) if is_charset(name)).then_some(())
    }

    /// `CHAR(10) CHARACTER SET utf8mb4`, `DECIMAL(5, 2)`, `UNSIGNED INTEGER`
    fn type_name(&mut self) -> Option<()> {
        let signed = self.is_any(&["SIGNED", "UNSIGNED"]);
        self.any(&TYPES)?;
        if signed {
            self.takes_any(&["INTEGER", "INT"]);
        }
        if self.is_sign(0, b'(') {
            self.enclosed(|parser| parser.list(Self::length))?;
        }
        if self.takes("CHARSET") {
            return self.charset();
        }
        if self.takes("CHARACTER") {
            self.word("SET")?;
            return self.charset();
        }
        Some(())
    }
}
