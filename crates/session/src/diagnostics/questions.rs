//! Finds the questions about diagnostics in a text, and which of them are about what ran before it.
//!
//! A text may contain several statements, blocks, and bodies that are only stored. A question is about the
//! past unless an earlier statement of the same text certainly sets what it asks for
//! (`sql/sql_parse.cc`, `mysql_execute_command`): every statement that succeeds sets `ROW_COUNT()`, a
//! `SELECT` sets `FOUND_ROWS()`, and one that uses a table clears the list of warnings before it reads it.

use std::ops::Range;

use crate::lexer::{Lexer, Mode, Spanned, Token, is_one_statement};

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    RowCount,
    FoundRows,
    Warnings,
    Errors,
    /// The list of them.
    Conditions,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) item: Item,
    /// Its name in an error.
    pub(super) name: &'static str,
    /// Its place in the text, if it is a value; else empty.
    pub(super) place: Range<usize>,
}

/// What earlier statements have certainly set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Set {
    rows: bool,
    found: bool,
    conditions: bool,
}

impl Set {
    fn answers(self, item: Item) -> bool {
        match item {
            Item::RowCount => self.rows,
            Item::FoundRows => self.found,
            Item::Warnings | Item::Errors | Item::Conditions => self.conditions,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows || other.rows,
            found: self.found || other.found,
            conditions: self.conditions || other.conditions,
        }
    }
}

/// The tokens of a text, and whether all servers read them alike.
pub(crate) fn spans(text: &[u8], mode: Mode) -> (Vec<Spanned<'_>>, bool) {
    let mut lexer = Lexer::new(text, mode);
    let spans = lexer.spanned().collect();
    (spans, !lexer.is_versioned())
}

/// The questions of a text that are about what ran before it.
pub(super) fn about_the_past(spans: &[Spanned<'_>]) -> Vec<Question> {
    let mut walk = Walk {
        found: Vec::new(),
        set: Set::default(),
        // a handler continues after an error, and a SELECT that failed has found nothing
        survives: is(spans, |token| token.is("HANDLER")),
    };
    let mut rest = spans;
    while !rest.is_empty() {
        rest = walk.statement(rest);
    }
    walk.found
}

/// Whether the text is one statement.
pub(super) fn is_one(spans: &[Spanned<'_>]) -> bool {
    is_one_statement(spans.iter().map(|span| span.token))
}

fn is(spans: &[Spanned<'_>], check: impl Fn(&Token<'_>) -> bool) -> bool {
    spans.iter().any(|span| check(&span.token))
}

fn word_at(spans: &[Spanned<'_>], at: usize, word: &str) -> bool {
    spans.get(at).is_some_and(|span| span.token.is(word))
}

fn one_of(spans: &[Spanned<'_>], at: usize, words: &[&str]) -> bool {
    words.iter().any(|word| word_at(spans, at, word))
}

fn byte_at(spans: &[Spanned<'_>], at: usize, byte: u8) -> bool {
    spans
        .get(at)
        .is_some_and(|span| span.token == Token::Other(byte))
}

struct Walk {
    found: Vec<Question>,
    set: Set,
    survives: bool,
}

/// Words after which a statement of a block begins.
const BEFORE: [&str; 7] = ["BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT"];

impl Walk {
    /// Handles the first statement and returns what follows it.
    fn statement<'s, 'a>(&mut self, spans: &'s [Spanned<'a>]) -> &'s [Spanned<'a>] {
        let first = spans.first().map(|span| span.token);
        if first == Some(Token::Semicolon) {
            return spans.get(1..).unwrap_or_default();
        }
        let end = if is_stored(spans) {
            end_of_body(spans)
        } else if is_block(spans) {
            self.block(spans)
        } else {
            let end = spans.iter().position(|s| s.token == Token::Semicolon);
            let end = end.unwrap_or(spans.len());
            self.simple(spans.get(..end).unwrap_or_default(), self.set);
            let sets = sets(spans.get(..end).unwrap_or_default());
            self.set = self.set.and(sets);
            end
        };
        self.set.rows = true;
        spans.get(end..).unwrap_or_default()
    }

    /// Handles a statement, or part of one, before which this was set.
    fn simple(&mut self, spans: &[Spanned<'_>], set: Set) {
        // a statement that uses a table clears the list before it reads it
        let clears = sets(spans).conditions;
        for question in questions(spans) {
            let value = matches!(question.item, Item::Warnings | Item::Errors);
            let own = set.answers(question.item) || clears && value;
            if !own {
                self.found.push(question);
            }
        }
    }

    /// Handles a block, and returns where it ends. What is set in a part that may not run does not count
    /// after it.
    fn block(&mut self, spans: &[Spanned<'_>]) -> usize {
        let before = self.set;
        let mut open: Vec<Set> = Vec::new();
        let mut begin = 0;
        let mut end = spans.len();
        // a CASE expression, not a CASE statement
        let mut inside = 0_usize;
        for (at, span) in spans.iter().enumerate() {
            let closes = span.token.is("END");
            let case = span.token.is("CASE") && opens(spans, at) && !starts(spans, at);
            if inside > 0 || case {
                inside = inside + usize::from(case) - usize::from(closes);
                continue;
            }
            let opens = !closes && opens(spans, at);
            let branch = one_of(spans, at, &["ELSE", "ELSEIF", "WHEN"]);
            let parts =
                span.token == Token::Semicolon || one_of(spans, at, &["ATOMIC", "THEN", "DO"]);
            if !(closes || opens || branch || parts) {
                continue;
            }
            let part = spans.get(begin..at).unwrap_or_default();
            begin = at + 1;
            let condition = word_at(part, 0, "DECLARE") && is(part, |token| token.is("HANDLER"));
            let raised = Set {
                rows: true,
                found: false,
                conditions: true,
            };
            if condition {
                self.simple(part, self.set.and(raised));
            } else {
                self.simple(part, self.set);
                self.set = self.set.and(self.sets_within(part));
            }
            if opens {
                open.push(self.set);
                if condition {
                    self.set = self.set.and(raised);
                }
            } else if closes {
                self.set = open.pop().unwrap_or(before);
                if open.is_empty() {
                    let mut rest = spans.iter().skip(at);
                    let more = rest.position(|span| span.token == Token::Semicolon);
                    end = more.map_or(spans.len(), |more| at + more);
                    break;
                }
            } else if branch {
                self.set = open.last().copied().unwrap_or(before);
            }
        }
        self.set = before;
        end
    }

    /// What a statement of a block certainly sets. A `SET` of a local variable sets nothing.
    fn sets_within(&self, part: &[Spanned<'_>]) -> Set {
        const WORDS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"];
        let mut set = sets(part);
        set.rows = one_of(part, 0, &WORDS);
        set.found &= !self.survives;
        set
    }
}

/// What one plain statement certainly sets besides `ROW_COUNT()`.
fn sets(spans: &[Spanned<'_>]) -> Set {
    const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "REPLACE"];
    let select = word_at(spans, 0, "SELECT");
    let into = is(spans, |token| token.is("INTO"));
    let mut depth = 0_usize;
    let mut from = false;
    for (at, span) in spans.iter().enumerate() {
        match span.token {
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => depth = depth.saturating_sub(1),
            token if depth == 0 && token.is("FROM") => {
                let table = spans.get(at + 1).map(|span| span.token);
                from |= table.is_some_and(|table| {
                    matches!(table, Token::Word(_) | Token::Quoted(..)) && !table.is("DUAL")
                });
            }
            _ => {}
        }
    }
    Set {
        rows: true,
        found: select && !into,
        conditions: one_of(spans, 0, &CHANGES) || select && from,
    }
}

/// The questions in one plain statement.
fn questions(spans: &[Spanned<'_>]) -> Vec<Question> {
    let mut found = Vec::new();
    let whole = |item, name| Question {
        item,
        name,
        place: 0..0,
    };
    if word_at(spans, 0, "SHOW") {
        let at = if word_at(spans, 1, "COUNT") { 5 } else { 1 };
        let (list, value) = (Item::Conditions, at == 5);
        if word_at(spans, at, "WARNINGS") {
            let item = if value { Item::Warnings } else { list };
            found.push(whole(item, "SHOW WARNINGS"));
        } else if word_at(spans, at, "ERRORS") {
            let item = if value { Item::Errors } else { list };
            found.push(whole(item, "SHOW ERRORS"));
        }
        return found;
    }
    if word_at(spans, 0, "GET") && is(spans, |token| token.is("DIAGNOSTICS")) {
        found.push(whole(Item::Conditions, "GET DIAGNOSTICS"));
        if is(spans, |token| token.is("ROW_COUNT")) {
            found.push(whole(Item::RowCount, "GET DIAGNOSTICS"));
        }
        return found;
    }
    // these run nothing
    if one_of(
        spans,
        0,
        &["PREPARE", "EXPLAIN", "DESCRIBE", "DESC", "HELP"],
    ) {
        return found;
    }
    let mut begin = 0;
    if one_of(spans, 0, &["CREATE", "ALTER"]) {
        // only the SELECT of CREATE TABLE … SELECT runs now
        let table = is(spans.get(..5.min(spans.len())).unwrap_or_default(), |t| {
            t.is("TABLE")
        });
        let select = spans.iter().position(|span| span.token.is("SELECT"));
        begin = match select {
            Some(at) if table => at,
            _ => return found,
        };
    }
    for at in begin..spans.len() {
        found.extend(value_at(spans, at));
    }
    found
}

/// The question that begins at this token.
fn value_at(spans: &[Spanned<'_>], at: usize) -> Option<Question> {
    let span = spans.get(at)?;
    let question = |item, name, last: usize| {
        let end = spans.get(last)?.end;
        Some(Question {
            item,
            name,
            place: span.start..end,
        })
    };
    if span.token == Token::SystemVariable {
        let scoped = one_of(spans, at + 1, &["SESSION", "LOCAL"]) && byte_at(spans, at + 2, b'.');
        let name = at + if scoped { 3 } else { 1 };
        let is = |word: &str| spans.get(name).is_some_and(|span| span.token.names(word));
        return if is("WARNING_COUNT") {
            question(Item::Warnings, "@@warning_count", name)
        } else if is("ERROR_COUNT") {
            question(Item::Errors, "@@error_count", name)
        } else {
            None
        };
    }
    let called = byte_at(spans, at + 1, b'(') && byte_at(spans, at + 2, b')');
    // a stored function of that name
    let qualified = at > 0 && byte_at(spans, at - 1, b'.');
    if !called || qualified {
        return None;
    }
    if span.token.is("ROW_COUNT") {
        question(Item::RowCount, "ROW_COUNT()", at + 2)
    } else if span.token.is("FOUND_ROWS") {
        question(Item::FoundRows, "FOUND_ROWS()", at + 2)
    } else {
        None
    }
}

/// Whether a statement stores a body.
fn is_stored(spans: &[Spanned<'_>]) -> bool {
    const BODIES: [&str; 5] = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"];
    const OTHERS: [&str; 12] = [
        "TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE",
        "UNIQUE", "FULLTEXT", "SPATIAL",
    ];
    if !one_of(spans, 0, &["CREATE", "ALTER"]) {
        return false;
    }
    let mut words = 1..spans.len();
    let what = words.find(|at| one_of(spans, *at, &BODIES) || one_of(spans, *at, &OTHERS));
    what.is_some_and(|at| one_of(spans, at, &BODIES))
}

/// Whether a statement is a block that runs now. `BEGIN` alone begins a transaction, except in SQL mode
/// `ORACLE`.
pub(super) fn is_block(spans: &[Spanned<'_>]) -> bool {
    if byte_at(spans, 1, b':') {
        return true;
    }
    let begin = word_at(spans, 0, "BEGIN")
        && spans
            .get(1)
            .is_some_and(|next| next.token != Token::Semicolon && !next.token.is("WORK"));
    const WORDS: [&str; 7] = ["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "DECLARE"];
    begin || one_of(spans, 0, &WORDS)
}

/// Where the statement that stores a body ends.
fn end_of_body(spans: &[Spanned<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, span) in spans.iter().enumerate() {
        if span.token.is("END") {
            depth = depth.saturating_sub(1);
        } else if opens(spans, at) {
            depth += 1;
        } else if depth == 0 && span.token == Token::Semicolon {
            return at;
        } else if depth == 0 && at > 2 && (span.token.is("AS") || span.token.is("IS")) {
            // ORACLE: declarations with semicolons follow; all the rest counts as the body
            return spans.len();
        }
    }
    spans.len()
}

/// Whether a statement of a block, or a block, begins here.
fn starts(spans: &[Spanned<'_>], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return true;
    };
    let token = spans.get(before).map(|span| span.token);
    one_of(spans, before, &BEFORE) || matches!(token, Some(Token::Semicolon | Token::Other(b':')))
}

/// Whether a word opens what an `END` closes.
fn opens(spans: &[Spanned<'_>], at: usize) -> bool {
    let Some(span) = spans.get(at) else {
        return false;
    };
    let Token::Word(_) = span.token else {
        return false;
    };
    let before = |word| at > 0 && word_at(spans, at - 1, word);
    let starts = starts(spans, at);
    if before("END") {
        return false;
    }
    let call = byte_at(spans, at + 1, b'(');
    if span.token.is("BEGIN") {
        let name = byte_at(spans, at + 1, b',') || at > 0 && byte_at(spans, at - 1, b'.');
        !name && !before("XA")
    } else if span.token.is("CASE") || span.token.is("WHILE") || span.token.is("LOOP") {
        true
    } else if span.token.is("REPEAT") {
        starts || !call
    } else if span.token.is("FOR") {
        starts
    } else if span.token.is("IF") {
        starts || at > 0 && byte_at(spans, at - 1, b')') && !call && has_then(spans, at)
    } else {
        false
    }
}

/// Whether `THEN` comes before the end of the statement.
fn has_then(spans: &[Spanned<'_>], at: usize) -> bool {
    let rest = spans.get(at..).unwrap_or_default().iter();
    let mut rest = rest.take_while(|span| span.token != Token::Semicolon);
    rest.any(|span| span.token.is("THEN"))
}
