//! What a statement can ask about the one before it: `ROW_COUNT()`, `FOUND_ROWS()`, warnings and errors;
//! and `@@socket`, for which the server's value is wrong.
//!
//! These values cannot be set on a server. When Dormouse has run a statement of its own between two of a
//! client's, or the session has moved to another backend, the values are kept in [`Diagnostics`], and
//! [`override_for`] decides how a statement that asks for them gets them. A question about a statement of the
//! same batch, block or body goes to the server. (MariaDB Knowledge Base, "Diagnostics Area",
//! "FOUND_ROWS", "ROW_COUNT". A `SELECT` without a table reads them and keeps the warnings.)
//!
//! Called by `proxy` through [`SessionState::override_for`](crate::SessionState::override_for).

pub mod conditions;
pub(crate) mod items;
pub mod put_back;
mod questions;
mod rewrite;

use dormouse_wire::framer::ReplyEnd;

use crate::lexer::{Lexer, Mode, Spanned, Token, begins_with, contains, is_one_statement};
use crate::sequence_name;
use put_back::PutBack;
use questions::{Item, Question};

/// What the last statement left for later ones to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// `ROW_COUNT()`: −1 after a result with columns and after an error.
    pub row_count: i64,
    /// `FOUND_ROWS()`.
    pub found_rows: u64,
    /// Whether `FOUND_ROWS()` went with its server before it was asked.
    pub found_rows_lost: bool,
    /// `@@warning_count`, which counts errors and notes too.
    pub warnings: u64,
    /// `@@error_count`.
    pub errors: u64,
    /// The server's whole reply to `SHOW WARNINGS`, if there were any.
    pub warning_list: Option<Box<[u8]>>,
    /// The server's whole reply to `SHOW ERRORS`, if there were any.
    pub error_list: Option<Box<[u8]>>,
    /// What `GET DIAGNOSTICS CONDITION` tells of each, if there were any and the server has told it.
    pub conditions: Option<Box<str>>,
}

/// How the server's answer to a statement must be replaced, because it would be about another statement or
/// connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Override {
    /// It is not replaced: the server's answer is right.
    None,
    /// This is the reply to `SHOW WARNINGS` or `SHOW ERRORS`, of which these rows are shown; the server is not
    /// asked.
    List(Box<[u8]>, std::ops::Range<u64>),
    /// The reply is one row, whose values are patched.
    PatchRow(Vec<ValuePatch>),
    /// This text is sent to the server in place of the client's.
    Rewrite(Vec<u8>),
    /// These statements are run before it.
    PutBack(Vec<PutBack>, &'static str),
    /// The right answer is lost: the statement is refused, with the name of what it asks for.
    Refuse(&'static str),
}

/// How the rows of a reply are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As texts: their values are patched.
    Text,
    /// As those of `COM_STMT_EXECUTE`: a text with the values in it is prepared in the statement's place.
    Binary,
}

/// How one value of the server's row is patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuePatch {
    /// The server's value is right.
    Keep,
    /// It is replaced by this.
    Replace(Vec<u8>),
    /// If it is NULL, it is replaced by this.
    ReplaceNull(Vec<u8>),
    /// If it is NULL, the right value is lost: the statement is refused, with the name of what it asks for.
    RefuseNull(&'static str),
}

/// How the answer to a text must be replaced. `left` is what the last statement left, if the backend does not have it;
/// `socket` is Dormouse's own Unix socket, since connections to the server's would bypass Dormouse.
#[must_use]
pub fn override_for(
    text: &[u8],
    mode: Mode,
    left: Option<&Diagnostics>,
    socket: &str,
    format: Format,
) -> Override {
    let left = left.filter(|_| mentioned(text, mode).is_some());
    let connected = format == Format::Text && asks_for_socket(text);
    if left.is_none() && !connected {
        return Override::None;
    }
    let (spans, plain) = questions::spans(text, mode);
    let asked = left.map_or(Vec::new(), |_| about_the_past(&spans, plain));
    let name = asked.first().map(|question| question.name);
    if name.is_none() && !connected {
        return Override::None;
    }
    if let Some(left) = left
        && left.found_rows_lost
        && asked
            .iter()
            .any(|question| question.item == Item::FoundRows)
    {
        return Override::Refuse("FOUND_ROWS()");
    }
    if let Some(left) = left
        && plain
        && let Some(answer) = left.answers(text, &spans, &asked, format)
    {
        return answer;
    }
    let value = |item: items::Asked| match item {
        items::Asked::Socket => ValuePatch::Replace(socket.into()),
        items::Asked::Value(item) => match left {
            Some(left) => ValuePatch::Replace(left.value(item).to_string().into_bytes()),
            None => ValuePatch::Keep,
        },
        items::Asked::Sequence(_) | items::Asked::Other => ValuePatch::Keep,
    };
    match (items::of(&spans), name) {
        (Some(items), _) if format == Format::Text => {
            Override::PatchRow(items.into_iter().map(value).collect())
        }
        (_, Some(name)) => Override::Refuse(name),
        (_, None) => Override::None,
    }
}

/// The questions of a text about what ran before it. If servers may read the text differently, every
/// diagnostics item that it mentions counts as such a question.
fn about_the_past(spans: &[Spanned<'_>], plain: bool) -> Vec<Question> {
    if plain {
        return questions::about_the_past(spans);
    }
    let first = spans.iter().find_map(|span| name_of(&span.token));
    let question = first.map(|name| Question {
        item: Item::Conditions,
        name,
        place: 0..0,
    });
    question.into_iter().collect()
}

/// Whether a text may ask for `@@socket`: a fast check, so that most texts are not tokenized.
fn asks_for_socket(text: &[u8]) -> bool {
    memchr::memchr_iter(b'@', text).any(|at| {
        let there = text.get(at..at + 7);
        there.is_some_and(|there| there.eq_ignore_ascii_case(b"@socket"))
    })
}

impl Diagnostics {
    /// The override for a text with these questions about the past, unless it is a plain `SELECT` of values.
    fn answers(
        &self,
        text: &[u8],
        spans: &[Spanned<'_>],
        asked: &[Question],
        format: Format,
    ) -> Option<Override> {
        let [first, ..] = asked else {
            return None;
        };
        let one = questions::is_one(spans);
        match first.name {
            name @ ("SHOW WARNINGS" | "SHOW ERRORS") if one => {
                Some(self.show(spans, name, first.item, format))
            }
            name @ "GET DIAGNOSTICS" if one => {
                let text = self.get_diagnostics(text, spans);
                Some(self.sent(text, asked, name))
            }
            name if !one || format == Format::Binary || items::of(spans).is_none() => {
                let text = rewrite::rewritten(text, spans, asked, |item| self.value(item));
                Some(self.sent(text, asked, name))
            }
            _ => None,
        }
    }

    /// Sends the text with values, or else the client's after the state that it asks for has been put back.
    fn sent(&self, text: Option<Vec<u8>>, asked: &[Question], name: &'static str) -> Override {
        match text {
            Some(text) => Override::Rewrite(text),
            None => match put_back::put_back(self.left(), asked) {
                Some(statements) => Override::PutBack(statements, name),
                None => Override::Refuse(name),
            },
        }
    }

    fn left(&self) -> put_back::Left<'_> {
        put_back::Left {
            row_count: self.row_count,
            found_rows: self.found_rows,
            warnings: self.warnings,
            errors: self.errors,
            list: self.warning_list.as_deref(),
            told: self.conditions.as_deref(),
        }
    }

    fn show(
        &self,
        spans: &[Spanned<'_>],
        name: &'static str,
        item: Item,
        format: Format,
    ) -> Override {
        let value = self.value(item);
        match (item, format) {
            (Item::Conditions, _) => {}
            (_, Format::Text) => {
                let value = value.to_string().into_bytes();
                return Override::PatchRow(vec![ValuePatch::Replace(value)]);
            }
            (_, Format::Binary) => {
                let of = if item == Item::Errors {
                    "error"
                } else {
                    "warning"
                };
                let value = rewrite::constant(item, value);
                let text = format!("SELECT {value} AS `@@session.{of}_count`");
                return Override::Rewrite(text.into_bytes());
            }
        }
        let warnings = name == "SHOW WARNINGS";
        let (count, list) = if warnings {
            (self.warnings, &self.warning_list)
        } else {
            (self.errors, &self.error_list)
        };
        match (list, shown(spans)) {
            // the server's own list may come from a statement of Dormouse's
            (None, Some(_)) if count == 0 => {
                Override::Rewrite(format!("{name} LIMIT 0").into_bytes())
            }
            (Some(list), Some(rows)) => Override::List(list.clone(), rows),
            _ => Override::Refuse(name),
        }
    }

    /// `GET DIAGNOSTICS` as a `SET` with its values.
    fn get_diagnostics(&self, text: &[u8], spans: &[Spanned<'_>]) -> Option<Vec<u8>> {
        /// `max_error_count`, unless somebody has set it: no more conditions are kept.
        const KEPT: u64 = 64;
        let current = usize::from(spans.get(1)?.token.is("CURRENT"));
        let mut rest = spans.get(2 + current..)?;
        while let [
            before @ ..,
            Spanned {
                token: Token::Semicolon,
                ..
            },
        ] = rest
        {
            rest = before;
        }
        if rest.first()?.token.is("CONDITION") {
            return conditions::assignments(text, rest, self.conditions.as_deref()?);
        }
        let mut out = b"SET ".to_vec();
        for (number, item) in rest
            .split(|span| span.token == Token::Other(b','))
            .enumerate()
        {
            let [target, equals, name] = item else {
                return None;
            };
            let variable =
                target.token == Token::UserVariable && equals.token == Token::Other(b'=');
            let value = if name.token.is("ROW_COUNT") {
                self.row_count.to_string()
            } else if name.token.is("NUMBER") && self.warnings <= KEPT {
                // the server's type
                format!("CAST({} AS UNSIGNED)", self.warnings)
            } else {
                return None;
            };
            variable.then_some(())?;
            let comma: &[u8] = if number > 0 { b", " } else { b"" };
            let target = text.get(target.start..target.end)?;
            out.extend_from_slice(&[comma, target, b" = ", value.as_bytes()].concat());
        }
        Some(out)
    }

    fn value(&self, item: Item) -> i64 {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match item {
            Item::RowCount => self.row_count,
            Item::FoundRows => count(self.found_rows),
            Item::Warnings | Item::Conditions => count(self.warnings),
            Item::Errors => count(self.errors),
        }
    }

    /// The diagnostics that Dormouse must still keep after the server has run a statement. A `SELECT` or `DO`
    /// without a table keeps the warnings of the statement before, unless it causes some. `certain`: the
    /// reply shows how many rows were found.
    #[must_use]
    pub fn after(mut self, text: &[u8], mode: Mode, end: &ReplyEnd, certain: bool) -> Option<Self> {
        let asked_again = self.warnings == 0 && !certain;
        if end.warnings > 0 || asked_again || !keeps_warnings(text, mode) {
            return None;
        }
        self.row_count = if end.rows.is_some() { -1 } else { 0 };
        if begins_with(text, &["SELECT"]) {
            self.found_rows_lost &= end.rows.is_none();
            self.found_rows = end.rows.unwrap_or(self.found_rows);
        }
        Some(self)
    }
}

/// The rows that a `SHOW WARNINGS` or `SHOW ERRORS` asks for: all, or those of its `LIMIT`. `None`: it has none
/// that can be read.
fn shown(spans: &[Spanned<'_>]) -> Option<std::ops::Range<u64>> {
    let tokens: Vec<Token<'_>> = spans.iter().map(|span| span.token).collect();
    let mut rest = tokens.get(2..)?;
    while let [before @ .., Token::Semicolon] = rest {
        rest = before;
    }
    // a limit of rows examined does not count here
    if let [before @ .., rows, examined, Token::Number(_)] = rest
        && rows.is("ROWS")
        && examined.is("EXAMINED")
    {
        rest = match before {
            [limit] if limit.is("LIMIT") => &[],
            [] => return None,
            _ => before,
        };
    }
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
    let (from, count) = match rest {
        [] => return Some(0..u64::MAX),
        [limit, ..] if !limit.is("LIMIT") => return None,
        [_, Token::Number(count)] => (0, number(count)?),
        [
            _,
            Token::Number(from),
            Token::Other(b','),
            Token::Number(count),
        ] => (number(from)?, number(count)?),
        [_, Token::Number(count), offset, Token::Number(from)] if offset.is("OFFSET") => {
            (number(from)?, number(count)?)
        }
        _ => return None,
    };
    Some(from..from.saturating_add(count))
}

/// Whether a text keeps the warnings of the statement before: one that uses no table does
/// (`sql/sql_parse.cc`, `mysql_execute_command`).
pub(crate) fn keeps_warnings(text: &[u8], mode: Mode) -> bool {
    const WITHOUT_TABLES: [&str; 13] = [
        "GET",
        "SELECT",
        "VALUES",
        "DO",
        "SET",
        "USE",
        "BEGIN",
        "START",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "DEALLOCATE",
    ];
    let tokens = Lexer::new(text, mode);
    let first = tokens.clone().next();
    let is = |word: &str| first.is_some_and(|token| token.is(word));
    if is("SHOW") {
        return mentioned(text, mode).is_some();
    }
    let one = is_one_statement(tokens.clone());
    let query = first == Some(Token::Other(b'('));
    let plain = (query || WITHOUT_TABLES.iter().any(|word| is(word))) && one;
    // a sequence is a table, and the first of these makes a derived one behind the others
    let derives =
        contains(text, "INTERSECT") && (contains(text, "UNION") || contains(text, "EXCEPT"));
    plain && !derives && !sequence_name::mentions(text) && !uses_table(tokens)
}

/// Whether a table may be used or a variable set: after `FROM`, except in `EXTRACT(YEAR FROM a)` and
/// `FROM DUAL`, after `INTO`, or after `FOR`.
fn uses_table<'a>(tokens: impl Iterator<Item = Token<'a>>) -> bool {
    let mut tokens = tokens.peekable();
    // for each open bracket, whether it contains a query
    let mut open = vec![true];
    while let Some(token) = tokens.next() {
        match token {
            Token::Other(b'(') => open.push(tokens.peek().is_some_and(|next| {
                ["SELECT", "WITH", "VALUES", "TABLE"]
                    .iter()
                    .any(|word| next.is(word))
                    || *next == Token::Other(b'(')
            })),
            Token::Other(b')') => {
                open.pop();
            }
            token if token.is("INTO") => return true,
            token if token.is("FROM") || token.is("FOR") => {
                let dual = tokens.peek().is_some_and(|next| next.is("DUAL"));
                if open.last() != Some(&false) && !dual {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The name of the first word in a text that may ask for diagnostics.
#[must_use]
pub fn mentioned(text: &[u8], mode: Mode) -> Option<&'static str> {
    Lexer::new(text, mode).find_map(|token| name_of(&token))
}

fn name_of(token: &Token<'_>) -> Option<&'static str> {
    const NAMES: [(&str, &str); 7] = [
        ("FOUND_ROWS", "FOUND_ROWS()"),
        ("ROW_COUNT", "ROW_COUNT()"),
        ("WARNING_COUNT", "@@warning_count"),
        ("ERROR_COUNT", "@@error_count"),
        ("WARNINGS", "SHOW WARNINGS"),
        ("ERRORS", "SHOW ERRORS"),
        ("DIAGNOSTICS", "GET DIAGNOSTICS"),
    ];
    let found = NAMES.iter().find(|(name, _)| token.names(name));
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests;
