//! Which questions about the aftermath a text asks, and which of them are about what ran before it.
//!
//! A text may hold several statements, blocks, and bodies that are only stored. A question is about
//! the past if no earlier statement of the same text surely sets what it asks for. What each
//! statement sets is MariaDB's `sql/sql_parse.cc` (`mysql_execute_command`): every one that succeeds
//! sets `ROW_COUNT()`, a `SELECT` sets `FOUND_ROWS()`, and one that uses a table begins the list of
//! warnings anew, before it reads it itself.

use std::ops::Range;

use crate::lexer::{Lexer, Mode, Spanned as Spot, Token, is_one_statement};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
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
    pub(super) thing: Thing,
    /// What it is called in an error.
    pub(super) name: &'static str,
    /// Where it stands, if it is a value.
    pub(super) place: Range<usize>,
}

/// What has surely been set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Set {
    rows: bool,
    found: bool,
    conditions: bool,
}

impl Set {
    fn answers(self, thing: Thing) -> bool {
        match thing {
            Thing::RowCount => self.rows,
            Thing::FoundRows => self.found,
            Thing::Warnings | Thing::Errors | Thing::Conditions => self.conditions,
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

/// The tokens of a text, and whether each server reads them alike.
pub(crate) fn spots(text: &[u8], mode: Mode) -> (Vec<Spot<'_>>, bool) {
    let mut lexer = Lexer::new(text, mode);
    let spots = lexer.spanned().collect();
    (spots, !lexer.is_versioned())
}

/// The questions of a text that are about what ran before it.
pub(super) fn about_the_past(spots: &[Spot<'_>]) -> Vec<Question> {
    let mut walk = Walk {
        found: Vec::new(),
        set: Set::default(),
        // one that goes on after an error has found nothing
        survives: is(spots, |token| token.is("HANDLER")),
    };
    let mut rest = spots;
    while !rest.is_empty() {
        rest = walk.statement(rest);
    }
    walk.found
}

/// Whether the text is one statement.
pub(super) fn is_one(spots: &[Spot<'_>]) -> bool {
    is_one_statement(spots.iter().map(|spot| spot.token))
}

fn is(spots: &[Spot<'_>], check: impl Fn(&Token<'_>) -> bool) -> bool {
    spots.iter().any(|spot| check(&spot.token))
}

fn word_at(spots: &[Spot<'_>], at: usize, word: &str) -> bool {
    spots.get(at).is_some_and(|spot| spot.token.is(word))
}

fn one_of(spots: &[Spot<'_>], at: usize, words: &[&str]) -> bool {
    words.iter().any(|word| word_at(spots, at, word))
}

fn byte_at(spots: &[Spot<'_>], at: usize, byte: u8) -> bool {
    spots
        .get(at)
        .is_some_and(|spot| spot.token == Token::Other(byte))
}

struct Walk {
    found: Vec<Question>,
    set: Set,
    survives: bool,
}

/// Words behind which a statement of a block begins.
const BEFORE: [&str; 7] = ["BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT"];

impl Walk {
    /// Takes one statement off the front and returns what follows it.
    fn statement<'s, 'a>(&mut self, spots: &'s [Spot<'a>]) -> &'s [Spot<'a>] {
        let first = spots.first().map(|spot| spot.token);
        if first == Some(Token::Semicolon) {
            return spots.get(1..).unwrap_or_default();
        }
        let end = if is_stored(spots) {
            end_of_body(spots)
        } else if is_block(spots) {
            self.block(spots)
        } else {
            let end = spots.iter().position(|s| s.token == Token::Semicolon);
            let end = end.unwrap_or(spots.len());
            self.simple(spots.get(..end).unwrap_or_default(), self.set);
            let sets = sets(spots.get(..end).unwrap_or_default());
            self.set = self.set.and(sets);
            end
        };
        self.set.rows = true;
        spots.get(end..).unwrap_or_default()
    }

    /// A statement, or part of one, in which this much is set.
    fn simple(&mut self, spots: &[Spot<'_>], set: Set) {
        // what uses a table has cleared the list before it reads it
        let clears = sets(spots).conditions;
        for question in questions(spots) {
            let value = matches!(question.thing, Thing::Warnings | Thing::Errors);
            let own = set.answers(question.thing) || clears && value;
            if !own {
                self.found.push(question);
            }
        }
    }

    /// A block; what is set in a part of it that may not run is not set behind it. Returns where
    /// it ends.
    fn block(&mut self, spots: &[Spot<'_>]) -> usize {
        let before = self.set;
        let mut open: Vec<Set> = Vec::new();
        let mut begin = 0;
        let mut end = spots.len();
        // a CASE that is a value, not a statement
        let mut inside = 0_usize;
        for (at, spot) in spots.iter().enumerate() {
            let closes = spot.token.is("END");
            let case = spot.token.is("CASE") && opens(spots, at) && !starts(spots, at);
            if inside > 0 || case {
                inside = inside + usize::from(case) - usize::from(closes);
                continue;
            }
            let opens = !closes && opens(spots, at);
            let branch = one_of(spots, at, &["ELSE", "ELSEIF", "WHEN"]);
            let parts =
                spot.token == Token::Semicolon || one_of(spots, at, &["ATOMIC", "THEN", "DO"]);
            if !(closes || opens || branch || parts) {
                continue;
            }
            let part = spots.get(begin..at).unwrap_or_default();
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
                    let mut rest = spots.iter().skip(at);
                    let more = rest.position(|spot| spot.token == Token::Semicolon);
                    end = more.map_or(spots.len(), |more| at + more);
                    break;
                }
            } else if branch {
                self.set = open.last().copied().unwrap_or(before);
            }
        }
        self.set = before;
        end
    }

    /// What a statement of a block surely sets. One that sets a local variable sets nothing.
    fn sets_within(&self, part: &[Spot<'_>]) -> Set {
        const WORDS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"];
        let mut set = sets(part);
        set.rows = one_of(part, 0, &WORDS);
        set.found &= !self.survives;
        set
    }
}

/// What one plain statement surely sets besides `ROW_COUNT()`.
fn sets(spots: &[Spot<'_>]) -> Set {
    const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "REPLACE"];
    let select = word_at(spots, 0, "SELECT");
    let into = is(spots, |token| token.is("INTO"));
    let mut depth = 0_usize;
    let mut from = false;
    for (at, spot) in spots.iter().enumerate() {
        match spot.token {
            Token::Other(b'(') => depth += 1,
            Token::Other(b')') => depth = depth.saturating_sub(1),
            token if depth == 0 && token.is("FROM") => {
                let table = spots.get(at + 1).map(|spot| spot.token);
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
        conditions: one_of(spots, 0, &CHANGES) || select && from,
    }
}

/// The questions in one plain statement.
fn questions(spots: &[Spot<'_>]) -> Vec<Question> {
    let mut found = Vec::new();
    let whole = |thing, name| Question {
        thing,
        name,
        place: 0..0,
    };
    if word_at(spots, 0, "SHOW") {
        let at = if word_at(spots, 1, "COUNT") { 5 } else { 1 };
        let (list, value) = (Thing::Conditions, at == 5);
        if word_at(spots, at, "WARNINGS") {
            let thing = if value { Thing::Warnings } else { list };
            found.push(whole(thing, "SHOW WARNINGS"));
        } else if word_at(spots, at, "ERRORS") {
            let thing = if value { Thing::Errors } else { list };
            found.push(whole(thing, "SHOW ERRORS"));
        }
        return found;
    }
    if word_at(spots, 0, "GET") && is(spots, |token| token.is("DIAGNOSTICS")) {
        found.push(whole(Thing::Conditions, "GET DIAGNOSTICS"));
        if is(spots, |token| token.is("ROW_COUNT")) {
            found.push(whole(Thing::RowCount, "GET DIAGNOSTICS"));
        }
        return found;
    }
    // these run nothing
    if one_of(
        spots,
        0,
        &["PREPARE", "EXPLAIN", "DESCRIBE", "DESC", "HELP"],
    ) {
        return found;
    }
    let mut begin = 0;
    if one_of(spots, 0, &["CREATE", "ALTER"]) {
        // only what a table is made from is read now
        let table = is(spots.get(..5.min(spots.len())).unwrap_or_default(), |t| {
            t.is("TABLE")
        });
        let select = spots.iter().position(|spot| spot.token.is("SELECT"));
        begin = match select {
            Some(at) if table => at,
            _ => return found,
        };
    }
    for at in begin..spots.len() {
        found.extend(value_at(spots, at));
    }
    found
}

/// The value that is asked for at this token.
fn value_at(spots: &[Spot<'_>], at: usize) -> Option<Question> {
    let spot = spots.get(at)?;
    let question = |thing, name, last: usize| {
        let end = spots.get(last)?.end;
        Some(Question {
            thing,
            name,
            place: spot.start..end,
        })
    };
    if spot.token == Token::SystemVariable {
        let scoped = one_of(spots, at + 1, &["SESSION", "LOCAL"]) && byte_at(spots, at + 2, b'.');
        let name = at + if scoped { 3 } else { 1 };
        let is = |word: &str| spots.get(name).is_some_and(|spot| spot.token.names(word));
        return if is("WARNING_COUNT") {
            question(Thing::Warnings, "@@warning_count", name)
        } else if is("ERROR_COUNT") {
            question(Thing::Errors, "@@error_count", name)
        } else {
            None
        };
    }
    let called = byte_at(spots, at + 1, b'(') && byte_at(spots, at + 2, b')');
    // somebody's own function of that name
    let qualified = at > 0 && byte_at(spots, at - 1, b'.');
    if !called || qualified {
        return None;
    }
    if spot.token.is("ROW_COUNT") {
        question(Thing::RowCount, "ROW_COUNT()", at + 2)
    } else if spot.token.is("FOUND_ROWS") {
        question(Thing::FoundRows, "FOUND_ROWS()", at + 2)
    } else {
        None
    }
}

/// Whether a statement stores a body.
fn is_stored(spots: &[Spot<'_>]) -> bool {
    const BODIES: [&str; 5] = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"];
    const OTHERS: [&str; 12] = [
        "TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE",
        "UNIQUE", "FULLTEXT", "SPATIAL",
    ];
    if !one_of(spots, 0, &["CREATE", "ALTER"]) {
        return false;
    }
    let mut words = 1..spots.len();
    let what = words.find(|at| one_of(spots, *at, &BODIES) || one_of(spots, *at, &OTHERS));
    what.is_some_and(|at| one_of(spots, at, &BODIES))
}

/// Whether a statement is a block that runs now. (`BEGIN` alone begins a transaction; under `ORACLE`
/// more may follow it.)
fn is_block(spots: &[Spot<'_>]) -> bool {
    if byte_at(spots, 1, b':') {
        return true;
    }
    let begin = word_at(spots, 0, "BEGIN")
        && spots
            .get(1)
            .is_some_and(|next| next.token != Token::Semicolon && !next.token.is("WORK"));
    const WORDS: [&str; 7] = ["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "DECLARE"];
    begin || one_of(spots, 0, &WORDS)
}

/// Where the statement that stores a body ends.
fn end_of_body(spots: &[Spot<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, spot) in spots.iter().enumerate() {
        if spot.token.is("END") {
            depth = depth.saturating_sub(1);
        } else if opens(spots, at) {
            depth += 1;
        } else if depth == 0 && spot.token == Token::Semicolon {
            return at;
        } else if depth == 0 && at > 2 && (spot.token.is("AS") || spot.token.is("IS")) {
            // ORACLE: declarations follow, with semicolons; all the rest is taken for the body
            return spots.len();
        }
    }
    spots.len()
}

/// Whether a statement of a block, or a block, begins here.
fn starts(spots: &[Spot<'_>], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return true;
    };
    let token = spots.get(before).map(|spot| spot.token);
    one_of(spots, before, &BEFORE) || matches!(token, Some(Token::Semicolon | Token::Other(b':')))
}

/// Whether a word opens what an `END` closes.
fn opens(spots: &[Spot<'_>], at: usize) -> bool {
    let Some(spot) = spots.get(at) else {
        return false;
    };
    let Token::Word(_) = spot.token else {
        return false;
    };
    let before = |word| at > 0 && word_at(spots, at - 1, word);
    let starts = starts(spots, at);
    if before("END") {
        return false;
    }
    let call = byte_at(spots, at + 1, b'(');
    if spot.token.is("BEGIN") {
        let name = byte_at(spots, at + 1, b',') || at > 0 && byte_at(spots, at - 1, b'.');
        !name && !before("XA")
    } else if spot.token.is("CASE") || spot.token.is("WHILE") || spot.token.is("LOOP") {
        true
    } else if spot.token.is("REPEAT") {
        starts || !call
    } else if spot.token.is("FOR") {
        starts
    } else if spot.token.is("IF") {
        starts || at > 0 && byte_at(spots, at - 1, b')') && !call && has_then(spots, at)
    } else {
        false
    }
}

/// Whether `THEN` comes before the end of the statement.
fn has_then(spots: &[Spot<'_>], at: usize) -> bool {
    let rest = spots.get(at..).unwrap_or_default().iter();
    let mut rest = rest.take_while(|spot| spot.token != Token::Semicolon);
    rest.any(|spot| spot.token.is("THEN"))
}
