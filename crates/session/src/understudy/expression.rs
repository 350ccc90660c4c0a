//! Reads expressions: literals, variables, operators and functions, without any column.

use super::functions::function;
use super::parser::Parser;
use super::variables::is_readable;
use super::words::{UNITS, is_introducer};
use crate::lexer::Token;

/// Operators between two values that are made of signs, longer ones first.
const SIGNS: [&[u8]; 20] = [
    b"<=>", b"<=", b">=", b"<>", b"!=", b"<<", b">>", b"||", b"&&", b"<", b">", b"=", b"+", b"-",
    b"*", b"/", b"%", b"&", b"|", b"^",
];

/// The same, made of words. `AND` and `ESCAPE` also belong to `BETWEEN` and `LIKE`.
const WORDS: [&str; 8] = [
    "AND", "OR", "XOR", "DIV", "MOD", "LIKE", "BETWEEN", "ESCAPE",
];

/// Functions that need no parentheses: reserved words.
const BARE: [&str; 9] = [
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
];

impl Parser<'_, '_> {
    /// Expressions with commas between.
    pub(super) fn expressions(&mut self) -> Option<()> {
        self.list(Self::expression)
    }

    /// One expression.
    pub(super) fn expression(&mut self) -> Option<()> {
        self.nested(|parser| {
            parser.operand()?;
            loop {
                if parser.takes_end_of_operand()? {
                    continue;
                }
                if !parser.takes_operator() {
                    return Some(());
                }
                parser.operand()?;
            }
        })
    }

    /// An operator between two values; an operand must follow.
    fn takes_operator(&mut self) -> bool {
        if self.is("NOT")
            && self
                .peek(1)
                .is_some_and(|next| next.is_any(&["LIKE", "BETWEEN"]))
        {
            self.skip();
        }
        if self.is("LIKE") {
            self.has_heavy();
        }
        self.takes_any(&WORDS) || SIGNS.iter().any(|signs| self.takes_signs(signs))
    }

    /// What may stand behind an operand and takes no other: `IS NULL`, `IN (…)`, `COLLATE …`.
    fn takes_end_of_operand(&mut self) -> Option<bool> {
        if self.takes("IS") {
            self.takes("NOT");
            self.any(&["NULL", "TRUE", "FALSE", "UNKNOWN"])?;
            return Some(true);
        }
        if self.takes("COLLATE") {
            self.collation()?;
            return Some(true);
        }
        if self.is("NOT") && self.peek(1).is_some_and(|next| next.is("IN")) {
            self.skip();
        }
        if self.takes("IN") {
            self.parenthesis()?;
            return Some(true);
        }
        Some(false)
    }

    /// The name of a collation, behind `COLLATE`.
    pub(super) fn collation(&mut self) -> Option<()> {
        matches!(self.next()?, Token::Word(_) | Token::Text(..)).then_some(())
    }

    /// A value with what may stand before it.
    pub(super) fn operand(&mut self) -> Option<()> {
        let prefix = |parser: &mut Self| {
            let signs = [b'-', b'+', b'~', b'!'];
            parser.takes_any(&["NOT", "BINARY"])
                || signs.iter().any(|sign| parser.takes_sign(*sign))
        };
        while prefix(self) {}
        self.value()
    }

    fn value(&mut self) -> Option<()> {
        match self.peek(0)? {
            Token::Other(b'(') => self.parenthesis(),
            Token::Text(..) | Token::National(_) => {
                self.skip();
                self.more_text();
                Some(())
            }
            Token::Number(_) | Token::Bits(_) => {
                self.skip();
                Some(())
            }
            // a parameter of a prepared statement, which costs what a variable does; an error elsewhere
            Token::Other(b'?') => {
                self.skip();
                self.reads_variable();
                Some(())
            }
            Token::UserVariable => {
                self.skip();
                self.reads_variable();
                Some(())
            }
            Token::SystemVariable => {
                self.skip();
                self.system_variable()
            }
            Token::Word(_) => self.value_of_word(),
            Token::Quoted(..) | Token::Semicolon | Token::Other(_) => None,
        }
    }

    /// Strings behind a string are a part of it.
    fn more_text(&mut self) {
        while matches!(self.peek(0), Some(Token::Text(..))) {
            self.skip();
        }
    }

    /// A query, or expressions, in parentheses.
    fn parenthesis(&mut self) -> Option<()> {
        self.enclosed(|parser| {
            if parser.is_any(&["SELECT", "VALUES"]) {
                parser.query()
            } else {
                parser.expressions()
            }
        })
    }

    /// The name behind `@@`.
    fn system_variable(&mut self) -> Option<()> {
        if self.is_any(&["SESSION", "LOCAL"]) {
            self.skip();
            self.sign(b'.')?;
        }
        let Token::Word(name) = self.next()? else {
            return None;
        };
        is_readable(name).then_some(())
    }

    fn value_of_word(&mut self) -> Option<()> {
        let called = self.is_call();
        let word = self.next()?;
        // words that are never names, with or without a parenthesis behind them
        if word.is("INTERVAL") {
            self.expression()?;
            return self.any(&UNITS);
        }
        if word.is("EXISTS") {
            return self.enclosed(Self::query);
        }
        if word.is("ROW") {
            return self.enclosed(Self::expressions);
        }
        if word.is("CASE") {
            return self.case();
        }
        if called {
            let (shape, weight) = function(word)?;
            return self.weighed(weight, |parser| parser.arguments(shape));
        }
        if is_introducer(word) {
            let literal = matches!(self.next()?, Token::Text(..) | Token::Bits(_));
            self.more_text();
            return literal.then_some(());
        }
        if word.is_any(&["DATE", "TIME", "TIMESTAMP"]) {
            return self.text();
        }
        let bare = word.is_any(&["NULL", "TRUE", "FALSE"]) || word.is_any(&BARE);
        bare.then_some(())
    }

    /// What stands behind `CASE`.
    fn case(&mut self) -> Option<()> {
        if !self.is("WHEN") {
            self.expression()?;
        }
        self.word("WHEN")?;
        loop {
            self.expression()?;
            self.word("THEN")?;
            self.expression()?;
            if !self.takes("WHEN") {
                break;
            }
        }
        if self.takes("ELSE") {
            self.expression()?;
        }
        self.word("END")
    }
}
