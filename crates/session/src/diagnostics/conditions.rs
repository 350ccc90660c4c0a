//! `GET DIAGNOSTICS CONDITION` after the server's own list of conditions is gone: an assignment of the values that it
//! would give takes its place.

use dormouse_wire::packet::{HEADER, Header};
use dormouse_wire::reader::Reader;

use crate::lexer::{Spanned, Token};

/// Reads the conditions and leaves them as they are, as all statements without a table do. Each is `STATE NUMBER ROW
/// TEXT,`: the text in hexadecimal digits of UTF-8, with a `!` behind it if a `SIGNAL` has set one of the other items, which
/// are empty else. `SHOW WARNINGS` tells neither the state nor the row.
pub(crate) const QUESTION: &str = "BEGIN NOT ATOMIC DECLARE n, i, r, e INT UNSIGNED DEFAULT 0; \
     DECLARE s CHAR(5) CHARACTER SET latin1; \
     DECLARE m, a, b, c, d, f, g, h, j, k, l TEXT CHARACTER SET utf8mb3; \
     DECLARE t TEXT CHARACTER SET latin1 DEFAULT ''; \
     GET DIAGNOSTICS n = NUMBER; \
     WHILE i < n DO SET i = i + 1; \
     GET DIAGNOSTICS CONDITION i s = RETURNED_SQLSTATE, e = MYSQL_ERRNO, r = ROW_NUMBER, m = MESSAGE_TEXT, \
     a = CLASS_ORIGIN, b = SUBCLASS_ORIGIN, c = CONSTRAINT_CATALOG, d = CONSTRAINT_SCHEMA, f = CONSTRAINT_NAME, \
     g = CATALOG_NAME, h = SCHEMA_NAME, j = TABLE_NAME, k = COLUMN_NAME, l = CURSOR_NAME; \
     SET t = CONCAT(t, s, ' ', e, ' ', r, ' ', HEX(m), \
     IF(CONCAT(a, b, c, d, f, g, h, j, k, l) = '', ',', '!,')); \
     END WHILE; SELECT t; END";

/// The items that are empty unless a `SIGNAL` has set them.
const EMPTY: [&str; 10] = [
    "CLASS_ORIGIN",
    "SUBCLASS_ORIGIN",
    "CONSTRAINT_CATALOG",
    "CONSTRAINT_SCHEMA",
    "CONSTRAINT_NAME",
    "CATALOG_NAME",
    "SCHEMA_NAME",
    "TABLE_NAME",
    "COLUMN_NAME",
    "CURSOR_NAME",
];

/// The conditions of the reply to the [question](QUESTION); `None` if it is an error or has none.
pub(crate) fn told(reply: &[u8]) -> Option<Box<str>> {
    let mut rest = reply;
    let mut packets = std::iter::from_fn(|| {
        let (header, tail) = rest.split_first_chunk::<HEADER>()?;
        let (payload, tail) = tail.split_at_checked(Header::parse(*header).len)?;
        rest = tail;
        Some(payload)
    });
    packets.next().filter(|count| **count == [1])?;
    let _column = packets.next()?;
    let is_eof = |packet: &&[u8]| packet.first() == Some(&0xfe) && packet.len() < 9;
    let row = packets.find(|packet| !is_eof(packet))?;
    let value = Reader::new(row).lenenc_bytes().ok()?;
    let value = std::str::from_utf8(value).ok()?;
    (!value.is_empty()).then(|| value.into())
}

/// The same of an error that is the only condition.
#[must_use]
pub fn only(state: &str, code: u16, message: &str) -> Box<str> {
    format!("{state} {code} 0 {},", hex_of(message)).into()
}

/// The assignments that do what a `GET DIAGNOSTICS` with these items, from `CONDITION` on, does. `None`: it names its
/// condition by an expression, or one that is not there, which a server answers with a warning about that.
pub(super) fn assignments(text: &[u8], items: &[Spanned<'_>], told: &str) -> Option<Vec<u8>> {
    let [_, number, items @ ..] = items else {
        return None;
    };
    let Token::Number(digits) = number.token else {
        return None;
    };
    let number: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let condition = told.split(',').nth(number.checked_sub(1)?)?;
    let mut fields = condition.split(' ');
    let (state, code, row, message) = (
        fields.next().filter(|state| !state.is_empty())?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let mut out = b"SET ".to_vec();
    for (at, item) in items
        .split(|span| span.token == Token::Other(b','))
        .enumerate()
    {
        let [target, equals, name] = item else {
            return None;
        };
        let variable = target.token == Token::UserVariable && equals.token == Token::Other(b'=');
        variable.then_some(())?;
        let hex = message.trim_end_matches('!');
        let value = if name.token.is("RETURNED_SQLSTATE") {
            string(&hex_of(state))
        } else if name.token.is("MYSQL_ERRNO") {
            format!("CAST({code} AS UNSIGNED)")
        } else if name.token.is("ROW_NUMBER") {
            format!("CAST({row} AS UNSIGNED)")
        } else if name.token.is("MESSAGE_TEXT") {
            string(hex)
        } else if name.token.is_any(&EMPTY) && hex.len() == message.len() {
            string("")
        } else {
            return None;
        };
        let comma: &[u8] = if at > 0 { b", " } else { b"" };
        let target = text.get(target.start..target.end)?;
        out.extend_from_slice(&[comma, target, b" = ", value.as_bytes()].concat());
    }
    Some(out)
}

/// A string of the server's type for the items.
fn string(hex: &str) -> String {
    format!("_utf8mb3 X'{hex}' COLLATE utf8mb3_general_ci")
}

fn hex_of(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}
